"""The life of a stream, as decisions: no I/O, no clock, no threads.

A shell opens connections, makes calls and tells what happened; here it is decided what to do about it. Each input
takes `now`, in seconds of one clock that never goes back, and that should go on while the machine sleeps. `wall`
turns such a moment into epoch milliseconds; it is asked when a gap is reported, so that a correction of the
machine's clock does not move the gap's other end.

After every input the shell does what stands in `actions`, in order, and calls `wake` when `next_wakeup` says so.
Events do not come out as actions: they wait in a bounded buffer, from which `take` hands them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.health import TIMER_DESCRIPTIONS, Health
from binance_margin_stream.stream.protocol.actions import Action, Failure, GapReason, RestRequest, State
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.coordinator import Coordinator
from binance_margin_stream.stream.protocol.deduplication import StreamEvent
from binance_margin_stream.stream.protocol.rate_limit import Jitter
from binance_margin_stream.stream.protocol.records import (
    ConnectionPhase,
    ConnectionState,
    Feed,
    Subscription,
    SubscriptionId,
)
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import Source

__all__ = ["Lifecycle"]

E = TypeVar("E", bound=StreamEvent)


class Lifecycle(Generic[E]):
    """The decisions of one stream. `E` is the type of its events.

    `feeds` says which accounts to follow, and for each the ways in to try in turn; an account may stand there
    twice, as with the risk stream beside its own events. Raises `ValueError` for an account that no way in has.
    """

    def __init__(
        self,
        feeds: Iterable[tuple[Account, tuple[Source, ...]]],
        *,
        settings: StreamSettings,
        jitter: Jitter,
        to_epoch_ms: Callable[[float], int],
    ) -> None:
        self._context = Context(settings, jitter, to_epoch_ms)
        self._buffer: EventBuffer[E] = EventBuffer(settings.buffer_size, to_epoch_ms, settings.latency_allowance)
        self._coordinator: Coordinator[E] = Coordinator(self._context, self._buffer)
        for account, sources in feeds:
            self._coordinator.add_feed(account, sources)
        self._connections = self._coordinator.connections
        self._subscriptions = self._coordinator.subscriptions
        self._event_counts: dict[type, int] = {}
        self._timer_handlers = self._make_timer_handlers()
        self.actions = self._context.actions
        """What is to be done and was not taken yet: always the same list, empty after most events."""
        self.next_item = self._buffer.pop
        """The next event or gap for the consumer, None if there is none."""
        self._get_connection = self._connections.get
        self._put = self._buffer.put

    @property
    def state(self) -> State:
        """Where the stream is in its life."""
        return self._coordinator.state

    def pop_actions(self) -> list[Action]:
        """What is to be done, in this order; each is returned once."""
        actions = self.actions.copy()
        self.actions.clear()
        return actions

    def next_timer_at(self) -> float | None:
        """When `wake` is to be called, None if no time matters."""
        due = self._context.timers.peek()
        return None if due is None else due[0]

    def accounts_by_subscription(self, connection_id: int) -> Mapping[SubscriptionId | None, Account]:
        """Whose events come by which route on a connection: the decoder's view, always up to date."""
        connection = self._get_connection(connection_id)
        return connection.accounts_by_id if connection is not None else {}

    def on_open(self, connection_id: int, now: float) -> None:
        """The WebSocket is open."""
        connection = self._get_connection(connection_id)
        if connection is not None:
            self._connections.on_open(connection, now)

    def on_close(self, connection_id: int, failure: Failure, now: float) -> None:
        """The WebSocket could not be opened, or is gone."""
        connection = self._get_connection(connection_id)
        if connection is not None:
            self._connections.on_lost(connection, failure, GapReason.DISCONNECTED, now)

    def on_ping(self, connection_id: int, now: float) -> None:
        """A ping came. A shell that knows a connection to be well until some moment may say so ahead."""
        connection = self._get_connection(connection_id)
        if connection is not None:
            connection.last_ping_at = connection.last_activity_at = max(now, connection.last_activity_at)

    def on_pong(self, connection_id: int, now: float) -> None:
        """The pong for the last `SendPing` came."""
        connection = self._get_connection(connection_id)
        if connection is not None:
            connection.last_ping_at = connection.last_activity_at = max(now, connection.last_activity_at)
            self._coordinator.on_pong(self._connections.on_pong(connection, now), now)

    def on_event(self, connection_id: int, subscription_id: SubscriptionId | None, event: E, now: float) -> None:
        """An event came, with the route that its frame named."""
        connection = self._get_connection(connection_id)
        if connection is None:
            return
        connection.last_frame_at = now
        if now > connection.last_activity_at:
            connection.last_activity_at = now
        event_class = type(event)
        self._event_counts[event_class] = self._event_counts.get(event_class, 0) + 1
        subscription = connection.subscriptions_by_id.get(subscription_id)  # type: ignore[arg-type]  # None is no key, and finds nothing
        if subscription is None:
            self._on_unrouted_event(connection, subscription_id, event, now)
            return
        subscription.last_event_at = now
        if subscription.steady:
            self._put(now, event)
        else:
            self._coordinator.deduplicator.on_event(subscription, now, event)

    def _on_unrouted_event(
        self, connection: ConnectionState, subscription_id: SubscriptionId | None, event: E, now: float
    ) -> None:
        """An event before the answer that says whose it is, or one that names nobody."""
        subscription = self._single_subscription(connection, subscription_id)
        if subscription is not None:
            subscription.last_event_at = now
            self._coordinator.deduplicator.on_event(subscription, now, event.with_account(subscription.feed.account))
        elif subscription_id is None or not self._subscriptions.buffer_unrouted(
            connection, subscription_id, now, event
        ):
            self._coordinator.on_malformed_frame(connection, None, now)

    def _single_subscription(
        self, connection: ConnectionState, subscription_id: SubscriptionId | None
    ) -> Subscription | None:
        """On a connection with one subscription, an event without a route can only be its own."""
        if subscription_id is not None or len(connection.subscriptions) != 1:
            return None
        return next(iter(connection.subscriptions))

    def on_response(self, connection_id: int, response: ResponseFrame, now: float) -> None:
        """An answer to a request came, or a refusal of none in particular."""
        connection = self._touch(connection_id, now)
        if connection is not None:
            self._subscriptions.on_response(connection, response, now)

    def on_malformed_frame(self, connection_id: int, now: float, subscription_id: SubscriptionId | None = None) -> None:
        """A frame came that cannot be read; `route` is whose it was, where that much is known."""
        connection = self._touch(connection_id, now)
        if connection is not None:
            self._coordinator.on_malformed_frame(connection, subscription_id, now)

    def on_server_shutdown(self, connection_id: int, now: float) -> None:
        """The exchange announces that it will close the connection."""
        connection = self._touch(connection_id, now)
        if connection is not None:
            self._coordinator.replace_connection(connection, "the exchange is shutting it down", now)

    def on_subscription_terminated(
        self, connection_id: int, subscription_id: SubscriptionId | None, now: float
    ) -> None:
        """The exchange ended a subscription; one that was ended on request is not affected."""
        self._on_ended(connection_id, subscription_id, GapReason.SUBSCRIPTION_TERMINATED, now)

    def on_listen_key_expired(self, connection_id: int, subscription_id: SubscriptionId | None, now: float) -> None:
        """The exchange says that a listen key has expired."""
        self._on_ended(connection_id, subscription_id, GapReason.CREDENTIAL_EXPIRED, now)

    def _on_ended(self, connection_id: int, subscription_id: SubscriptionId | None, reason: str, now: float) -> None:
        connection = self._touch(connection_id, now)
        if connection is None:
            return
        subscription = (
            connection.subscriptions_by_id.get(subscription_id)
            if subscription_id is not None
            else self._single_subscription(connection, subscription_id)
        )
        if subscription is not None:
            if subscription_id is None or subscription.id == subscription_id:
                since = max(self._connections.delivered_until(connection, now), subscription.requested_at or 0.0)
                self._coordinator.on_terminated(subscription, since, reason, now)
        elif (
            subscription_id is not None
            and subscription_id not in connection.subscriptions_by_id
            and connection.source.protocol.assigns_ids
        ):
            self._subscriptions.on_early_end(connection, subscription_id, now)
        elif subscription_id not in connection.subscriptions_by_id:
            self._coordinator.verify_subscriptions(connection, now)

    def _touch(self, connection_id: int, now: float) -> ConnectionState | None:
        connection = self._get_connection(connection_id)
        if connection is not None:
            connection.last_frame_at = now
            connection.last_activity_at = max(now, connection.last_activity_at)
        return connection

    def on_credential(self, request_id: int, secret: str, expiration_time: int | None, now: float) -> None:
        """A credential was obtained. `expires` is when it ends, in epoch milliseconds (or microseconds)."""
        self._coordinator.credentials.on_success(request_id, secret, expiration_time, now)

    def on_keepalive_ok(self, request_id: int, now: float) -> None:
        """A listen key was extended."""
        self._coordinator.credentials.on_success(request_id, None, None, now)

    def on_request_failed(self, request_id: int, failure: Failure, now: float) -> None:
        """A call failed."""
        self._coordinator.credentials.on_failure(request_id, failure, now)

    def start(self, now: float) -> None:
        """Bring every account to life."""
        self._coordinator.start(now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        timers = self._context.timers
        while (due := timers.pop_due(now)) is not None:
            kind, subject = due
            self._timer_handlers[kind](subject, now)

    def fail(self, failure: Failure) -> None:
        """End in failure, for a reason of the shell's own."""
        self._coordinator.fail(failure)

    def close(self, now: float, *, close_listen_keys: bool = False) -> None:
        """Stop. Credentials live on, unless `give_up` asks to end them, for every client of the account."""
        if self.state in (State.CLOSED, State.FAILED):
            return
        self._coordinator.stop(State.CLOSED)
        if close_listen_keys:
            self._context.actions.extend(_delete_key_requests(self._coordinator.feeds))

    def _make_timer_handlers(self) -> Mapping[str, Callable[..., object]]:
        coordinator, connections, requests = self._coordinator, self._connections, self._subscriptions.request_queue
        return {
            "after drain": coordinator.ensure_subscribed,
            "answer": requests.on_timeout,
            "drain": lambda feed, now: coordinator.deduplicator.end_overlap(feed),
            "expiry": coordinator.on_credential_expired,
            "open": connections.open,
            "probe": lambda connection, now: coordinator.on_pong_timeout(connections.on_pong_timeout(connection), now),
            "prove": connections.send_ping,
            "renew": coordinator.credentials.request,
            "repeat": coordinator.credentials.retry,
            "rest": lambda _, now: coordinator.credentials.drain_queue(now),
            "retire": lambda connection, now: coordinator.replace_connection(connection, "its time has come", now),
            "send": requests.drain_queue,
            "tend": coordinator.ensure_subscribed,
            "watch": connections.check_liveness,
        }

    def health(self, now: float) -> Health:
        """How the stream is doing. Costs nothing while nobody asks."""
        connections = [
            connection for connection in self._connections.list_all() if connection.phase is ConnectionPhase.OPEN
        ]
        due, counters = self._context.timers.peek(), self._context.counters
        down = {feed.account for feed in self._coordinator.feeds if feed.active is None}
        return Health(
            state=self.state,
            accounts={feed.account: feed.account not in down for feed in self._coordinator.feeds},
            sources={feed.account: feed.source.name for feed in reversed(self._coordinator.feeds)},
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
            dropped=self._buffer.dropped,
            buffered=len(self._buffer),
            next_action=None if due is None else TIMER_DESCRIPTIONS[due[1][0]],
            next_action_in=None if due is None else max(0.0, due[0] - now),
        )


def _seconds_since(now: float, moments: Iterable[float | None]) -> float | None:
    latest = max((moment for moment in moments if moment is not None), default=None)
    return None if latest is None else max(0.0, now - latest)


def _delete_key_requests(feeds: Iterable[Feed]) -> Iterable[RestRequest]:
    """The calls that end the listen keys; their answers do not matter."""
    for feed in feeds:
        if feed.credential is not None and feed.source.build_delete_call is not None:
            yield RestRequest(
                0, feed.account, feed.source, feed.source.build_delete_call(feed.account, feed.credential.secret)
            )
