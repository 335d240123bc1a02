"""Requests on open connections: queued, sent within the rate limits, and pending until a response or a timeout.

This module alone changes the fields of `ConnectionState` about requests.
"""

from __future__ import annotations

from collections.abc import Iterable

from binance_margin_stream.stream.protocol.actions import SendText
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.records import (
    ConnectionPhase,
    ConnectionState,
    PendingRequest,
    QueuedRequest,
    RequestKind,
    Subscription,
    SubscriptionId,
)
from binance_margin_stream.stream.protocol.timing import RateLimiter
from binance_margin_stream.stream.sources import Source
from binance_margin_stream.stream.state import ScheduledAction, Severity, StatusChangeKind

__all__ = ["RequestQueue"]

_MAX_TIMED_OUT = 100
"""Requests that timed out are remembered, up to this number per connection: their responses may still arrive."""


class RequestQueue:
    """The queued and the pending requests of all connections."""

    def __init__(self, context: Context, listener: LifecycleListener) -> None:
        self._context = context
        self._listener = listener
        self._last_request_id = 0
        self._shared_limiters: dict[str, RateLimiter] = {}
        self._sources_without_ids: set[str] = set()

    def get_rate_limiter(self, source: Source) -> RateLimiter:
        """The rate limiter for a new connection: its own, or one that all connections to such a host share."""
        protocol = source.protocol
        limiter = RateLimiter(protocol.message_rate * self._context.limits.message_rate_factor)
        return self._shared_limiters.setdefault(protocol.name, limiter) if protocol.shares_rate_limit else limiter

    def enqueue(self, connection: ConnectionState, request: QueuedRequest, now: float) -> None:
        """Send a request as soon as possible."""
        connection.queued_requests.append(request)
        self.drain_queue(connection, now)

    def request_list(self, connection: ConnectionState, now: float) -> None:
        """Request a list of the active subscriptions as soon as possible."""
        connection.list_requested = True
        self.drain_queue(connection, now)

    def request_list_later(self, connection: ConnectionState) -> None:
        """Request a list of the active subscriptions when the queue is drained next."""
        connection.list_requested = True

    def drain_queue(self, connection: ConnectionState, now: float) -> None:
        """Send the requests that may be sent now."""
        while connection.phase is ConnectionPhase.OPEN and self._may_send(connection):
            at = max(
                self._context.paused_until, connection.rate_limiter.next_allowed_at(now), self._next_list_at(connection)
            )
            if at > now:
                self._context.timers.set((ScheduledAction.SEND_REQUEST, connection), at)
                return
            self._send_next(connection, now)

    def _may_send(self, connection: ConnectionState) -> bool:
        """A list request is sent alone: an id in the list must not belong to another request in flight."""
        if connection.list_requested or connection.unidentified:
            return not connection.in_flight
        if not connection.queued_requests:
            return False
        is_serial = (
            connection.serial_requests
            or connection.list_in_flight
            or connection.source.name in self._sources_without_ids
        )
        return not (is_serial and connection.in_flight)

    def _next_list_at(self, connection: ConnectionState) -> float:
        return connection.next_list_at if connection.list_requested or connection.unidentified else 0.0

    def _send_next(self, connection: ConnectionState, now: float) -> None:
        if connection.list_requested or connection.unidentified:
            self._send_list(connection, now)
            return
        request = connection.queued_requests.popleft()
        if request.kind is RequestKind.UNSUBSCRIBE and request.subscription_id is not None:
            text = connection.source.protocol.build_unsubscribe_message(
                self._last_request_id + 1, request.subscription_id
            )
            self._send(connection, PendingRequest(RequestKind.UNSUBSCRIBE, now), text)
        elif self._is_wanted(request):
            self._send_subscribe(connection, request, now)

    def _is_wanted(self, request: QueuedRequest) -> bool:
        subscription = request.subscription
        if subscription is None or subscription.feed.credential is None:
            return False
        feed = subscription.feed
        if request.kind is RequestKind.RENEW:
            is_overlapping = feed.seen_counts is not None and feed.successor is None and not feed.is_renewing
            return feed.active is subscription and not is_overlapping
        was_sent = subscription.requested_at is not None and not request.is_retry
        return feed.successor is subscription and subscription.live_at is None and not was_sent

    def _send_subscribe(self, connection: ConnectionState, first: QueuedRequest, now: float) -> None:
        requests = [first]
        while len(requests) < connection.source.protocol.max_batch and connection.queued_requests:
            if connection.queued_requests[0].kind is not first.kind:
                break
            request = connection.queued_requests.popleft()
            requests += [request] if self._is_wanted(request) else []
        subscriptions = [request.subscription for request in requests if request.subscription is not None]
        pending = PendingRequest(first.kind, now, tuple((each, each.feed.credential) for each in subscriptions))
        for subscription in subscriptions:
            self.mark_sent(subscription, first.kind, now)
        connection.subscriptions_made += len(subscriptions)
        secrets = [credential.secret for _, credential in pending.subscriptions if credential is not None]
        text = connection.source.protocol.build_subscribe_message(self._last_request_id + 1, secrets)
        self._send(connection, pending, text)
        if connection.subscriptions_made >= self._context.limits.subscriptions_per_connection:
            self._listener.replace_connection(connection, "its subscription limit is reached", now)

    def mark_sent(self, subscription: Subscription, kind: RequestKind, now: float) -> None:
        """Note that a subscription was requested: its events may arrive from now on."""
        if kind is RequestKind.RENEW:
            self._listener.on_renewing(subscription)
        if kind is not RequestKind.SUBSCRIBE or subscription.requested_at is not None:
            return
        credential = subscription.feed.credential
        subscription.requested_at = now
        subscription.credential = credential
        if not subscription.connection.source.protocol.assigns_ids and credential is not None:
            subscription.assign_id(credential.secret)
        self._listener.on_subscribing(subscription, now)

    def _send_list(self, connection: ConnectionState, now: float) -> None:
        connection.list_requested = False
        connection.list_in_flight = True
        text = connection.source.protocol.build_list_message(self._last_request_id + 1)
        self._send(connection, PendingRequest(RequestKind.LIST, now), text)

    def _send(self, connection: ConnectionState, request: PendingRequest, text: str) -> None:
        connection.rate_limiter.acquire(request.sent_at)
        self._last_request_id += 1
        connection.pending_requests[self._last_request_id] = request
        connection.in_flight += 1
        self._context.emit(SendText(connection.id, text))
        self._set_timeout(connection, request)

    def _set_timeout(self, connection: ConnectionState, request: PendingRequest) -> None:
        deadline = request.sent_at + self._context.settings.request_timeout
        self._context.timers.set_earlier((ScheduledAction.REQUEST_TIMEOUT, connection), deadline)

    def take_only_subscribe(
        self, connection: ConnectionState, subscription_id: SubscriptionId | None
    ) -> PendingRequest | None:
        """Remove the request that a response without an id belongs to, if only one can be meant.

        Requests to the source are sent one at a time from now on. If several can be meant, the exchange is asked for
        the ids.
        """
        self._sources_without_ids.add(connection.source.name)
        pending = {each: request for each, request in connection.pending_requests.items() if request.subscriptions}
        if len(pending) == 1:
            ((request_id, request),) = pending.items()
            ((subscription, _),) = request.subscriptions
            known = connection.subscriptions_by_id
            if subscription_id in known and known[subscription_id] is not subscription:
                return None  # a repeated response to an earlier request
            return None if request.timed_out else self.take_pending(connection, request_id)
        for request in pending.values():
            if not request.timed_out:
                self._give_up(connection, request)
        if pending:
            del connection.pending_requests[next(iter(pending))]  # one of them was answered
        return None

    def forget_unanswered(self, connection: ConnectionState, before: float) -> None:
        """A list was sent after these requests and answered. A late response without an id must not be awaited."""
        connection.unanswered = 0
        if connection.source.name in self._sources_without_ids:
            for request_id, request in list(connection.pending_requests.items()):
                if request.timed_out and request.sent_at < before:
                    del connection.pending_requests[request_id]

    def _give_up(self, connection: ConnectionState, request: PendingRequest) -> None:
        """Find out from a list what became of a request whose response is not known."""
        request.timed_out = True
        connection.in_flight -= 1
        self.add_unidentified(connection, [subscription for subscription, _ in request.subscriptions])

    def take_pending(self, connection: ConnectionState, request_id: int | str | None) -> PendingRequest | None:
        """Remove the request that a response belongs to. Returns None if it belongs to none."""
        request = connection.pending_requests.pop(request_id, None) if isinstance(request_id, int) else None
        if request is not None:
            if request.kind is not RequestKind.LIST:  # a list counts once it is read
                connection.unanswered = 0
            if not request.timed_out:
                connection.in_flight -= 1
                if request.kind is RequestKind.LIST:
                    connection.list_in_flight = False
        return request

    def on_timeout(self, connection: ConnectionState, now: float) -> None:
        """Time out the requests that have waited too long for their response."""
        timeout = self._context.settings.request_timeout
        for request_id, request in list(connection.pending_requests.items()):
            if request.timed_out:
                continue
            if request.sent_at + timeout > now:
                self._set_timeout(connection, request)
                break
            self._on_request_timeout(connection, request_id, request, now)
        self.drain_queue(connection, now)

    def _on_request_timeout(
        self, connection: ConnectionState, request_id: int, request: PendingRequest, now: float
    ) -> None:
        request.timed_out = True
        connection.in_flight -= 1
        timed_out = [each for each, other in connection.pending_requests.items() if other.timed_out]
        for oldest in timed_out[: max(0, len(timed_out) - _MAX_TIMED_OUT)]:
            del connection.pending_requests[oldest]
        self._context.notify(StatusChangeKind.REQUEST_TIMED_OUT, Severity.WARNING, detail=request.kind.value)
        if request.kind is RequestKind.LIST:
            connection.list_in_flight = False
            connection.list_requested = True
        elif connection.source.protocol.assigns_ids:
            self.add_unidentified(connection, [subscription for subscription, _ in request.subscriptions])
        else:
            for subscription, _ in request.subscriptions:
                connection.queued_requests.append(QueuedRequest(request.kind, subscription, is_retry=True))
        self._note_unanswered(connection, now)

    def on_unusable_list(self, connection: ConnectionState, now: float) -> None:
        """A response was no list of subscriptions: request the list again, after a backoff."""
        connection.list_requested = True
        self._note_unanswered(connection, now)

    def _note_unanswered(self, connection: ConnectionState, now: float) -> None:
        """Count a request without a usable response. Too many in a row, and the connection is replaced."""
        connection.unanswered += 1
        connection.next_list_at = now + self._context.settings.backoff_initial * 2**connection.unanswered
        if connection.unanswered == self._context.limits.max_unanswered_requests:
            self._listener.replace_connection(connection, "requests time out", now)

    def add_unidentified(self, connection: ConnectionState, subscriptions: Iterable[Subscription]) -> None:
        """Find out the ids of these subscriptions from a list of the active ones."""
        connection.unidentified.update(dict.fromkeys(subscriptions))

    def remove_unidentified(self, connection: ConnectionState, subscription: Subscription) -> None:
        """The id of a subscription is known."""
        connection.unidentified.pop(subscription, None)

    def take_unidentified(self, connection: ConnectionState) -> list[Subscription]:
        """The subscriptions whose ids were to be found in the list that arrived."""
        subscriptions = list(connection.unidentified)
        connection.unidentified.clear()
        return subscriptions

    def on_id_missing(self, connection: ConnectionState, subscription: Subscription) -> None:
        """A successful response had no id: send requests to this source one at a time, and list the ids."""
        self.send_serially(connection)
        self._sources_without_ids.add(connection.source.name)
        self.add_unidentified(connection, [subscription])

    def send_serially(self, connection: ConnectionState) -> None:
        """Have at most one request in flight on a connection from now on."""
        connection.serial_requests = True

    def awaits_ids(self, connection: ConnectionState) -> bool:
        """Whether a response may still state which subscription an unknown id belongs to."""
        return bool(connection.unidentified) or connection.list_requested or connection.in_flight > 0

    def list_awaiting_ids(self, connection: ConnectionState) -> list[Subscription]:
        """The subscriptions that an unknown id may belong to."""
        pending = [request for request in connection.pending_requests.values() if not request.timed_out]
        return [*connection.unidentified, *(each for request in pending for each, _ in request.subscriptions)]
