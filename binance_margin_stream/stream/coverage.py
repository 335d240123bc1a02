"""What each subscription of a stream has received, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from binance_margin_stream.stream.accounts import Account

__all__ = ["SubscriptionCoverage"]


@dataclass(frozen=True, slots=True)
class SubscriptionCoverage:
    """What one subscription of a stream has received. Everything that it counts is in the queue of items already.

    `live_at` and `ping_sent_at` are epoch milliseconds of this machine's clock.
    """

    subscription: int
    """Its number, unique within the stream and growing. A rotation or a reconnect makes a new one."""
    account: Account
    source: str
    """The name of its source, such as ``token``."""
    live_at: int
    """When the response to its request came."""
    ping_sent_at: int | None
    """When the last ping was sent whose pong came: everything that the exchange sent before it has arrived."""
    largest_event_time: int | None
    """The largest ``E`` that it received, in the exchange's milliseconds."""
    is_open: bool
    """Whether it still receives events."""
