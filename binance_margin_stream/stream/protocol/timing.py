"""Timers, backoff and rate limits, as pure values of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Backoff", "Jitter", "RateLimiter", "SlidingWindowLimit", "Timers"]

K = TypeVar("K", bound=Hashable)

Jitter = Callable[[float, float], float]
"""Returns a random number between two bounds, as `random.Random.uniform` does."""


class Timers(Generic[K]):
    """A heap of timers, one per key. Setting a timer again moves it. Every operation is logarithmic."""

    __slots__ = ("_heap", "_scheduled", "_serial")

    def __init__(self) -> None:
        self._scheduled: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._scheduled)

    def __contains__(self, key: K) -> bool:
        return key in self._scheduled

    @property
    def heap_size(self) -> int:
        """The number of entries in the heap, cancelled ones included: a bound of the memory in use."""
        return len(self._heap)

    def due_at(self, key: K) -> float | None:
        """When `key` is due, None if it is not set."""
        scheduled = self._scheduled.get(key)
        return None if scheduled is None else scheduled[0]

    def set(self, key: K, at: float) -> None:
        """Set the timer of `key`, in place of an earlier one."""
        self._serial += 1
        self._scheduled[key] = (at, self._serial)
        heappush(self._heap, (at, self._serial, key))
        if len(self._heap) > 2 * len(self._scheduled) + 64:
            self._compact()

    def set_earlier(self, key: K, at: float) -> None:
        """Set the timer of `key` unless it is due before `at` already."""
        due = self._scheduled.get(key)
        if due is None or at < due[0]:
            self.set(key, at)

    def cancel(self, key: K) -> None:
        """Cancel the timer of `key`, if it is set."""
        self._scheduled.pop(key, None)

    def clear(self) -> None:
        """Cancel all timers."""
        self._scheduled.clear()
        self._heap.clear()

    def peek(self) -> tuple[float, K] | None:
        """The time and the key of the timer that is due first, None if none is set."""
        heap = self._heap
        while heap:
            at, serial, key = heap[0]
            if self._scheduled.get(key) == (at, serial):
                return at, key
            heappop(heap)
        return None

    def pop_due(self, now: float) -> K | None:
        """Remove the timer that is due first and return its key, None if none is due at `now`."""
        first = self.peek()
        if first is None or first[0] > now:
            return None
        heappop(self._heap)
        del self._scheduled[first[1]]
        return first[1]

    def _compact(self) -> None:
        self._heap = [(at, serial, key) for key, (at, serial) in self._scheduled.items()]
        heapify(self._heap)


class Backoff:
    """Capped exponential delays with full jitter: each delay is random between zero and a bound that doubles."""

    __slots__ = ("_initial", "_jitter", "_maximum", "failures")

    def __init__(self, initial: float, maximum: float, jitter: Jitter) -> None:
        self._initial = initial
        self._maximum = maximum
        self._jitter = jitter
        self.failures = 0

    def next_delay(self) -> float:
        """The seconds to wait before the next attempt. Counts one failure."""
        bound = min(self._maximum, self._initial * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._jitter(0.0, bound)

    def reset(self) -> None:
        """Start again at the initial delay."""
        self.failures = 0


class RateLimiter:
    """Spaces requests evenly at `rate` per second, with a small burst after a pause."""

    __slots__ = ("_burst", "_interval", "_next_slot")

    def __init__(self, rate: float, burst: int = 1) -> None:
        self._interval = 1.0 / rate
        self._burst = burst * self._interval
        self._next_slot = float("-inf")

    def next_allowed_at(self, now: float) -> float:
        """When the next request may be sent: `now` if it may be sent at once."""
        return max(now, self._next_slot - self._burst + self._interval)

    def acquire(self, now: float) -> None:
        """Count a request that is sent now."""
        self._next_slot = max(now, self._next_slot) + self._interval


class SlidingWindowLimit:
    """At most `limit` attempts in any `period` seconds."""

    __slots__ = ("_attempts", "_limit", "_period")

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._attempts: deque[float] = deque(maxlen=limit)

    def next_allowed_at(self, now: float) -> float:
        """When the next attempt may be made: `now` if it may be made at once."""
        if len(self._attempts) < self._limit:
            return now
        return max(now, self._attempts[0] + self._period)

    def acquire(self, now: float) -> None:
        """Count an attempt that is made now."""
        self._attempts.append(now)
