"""The state machine of one stream, as decisions: no I/O, no clock, no threads.

A driver opens connections, makes REST calls and reports what happens; the state machine decides what to do. Every
input takes `now`, in seconds of one clock that never goes back and that should continue while the machine sleeps.
`to_epoch_ms` converts such a moment to epoch milliseconds. It is called when a gap is reported, so that a correction
of the machine's clock does not move the other end of the gap.

After every input, the driver executes `actions` in order, and calls `on_timer` at `next_timer_at`. Events are not
actions: they wait in a bounded buffer, and `next_item` returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.coverage import SubscriptionCoverage
from binance_margin_stream.stream.events.base import set_subscription
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import Failure
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.protocol.actions import Action
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.coordinator import Coordinator
from binance_margin_stream.stream.protocol.deduplication import StreamEvent
from binance_margin_stream.stream.protocol.records import (
    ConnectionPhase,
    ConnectionState,
    SubscriptionId,
)
from binance_margin_stream.stream.protocol.timing import Jitter
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import Source
from binance_margin_stream.stream.state import GapReason, ScheduledAction, State

__all__ = ["Lifecycle"]

E = TypeVar("E", bound=StreamEvent)


class Lifecycle(Generic[E]):
    """The state machine of one stream. `E` is the type of its events.

    `feeds` are the accounts to follow, each with the sources to try in turn. An account may occur twice, for example
    with the risk source next to the source of its own events. Raises `ValueError` for an account that no source
    supports.
    """

    def __init__(
        self,
        feeds: Iterable[tuple[Account, tuple[Source, ...]]],
        *,
        settings: StreamSettings,
        jitter: Jitter,
        to_epoch_ms: Callable[[float], int],
        partial: bool = False,
        enter_timeout: float | None = None,
    ) -> None:
        self.context = Context(settings, jitter, to_epoch_ms)
        """Settings, timers and counters. Public, like the parts below, so that a driver's tests can inspect them."""
        self.buffer: EventBuffer[E] = EventBuffer(settings.buffer_size, to_epoch_ms, settings.latency_allowance)
        """The items that wait for the consumer."""
        self.coordinator: Coordinator[E] = Coordinator(
            self.context, self.buffer, partial=partial, enter_timeout=enter_timeout
        )
        """The feeds and their managers."""
        self.connections = self.coordinator.connections
        """All connections, with their subscriptions and requests."""
        self.actions = self.context.actions
        """The pending actions: always the same list, empty after most events."""
        for account, sources in feeds:
            self.coordinator.add_feed(account, sources)
        self._failover = self.coordinator.failover
        self._subscriptions = self.coordinator.subscriptions
        self._event_counts: dict[type, int] = {}
        self.timer_handlers = self._make_timer_handlers()
        """What is done when a timer is due, for every `ScheduledAction`."""
        # Bound methods instead of `def`s, since both are called for every event: see bench/pipeline.py.
        self.next_item = self.buffer.pop
        """Removes and returns the next event or gap for the consumer, None if there is none."""
        self._put = self.buffer.put

    @property
    def state(self) -> State:
        """The state of the stream."""
        return self._failover.state

    def pop_actions(self) -> list[Action]:
        """The pending actions, in order. Each is returned once."""
        actions = self.actions.copy()
        self.actions.clear()
        return actions

    def next_timer_at(self) -> float | None:
        """When `on_timer` has to be called, None if no timer is set."""
        due = self.context.timers.peek()
        return None if due is None else due[0]

    def accounts_by_subscription(self, connection_id: int) -> Mapping[SubscriptionId | None, Account]:
        """The account of each subscription id of a connection, for the decoder. The mapping is always up to date."""
        connection = self.connections.get(connection_id)
        return connection.accounts_by_id if connection is not None else {}

    def on_open(self, connection_id: int, now: float) -> None:
        """The WebSocket is open."""
        connection = self.connections.get(connection_id)
        if connection is not None:
            self.connections.on_open(connection, now)

    def on_close(self, connection_id: int, failure: Failure, now: float) -> None:
        """The WebSocket was closed, or could not be opened."""
        connection = self.connections.get(connection_id)
        if connection is not None:
            self.connections.on_lost(connection, failure, GapReason.DISCONNECTED, now)

    def on_ping(self, connection_id: int, now: float) -> None:
        """A ping arrived. `now` may be in the future if the connection is known to work until then."""
        connection = self.connections.get(connection_id)
        if connection is not None:
            connection.last_ping_at = connection.last_activity_at = max(now, connection.last_activity_at)

    def on_pong(self, connection_id: int, now: float) -> None:
        """The pong for the last `SendPing` arrived."""
        connection = self.connections.get(connection_id)
        if connection is not None:
            connection.last_ping_at = connection.last_activity_at = max(now, connection.last_activity_at)
            self._failover.on_pong(self.connections.on_pong(connection, now), now)

    def send_pings(self, now: float) -> None:
        """Ping every open connection, for a proof that all events before now have arrived."""
        self.connections.ping_all(now)

    def on_event(self, connection_id: int, subscription_id: SubscriptionId | None, event: E, now: float) -> None:
        """An event arrived, with the subscription id that its frame stated."""
        connection = self.connections.get(connection_id)
        if connection is None:
            return
        connection.last_frame_at = now
        if now > connection.last_activity_at:
            connection.last_activity_at = now
        event_class = type(event)
        self._event_counts[event_class] = self._event_counts.get(event_class, 0) + 1
        subscription = connection.subscriptions_by_id.get(subscription_id)  # type: ignore[arg-type]  # None is no key
        if subscription is None:
            self._on_unrouted_event(connection, subscription_id, event, now)
            return
        subscription.last_event_at = now
        set_subscription(event, subscription.number)
        event_time = getattr(event, "event_time", None)  # not every event says when it was made
        if event_time is not None and event_time > subscription.largest_event_time:
            subscription.largest_event_time = event_time
        if subscription.steady:
            self._put(now, event)
        else:
            self._failover.deduplicator.on_event(subscription, now, event)

    def _on_unrouted_event(
        self, connection: ConnectionState, subscription_id: SubscriptionId | None, event: E, now: float
    ) -> None:
        """An event with an unknown subscription id, or without one."""
        subscription = connection.single_subscription if subscription_id is None else None
        if subscription is not None:
            subscription.last_event_at = now
            event = event.with_account(subscription.feed.account)
            subscription.stamp(event)
            self._failover.deduplicator.on_event(subscription, now, event)
        elif subscription_id is None or not self._subscriptions.buffer_unrouted(
            connection, subscription_id, now, event
        ):
            self.coordinator.on_malformed_frame(connection, None, now)

    def on_response(self, connection_id: int, response: ResponseFrame, now: float) -> None:
        """A response to a request arrived, or an error that belongs to no request."""
        connection = self._touch(connection_id, now)
        if connection is not None:
            self._subscriptions.on_response(connection, response, now)

    def on_malformed_frame(
        self,
        connection_id: int,
        now: float,
        subscription_id: SubscriptionId | None = None,
        *,
        frame: str | None = None,
    ) -> None:
        """A frame arrived that cannot be decoded; `subscription_id` is set if at least that could be read.

        `frame` is an excerpt without secrets, for the gap.
        """
        connection = self._touch(connection_id, now)
        if connection is not None:
            self.coordinator.on_malformed_frame(connection, subscription_id, now, frame)

    def on_server_shutdown(self, connection_id: int, now: float) -> None:
        """The exchange announced that it will close the connection."""
        connection = self._touch(connection_id, now)
        if connection is not None:
            self.coordinator.replace_connection(connection, "the exchange is shutting it down", now)

    def on_subscription_terminated(
        self, connection_id: int, subscription_id: SubscriptionId | None, now: float
    ) -> None:
        """The exchange ended a subscription. Has no effect on one that was unsubscribed here."""
        self._on_ended(connection_id, subscription_id, GapReason.SUBSCRIPTION_TERMINATED, now)

    def on_listen_key_expired(self, connection_id: int, subscription_id: SubscriptionId | None, now: float) -> None:
        """The exchange reported that a listen key has expired."""
        self._on_ended(connection_id, subscription_id, GapReason.CREDENTIAL_EXPIRED, now)

    def _on_ended(
        self, connection_id: int, subscription_id: SubscriptionId | None, reason: GapReason, now: float
    ) -> None:
        connection = self._touch(connection_id, now)
        if connection is None:
            return
        if subscription_id is None:
            subscription = connection.single_subscription
        else:
            subscription = connection.subscriptions_by_id.get(subscription_id)
        is_known = subscription_id in connection.subscriptions_by_id
        if subscription is not None:
            if subscription_id is None or subscription.id == subscription_id:
                since = max(self.connections.delivered_until(connection, now), subscription.requested_at or 0.0)
                self.coordinator.on_terminated(subscription, since, reason, now)
        elif subscription_id is not None and not is_known and connection.source.protocol.assigns_ids:
            self._subscriptions.on_early_end(connection, subscription_id, now)
        elif not is_known:
            self.coordinator.verify_subscriptions(connection, now)

    def _touch(self, connection_id: int, now: float) -> ConnectionState | None:
        connection = self.connections.get(connection_id)
        if connection is not None:
            connection.last_frame_at = now
            connection.last_activity_at = max(now, connection.last_activity_at)
        return connection

    def on_credential(self, request_id: int, secret: str, expiration_time: int | None, now: float) -> None:
        """A credential was created. `expiration_time` is its expiry in epoch milliseconds or microseconds."""
        self.coordinator.credentials.on_success(request_id, secret, expiration_time, now)

    def on_keepalive_ok(self, request_id: int, now: float) -> None:
        """A listen key was extended."""
        self.coordinator.credentials.on_success(request_id, None, None, now)

    def on_request_failed(self, request_id: int, failure: Failure, now: float) -> None:
        """A REST call failed."""
        self.coordinator.credentials.on_failure(request_id, failure, now)

    def proven_at(self, account: Account, now: float) -> float | None:
        """Until when all events of an account are known to have arrived, None while it is not subscribed."""
        return self.coordinator.proven_at(account, now)

    def report_gap(self, account: Account, since: float, reason: GapReason, now: float) -> None:
        """Report that events of an account may be missing since a moment, although it is subscribed."""
        self.coordinator.report_gap(account, since, reason, now)

    def change_source(self, account: Account, now: float) -> None:
        """Follow an account by its next source, if it has one: this one withholds events."""
        self.coordinator.change_source(account, now)

    def start(self, now: float) -> None:
        """Subscribe all accounts."""
        self.coordinator.start(now)

    @property
    def is_entered(self) -> bool:
        """Whether entering is over: every account is live, or as many as the user accepts."""
        return self.coordinator.membership.is_entered

    def add(self, account: Account, sources: tuple[Source, ...], now: float) -> None:
        """Follow one more account. `membership` says when it is live. Raises `ValueError` if no source supports it."""
        self.coordinator.join(account, sources, now)

    def remove(self, account: Account, now: float) -> None:
        """Follow an account no longer. What is buffered of it can still be taken."""
        self.coordinator.membership.remove(account, now)

    def coverage(self, now: float) -> tuple[SubscriptionCoverage, ...]:
        """What each subscription has received: the active ones, and those that ended within ten minutes."""
        return self._failover.coverage.list_all(self.coordinator.feeds, now)

    def covered_until(self, now: float, taken_until: float | None = None) -> dict[Account, int]:
        """For each account, up to when everything was taken by the consumer, or lies in a gap that was taken.

        `taken_until` is when the first item arrived that was popped from the buffer and is not taken by the consumer.
        """
        at = self.buffer.first_arrival if taken_until is None else taken_until
        covered = self._failover.coverage.covered_until(self.coordinator.feeds, at, now)
        for account, until in covered.items():
            gap_start = self.buffer.earliest_gap(account)
            covered[account] = until if gap_start is None else min(until, gap_start)
        return covered

    def on_timer(self, now: float) -> None:
        """Run the timers that are due."""
        timers = self.context.timers
        while (due := timers.pop_due(now)) is not None:
            action, subject = due
            self.timer_handlers[action](subject, now)

    def fail(self, failure: Failure, now: float) -> None:
        """End the stream with a failure of the driver."""
        self.coordinator.fail(failure, now)

    def close(self, now: float, *, close_listen_keys: bool = False) -> None:
        """End the stream. `close_listen_keys` deletes its listen keys, for every client of the account."""
        if self.state in (State.CLOSED, State.FAILED):
            return
        self.coordinator.stop(State.CLOSED, now)
        if close_listen_keys:
            self.context.actions.extend(self.coordinator.credentials.build_delete_requests(self.coordinator.feeds))

    def _make_timer_handlers(self) -> Mapping[ScheduledAction, Callable[..., object]]:
        coordinator, failover, connections = self.coordinator, self._failover, self.connections
        requests, credentials = self._subscriptions.request_queue, coordinator.credentials
        return {
            ScheduledAction.CONNECT: connections.open,
            ScheduledAction.CHECK_LIVENESS: connections.check_liveness,
            ScheduledAction.SEND_PING: connections.send_ping,
            ScheduledAction.PONG_TIMEOUT: lambda connection, now: failover.on_pong_timeout(
                connections.on_pong_timeout(connection), now
            ),
            ScheduledAction.REPLACE_CONNECTION: lambda connection, now: coordinator.replace_connection(
                connection, "it has reached its maximum age", now
            ),
            ScheduledAction.SUBSCRIBE: failover.ensure_subscribed,
            ScheduledAction.JOIN_TIMEOUT: lambda _, now: coordinator.membership.on_join_timeout(now),
            ScheduledAction.MOVE_ACCOUNT: failover.ensure_subscribed,
            ScheduledAction.END_OVERLAP: failover.end_overlap,
            ScheduledAction.SEND_REQUEST: requests.drain_queue,
            ScheduledAction.REQUEST_TIMEOUT: requests.on_timeout,
            ScheduledAction.SEND_CALL: lambda _, now: credentials.drain_queue(now),
            ScheduledAction.RETRY_CALL: credentials.retry,
            ScheduledAction.RENEW: credentials.request,
            ScheduledAction.CHECK_EXPIRY: coordinator.on_credential_expired,
        }

    def health(self, now: float) -> Health:
        """The health of the stream. Only computed on request."""
        connections = [each for each in self.connections.list_all() if each.phase is ConnectionPhase.OPEN]
        feeds, due, counters = self.coordinator.feeds, self.context.timers.peek(), self.context.counters
        down = {feed.account for feed in feeds if feed.active is None}
        return Health(
            state=self.state,
            accounts={feed.account: feed.account not in down for feed in feeds},
            sources={feed.account: feed.source.name for feed in reversed(feeds)},
            lost_accounts=dict(self.coordinator.membership.lost_accounts),
            connections=len(connections),
            connection_age=max((now - connection.opened_at for connection in connections), default=None),
            frame_age=_seconds_since(now, (connection.last_frame_at for connection in connections)),
            ping_age=_seconds_since(now, (connection.last_ping_at for connection in connections)),
            events={kind.__name__: count for kind, count in self._event_counts.items()},
            gaps=counters.gaps,
            reconnects=counters.reconnects,
            rotations=counters.rotations,
            renewals=counters.renewals,
            failures=counters.failures,
            malformed_frames=counters.malformed_frames,
            rest_calls=counters.rest_calls,
            dropped=self.buffer.dropped,
            buffered=len(self.buffer),
            next_action=None if due is None else due[1][0],
            next_action_in=None if due is None else max(0.0, due[0] - now),
        )


def _seconds_since(now: float, moments: Iterable[float | None]) -> float | None:
    latest = max((moment for moment in moments if moment is not None), default=None)
    return None if latest is None else max(0.0, now - latest)
