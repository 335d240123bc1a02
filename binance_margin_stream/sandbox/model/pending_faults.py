"""Faults that are pending: they apply to matching requests or events."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeVar

from binance_margin_stream.sandbox.faults.types import DeferredFault
from binance_margin_stream.sandbox.model.metrics import MetricsRecorder
from binance_margin_stream.sandbox.model.scheduler import Scheduler

__all__ = ["PendingFault", "PendingFaults"]

_F = TypeVar("_F")

_MAX_PENDING = 10_000


@dataclass(slots=True)
class PendingFault:
    """A pending fault: what it applies to, how often and until when, and with which probability."""

    fault: DeferredFault
    path: str | None = None
    """All paths where None."""
    account: str | None = None
    """All accounts where None."""
    remaining_uses: int | None = 1
    """Unlimited where None."""
    expires_at: int | None = None
    """Exchange time in milliseconds; never where None."""
    probability: float = 1.0


class PendingFaults:
    """The pending faults, oldest first."""

    def __init__(self, rng: random.Random, metrics: MetricsRecorder, scheduler: Scheduler) -> None:
        self._rng = rng
        self._metrics = metrics
        self._scheduler = scheduler
        self._pending: list[PendingFault] = []
        self.generation = 0
        """Incremented by `clear`, so that a scheduled fault notices that it was cancelled."""

    def add(self, pending: PendingFault) -> None:
        """Add a fault.

        Raises:
            ValueError: too many faults are pending.

        """
        self._remove_expired()
        if len(self._pending) >= _MAX_PENDING:
            raise ValueError(f"{_MAX_PENDING} faults are pending already: clear them first")
        self._pending.append(pending)

    def all(self) -> list[PendingFault]:
        """All pending faults, oldest first."""
        self._remove_expired()
        return list(self._pending)

    def has_any(self) -> bool:
        """Whether a fault is pending."""
        return bool(self._pending)

    def is_pending(self, fault: object) -> bool:
        """Whether an equal fault is pending."""
        return any(pending.fault == fault for pending in self._pending)

    def take_matching(self, kinds: tuple[type[_F], ...], path: str, account: str | None = None) -> _F | None:
        """The oldest pending fault of these kinds that matches path and account; counts as one use of it."""
        if not self._pending:
            return None
        self._remove_expired()
        for pending in self._pending:
            if (
                isinstance(pending.fault, kinds)
                and pending.path in (None, path)
                and pending.account in (None, account)
                and self.roll(pending.probability)
            ):
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

    def _remove_expired(self) -> None:
        now = self._scheduler.now
        if any(pending.expires_at is not None and pending.expires_at <= now for pending in self._pending):
            self._pending = [each for each in self._pending if each.expires_at is None or each.expires_at > now]
