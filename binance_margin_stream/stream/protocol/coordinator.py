"""What happens to each feed: when it attaches, moves, is lost, and lives again.

This is the middle of the life cycle. REST calls, requests on connections and the connections themselves are
looked after by parts that report here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar, cast

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, GapReason, Severity, State, Terminate
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.credentials import CredentialManager
from binance_margin_stream.stream.protocol.deduplication import StreamEvent
from binance_margin_stream.stream.protocol.duplicate_filter import DuplicateFilter
from binance_margin_stream.stream.protocol.failover import Failover
from binance_margin_stream.stream.protocol.records import ConnectionState, Feed, Subscription, SubscriptionId
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from binance_margin_stream.stream.sources import Credential, RenewalMode, Source

__all__ = ["Coordinator"]

E = TypeVar("E", bound=StreamEvent)

_REJECTIONS_BEFORE_FULL = 3


class Coordinator(Generic[E]):
    """The feeds, and what is done so that none falls silent."""

    def __init__(self, context: Context, buffer: EventBuffer[E]) -> None:
        self.context = context
        self.feeds: list[Feed] = []
        self.credentials = CredentialManager(context, self)
        self.subscriptions = SubscriptionManager(context, self)
        self.connections = ConnectionManager(context, self, self.subscriptions.request_queue.get_rate_limiter)
        self._failover: Failover[E] = Failover(
            context,
            buffer,
            credentials=self.credentials,
            subscriptions=self.subscriptions,
            connections=self.connections,
        )
        self.deduplicator = self._failover.deduplicator
        self.ensure_subscribed = self._failover.ensure_subscribed
        self.on_pong = self._failover.on_pong
        self.on_pong_timeout = self._failover.on_pong_timeout

    @property
    def state(self) -> State:
        """Where the stream is in its life."""
        return self._failover.state

    def add_feed(self, account: Account, sources: tuple[Source, ...]) -> None:
        """Follow the events of an account through the first of the sources that carries it."""
        supported = tuple(source for source in sources if source.supports(account))
        if not supported:
            raise ValueError(f"no way in has the events of {account!r} through {sources[0].name!r}")
        feed = Feed(account, supported, self.context.create_backoff())
        other_feed = next((other for other in self.feeds if other.account == account), None)
        if other_feed is not None:
            feed.duplicate_filter = other_feed.duplicate_filter = DuplicateFilter()
            feed.duplicate_sign = -1
        self.feeds.append(feed)

    def start(self, now: float) -> None:
        """Bring every feed to life."""
        self._failover.unserved_feeds = len(self.feeds)
        keyed = [feed for feed in self.feeds if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE]
        self.credentials.listen_key_count = len(keyed)
        for feed in self.feeds:
            self._failover.ensure_subscribed(feed, now)

    def on_credential(self, feed: Feed, now: float) -> None:
        """Use a new credential where it is waited for, and to extend what is active."""
        active = feed.active
        if feed.successor is not None:
            self._failover.try_subscribe(feed.successor, now)
        else:
            self._failover.ensure_subscribed(feed, now)
        if active is None or feed.credential is None or active.connection.source is not feed.source:
            return
        if feed.source.renewal_mode is RenewalMode.REPLACE:
            self.subscriptions.renew(active, now)
        elif active.credential is not None and active.credential.secret != feed.credential.secret:
            self._failover.on_lost(active, active.credential.confirmed_at, GapReason.CREDENTIAL_GONE, now)
        else:
            active.credential = feed.credential

    def on_credential_gone(self, feed: Feed, credential: Credential, now: float) -> None:
        """Get a new one; what was attached with the old one has gone quiet since it was last proved."""
        if feed.credential is credential:
            feed.credential = None
        successor, active = feed.successor, feed.active
        if successor is not None and _uses_credential(successor, credential):
            self._failover.abandon(successor)
        since = self._last_confirmed(feed, credential)
        if feed.open_gap is not None:
            feed.open_gap.since = min(feed.open_gap.since, since)
        if active is not None and _uses_credential(active, credential):
            self._failover.on_lost(
                active,
                min(since, self.connections.delivered_until(active.connection, now)),
                GapReason.CREDENTIAL_GONE,
                now,
            )
        elif feed.successor is not None:
            self._failover.try_subscribe(feed.successor, now)
        self._failover.ensure_subscribed(feed, now)

    def _last_confirmed(self, feed: Feed, credential: Credential) -> float:
        """When a credential that is gone was last known to be good: by a call, or by an event."""
        last_event_at = (
            feed.last_event_at if feed.active is None else max(feed.last_event_at, feed.active.last_event_at)
        )
        return max(credential.confirmed_at, last_event_at - self.context.settings.latency_allowance)

    def on_source_retired(self, source: Source, failure: Failure, now: float) -> None:
        """Let the next way in take over, for every account that came through this one."""
        self.context.retired_sources.setdefault(source.name, failure)
        for feed in self.feeds:
            if feed.source is not source:
                continue
            next_source = self._next_source(feed)
            if next_source is None:
                self.fail(failure)
                return
            self._switch_source(feed, next_source, now)
        for connection in self.connections.list_all():
            if connection.source is source:
                self.replace_connection(connection, "its way in is retired", now)

    def _next_source(self, feed: Feed) -> Source | None:
        return next((source for source in feed.sources if source.name not in self.context.retired_sources), None)

    def _switch_source(self, feed: Feed, next_source: Source, now: float) -> None:
        detail = f"{feed.source.name} is retired, {next_source.name} takes over"
        self.context.notify("source retired", Severity.WARNING, feed.account, detail)
        self.credentials.discard(feed)
        self.context.timers.cancel(("tend", feed))
        feed.source = next_source
        feed.backoff.reset()
        if feed.successor is not None:
            self._failover.abandon(feed.successor)
        self._failover.ensure_subscribed(feed, now)

    def on_connection_open(self, connection: ConnectionState, now: float) -> None:
        """Attach everything that waits for this connection."""
        for subscription in list(connection.subscriptions):
            self._failover.try_subscribe(subscription, now)

    def on_connection_lost(self, connection: ConnectionState, reason: str, now: float) -> None:
        """Move everything that was on a connection to another one."""
        delivered_until = self.connections.delivered_until(connection, now)
        if any(subscription.feed.active is subscription for subscription in connection.subscriptions):
            self.context.counters.reconnects += 1
        for subscription in list(connection.subscriptions):
            if subscription.feed.active is subscription:
                self._failover.on_lost(
                    subscription, self._failover.gap_start(subscription, delivered_until), reason, now
                )
            else:
                self._failover.abandon(subscription)
                self._failover.ensure_subscribed(subscription.feed, now)

    def replace_connection(self, connection: ConnectionState, reason: str, now: float) -> None:
        """Replace a connection: everything on it gets a successor elsewhere before it is closed."""
        if not self.connections.drain(connection, reason, now):
            return
        for subscription in list(connection.subscriptions):
            if subscription.feed.successor is subscription and subscription.live_at is None:
                self._failover.abandon(subscription)
            self._failover.ensure_subscribed(subscription.feed, now)
        self.connections.close_if_unused(connection)

    def on_subscribing(self, subscription: Subscription, now: float) -> None:
        """From now on its events may come."""
        self.deduplicator.start_overlap(subscription.feed)

    def on_subscribed(self, subscription: Subscription, now: float) -> None:
        """Let it take over, or prove first that the old connection delivered all before it."""
        subscription.live_at = now
        feed = subscription.feed
        feed.backoff.reset()
        self._schedule_expiry_check(subscription)
        if feed.active is None:
            self._failover.switch_to_successor(feed, now)
        else:
            self.connections.request_ping(feed.active.connection, feed, now)

    def on_subscribe_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """Try again later; with a new credential where the old one is refused, elsewhere where there is no room."""
        if self._handle_final_failure(subscription, failure, now):
            return
        feed, connection = subscription.feed, subscription.connection
        if failure.kind is FailureKind.UNKNOWN_CREDENTIAL and feed.credential is subscription.credential:
            feed.credential = None
        self._failover.abandon(subscription)
        if failure.kind is FailureKind.CONNECTION_FULL or connection.rejections >= _REJECTIONS_BEFORE_FULL:
            connection.is_full = True
            self.connections.close_if_unused(connection)
        self.context.notify("not subscribed", Severity.WARNING, feed.account, failure.detail)
        self._failover.retry_later(feed, now)

    def on_renewed(self, subscription: Subscription, now: float) -> None:
        """It lives on with the new credential."""
        self.context.counters.renewals += 1
        self.context.notify("renewed", Severity.DEBUG, subscription.feed.account)
        subscription.feed.backoff.reset()
        self._schedule_expiry_check(subscription)

    def on_renewal_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """Try again while time remains; where it cannot be extended, move on in time."""
        feed = subscription.feed
        if failure.kind is FailureKind.ALREADY_SUBSCRIBED:
            self._replace_before_expiry(subscription, now)
            return
        if self._handle_final_failure(subscription, failure, now):
            return
        if failure.kind is FailureKind.CONNECTION_FULL:
            self.replace_connection(subscription.connection, "its subscriptions are used up", now)
        self.context.notify("renewal failed", Severity.WARNING, feed.account, failure.detail)
        self.context.timers.set_earlier(("renew", feed), now + feed.backoff.next_delay())

    def _handle_final_failure(self, subscription: Subscription, failure: Failure, now: float) -> bool:
        if failure.kind.is_fatal:
            self.fail(failure)
        elif failure.kind is FailureKind.RETIRED:
            self.on_source_retired(subscription.connection.source, failure, now)
        elif failure.kind.requires_backoff:
            self.context.pause_sending(failure, now)
        return failure.kind.is_fatal or failure.kind is FailureKind.RETIRED

    def _replace_before_expiry(self, subscription: Subscription, now: float) -> None:
        """The exchange does not extend what is active: replace the connection while the old token still lives."""
        credential = subscription.credential
        if credential is None:
            return
        lifetime = credential.expires_at - credential.obtained_at
        at = credential.expires_at - lifetime * self.context.settings.replacement_fraction
        self.context.notify("not extended", Severity.INFO, subscription.feed.account, "moves on before it expires")
        self.context.timers.set_earlier(("retire", subscription.connection), max(now, at))

    def on_subscription_missing(self, subscription: Subscription, now: float) -> None:
        """Events of it may be missing since it last gave a sign of life."""
        last_event_at = subscription.last_event_at - self.context.settings.latency_allowance
        since = self._failover.gap_start(subscription, max(last_event_at, subscription.confirmed_at))
        self.on_terminated(subscription, since, GapReason.SUBSCRIPTION_TERMINATED, now)

    def on_unattributed_events(self, connection: ConnectionState, now: float) -> None:
        """Nobody knows whose events these were: they may be missing anywhere on the connection."""
        self.on_malformed_frame(connection, None, now)

    def replay_event(self, subscription: Subscription, at: float, event: object) -> None:
        """Treat an early event as if it came now."""
        subscription.last_event_at = at
        self.deduplicator.on_event(subscription, at, cast(E, event).with_account(subscription.feed.account))

    def on_terminated(self, subscription: Subscription, since: float, reason: str, now: float) -> None:
        """The exchange ended a subscription: its credential is spent, too, unless there is a newer one."""
        feed = subscription.feed
        if feed.credential is subscription.credential:
            feed.credential = None
        if subscription is feed.active:
            self._failover.on_lost(subscription, since, reason, now)
        elif subscription is feed.successor:
            self._failover.abandon(subscription)
            self._failover.ensure_subscribed(feed, now)

    def on_malformed_frame(
        self, connection: ConnectionState, subscription_id: SubscriptionId | None, now: float
    ) -> None:
        """A frame that cannot be read may have been an event, or the end of a subscription."""
        self.context.counters.malformed_frames += 1
        since = self.connections.delivered_until(connection, now)
        for subscription in self._affected_subscriptions(connection, subscription_id):
            self.deduplicator.report_gap(
                subscription, self._failover.gap_start(subscription, since), now, GapReason.MALFORMED_FRAME
            )
            if connection.source.protocol.assigns_ids:
                subscription.mark_uncertain(since, now)
        self.verify_subscriptions(connection, now)

    def _affected_subscriptions(
        self, connection: ConnectionState, subscription_id: SubscriptionId | None
    ) -> Iterable[Subscription]:
        known = connection.subscriptions_by_id.get(subscription_id) if subscription_id is not None else None
        return list(connection.subscriptions) if known is None else [known]

    def verify_subscriptions(self, connection: ConnectionState, now: float) -> None:
        """Find out which subscriptions of a connection are still active."""
        if connection.source.protocol.assigns_ids:
            self.subscriptions.request_queue.request_list(connection, now)
            return
        for subscription in list(connection.subscriptions):
            if subscription.feed.credential is not None:
                self.credentials.request(subscription.feed, now)

    def _schedule_expiry_check(self, subscription: Subscription) -> None:
        credential = subscription.credential
        if credential is not None and subscription.connection.source.renewal_mode is RenewalMode.REPLACE:
            at = credential.expires_at + self.context.settings.expiry_grace
            self.context.timers.set(("expiry", subscription.feed), at)

    def on_credential_expired(self, feed: Feed, now: float) -> None:
        """A credential's time is over, and the exchange has not said so yet."""
        active = feed.active
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE and feed.credential is not None:
            self.on_credential_gone(feed, feed.credential, now)
        elif active is not None and active.connection.source.protocol.assigns_ids:
            self.subscriptions.request_queue.request_list(active.connection, now)
            self.context.timers.set(("expiry", feed), now + self.context.settings.health_check_interval)

    def fail(self, failure: Failure) -> None:
        """Stop everything: no repeat can mend this."""
        if self.state in (State.FAILED, State.CLOSED):
            return
        self.stop(State.FAILED, failure.detail)
        self.context.emit(Terminate(failure))

    def stop(self, state: State, detail: str = "") -> None:
        """End in one of the two last states."""
        self.context.is_stopped = True
        self.connections.close_all()
        self._failover.set_state(state)
        self.credentials.clear()
        self.context.timers.clear()
        if detail:
            self.context.notify("stopped", Severity.ERROR, detail=detail)


def _uses_credential(subscription: Subscription, credential: Credential) -> bool:
    own = subscription.credential
    return own is None or own.secret == credential.secret
