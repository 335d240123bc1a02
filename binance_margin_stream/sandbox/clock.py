"""The exchange's clock: real time, faster time, or paused time that is advanced by hand."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    """Exchange time in milliseconds: start + elapsed real time * speed + advanced time."""

    def __init__(self, start_ms: int, speed: float, monotonic: float) -> None:
        """Start at `start_ms` (since 1970, UTC); `monotonic` is the real time at the start, in seconds.

        Raises:
            ValueError: a negative speed.

        """
        if not 0 <= speed < float("inf"):
            raise ValueError("speed takes a number from 0: 1 is real time, 0 is paused")
        self._start_ms = start_ms
        self._speed = speed
        self._started_at = monotonic
        self._advanced_ms = 0

    def to_exchange_ms(self, monotonic: float) -> int:
        """Exchange time (ms) at a real time (seconds)."""
        elapsed_ms = (monotonic - self._started_at) * 1000 * self._speed
        return self._start_ms + self._advanced_ms + int(elapsed_ms)

    def advance(self, seconds: float) -> None:
        """Advance the clock.

        Raises:
            ValueError: negative or not finite.

        """
        if not 0 <= seconds < float("inf"):
            raise ValueError("seconds takes a number from 0")
        self._advanced_ms += round(seconds * 1000)

    def seconds_until(self, due_ms: int, monotonic: float) -> float | None:
        """Real seconds until an exchange time; None if the clock is paused."""
        left_ms = due_ms - self.to_exchange_ms(monotonic)
        if left_ms <= 0:
            return 0.0
        return left_ms / 1000 / self._speed if self._speed else None
