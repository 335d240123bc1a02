"""The exchange's time, from the stream's own clock."""

from __future__ import annotations

from typing import Final

from binance_margin_stream.account.reads.queries import ClockReading

__all__ = ["ExchangeClock"]

_LIFETIME: Final = 3600.0
"""Seconds after which the clock is read again: two clocks drift apart."""


class ExchangeClock:
    """Turns seconds of the stream's clock into the exchange's milliseconds. `speed` is that of a sandbox."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._time = 0
        self._read_at: float | None = None
        self.error = 0
        """By how many milliseconds the time may be off."""

    @property
    def is_known(self) -> bool:
        """Whether the exchange's time was ever read."""
        return self._read_at is not None

    def is_fresh(self, now: float) -> bool:
        """Whether the exchange's time was read lately."""
        return self._read_at is not None and now - self._read_at <= _LIFETIME

    def on_reading(self, reading: ClockReading) -> None:
        """The exchange's time was read: at some moment between sending and receiving."""
        self._time = reading.time
        self._read_at = (reading.sent_at + reading.received_at) / 2
        self.error = round((reading.received_at - reading.sent_at) * 500 * self.speed) + 1

    def to_exchange(self, at: float) -> int:
        """The exchange's time at a moment of the stream's clock."""
        if self._read_at is None:
            raise ValueError("the exchange's time was not read yet")
        return self._time + round((at - self._read_at) * 1000 * self.speed)
