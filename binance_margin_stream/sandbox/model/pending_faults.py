"""Faults that wait for their occasion."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeVar

from binance_margin_stream.sandbox.faults.types import ArmedFault
from binance_margin_stream.sandbox.model.metrics import Tally

__all__ = ["Armed", "ArmedFaults"]

_F = TypeVar("_F")


@dataclass(slots=True)
class Armed:
    """A fault that waits for its occasion, how often it may strike, and how likely it does."""

    fault: ArmedFault
    path: str | None
    left: int | None
    probability: float


class ArmedFaults:
    """The armed faults, oldest first."""

    def __init__(self, source: random.Random, tally: Tally) -> None:
        self._source = source
        self._tally = tally
        self._armed: list[Armed] = []
        self.generation = 0
        """Grows with each `clear`, so that what is planned for later can see that it was called off."""

    def arm(self, fault: ArmedFault, path: str | None, times: int | None, probability: float) -> None:
        """Let a fault strike `times` times, or until cleared, on one path or on any."""
        self._armed.append(Armed(fault, path, times, probability))

    def all(self) -> list[Armed]:
        """Those that wait, oldest first."""
        return list(self._armed)

    def waits(self, fault: object) -> bool:
        """Whether a fault like this one still waits for its occasion."""
        return any(armed.fault == fault for armed in self._armed)

    def take(self, kinds: tuple[type[_F], ...], path: str) -> _F | None:
        """The oldest fault of these kinds that fits the path and strikes; each strike uses it up by one."""
        for armed in self._armed:
            if isinstance(armed.fault, kinds) and armed.path in (None, path) and self.chance(armed.probability):
                self._use(armed)
                return armed.fault
        return None

    def clear(self) -> None:
        """Disarm every fault, and call off those that were planned."""
        self._armed.clear()
        self.generation += 1

    def chance(self, probability: float) -> bool:
        """Whether what is that likely happens."""
        return probability >= 1 or self._source.random() < probability

    def _use(self, armed: Armed) -> None:
        self._tally.struck(armed.fault)
        if armed.left is None:
            return
        armed.left -= 1
        if armed.left == 0:
            self._armed.remove(armed)
