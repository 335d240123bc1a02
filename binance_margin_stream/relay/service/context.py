"""What the workers of one process share."""

from __future__ import annotations

from dataclasses import dataclass

from binance_margin_stream.relay.broker.publisher import Publisher
from binance_margin_stream.relay.broker.store import EventStore
from binance_margin_stream.relay.counters import RelayCounters
from binance_margin_stream.relay.server_clock import ServerClock
from binance_margin_stream.relay.settings import RelaySettings

__all__ = ["RelayContext"]


@dataclass(frozen=True, slots=True)
class RelayContext:
    """One broker, one clock and one set of figures for all keys."""

    store: EventStore
    publisher: Publisher
    clock: ServerClock
    settings: RelaySettings
    counters: RelayCounters
