"""Moves feeds from one subscription to the next, and derives the state of the stream from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.coverage import CoverageLog
from binance_margin_stream.stream.protocol.credentials import CredentialManager
from binance_margin_stream.stream.protocol.deduplication import Deduplicator, StreamEvent
from binance_margin_stream.stream.protocol.records import (
    ConnectionPhase,
    ConnectionState,
    Feed,
    OpenGap,
    Subscription,
)
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from binance_margin_stream.stream.sources import RenewalMode
from binance_margin_stream.stream.state import GapReason, ScheduledAction, Severity, State, StatusChangeKind

__all__ = ["Failover"]

E = TypeVar("E", bound=StreamEvent)

_FEED_TIMERS = (ScheduledAction.SUBSCRIBE, ScheduledAction.MOVE_ACCOUNT, ScheduledAction.END_OVERLAP)
"""The timers of a feed besides those of its credential."""

_STATE_CHANGES = {
    State.LIVE: StatusChangeKind.LIVE,
    State.RECOVERING: StatusChangeKind.RECOVERING,
    State.CLOSED: StatusChangeKind.CLOSED,
    State.FAILED: StatusChangeKind.FAILED,
}


class Failover(Generic[E]):
    """Keeps every feed subscribed: makes successors, switches to them, and opens a gap after a loss."""

    def __init__(
        self,
        context: Context,
        buffer: EventBuffer[E],
        *,
        credentials: CredentialManager,
        subscriptions: SubscriptionManager,
        connections: ConnectionManager,
    ) -> None:
        self._context = context
        self._credentials = credentials
        self._subscriptions = subscriptions
        self._connections = connections
        self._unserved_feeds = 0
        self._state = State.CONNECTING
        self.deduplicator: Deduplicator[E] = Deduplicator(context, buffer, self.on_overflow)
        self.coverage = CoverageLog(context, connections)
        self.on_joined: Callable[[Feed, float], None] = lambda feed, now: None
        """Called when a feed is live for the first time."""

    @property
    def state(self) -> State:
        """The state of the stream."""
        return self._state

    def start(self, feeds: Sequence[Feed], now: float) -> None:
        """Subscribe all feeds for the first time."""
        self._unserved_feeds = len(feeds)
        for feed in feeds:
            feed.joined_at = now
            self.ensure_subscribed(feed, now)

    def stop_feed(self, feed: Feed, now: float) -> None:
        """End the subscriptions and the calls of a feed that is no longer followed."""
        was_active = feed.active is not None
        if feed.successor is not None:
            self._unsubscribe(feed.successor, now)
            self.abandon(feed.successor)
        if feed.active is not None:
            active, feed.active = feed.active, None
            self._unsubscribe(active, now)
            self._release(active, now)
        self._credentials.discard(feed)
        for action in _FEED_TIMERS:
            self._context.timers.cancel((action, feed))
        if feed.counts_for_state and not was_active:
            self._unserved_feeds -= 1
        self._update_state()

    def _unsubscribe(self, subscription: Subscription, now: float) -> None:
        if subscription.id is not None and subscription.connection.phase is ConnectionPhase.OPEN:
            self._subscriptions.unsubscribe(subscription.connection, subscription.id, now)

    def ensure_subscribed(self, feed: Feed, now: float) -> None:
        """Make a subscription for a feed that has none, or a successor if its connection is being replaced."""
        if feed.successor is not None and feed.credential is None:
            self._credentials.request(feed, now)
        timers = self._context.timers
        if (
            feed.successor is not None
            or not self._needs_subscription(feed)
            or (ScheduledAction.SUBSCRIBE, feed) in timers
        ):
            return
        if feed.active is not None and feed.seen_counts is not None:
            timers.set((ScheduledAction.MOVE_ACCOUNT, feed), now + self._context.limits.overlap_window)
            return
        connection = self._connections.allocate(feed.source, now)
        feed.successor = subscription = Subscription(self._context.next_subscription_number(), feed, connection)
        connection.subscriptions[subscription] = None
        self.try_subscribe(subscription, now)

    def _needs_subscription(self, feed: Feed) -> bool:
        active = feed.active
        return active is None or active.connection.draining or active.connection.source is not feed.source

    def try_subscribe(self, subscription: Subscription, now: float) -> None:
        """Request a subscription, or the credential that it needs first."""
        feed = subscription.feed
        if subscription.requested_at is not None:
            return
        if feed.credential is None or not feed.credential.is_fresh(now):
            self._credentials.request(feed, now)
        elif subscription.connection.phase is ConnectionPhase.OPEN:
            self._subscriptions.subscribe(subscription, now)

    def retry_later(self, feed: Feed, now: float) -> None:
        """Subscribe again after a backoff."""
        self._context.timers.set((ScheduledAction.SUBSCRIBE, feed), now + feed.backoff.next_delay())

    def on_subscribed(self, subscription: Subscription, now: float) -> None:
        """Switch to a successor that is live, once the old connection has delivered everything before it."""
        subscription.live_at = now
        feed = subscription.feed
        if feed.active is None:
            self.switch_to_successor(feed, now)
        else:
            self._connections.request_ping(feed.active.connection, feed, now)

    def is_replaced_in_place(self, subscription: Subscription) -> bool:
        """Whether an active subscription was renewed with another id on its connection, so that its end is no loss."""
        new = subscription.feed.successor
        is_live = new is not None and new.live_at is not None and new.connection is subscription.connection
        return subscription.feed.active is subscription and is_live

    def make_renewed(self, old: Subscription, at: float, now: float) -> Subscription:
        """A successor for the second id of a subscription, in place of one on another connection."""
        feed = old.feed
        counts = feed.seen_counts
        if feed.successor is not None:
            self._unsubscribe(feed.successor, now)
            self.abandon(feed.successor)
        new = Subscription(self._context.next_subscription_number(), feed, old.connection)
        new.credential, new.requested_at = feed.credential, at
        feed.successor, feed.seen_counts = new, counts if counts is not None else {}
        old.steady = False
        old.unrouted_event_since = None
        old.connection.subscriptions[new] = None
        return new

    def switch_to_successor(self, feed: Feed, now: float) -> None:
        """Make a successor that is live the active subscription, and release the old one."""
        old = feed.active
        if feed.successor is None or feed.successor.live_at is None:
            return
        if self.deduplicator.switch(feed):
            end = now + self._context.limits.overlap_window
            self._context.timers.set((ScheduledAction.END_OVERLAP, feed), end)
        if old is None:
            self._on_recovered(feed, now)
        else:
            if feed.active is not None and feed.active.connection is old.connection:
                self._unsubscribe(old, now)
            self._release(old, now)
        self.renew(feed, now)
        self.ensure_subscribed(feed, now)

    def renew(self, feed: Feed, now: float) -> None:
        """Renew the active subscription with the newest credential. While duplicates may arrive, this waits."""
        active = feed.active
        if active is None or feed.credential is None or active.credential is feed.credential:
            return
        if active.connection.source is feed.source and feed.source.renewal_mode is RenewalMode.REPLACE:
            self._subscriptions.renew(active, now)

    def end_overlap(self, feed: Feed, now: float) -> None:
        """Duplicates of a switch can no longer arrive."""
        self.deduplicator.end_overlap(feed)
        self.renew(feed, now)

    def on_pong(self, feeds: Sequence[Feed], now: float) -> None:
        """The old connection of these feeds has delivered everything that was sent before the last ping."""
        for feed in feeds:
            old, new = feed.active, feed.successor
            if old is None or new is None or new.live_at is None:
                continue
            delivered_until = self._connections.delivered_until(old.connection, now)
            if delivered_until >= new.live_at and old.uncertain_since is not None:
                self.on_lost(old, self.gap_start(old, delivered_until), GapReason.SUBSCRIPTION_TERMINATED, now)
            elif delivered_until >= new.live_at:
                self.switch_to_successor(feed, now)
            else:
                self._connections.request_ping(old.connection, feed, now)

    def on_pong_timeout(self, feeds: Sequence[Feed], now: float) -> None:
        """The old connection of these feeds does not respond: continue without it."""
        for feed in feeds:
            if feed.active is not None and feed.successor is not None and feed.successor.live_at is not None:
                delivered_until = self._connections.delivered_until(feed.active.connection, now)
                self.on_lost(feed.active, self.gap_start(feed.active, delivered_until), GapReason.DISCONNECTED, now)

    def on_overflow(self, subscription: Subscription, now: float) -> None:
        """Too many events are held: switch to the successor if it is live, else abandon it."""
        feed = subscription.feed
        if subscription.live_at is not None:
            self.on_pong_timeout([feed], now)
        else:
            self.abandon(subscription)
            self.retry_later(feed, now)

    def on_connection_lost(self, connection: ConnectionState, reason: GapReason, now: float) -> None:
        """Subscribe everything that was on a connection elsewhere."""
        delivered_until = self._connections.delivered_until(connection, now)
        if any(subscription.feed.active is subscription for subscription in connection.subscriptions):
            self._context.counters.reconnects += 1
        for subscription in list(connection.subscriptions):
            if subscription.feed.active is subscription:
                self.on_lost(subscription, self.gap_start(subscription, delivered_until), reason, now)
            else:
                self.abandon(subscription)
                self.ensure_subscribed(subscription.feed, now)

    def on_lost(self, subscription: Subscription, since: float, reason: GapReason, now: float) -> None:
        """An active subscription ended: switch to its successor, or make a new one. Opens a gap at `since`."""
        feed, new = subscription.feed, subscription.feed.successor
        feed.last_event_at = max(feed.last_event_at, subscription.last_event_at)
        feed.last_confirmed_at = max(feed.last_confirmed_at, subscription.last_confirmed_at)
        if feed.open_gap is None:
            feed.open_gap = OpenGap(since, reason, subscription.connection.source.name)
        feed.active = None
        self._release(subscription, now)
        self._unserved_feeds += 1
        feed.is_renewing = False
        if new is None:
            feed.seen_counts = None
        if new is not None and new.live_at is not None:
            self.switch_to_successor(feed, now)
        else:
            detail = f"{subscription.connection.source.name}: {reason}"
            self._context.notify(StatusChangeKind.SUBSCRIPTION_LOST, Severity.WARNING, feed.account, detail)
            self._update_state()
            self.ensure_subscribed(feed, now)

    def gap_start(self, subscription: Subscription, since: float) -> float:
        """Since when events of a subscription may be missing, if those of its connection are since `since`."""
        if subscription.requested_at is not None:
            since = max(since, subscription.requested_at)
        uncertain = subscription.uncertain_since
        if uncertain is None:
            return since
        last_event_at = subscription.last_event_at - self._context.settings.latency_allowance
        return min(since, max(uncertain, last_event_at))

    def abandon(self, subscription: Subscription) -> None:
        """Abandon a successor."""
        feed = subscription.feed
        feed.successor = None
        self.deduplicator.cancel_overlap(feed)
        self._release(subscription, None)
        if feed.active is not None:
            feed.active.connection.waiting_for_pong.pop(feed, None)

    def _release(self, subscription: Subscription, active_until: float | None) -> None:
        """Remove a subscription, and close its connection if it was the last one on a draining connection."""
        if active_until is not None:
            self.coverage.on_closed(subscription, active_until)
        subscription.steady = False
        self._subscriptions.remove(subscription)
        subscription.connection.waiting_for_pong.pop(subscription.feed, None)
        self._connections.close_if_unused(subscription.connection)

    def _on_recovered(self, feed: Feed, now: float) -> None:
        is_first, feed.was_live, feed.last_failure = not feed.was_live, True, None
        self._unserved_feeds -= feed.counts_for_state
        feed.counts_for_state = True
        kind = StatusChangeKind.SUBSCRIBED if is_first else StatusChangeKind.RECOVERED
        self._context.notify(kind, Severity.INFO, feed.account, feed.source.name)
        self._update_state()
        if is_first:
            self.on_joined(feed, now)

    def _update_state(self) -> None:
        if self._unserved_feeds == 0:
            self.set_state(State.LIVE)
        elif self._state is State.LIVE:
            self.set_state(State.RECOVERING)

    def set_state(self, state: State) -> None:
        """Enter another state. The final states are never left."""
        if state is not self._state and self._state not in (State.CLOSED, State.FAILED):
            self._state = state
            severity = Severity.ERROR if state is State.FAILED else Severity.INFO
            self._context.notify(_STATE_CHANGES[state], severity)
