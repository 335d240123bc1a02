"""The numbers that a relay keeps to."""

from __future__ import annotations

from dataclasses import dataclass, fields

from binance_margin_stream.exceptions import ApiValueError

__all__ = ["RelaySettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Bounds and paces of a relay. Every relay of an account must use the same two bounds.

    Raises `ApiValueError` for a value that is not a positive number, and for a hole wait that is too short.
    """

    latency_bound_ms: int = 1000
    """The exchange sends an event at most this long after the event's own time (``E``)."""
    clock_error_bound_ms: int = 1000
    """The estimate of the exchange's clock is at most this wrong, differences between its servers included."""
    hole_wait: float = 60.0
    """Seconds before a hole that nobody filled becomes a gap: above ping interval + pong timeout + publish retries."""
    ping_interval: float = 10.0
    """Seconds between two pings of a connection: how old a claim about an account without events is at least."""
    claim_interval: float = 1.0
    """Seconds between two changes of an account's entry while events come."""
    clock_interval: float = 60.0
    """Seconds between two measurements of the exchange's clock."""
    publish_timeout: float = 5.0
    """Seconds until a publish that was not acknowledged is sent again."""
    max_unacknowledged: int = 500
    """Events that are under way to the broker at once."""
    memory_items: int = 50_000
    """Events that wait in memory while the broker is away; more go to disk."""
    disk_bytes: int = 1 << 30
    """Bytes that wait on disk; beyond, events are discarded and lie in a gap."""
    drain_timeout: float = 8.0
    """Seconds that a relay waits on SIGTERM until everything that it received is stored."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ApiValueError(f"{each.name} has to be a positive number, not {value!r}")
        least = (self.latency_bound_ms + 2 * self.clock_error_bound_ms) / 1000
        if self.hole_wait <= least:
            raise ApiValueError(f"hole_wait has to be above latency_bound_ms + 2 * clock_error_bound_ms = {least:g} s")
