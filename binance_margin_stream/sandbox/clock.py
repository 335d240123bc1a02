"""The exchange's clock: real time, faster time, or paused time that is advanced by hand."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MAX_SPEED", "MAX_TIME_MS", "Clock", "SigningClock", "to_milliseconds"]

MAX_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, after which dates cannot be written in a header."""

MAX_SPEED = 10_000_000.0


class Clock:
    """Exchange time in milliseconds: start + elapsed real time * speed + advanced time, up to `MAX_TIME_MS`."""

    def __init__(self, start_ms: int, speed: float, monotonic: float) -> None:
        """Start at `start_ms` (since 1970, UTC); `monotonic` is the real time at the start, in seconds.

        Raises:
            ValueError: a start outside the years 1970 to 9999, or a speed outside 0 to `MAX_SPEED`.

        """
        if not 0 <= start_ms <= MAX_TIME_MS:
            raise ValueError("start_ms takes milliseconds since 1970, up to the year 9999")
        if not 0 <= speed <= MAX_SPEED:
            raise ValueError(f"speed takes a number from 0 to {MAX_SPEED:.0f}: 1 is real time, 0 is paused")
        self._start_ms = start_ms
        self._speed = speed
        self._started_at = monotonic
        self._advanced_ms = 0

    def to_exchange_ms(self, monotonic: float) -> int:
        """Exchange time (ms) at a real time (seconds)."""
        elapsed_ms = (monotonic - self._started_at) * 1000 * self._speed
        return min(MAX_TIME_MS, self._start_ms + self._advanced_ms + int(elapsed_ms))

    def get_signing_times(self, monotonic: float) -> tuple[int, int]:
        """The earliest and the latest time (ms) that a correct client may believe it is.

        A client's own clock runs at real speed: from the start, or from when it read the exchange's time.
        """
        real_ms = int((monotonic - self._started_at) * 1000)
        earliest = self._start_ms + int(real_ms * min(1.0, self._speed))
        return earliest, self._start_ms + self._advanced_ms + int(real_ms * max(1.0, self._speed))

    def advance(self, seconds: float) -> None:
        """Advance the clock.

        Raises:
            ValueError: a negative or too long time.

        """
        self._advanced_ms += to_milliseconds(seconds)

    def seconds_until(self, due_ms: int, monotonic: float) -> float | None:
        """Real seconds until an exchange time; None if the clock is paused or ends before."""
        left_ms = due_ms - self.to_exchange_ms(monotonic)
        if left_ms <= 0:
            return 0.0
        return left_ms / 1000 / self._speed if self._speed and due_ms <= MAX_TIME_MS else None


class SigningClock:
    """The times against which the timestamps of signed requests are judged: by default, the exchange's time."""

    def __init__(self) -> None:
        self.read_times: Callable[[], tuple[int, int]] | None = None
        """The earliest and the latest time that a correct client may believe it is, where they are not the same."""

    def get_times(self, now: int) -> tuple[int, int]:
        """The earliest and the latest time (ms) that a correct client may believe it is."""
        return (now, now) if self.read_times is None else self.read_times()


def to_milliseconds(seconds: float, name: str = "seconds") -> int:
    """Convert a duration to milliseconds.

    Raises:
        ValueError: negative, not a number, or longer than the time until the year 9999.

    """
    if not 0 <= seconds <= MAX_TIME_MS / 1000:
        raise ValueError(f"{name} takes a number from 0 to {MAX_TIME_MS // 1000}")
    return round(seconds * 1000)
