"""What the exchange has to do later, in the order of its own clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["Scheduler"]

Callback = Callable[[int, int], None]
"""Called with the time it was due at, and the time it is."""


class Scheduler:
    """Actions by due time in milliseconds of exchange time; equal times run in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callback]] = []
        self._sequence = count()
        self.now = 0
        """The time of the last `run`."""

    def __len__(self) -> int:
        return len(self._heap)

    def call_at(self, due: int, callback: Callback) -> None:
        """Run an action at a time. It cannot be taken back: the action checks whether it still applies."""
        heapq.heappush(self._heap, (due, next(self._sequence), callback))

    def next_due_at(self) -> int | None:
        """When the next action is due, or None."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: int) -> None:
        """Run what is due by now, earliest first, and what it sets for a time that has come too."""
        self.now = now
        while self._heap and self._heap[0][0] <= now:
            due, _, callback = heapq.heappop(self._heap)
            callback(due, now)
