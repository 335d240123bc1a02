"""What a relay counts."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RelayCounters"]


@dataclass(slots=True)
class RelayCounters:
    """Numbers since the start of the process."""

    received: int = 0
    """Events that came from the exchange."""
    stored: int = 0
    duplicates: int = 0
    """Events that another reader had stored, or that this one had stored although the acknowledgement was lost."""
    discarded: int = 0
    """Events for which there was no room, neither in memory nor on disk: their time becomes a gap."""
    publish_failures: int = 0
    gaps: int = 0
    """Gaps that this relay wrote down."""
    frontier_conflicts: int = 0
    """Changes of an entry that another reader was faster with."""
    event_times_differ: int = 0
    """Copies of an event whose event time (``E``) differs; the frontier assumes that there are none."""
    event_times_compared: int = 0
    largest_latency_ms: int = 0
    """The longest time between an event's own time and its arrival."""
    largest_clock_error_ms: int = 0
    """The largest error of the estimate of the exchange's clock, as far as it can be seen."""
    stream_restarts: int = 0
    accounts_lost: int = 0
    """Accounts that the exchange no longer serves."""
