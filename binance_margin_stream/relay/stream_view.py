"""What a relay needs from a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from binance_margin_stream.stream.accounts import Account

__all__ = ["SubscriptionView"]


class SubscriptionView(Protocol):
    """One subscription, as `AsyncMarginStream.coverage` shows it. Times are epoch milliseconds of this machine."""

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


CoveredUntil = Mapping[Account, int]
