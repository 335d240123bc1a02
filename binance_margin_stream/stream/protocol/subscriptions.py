"""Subscribing on open connections: what is asked, what was answered, and whose an event is.

An event must never be given to the wrong account. So a subscription counts only once the exchange has said its
id. Where an answer is lost or lacks the id, the connection becomes careful: it asks one thing at a time, and has
the exchange list the active ids. What then cannot belong to anyone but one account is that account's; what is
still ambiguous is ended and asked for again.
"""

from __future__ import annotations

from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.error_mapping import classify_response
from binance_margin_stream.stream.protocol.records import (
    ConnectionState,
    PendingRequest,
    QueuedRequest,
    RequestKind,
    Subscription,
    SubscriptionId,
)
from binance_margin_stream.stream.protocol.request_queue import RequestQueue

__all__ = ["SubscriptionManager"]

_MAX_TIMED_OUT = 100


class SubscriptionManager:
    """The requests on all connections."""

    def __init__(self, context: Context, listener: LifecycleListener) -> None:
        self._context = context
        self._listener = listener
        self.request_queue = RequestQueue(context, listener)

    def subscribe(self, subscription: Subscription, now: float) -> None:
        """Ask for a subscription, with the credential that its feed has."""
        self.request_queue.enqueue(subscription.connection, QueuedRequest(RequestKind.SUBSCRIBE, subscription), now)

    def renew(self, subscription: Subscription, now: float) -> None:
        """Ask for a subscription again, with the new credential, to extend it."""
        self.request_queue.enqueue(subscription.connection, QueuedRequest(RequestKind.RENEW, subscription), now)

    def unsubscribe(self, connection: ConnectionState, subscription_id: SubscriptionId, now: float) -> None:
        """End a subscription; what still comes of it is ignored."""
        connection.subscriptions_by_id[subscription_id] = None
        connection.accounts_by_id.pop(subscription_id, None)
        connection.unrouted_count -= len(connection.unrouted_events.pop(subscription_id, ()))
        self.request_queue.enqueue(
            connection, QueuedRequest(RequestKind.UNSUBSCRIBE, subscription_id=subscription_id), now
        )

    def remove(self, subscription: Subscription) -> None:
        """A subscription is over: its routes lead nowhere any more."""
        connection = subscription.connection
        connection.subscriptions.pop(subscription, None)

    def on_response(self, connection: ConnectionState, response: ResponseFrame, now: float) -> None:
        """An answer came."""
        request = connection.pending_requests.pop(response.id, None) if isinstance(response.id, int) else None
        if request is None:
            self._on_unsolicited_response(response, now)
            return
        connection.unanswered = 0
        if not request.timed_out:
            connection.in_flight -= 1
        if request.kind is RequestKind.LIST:
            self._on_subscription_list(connection, request, response, now)
        elif response.ok:
            self._on_success(connection, request, response, now)
        else:
            self._on_error(connection, request, response, now)
        if connection.unrouted_events and not self._has_unidentified(connection):
            self._drop_unrouted(connection, now)
        self.request_queue.drain_queue(connection, now)

    def _on_unsolicited_response(self, response: ResponseFrame, now: float) -> None:
        """A refusal of no request in particular, such as for a revoked key."""
        failure = classify_response(response, self._context.to_epoch_ms(now))
        if not response.ok and failure.kind is FailureKind.KEY_REJECTED:
            self._listener.fail(failure)

    def _on_success(
        self, connection: ConnectionState, request: PendingRequest, response: ResponseFrame, now: float
    ) -> None:
        connection.rejections = 0
        for subscription, credential in request.subscriptions:
            if not connection.source.protocol.assigns_ids:
                self._confirm_subscription(subscription, request.sent_at, now)
            elif not self._is_current(subscription):
                self._adopt_late_subscription(connection, subscription, response.subscription_id, request.sent_at, now)
            else:
                subscription.credential = credential
                self._set_id(connection, subscription, response.subscription_id, request.sent_at, now)

    def _set_id(
        self,
        connection: ConnectionState,
        subscription: Subscription,
        subscription_id: SubscriptionId | None,
        at: float,
        now: float,
    ) -> None:
        """Whether the id stays or changes makes no difference; that it is missing does."""
        if subscription_id is None:
            connection.serial_requests = True
            self.request_queue.sources_without_ids.add(connection.source.name)
            connection.unidentified[subscription] = None
        else:
            subscription.assign_id(subscription_id)
            self._confirm_subscription(subscription, at, now)

    def _is_current(self, subscription: Subscription) -> bool:
        return subscription in (subscription.feed.active, subscription.feed.successor)

    def _adopt_late_subscription(
        self,
        connection: ConnectionState,
        abandoned: Subscription,
        subscription_id: SubscriptionId | None,
        at: float,
        now: float,
    ) -> None:
        """A subscription that was given up took effect after all: use it where one is wanted, else end it."""
        successor = abandoned.feed.successor
        if subscription_id is None:
            connection.list_requested = True
        elif connection.subscriptions_by_id.get(subscription_id, abandoned) is None:
            return  # it was ended here meanwhile
        elif successor is not None and successor.connection is connection and successor.live_at is None:
            if successor.requested_at is None:
                connection.unrouted_count -= len(connection.unrouted_events.pop(subscription_id, ()))
                self.request_queue.mark_sent(successor, RequestKind.SUBSCRIBE, now)
            successor.assign_id(subscription_id)
            self._confirm_subscription(successor, at, now)
        elif subscription_id not in connection.subscriptions_by_id:
            self.unsubscribe(connection, subscription_id, now)

    def _confirm_subscription(self, subscription: Subscription, at: float, now: float) -> None:
        """The exchange confirmed a subscription, as of a moment: replay what came of it before."""
        connection = subscription.connection
        connection.unidentified.pop(subscription, None)
        if not self._is_current(subscription):
            return
        subscription.unrouted_event_since = None
        subscription.mark_confirmed(at)
        if subscription.live_at is None:
            self._listener.on_subscribed(subscription, now)
        elif subscription.possibly_ended_since is not None:
            self._listener.on_subscription_missing(
                subscription, now
            )  # it may have ended while it was renewed, and begun anew
            return
        else:
            self._report_renewal(subscription, now)
        if subscription.id is not None:
            unrouted = connection.unrouted_events.pop(subscription.id, ())
            connection.unrouted_count -= len(unrouted)
            for at, event in unrouted:
                self._listener.replay_event(subscription, at, event)
            if subscription.id in connection.terminated_ids:
                self._listener.on_subscription_missing(subscription, now)

    def _report_renewal(self, subscription: Subscription, now: float) -> None:
        if subscription.credential is subscription.feed.credential:
            self._listener.on_renewed(subscription, now)
        else:
            self._listener.on_renewal_failed(subscription, Failure(FailureKind.TRANSPORT_ERROR, "no answer"), now)

    def _on_error(
        self, connection: ConnectionState, request: PendingRequest, response: ResponseFrame, now: float
    ) -> None:
        failure = classify_response(response, self._context.to_epoch_ms(now))
        self._context.counters.failures += 1
        if request.kind is RequestKind.UNSUBSCRIBE:
            return
        if failure.kind is FailureKind.ALREADY_SUBSCRIBED and request.kind is RequestKind.SUBSCRIBE:
            connection.unidentified.update(
                dict.fromkeys(each for each, _ in request.subscriptions if self._is_current(each))
            )
            return
        connection.rejections += 1
        report = (
            self._listener.on_subscribe_failed
            if request.kind is RequestKind.SUBSCRIBE
            else self._listener.on_renewal_failed
        )
        for subscription, _ in request.subscriptions:
            if self._is_current(subscription):
                report(subscription, failure, now)

    def _on_subscription_list(
        self, connection: ConnectionState, request: PendingRequest, response: ResponseFrame, now: float
    ) -> None:
        if request.timed_out:
            return
        connection.list_in_flight = False
        ids = _parse_subscription_ids(response)
        if ids is None:
            connection.list_requested = True
            self.request_queue.note_unanswered(connection, now)
            return
        lost = self._confirm_listed(connection, ids, request.sent_at)
        self._assign_unknown_ids(
            connection, [each for each in ids if each not in connection.subscriptions_by_id], ids, request.sent_at, now
        )
        for subscription in lost:
            if self._is_current(subscription) and subscription.id not in ids:
                self._listener.on_subscription_missing(subscription, now)
        for subscription in connection.subscriptions:  # all ids are told apart now
            subscription.unrouted_event_since = None

    def _confirm_listed(self, connection: ConnectionState, ids: set[int], at: float) -> list[Subscription]:
        """Notes which subscriptions are still active, and returns those that are not."""
        lost: list[Subscription] = []
        for subscription in connection.subscriptions:
            if subscription.live_at is None or subscription.live_at > at:
                continue
            if subscription.id in ids:
                subscription.mark_confirmed(at)
            else:
                lost.append(subscription)
        return lost

    def _assign_unknown_ids(
        self, connection: ConnectionState, unknown_ids: list[int], ids: set[int], at: float, now: float
    ) -> None:
        """Gives an id to the one subscription that it can belong to; what is ambiguous is ended."""
        unidentified = list(connection.unidentified)
        connection.unidentified.clear()
        without_id = [each for each in unidentified if each.live_at is None or each.id not in ids]
        if len(without_id) == 1 and len(unknown_ids) == 1:
            self._assign_id(connection, without_id[0], unknown_ids[0], at, now)
            unidentified.remove(without_id[0])
        elif (
            len(connection.subscriptions_by_id) + len(unknown_ids) > self._context.settings.subscriptions_per_connection
        ):
            self._listener.replace_connection(connection, "it lists more subscriptions than it can have", now)
        else:
            for subscription_id in unknown_ids:
                self.unsubscribe(connection, subscription_id, now)
        for subscription in unidentified:
            self._resolve_ambiguous(connection, subscription, ids, at, now)

    def _assign_id(
        self,
        connection: ConnectionState,
        subscription: Subscription,
        subscription_id: SubscriptionId,
        at: float,
        now: float,
    ) -> None:
        if self._is_current(subscription):
            subscription.assign_id(subscription_id)
            self._confirm_subscription(subscription, at, now)
        else:
            self._adopt_late_subscription(connection, subscription, subscription_id, at, now)

    def _resolve_ambiguous(
        self, connection: ConnectionState, subscription: Subscription, ids: set[int], at: float, now: float
    ) -> None:
        if not self._is_current(subscription):
            return
        if subscription.live_at is not None:
            self._report_renewal(subscription, now)
            return
        own_ids = [
            subscription_id for subscription_id in ids if _find_feed(connection, subscription_id) is subscription.feed
        ]
        if len(own_ids) == 1:
            subscription.assign_id(own_ids[0])
            self._confirm_subscription(subscription, at, now)
        else:
            connection.serial_requests = True
            failure = Failure(FailureKind.TRANSPORT_ERROR, "the subscription's id is not known")
            self._listener.on_subscribe_failed(subscription, failure, now)

    def buffer_unrouted(
        self, connection: ConnectionState, subscription_id: SubscriptionId, at: float, event: object
    ) -> bool:
        """Keep an event until it is known whose it is; False if that can never be known, or there is no room."""
        if subscription_id in connection.subscriptions_by_id:
            return True
        if (
            not self._has_unidentified(connection)
            or connection.unrouted_count >= self._context.settings.max_unrouted_events
        ):
            return False
        if subscription_id not in connection.unrouted_events:
            self._mark_pending_uncertain(connection, at - self._context.settings.latency_allowance)
        connection.unrouted_events.setdefault(subscription_id, []).append((at, event))
        connection.unrouted_count += 1
        return True

    def on_early_end(self, connection: ConnectionState, subscription_id: SubscriptionId, now: float) -> None:
        """The end of a subscription came before the answer that says whose it is."""
        if len(connection.terminated_ids) < self._context.settings.max_unrouted_events:
            connection.terminated_ids.add(subscription_id)
        self.request_queue.request_list(connection, now)

    def _mark_pending_uncertain(self, connection: ConnectionState, since: float) -> None:
        """An early event may be of any subscription whose answer is awaited, also of one that is renewed."""
        pending = list(connection.unidentified)
        for request in connection.pending_requests.values():
            if request.timed_out:
                continue  # looked for since: a suspect, or found
            pending += [subscription for subscription, _ in request.subscriptions]
        for subscription in pending:
            earlier = subscription.unrouted_event_since
            subscription.unrouted_event_since = since if earlier is None else min(earlier, since)

    def _has_unidentified(self, connection: ConnectionState) -> bool:
        return bool(connection.unidentified) or connection.list_requested or connection.in_flight > 0

    def _drop_unrouted(self, connection: ConnectionState, now: float) -> None:
        """Events whose subscription nobody knows: unless it was ended here, they are lost."""
        lost = [
            subscription_id
            for subscription_id in connection.unrouted_events
            if subscription_id not in connection.subscriptions_by_id
        ]
        connection.unrouted_events.clear()
        connection.unrouted_count = 0
        if lost:
            self._listener.on_unattributed_events(connection, now)


def _find_feed(connection: ConnectionState, subscription_id: SubscriptionId) -> object:
    subscription = connection.subscriptions_by_id.get(subscription_id)
    return subscription.feed if subscription is not None else None


def _parse_subscription_ids(response: ResponseFrame) -> set[int] | None:
    """The ids in a list of subscriptions: bare, or each in an object. None if it is no list."""
    if not response.ok or not isinstance(response.result, list):
        return None
    listed = (each.get("subscriptionId") if isinstance(each, dict) else each for each in response.result)
    return {each for each in listed if isinstance(each, int)}
