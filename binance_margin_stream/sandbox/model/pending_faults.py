"""Faults that are pending: they apply to matching requests or events."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeVar

from binance_margin_stream.sandbox.faults.types import DeferredFault
from binance_margin_stream.sandbox.model.metrics import MetricsRecorder

__all__ = ["PendingFault", "PendingFaults"]

_F = TypeVar("_F")


@dataclass(slots=True)
class PendingFault:
    """A pending fault: the path it applies to, how often, and with which probability."""

    fault: DeferredFault
    path: str | None
    remaining_uses: int | None
    probability: float


class PendingFaults:
    """The pending faults, oldest first."""

    def __init__(self, rng: random.Random, metrics: MetricsRecorder) -> None:
        self._rng = rng
        self._metrics = metrics
        self._pending: list[PendingFault] = []
        self.generation = 0
        """Incremented by `clear`, so that a scheduled fault notices that it was cancelled."""

    def add(self, fault: DeferredFault, path: str | None, times: int | None, probability: float) -> None:
        """Add a fault that applies `times` times, or until cleared, on one path or all."""
        self._pending.append(PendingFault(fault, path, times, probability))

    def all(self) -> list[PendingFault]:
        """All pending faults, oldest first."""
        return list(self._pending)

    def is_pending(self, fault: object) -> bool:
        """Whether an equal fault is pending."""
        return any(pending.fault == fault for pending in self._pending)

    def take_matching(self, kinds: tuple[type[_F], ...], path: str) -> _F | None:
        """The oldest pending fault of these kinds that matches the path; counts as one use of it."""
        for pending in self._pending:
            if isinstance(pending.fault, kinds) and pending.path in (None, path) and self.roll(pending.probability):
                self._consume(pending)
                return pending.fault
        return None

    def clear(self) -> None:
        """Remove all pending faults, and cancel scheduled ones."""
        self._pending.clear()
        self.generation += 1

    def roll(self, probability: float) -> bool:
        """True with this probability."""
        return probability >= 1 or self._rng.random() < probability

    def _consume(self, pending: PendingFault) -> None:
        self._metrics.record_fault(pending.fault)
        if pending.remaining_uses is None:
            return
        pending.remaining_uses -= 1
        if pending.remaining_uses == 0:
            self._pending.remove(pending)
