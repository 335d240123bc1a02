"""Messages to the exchange on open connections: queued, paced, and missed when they stay unanswered."""

from __future__ import annotations

from binance_margin_stream.stream.protocol.actions import SendText, Severity
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.rate_limit import RateLimiter
from binance_margin_stream.stream.protocol.records import (
    ConnectionPhase,
    ConnectionState,
    PendingRequest,
    QueuedRequest,
    RequestKind,
    Subscription,
)
from binance_margin_stream.stream.sources import Source

__all__ = ["RequestQueue"]

_MAX_TIMED_OUT = 100


class RequestQueue:
    """What is to be asked on each connection, and what was asked and has no answer yet."""

    def __init__(self, context: Context, listener: LifecycleListener) -> None:
        self._context = context
        self._listener = listener
        self._last_request_id = 0
        self._shared_limiters: dict[str, RateLimiter] = {}
        self.sources_without_ids: set[str] = set()
        """The sources whose answers do not name subscriptions: there, one thing is asked at a time."""

    def get_rate_limiter(self, source: Source) -> RateLimiter:
        """The pace for a new connection: its own, or one for all connections to such a host."""
        dialect = source.protocol
        if dialect.shares_rate_limit:
            return self._shared_limiters.setdefault(
                dialect.name, RateLimiter(dialect.message_rate * self._context.settings.message_rate_factor)
            )
        return RateLimiter(dialect.message_rate * self._context.settings.message_rate_factor)

    def enqueue(self, connection: ConnectionState, request: QueuedRequest, now: float) -> None:
        """Let a message be sent as soon as it may."""
        connection.queued_requests.append(request)
        self.drain_queue(connection, now)

    def request_list(self, connection: ConnectionState, now: float) -> None:
        """Have the exchange list what is active on a connection."""
        connection.list_requested = True
        self.drain_queue(connection, now)

    def drain_queue(self, connection: ConnectionState, now: float) -> None:
        """Send what may be sent now."""
        while connection.phase is ConnectionPhase.OPEN and self._may_send(connection):
            at = max(
                self._context.paused_until, connection.rate_limiter.next_allowed_at(now), self._next_list_at(connection)
            )
            if at > now:
                self._context.timers.set(("send", connection), at)
                return
            self._send_next(connection, now)

    def _may_send(self, connection: ConnectionState) -> bool:
        """A list is only asked for alone: an id in it must not belong to a request that is under way."""
        if connection.list_requested or connection.unidentified:
            return not connection.in_flight
        if not connection.queued_requests:
            return False
        is_serial = (
            connection.serial_requests
            or connection.list_in_flight
            or connection.source.name in self.sources_without_ids
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
            self._send(
                connection,
                PendingRequest(RequestKind.UNSUBSCRIBE, now),
                connection.source.protocol.build_unsubscribe_message(
                    self._last_request_id + 1, request.subscription_id
                ),
            )
        elif self._is_wanted(request):
            self._send_subscribe(connection, request, now)

    def _is_wanted(self, request: QueuedRequest) -> bool:
        subscription = request.subscription
        if subscription is None or subscription.feed.credential is None:
            return False
        feed = subscription.feed
        if request.kind is RequestKind.RENEW:
            return feed.active is subscription
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
        self._send(
            connection, pending, connection.source.protocol.build_subscribe_message(self._last_request_id + 1, secrets)
        )
        if connection.subscriptions_made >= self._context.settings.subscriptions_per_connection:
            self._listener.replace_connection(connection, "its subscriptions are used up", now)

    def mark_sent(self, subscription: Subscription, kind: RequestKind, now: float) -> None:
        """Note that a subscription was asked for: from now on its events may come."""
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
        self._send(
            connection,
            PendingRequest(RequestKind.LIST, now),
            connection.source.protocol.build_list_message(self._last_request_id + 1),
        )

    def _send(self, connection: ConnectionState, request: PendingRequest, text: str) -> None:
        connection.rate_limiter.acquire(request.sent_at)
        self._last_request_id += 1
        connection.pending_requests[self._last_request_id] = request
        connection.in_flight += 1
        self._context.emit(SendText(connection.id, text))
        self._context.timers.set_earlier(
            ("answer", connection), request.sent_at + self._context.settings.request_timeout
        )

    def on_timeout(self, connection: ConnectionState, now: float) -> None:
        """See which requests have waited too long for their answer."""
        timeout = self._context.settings.request_timeout
        for request_id, request in list(connection.pending_requests.items()):
            if request.timed_out:
                continue
            if request.sent_at + timeout > now:
                self._context.timers.set_earlier(("answer", connection), request.sent_at + timeout)
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
        self._context.notify("request unanswered", Severity.WARNING, detail=request.kind.value)
        if request.kind is RequestKind.LIST:
            connection.list_in_flight = False
            connection.list_requested = True
        elif connection.source.protocol.assigns_ids:
            connection.unidentified.update(dict.fromkeys(each for each, _ in request.subscriptions))
        else:
            for subscription, _ in request.subscriptions:
                connection.queued_requests.append(QueuedRequest(request.kind, subscription, is_retry=True))
        self.note_unanswered(connection, now)

    def note_unanswered(self, connection: ConnectionState, now: float) -> None:
        """Note that something stayed unanswered; too often in a row, and the connection is replaced."""
        connection.unanswered += 1
        connection.next_list_at = now + self._context.settings.backoff_initial * 2**connection.unanswered
        if connection.unanswered == self._context.settings.max_unanswered_requests:
            self._listener.replace_connection(connection, "requests stay unanswered", now)
