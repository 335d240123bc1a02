"""What is due when: a heap of named timers."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Timers"]

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """One timer per key; setting it anew moves it. Every operation costs the logarithm of their number."""

    __slots__ = ("_heap", "_scheduled", "_serial")

    def __init__(self) -> None:
        self._scheduled: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._scheduled)

    def __contains__(self, key: K) -> bool:
        return key in self._scheduled

    def set(self, key: K, at: float) -> None:
        """Let `key` be due at `at`, and not when it was due before."""
        self._serial += 1
        self._scheduled[key] = (at, self._serial)
        heappush(self._heap, (at, self._serial, key))
        if len(self._heap) > 2 * len(self._scheduled) + 64:
            self._compact()

    def set_earlier(self, key: K, at: float) -> None:
        """Let `key` be due at `at`, or before if it already was."""
        due = self._scheduled.get(key)
        if due is None or at < due[0]:
            self.set(key, at)

    def cancel(self, key: K) -> None:
        """Forget `key`; it need not be set."""
        self._scheduled.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._scheduled.clear()
        self._heap.clear()

    def peek(self) -> tuple[float, K] | None:
        """The time and the key that are due first, None if nothing is."""
        heap = self._heap
        while heap:
            at, serial, key = heap[0]
            if self._scheduled.get(key) == (at, serial):
                return at, key
            heappop(heap)
        return None

    def pop_due(self, now: float) -> K | None:
        """Take out the key that is due first, None if none is due by `now`."""
        first = self.peek()
        if first is None or first[0] > now:
            return None
        heappop(self._heap)
        del self._scheduled[first[1]]
        return first[1]

    def _compact(self) -> None:
        self._heap = [(at, serial, key) for key, (at, serial) in self._scheduled.items()]
        heapify(self._heap)
