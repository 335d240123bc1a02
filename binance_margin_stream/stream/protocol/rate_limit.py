"""How often and how soon: backoff, a pace for requests, a window for connection attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["AttemptWindow", "Backoff", "Jitter", "Pace"]

Jitter = Callable[[float, float], float]
"""Draws a number between two bounds, as `random.Random.uniform` does."""


class Backoff:
    """Capped exponential delays with full jitter: each is drawn between nothing and twice the last bound."""

    __slots__ = ("_first", "_jitter", "_most", "failures")

    def __init__(self, first: float, most: float, jitter: Jitter) -> None:
        self._first = first
        self._most = most
        self._jitter = jitter
        self.failures = 0

    def next(self) -> float:
        """The seconds to wait before the next attempt; counts one failure."""
        bound = min(self._most, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._jitter(0.0, bound)

    def reset(self) -> None:
        """Start again, after a success that lasted."""
        self.failures = 0


class Pace:
    """Spaces requests evenly at `rate` a second, with a small burst after a pause."""

    __slots__ = ("_burst", "_interval", "_next")

    def __init__(self, rate: float, burst: int = 1) -> None:
        self._interval = 1.0 / rate
        self._burst = burst * self._interval
        self._next = float("-inf")

    def ready_at(self, now: float) -> float:
        """When the next request may go: `now` if at once."""
        return max(now, self._next - self._burst + self._interval)

    def take(self, now: float) -> None:
        """Count a request that goes now."""
        self._next = max(now, self._next) + self._interval


class AttemptWindow:
    """At most `limit` attempts in any `period` seconds."""

    __slots__ = ("_limit", "_made", "_period")

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._made: deque[float] = deque(maxlen=limit)

    def ready_at(self, now: float) -> float:
        """When the next attempt may be made: `now` if at once."""
        if len(self._made) < self._limit:
            return now
        return max(now, self._made[0] + self._period)

    def take(self, now: float) -> None:
        """Count an attempt that is made now."""
        self._made.append(now)
