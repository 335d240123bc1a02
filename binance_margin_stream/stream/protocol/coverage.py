"""What each subscription has received, and up to when nothing of an account is missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.coverage import SubscriptionCoverage
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.records import Feed, Subscription
from binance_margin_stream.stream.sources import RenewalMode

__all__ = ["CoverageLog"]

_MAX_CLOSED = 1000
_KEEP_CLOSED = 600.0
"""Seconds."""


class CoverageLog:
    """The subscriptions that are active, and those that were active within the last ten minutes.

    A successor is shown once it is active: its events are held until then.
    """

    def __init__(self, context: Context, connections: ConnectionManager) -> None:
        self._context = context
        self._connections = connections
        self._closed: deque[tuple[float, SubscriptionCoverage]] = deque(maxlen=_MAX_CLOSED)

    def on_closed(self, subscription: Subscription, now: float) -> None:
        """A subscription that was active has ended."""
        self._closed.append((now, replace(self._describe(subscription), is_open=False)))

    def list_all(self, feeds: Iterable[Feed], now: float) -> tuple[SubscriptionCoverage, ...]:
        """What each subscription has received."""
        while self._closed and self._closed[0][0] < now - _KEEP_CLOSED:
            self._closed.popleft()
        active = (self._describe(feed.active) for feed in feeds if feed.active is not None)
        return (*(closed for _, closed in self._closed), *active)

    def _describe(self, subscription: Subscription) -> SubscriptionCoverage:
        to_epoch_ms = self._context.to_epoch_ms
        live_at = subscription.live_at if subscription.live_at is not None else 0.0
        proved_until = subscription.connection.pong_confirmed_until
        if subscription.uncertain_since is not None:
            proved_until = min(proved_until, subscription.uncertain_since)
        return SubscriptionCoverage(
            subscription=subscription.number,
            account=subscription.feed.account,
            source=subscription.connection.source.name,
            live_at=to_epoch_ms(live_at),
            ping_sent_at=to_epoch_ms(proved_until) if proved_until >= live_at else None,
            largest_event_time=subscription.largest_event_time or None,
            is_open=True,
        )

    def proved_until(self, feed: Feed, now: float) -> float | None:
        """Up to when every event of a feed has arrived, or lies in a gap; None if it was never live."""
        active = feed.active
        if feed.open_gap is not None:
            return feed.open_gap.since
        if active is None or active.live_at is None:
            return None
        at = self._connections.delivered_until(active.connection, now)
        if active.uncertain_since is not None:
            at = min(at, active.uncertain_since)
        return max(min(at, self._credential_proof(active)), active.live_at)

    def _credential_proof(self, active: Subscription) -> float:
        """Up to when the credential of a subscription was valid: a deleted listen key leaves its connection alive."""
        credential = active.credential
        if credential is None:
            return float("inf")
        if active.connection.source.renewal_mode is RenewalMode.REPLACE:
            return credential.expires_at
        return max(credential.confirmed_at, active.last_event_at - self._context.settings.latency_allowance)

    def covered_until(self, feeds: Iterable[Feed], taken_until: float | None, now: float) -> dict[Account, int]:
        """For each account, up to when everything was taken, if everything that arrived before `taken_until` was."""
        proofs: dict[Account, float | None] = {}
        for feed in feeds:
            proof, other = self.proved_until(feed, now), proofs.get(feed.account, float("inf"))
            proofs[feed.account] = None if proof is None or other is None else min(proof, other)
        bound = float("inf") if taken_until is None else taken_until - self._context.settings.latency_allowance
        to_epoch_ms = self._context.to_epoch_ms
        return {account: to_epoch_ms(min(at, bound)) for account, at in proofs.items() if at is not None}
