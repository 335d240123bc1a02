"""Reacts to what happens to credentials, subscriptions and connections.

The managers report here through `LifecycleListener`. This module decides what a success or a failure means for a
feed; `Failover` then moves the feed.
"""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import Terminate
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.credentials import CredentialManager
from binance_margin_stream.stream.protocol.deduplication import StreamEvent
from binance_margin_stream.stream.protocol.failover import Failover
from binance_margin_stream.stream.protocol.membership import Membership
from binance_margin_stream.stream.protocol.records import (
    ConnectionState,
    DuplicateFilter,
    Feed,
    Subscription,
    SubscriptionId,
)
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from binance_margin_stream.stream.sources import Credential, RenewalMode, Source
from binance_margin_stream.stream.state import GapReason, ScheduledAction, Severity, State, StatusChangeKind

__all__ = ["Coordinator"]

E = TypeVar("E", bound=StreamEvent)

_REJECTIONS_BEFORE_FULL = 3


class Coordinator(Generic[E]):
    """The feeds and their managers, and the reactions to what the managers report."""

    def __init__(self, context: Context, buffer: EventBuffer[E], *, partial: bool, enter_timeout: float | None) -> None:
        self.context = context
        self.feeds: list[Feed] = []
        self.credentials = CredentialManager(context, self)
        self.subscriptions = SubscriptionManager(context, self)
        self.connections = ConnectionManager(context, self, self.subscriptions.request_queue.get_rate_limiter)
        self.failover: Failover[E] = Failover(
            context,
            buffer,
            credentials=self.credentials,
            subscriptions=self.subscriptions,
            connections=self.connections,
        )
        self.membership: Membership[E] = Membership(
            context,
            self.failover,
            self.connections,
            self.feeds,
            fail=self.fail,
            partial=partial,
            enter_timeout=enter_timeout,
        )

    def add_feed(self, account: Account, sources: tuple[Source, ...]) -> Feed:
        """Follow an account through the first of the sources that supports it. Raises `ValueError` if none does."""
        supported = tuple(source for source in sources if source.supports(account))
        if not supported:
            raise ValueError(f"no source has the events of {account!r}: {sources[0].name!r} does not support it")
        feed = Feed(account, supported, self.context.create_backoff())
        other_feed = next((other for other in self.feeds if other.account == account), None)
        if other_feed is not None:
            feed.duplicate_filter = other_feed.duplicate_filter = DuplicateFilter()
            feed.duplicate_sign = -1
        self.feeds.append(feed)
        return feed

    def start(self, now: float) -> None:
        """Subscribe all feeds."""
        keyed = [feed for feed in self.feeds if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE]
        self.credentials.listen_key_count = len(keyed)
        self.membership.start(now)
        self.failover.start(self.feeds, now)

    def join(self, account: Account, sources: tuple[Source, ...], now: float) -> None:
        """Follow one more account. Raises `ValueError` if no source supports it."""
        feed = self.add_feed(account, sources)
        feed.source = self._next_source(feed) or feed.source
        self.membership.add(feed, now)
        self.failover.ensure_subscribed(feed, now)

    def lose_feed(self, feed: Feed, failure: Failure, now: float) -> None:
        """End the feed of an account that the exchange refuses for good; the other feeds go on.

        The exchange does not say when it ended the account: events may be missing since it last served it.
        """
        confirmed_at, last_event_at = feed.last_confirmed_at, feed.last_event_at
        if feed.active is not None:
            confirmed_at, last_event_at = feed.active.last_confirmed_at, feed.active.last_event_at
        since = max(feed.joined_at, confirmed_at, last_event_at - self.context.settings.latency_allowance)
        self.membership.lose(feed, since, failure, now)

    def on_credential(self, feed: Feed, now: float) -> None:
        """Subscribe with a new credential, and renew the active subscription with it."""
        active = feed.active
        if feed.successor is not None:
            self.failover.try_subscribe(feed.successor, now)
        else:
            self.failover.ensure_subscribed(feed, now)
        if active is None or feed.credential is None or active.connection.source is not feed.source:
            return
        if feed.source.renewal_mode is RenewalMode.REPLACE:
            self.failover.renew(feed, now)
        elif active.credential is not None and active.credential.secret != feed.credential.secret:
            self.failover.on_lost(active, active.credential.confirmed_at, GapReason.CREDENTIAL_GONE, now)
        else:
            active.credential = feed.credential

    def on_credential_gone(self, feed: Feed, credential: Credential, now: float) -> None:
        """Create a new credential. Subscriptions with the old one have had no events since it was last confirmed."""
        if feed.credential is credential:
            feed.credential = None
        successor, active = feed.successor, feed.active
        if successor is not None and successor.uses(credential):
            self.failover.abandon(successor)
        since = self._last_confirmed(feed, credential)
        if feed.open_gap is not None:
            feed.open_gap.since = min(feed.open_gap.since, since)
        if active is not None and active.uses(credential):
            since = min(since, self.connections.delivered_until(active.connection, now))
            self.failover.on_lost(active, since, GapReason.CREDENTIAL_GONE, now)
        elif feed.successor is not None:
            self.failover.try_subscribe(feed.successor, now)
        self.failover.ensure_subscribed(feed, now)

    def _last_confirmed(self, feed: Feed, credential: Credential) -> float:
        """When a credential that is gone was last known to be valid: by a call, or by an event."""
        last_event_at = feed.last_event_at
        if feed.active is not None:
            last_event_at = max(last_event_at, feed.active.last_event_at)
        return max(credential.confirmed_at, last_event_at - self.context.settings.latency_allowance)

    def on_source_retired(self, source: Source, failure: Failure, now: float) -> None:
        """Switch every account that uses the source to its next source."""
        self.context.retired_sources.setdefault(source.name, failure)
        if not any(map(self._next_source, self.feeds)):
            self.fail(failure, now)
            return
        for feed in [each for each in self.feeds if each.source is source]:
            next_source = self._next_source(feed)
            if next_source is not None:
                self._switch_source(feed, next_source, now)
            elif not self.context.is_stopped:
                self.lose_feed(feed, failure, now)
        for connection in self.connections.list_all():
            if connection.source is source:
                self.replace_connection(connection, "its source is retired", now)

    def proven_at(self, account: Account, now: float) -> float | None:
        """Until when all events of an account are known to have arrived, None while it is not subscribed."""
        active = next((feed.active for feed in self.feeds if feed.account == account), None)
        return None if active is None else self.connections.delivered_until(active.connection, now)

    def report_gap(self, account: Account, since: float, reason: GapReason, now: float) -> None:
        """Report that events of an account may be missing since a moment, although it is subscribed."""
        feed = next((feed for feed in self.feeds if feed.account == account), None)
        if feed is not None and feed.active is not None:
            self.failover.deduplicator.report_gap(feed.active, since, now, reason)

    def change_source(self, account: Account, now: float) -> None:
        """Switch an account to the next source that is not retired. Does nothing if there is no other."""
        feed = next((feed for feed in self.feeds if feed.account == account), None)
        if feed is None:
            return
        position = feed.sources.index(feed.source)
        others = (*feed.sources[position + 1 :], *feed.sources[:position])
        next_source = next((each for each in others if each.name not in self.context.retired_sources), None)
        if next_source is not None:
            detail = f"{feed.source.name} withholds events, switching to {next_source.name}"
            self.context.notify(StatusChangeKind.SOURCE_CHANGED, Severity.WARNING, account, detail)
            self._follow_source(feed, next_source, now)

    def _next_source(self, feed: Feed) -> Source | None:
        return next((source for source in feed.sources if source.name not in self.context.retired_sources), None)

    def _switch_source(self, feed: Feed, next_source: Source, now: float) -> None:
        detail = f"{feed.source.name} is retired, switching to {next_source.name}"
        self.context.notify(StatusChangeKind.SOURCE_RETIRED, Severity.WARNING, feed.account, detail)
        self._follow_source(feed, next_source, now)

    def _follow_source(self, feed: Feed, next_source: Source, now: float) -> None:
        self.credentials.discard(feed)
        self.context.timers.cancel((ScheduledAction.SUBSCRIBE, feed))
        feed.source = next_source
        feed.backoff.reset()
        if feed.successor is not None:
            self.failover.abandon(feed.successor)
        self.failover.ensure_subscribed(feed, now)

    def on_connection_open(self, connection: ConnectionState, now: float) -> None:
        """Subscribe everything that waits for the connection."""
        for subscription in list(connection.subscriptions):
            self.failover.try_subscribe(subscription, now)

    def on_connection_lost(self, connection: ConnectionState, reason: GapReason, now: float) -> None:
        """Subscribe everything that was on the connection elsewhere."""
        self.failover.on_connection_lost(connection, reason, now)

    def replace_connection(self, connection: ConnectionState, reason: str, now: float) -> None:
        """Replace a connection: every account gets a successor on another connection before this one is closed."""
        if not self.connections.drain(connection, reason, now):
            return
        for subscription in list(connection.subscriptions):
            if subscription.feed.successor is subscription and subscription.live_at is None:
                self.failover.abandon(subscription)
            self.failover.ensure_subscribed(subscription.feed, now)
        self.connections.close_if_unused(connection)

    def on_subscribing(self, subscription: Subscription, now: float) -> None:
        """Events of the subscription may arrive from now on."""
        self.failover.deduplicator.start_overlap(subscription.feed)

    def on_subscribed(self, subscription: Subscription, now: float) -> None:
        """A subscription is active."""
        subscription.feed.backoff.reset()
        self.credentials.schedule_expiry_check(subscription)
        self.failover.on_subscribed(subscription, now)

    def on_subscribe_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """Subscribe again later, with a new credential or on another connection if the failure requires it."""
        if self._handle_final_failure(subscription, failure, now):
            return
        feed, connection = subscription.feed, subscription.connection
        feed.last_failure = failure
        if failure.kind is FailureKind.UNKNOWN_CREDENTIAL and feed.credential is subscription.credential:
            feed.credential = None
        self.failover.abandon(subscription)
        if failure.kind is FailureKind.CONNECTION_FULL or connection.rejections >= _REJECTIONS_BEFORE_FULL:
            connection.is_full = True
            self.connections.close_if_unused(connection)
        self.context.notify(StatusChangeKind.SUBSCRIBE_FAILED, Severity.WARNING, feed.account, failure.detail)
        self.failover.retry_later(feed, now)

    def on_renewing(self, subscription: Subscription) -> None:
        """A renewal is sent: events may arrive by a second id from now on."""
        self.failover.deduplicator.start_renewal(subscription.feed)

    def on_second_id(self, subscription: Subscription, at: float, now: float) -> Subscription:
        """A renewal brought another id, and the old one may go on: move to it, as in a rotation."""
        renewed = self.failover.make_renewed(subscription, at, now)
        self.on_renewed(subscription, now)
        return renewed

    def on_renewed(self, subscription: Subscription, now: float) -> None:
        """A subscription was renewed with the new credential."""
        self.failover.deduplicator.end_renewal(subscription.feed)
        self.context.counters.renewals += 1
        self.context.notify(StatusChangeKind.RENEWED, Severity.DEBUG, subscription.feed.account)
        subscription.feed.backoff.reset()
        self.credentials.schedule_expiry_check(subscription)

    def on_renewal_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """Renew again later. If the exchange does not renew, replace the connection before the expiry."""
        feed = subscription.feed
        self.failover.deduplicator.end_renewal(feed)
        if failure.kind is FailureKind.ALREADY_SUBSCRIBED:
            self._replace_before_expiry(subscription, now)
            return
        if self._handle_final_failure(subscription, failure, now):
            return
        self.context.notify(StatusChangeKind.RENEWAL_FAILED, Severity.WARNING, feed.account, failure.detail)
        if failure.kind is FailureKind.CONNECTION_FULL:
            # There is no room for a second id. The new connection subscribes with the new credential.
            self.replace_connection(subscription.connection, "its subscription limit is reached", now)
            return
        self.context.timers.set_earlier((ScheduledAction.RENEW, feed), now + feed.backoff.next_delay())

    def _handle_final_failure(self, subscription: Subscription, failure: Failure, now: float) -> bool:
        if failure.kind.is_fatal:
            self.fail(failure, now)
        elif failure.kind.is_final_for_account:
            self.lose_feed(subscription.feed, failure, now)
        elif failure.kind is FailureKind.RETIRED:
            self.on_source_retired(subscription.connection.source, failure, now)
        elif failure.kind.requires_backoff:
            self.context.pause_sending(failure, now)
        return failure.kind.is_fatal or failure.kind.is_final_for_account or failure.kind is FailureKind.RETIRED

    def _replace_before_expiry(self, subscription: Subscription, now: float) -> None:
        credential = subscription.credential
        if credential is None:
            return
        lifetime = credential.expires_at - credential.obtained_at
        at = credential.expires_at - lifetime * self.context.limits.replacement_fraction
        detail = "the connection is replaced before the credential expires"
        account = subscription.feed.account
        self.context.notify(StatusChangeKind.RENEWAL_NOT_SUPPORTED, Severity.INFO, account, detail)
        self.context.timers.set_earlier((ScheduledAction.REPLACE_CONNECTION, subscription.connection), max(now, at))

    def on_subscription_missing(self, subscription: Subscription, now: float) -> None:
        """Events of the subscription may be missing since it was last confirmed, by an event or by a response."""
        last_event_at = subscription.last_event_at - self.context.settings.latency_allowance
        since = self.failover.gap_start(subscription, max(last_event_at, subscription.confirmed_at))
        self.on_terminated(subscription, since, GapReason.SUBSCRIPTION_TERMINATED, now)

    def on_unattributed_events(self, connection: ConnectionState, now: float) -> None:
        """Events may be missing on every subscription of the connection."""
        self.on_malformed_frame(connection, None, now)

    def replay_event(self, subscription: Subscription, at: float, event: object) -> None:
        """Deliver an event that arrived at `at`, before its subscription was known."""
        subscription.last_event_at = at
        event = cast(E, event).with_account(subscription.feed.account)
        subscription.stamp(event)
        self.failover.deduplicator.on_event(subscription, at, event)

    def on_terminated(self, subscription: Subscription, since: float, reason: GapReason, now: float) -> None:
        """The exchange ended a subscription. Its credential has ended with it, unless there is a newer one."""
        feed = subscription.feed
        if self.failover.is_replaced_in_place(subscription):
            self.failover.switch_to_successor(feed, now)
            return
        if feed.credential is subscription.credential:
            feed.credential = None
        if subscription is feed.active:
            self.failover.on_lost(subscription, since, reason, now)
        elif subscription is feed.successor:
            self.failover.abandon(subscription)
            self.failover.ensure_subscribed(feed, now)

    def on_malformed_frame(
        self,
        connection: ConnectionState,
        subscription_id: SubscriptionId | None,
        now: float,
        frame: str | None = None,
    ) -> None:
        """Report a gap for a frame that cannot be read: it may have been an event, or the end of a subscription."""
        self.context.counters.malformed_frames += 1
        since = self.connections.delivered_until(connection, now)
        known = connection.subscriptions_by_id.get(subscription_id) if subscription_id is not None else None
        for subscription in list(connection.subscriptions) if known is None else [known]:
            gap_start = self.failover.gap_start(subscription, since)
            self.failover.deduplicator.report_gap(subscription, gap_start, now, GapReason.MALFORMED_FRAME, frame)
            if connection.source.protocol.assigns_ids:
                subscription.mark_uncertain(since, now)
        self.verify_subscriptions(connection, now)

    def verify_subscriptions(self, connection: ConnectionState, now: float) -> None:
        """Request which subscriptions of a connection are still active, or confirm its listen keys."""
        if connection.source.protocol.assigns_ids:
            self.subscriptions.request_queue.request_list(connection, now)
            return
        for subscription in list(connection.subscriptions):
            if subscription.feed.credential is not None:
                self.credentials.request(subscription.feed, now)

    def on_credential_expired(self, feed: Feed, now: float) -> None:
        """Check a credential that should have expired, although the exchange has not reported it."""
        active = feed.active
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE and feed.credential is not None:
            self.on_credential_gone(feed, feed.credential, now)
        elif active is not None and active.connection.source.protocol.assigns_ids:
            self.subscriptions.request_queue.request_list(active.connection, now)
            at = now + self.context.settings.health_check_interval
            self.context.timers.set((ScheduledAction.CHECK_EXPIRY, feed), at)

    def fail(self, failure: Failure, now: float) -> None:
        """End the stream with a failure that cannot be retried."""
        if self.failover.state in (State.FAILED, State.CLOSED):
            return
        self.stop(State.FAILED, now, failure.detail)
        self.context.emit(Terminate(failure))

    def stop(self, state: State, now: float, detail: str = "") -> None:
        """Enter one of the two final states. What may be missing of an account that is down is reported first."""
        for feed in self.feeds:
            self.failover.deduplicator.end_open_gap(feed, now)
        self.context.is_stopped = True
        self.connections.close_all()
        self.failover.set_state(state)
        self.credentials.clear()
        self.context.timers.clear()
        if detail:
            self.context.notify(StatusChangeKind.STOPPED, Severity.ERROR, detail=detail)
