"""Faults that wait for their occasion."""

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
    """A fault that waits for its occasion, how often it may strike, and how likely it does."""

    fault: DeferredFault
    path: str | None
    remaining_uses: int | None
    probability: float


class PendingFaults:
    """The armed faults, oldest first."""

    def __init__(self, rng: random.Random, metrics: MetricsRecorder) -> None:
        self._rng = rng
        self._metrics = metrics
        self._pending: list[PendingFault] = []
        self.generation = 0
        """Grows with each `clear`, so that what is planned for later can see that it was called off."""

    def add(self, fault: DeferredFault, path: str | None, times: int | None, probability: float) -> None:
        """Let a fault strike `times` times, or until cleared, on one path or on any."""
        self._pending.append(PendingFault(fault, path, times, probability))

    def all(self) -> list[PendingFault]:
        """Those that wait, oldest first."""
        return list(self._pending)

    def is_pending(self, fault: object) -> bool:
        """Whether a fault like this one still waits for its occasion."""
        return any(pending.fault == fault for pending in self._pending)

    def take_matching(self, kinds: tuple[type[_F], ...], path: str) -> _F | None:
        """The oldest fault of these kinds that fits the path and strikes; each strike uses it up by one."""
        for pending in self._pending:
            if isinstance(pending.fault, kinds) and pending.path in (None, path) and self.roll(pending.probability):
                self._consume(pending)
                return pending.fault
        return None

    def clear(self) -> None:
        """Disarm every fault, and call off those that were planned."""
        self._pending.clear()
        self.generation += 1

    def roll(self, probability: float) -> bool:
        """Whether what is that likely happens."""
        return probability >= 1 or self._rng.random() < probability

    def _consume(self, pending: PendingFault) -> None:
        self._metrics.record_fault(pending.fault)
        if pending.remaining_uses is None:
            return
        pending.remaining_uses -= 1
        if pending.remaining_uses == 0:
            self._pending.remove(pending)
