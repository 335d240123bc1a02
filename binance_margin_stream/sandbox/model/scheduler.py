"""Callbacks that are scheduled in exchange time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["Scheduler"]

Callback = Callable[[int, int], None]
"""Called with the due time and the present time."""


class Scheduler:
    """Callbacks by due time in milliseconds of exchange time; those due at the same time run in order of scheduling."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callback]] = []
        self._sequence = count()
        self.now = 0
        """The time of the last `run_due`."""

    def __len__(self) -> int:
        return len(self._heap)

    def call_at(self, due: int, callback: Callback) -> None:
        """Schedule a callback. It cannot be cancelled: the callback has to check whether it still applies."""
        heapq.heappush(self._heap, (due, next(self._sequence), callback))

    def next_due_at(self) -> int | None:
        """When the next callback is due, or None."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: int) -> None:
        """Run the callbacks that are due, earliest first, including those that they schedule themselves."""
        self.now = now
        while self._heap and self._heap[0][0] <= now:
            due, _, callback = heapq.heappop(self._heap)
            callback(due, now)
