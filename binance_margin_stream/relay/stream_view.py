"""What a relay needs from a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import StreamItem

__all__ = ["FollowedStream", "SubscriptionView", "TakenItem"]


class SubscriptionView(Protocol):
    """One subscription of a stream. Times are epoch milliseconds of this machine's clock as it is now."""

    @property
    def subscription(self) -> int:
        """Its number in the stream; a rotation or a reconnect makes a new one."""
        ...

    @property
    def account(self) -> Account:
        """Whose events it brings."""
        ...

    @property
    def source(self) -> str:
        """The name of its source."""
        ...

    @property
    def live_at(self) -> int:
        """When the response to its request came."""
        ...

    @property
    def ping_sent_at(self) -> int | None:
        """When the last ping was sent whose pong came."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it still brings events."""
        ...


@dataclass(frozen=True, slots=True)
class TakenItem:
    """An item as a stream handed it over."""

    item: StreamItem
    subscription: int | None = None
    """The number of the subscription by which it came, None for what the stream made itself."""


class FollowedStream(Protocol):
    """A stream of one key's accounts that is entered already."""

    async def take(self, timeout: float) -> TakenItem | None:
        """The next item, None when none came in time. Raises `StreamError` when the stream failed."""
        ...

    @property
    def is_drained(self) -> bool:
        """Whether everything that was handed over is taken."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether every account is subscribed at the moment."""
        ...

    @property
    def reconnects(self) -> int:
        """How often a connection was replaced after a failure."""
        ...

    def coverage(self) -> Sequence[SubscriptionView]:
        """The subscriptions, those that ended within ten minutes included."""
        ...

    @property
    def covered_until(self) -> Mapping[Account, int]:
        """Up to when everything was taken, or lies in a gap that was taken, by account; epoch milliseconds."""
        ...

    def send_pings(self) -> None:
        """Ask every connection for a proof that everything has arrived: its pong."""
        ...

    async def close(self) -> None:
        """Stop, within seconds."""
        ...
