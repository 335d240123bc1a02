"""From one subscription of a feed to the next: joining, taking over, losing, and being whole again."""

from __future__ import annotations

from typing import Generic, TypeVar

from binance_margin_stream.stream.protocol.actions import GapReason, Severity, State
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.credentials import CredentialManager
from binance_margin_stream.stream.protocol.deduplication import Deduplicator, StreamEvent
from binance_margin_stream.stream.protocol.records import ConnectionPhase, Feed, OpenGap, Subscription
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from binance_margin_stream.stream.sources import RenewalMode

__all__ = ["Failover"]

E = TypeVar("E", bound=StreamEvent)


class Failover(Generic[E]):
    """Moves feeds between subscriptions, and knows whether all of them are served."""

    def __init__(
        self,
        context: Context,
        buffer: EventBuffer[E],
        *,
        credentials: CredentialManager,
        subscriptions: SubscriptionManager,
        connections: ConnectionManager,
    ) -> None:
        self.context = context
        self.credentials = credentials
        self.subscriptions = subscriptions
        self.connections = connections
        self.deduplicator: Deduplicator[E] = Deduplicator(context, buffer, self.on_overflow)
        self.state = State.CONNECTING
        self.unserved_feeds = 0

    def ensure_subscribed(self, feed: Feed, now: float) -> None:
        """See to it that a feed has a subscription, or a successor where its connection is being replaced."""
        if feed.successor is not None and feed.credential is None:
            self.credentials.request(feed, now)
        if feed.successor is not None or not self._needs_subscription(feed) or ("tend", feed) in self.context.timers:
            return
        if feed.active is not None and feed.seen_counts is not None:
            self.context.timers.set(("after drain", feed), now + self.context.settings.overlap_window)
            return
        connection = self.connections.allocate(feed.source, now)
        feed.successor = subscription = Subscription(feed, connection)
        connection.subscriptions[subscription] = None
        self.try_subscribe(subscription, now)

    def _needs_subscription(self, feed: Feed) -> bool:
        active = feed.active
        return active is None or active.connection.draining or active.connection.source is not feed.source

    def try_subscribe(self, subscription: Subscription, now: float) -> None:
        """Ask for a subscription, or for the credential that it needs."""
        feed = subscription.feed
        if subscription.requested_at is not None:
            return
        if feed.credential is None or not feed.credential.is_fresh(now):
            self.credentials.request(feed, now)
        elif subscription.connection.phase is ConnectionPhase.OPEN:
            self.subscriptions.subscribe(subscription, now)

    def retry_later(self, feed: Feed, now: float) -> None:
        """Try again after a backoff."""
        self.context.timers.set(("tend", feed), now + feed.backoff.next_delay())

    def switch_to_successor(self, feed: Feed, now: float) -> None:
        """Let the successor serve, once it is live."""
        old = feed.active
        if feed.successor is None or feed.successor.live_at is None:
            return
        if self.deduplicator.switch(feed):
            self.context.timers.set(("drain", feed), now + self.context.settings.overlap_window)
        if old is None:
            self._on_recovered(feed)
        else:
            self.release(old)
        self._renew_after_switch(feed, now)
        self.ensure_subscribed(feed, now)

    def _renew_after_switch(self, feed: Feed, now: float) -> None:
        """A credential that was renewed while the successor joined is its credential, too."""
        active = feed.active
        if active is None or feed.credential is None or active.credential is feed.credential:
            return
        if active.connection.source is feed.source and feed.source.renewal_mode is RenewalMode.REPLACE:
            self.subscriptions.renew(active, now)

    def on_pong(self, feeds: list[Feed], now: float) -> None:
        """The old connection of these feeds delivered all that it was sent before the last ping."""
        for feed in feeds:
            old, new = feed.active, feed.successor
            if old is None or new is None or new.live_at is None:
                continue
            delivered_until = self.connections.delivered_until(old.connection, now)
            if delivered_until >= new.live_at and old.uncertain_since is not None:
                self.on_lost(old, self.gap_start(old, delivered_until), GapReason.SUBSCRIPTION_TERMINATED, now)
            elif delivered_until >= new.live_at:
                self.switch_to_successor(feed, now)
            else:
                self.connections.request_ping(old.connection, feed, now)

    def on_pong_timeout(self, feeds: list[Feed], now: float) -> None:
        """The old connection of these feeds does not answer: go on without it."""
        for feed in feeds:
            if feed.active is not None and feed.successor is not None and feed.successor.live_at is not None:
                since = self.gap_start(feed.active, self.connections.delivered_until(feed.active.connection, now))
                self.on_lost(feed.active, since, GapReason.DISCONNECTED, now)

    def on_overflow(self, subscription: Subscription, now: float) -> None:
        """Too much is held: go on with the successor, if it is live, else without it."""
        feed = subscription.feed
        if subscription.live_at is not None:
            self.on_pong_timeout([feed], now)
        else:
            self.abandon(subscription)
            self.retry_later(feed, now)

    def on_lost(self, subscription: Subscription, since: float, reason: str, now: float) -> None:
        """A subscription in use is over: its successor takes over, or a new one is made."""
        feed, new = subscription.feed, subscription.feed.successor
        feed.last_event_at = max(feed.last_event_at, subscription.last_event_at)
        if feed.open_gap is None:
            feed.open_gap = OpenGap(since, reason)
        feed.active = None
        self.release(subscription)
        self.unserved_feeds += 1
        if new is None:
            feed.seen_counts = None
        if new is not None and new.live_at is not None:
            self.switch_to_successor(feed, now)
        else:
            self.context.notify(
                "lost", Severity.WARNING, feed.account, f"{subscription.connection.source.name}: {reason}"
            )
            self._update_state()
            self.ensure_subscribed(feed, now)

    def gap_start(self, subscription: Subscription, since: float) -> float:
        """Since when events of a subscription may be missing, if those of its connection are since `since`."""
        if subscription.requested_at is not None:
            since = max(since, subscription.requested_at)
        uncertain = subscription.uncertain_since
        if uncertain is None:
            return since
        last_event_at = subscription.last_event_at - self.context.settings.latency_allowance
        return min(since, max(uncertain, last_event_at))

    def release(self, subscription: Subscription) -> None:
        """Forget a subscription, and close its connection if it was the last on one that is being replaced."""
        subscription.steady = False
        self.subscriptions.remove(subscription)
        subscription.connection.waiting_for_pong.pop(subscription.feed, None)
        self.connections.close_if_unused(subscription.connection)

    def abandon(self, subscription: Subscription) -> None:
        """A subscription that was being made will not be."""
        feed = subscription.feed
        feed.successor = None
        self.deduplicator.cancel_overlap(feed)
        self.release(subscription)
        if feed.active is not None:
            feed.active.connection.waiting_for_pong.pop(feed, None)

    def _on_recovered(self, feed: Feed) -> None:
        self.unserved_feeds -= 1
        self.context.notify(
            "recovered" if feed.was_live else "subscribed", Severity.INFO, feed.account, feed.source.name
        )
        feed.was_live = True
        self._update_state()

    def _update_state(self) -> None:
        if self.unserved_feeds == 0:
            self.set_state(State.LIVE)
        elif self.state is State.LIVE:
            self.set_state(State.RECOVERING)

    def set_state(self, state: State) -> None:
        """Be in another state, unless all is over."""
        if state is not self.state and self.state not in (State.CLOSED, State.FAILED):
            self.state = state
            severity = Severity.ERROR if state is State.FAILED else Severity.INFO
            self.context.notify(state.value, severity)
