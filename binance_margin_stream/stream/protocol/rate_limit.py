"""How often and how soon: backoff, a pace for requests, a window for connection attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Backoff", "Jitter", "RateLimiter", "SlidingWindowLimit"]

Jitter = Callable[[float, float], float]
"""Draws a number between two bounds, as `random.Random.uniform` does."""


class Backoff:
    """Capped exponential delays with full jitter: each is drawn between nothing and twice the last bound."""

    __slots__ = ("_initial", "_jitter", "_maximum", "failures")

    def __init__(self, initial: float, maximum: float, jitter: Jitter) -> None:
        self._initial = initial
        self._maximum = maximum
        self._jitter = jitter
        self.failures = 0

    def next_delay(self) -> float:
        """The seconds to wait before the next attempt; counts one failure."""
        bound = min(self._maximum, self._initial * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._jitter(0.0, bound)

    def reset(self) -> None:
        """Start again, after a success that lasted."""
        self.failures = 0


class RateLimiter:
    """Spaces requests evenly at `rate` a second, with a small burst after a pause."""

    __slots__ = ("_burst", "_interval", "_next_slot")

    def __init__(self, rate: float, burst: int = 1) -> None:
        self._interval = 1.0 / rate
        self._burst = burst * self._interval
        self._next_slot = float("-inf")

    def next_allowed_at(self, now: float) -> float:
        """When the next request may go: `now` if at once."""
        return max(now, self._next_slot - self._burst + self._interval)

    def acquire(self, now: float) -> None:
        """Count a request that goes now."""
        self._next_slot = max(now, self._next_slot) + self._interval


class SlidingWindowLimit:
    """At most `limit` attempts in any `period` seconds."""

    __slots__ = ("_attempts", "_limit", "_period")

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._attempts: deque[float] = deque(maxlen=limit)

    def next_allowed_at(self, now: float) -> float:
        """When the next attempt may be made: `now` if at once."""
        if len(self._attempts) < self._limit:
            return now
        return max(now, self._attempts[0] + self._period)

    def acquire(self, now: float) -> None:
        """Count an attempt that is made now."""
        self._attempts.append(now)
