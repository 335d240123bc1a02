"""Interprets the responses on open connections, and finds out which subscription an event belongs to.

An event must never be delivered for the wrong account. So a subscription counts only once the exchange has stated
its id. If a response is lost or has no id, `RequestQueue` sends one request at a time and has the exchange list the
active ids. An id that can only belong to one subscription is assigned to it. What stays ambiguous is unsubscribed
and requested again.
"""

from __future__ import annotations

from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import Failure, FailureKind, classify_response
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
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


class SubscriptionManager:
    """The subscriptions on all connections, and their ids."""

    def __init__(self, context: Context, listener: LifecycleListener) -> None:
        self._context = context
        self._listener = listener
        self.request_queue = RequestQueue(context, listener)

    def subscribe(self, subscription: Subscription, now: float) -> None:
        """Request a subscription with the credential of its feed."""
        self.request_queue.enqueue(subscription.connection, QueuedRequest(RequestKind.SUBSCRIBE, subscription), now)

    def renew(self, subscription: Subscription, now: float) -> None:
        """Request a subscription again with the new credential, which renews it."""
        queued = subscription.connection.queued_requests
        if any(each.subscription is subscription and each.kind is RequestKind.RENEW for each in queued):
            return  # it will be sent with the newest credential
        self.request_queue.enqueue(subscription.connection, QueuedRequest(RequestKind.RENEW, subscription), now)

    def unsubscribe(self, connection: ConnectionState, subscription_id: SubscriptionId, now: float) -> None:
        """End a subscription. Events of it that still arrive are ignored."""
        connection.subscriptions_by_id[subscription_id] = None
        connection.accounts_by_id.pop(subscription_id, None)
        self._discard_unrouted(connection, subscription_id)
        request = QueuedRequest(RequestKind.UNSUBSCRIBE, subscription_id=subscription_id)
        self.request_queue.enqueue(connection, request, now)

    def _discard_unrouted(self, connection: ConnectionState, subscription_id: SubscriptionId) -> None:
        connection.unrouted_count -= len(connection.unrouted_events.pop(subscription_id, ()))

    def remove(self, subscription: Subscription) -> None:
        """Remove a subscription from its connection."""
        subscription.connection.subscriptions.pop(subscription, None)

    def on_response(self, connection: ConnectionState, response: ResponseFrame, now: float) -> None:
        """A response arrived."""
        if response.id is None and response.ok and connection.source.protocol.assigns_ids:
            request = self.request_queue.take_only_subscribe(connection, response.subscription_id)
        else:
            request = self.request_queue.take_pending(connection, response.id)
        if request is None:
            self._on_unsolicited_response(response, now)
            self.request_queue.drain_queue(connection, now)
            return
        if request.kind is RequestKind.LIST:
            self._on_subscription_list(connection, request, response, now)
        elif response.ok:
            self._on_success(connection, request, response, now)
        else:
            self._on_error(connection, request, response, now)
        if connection.unrouted_events and not self.request_queue.awaits_ids(connection):
            self._drop_unrouted(connection, now)
        self.request_queue.drain_queue(connection, now)

    def _on_unsolicited_response(self, response: ResponseFrame, now: float) -> None:
        """An error that belongs to no request, such as for a revoked key."""
        failure = classify_response(response, self._context.to_epoch_ms(now))
        if not response.ok and failure.kind is FailureKind.KEY_REJECTED:
            self._listener.fail(failure, now)

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
                if response.subscription_id is None:
                    self.request_queue.on_id_missing(connection, subscription)
                else:
                    self._assign_id(connection, subscription, response.subscription_id, request.sent_at, now)

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
        """An abandoned subscription is active after all: use it for a successor, else end it."""
        successor = abandoned.feed.successor
        if subscription_id is None:
            self.request_queue.request_list_later(connection)
        elif connection.subscriptions_by_id.get(subscription_id, abandoned) is None:
            return  # it was unsubscribed here meanwhile
        elif successor is not None and successor.connection is connection and successor.live_at is None:
            if successor.requested_at is None:
                self._discard_unrouted(connection, subscription_id)
                self.request_queue.mark_sent(successor, RequestKind.SUBSCRIBE, now)
            successor.assign_id(subscription_id)
            self._confirm_subscription(successor, at, now)
        elif subscription_id not in connection.subscriptions_by_id:
            self.unsubscribe(connection, subscription_id, now)

    def _confirm_subscription(self, subscription: Subscription, at: float, now: float) -> None:
        """The exchange confirmed a subscription as of `at`: deliver the events of it that arrived before."""
        connection = subscription.connection
        self.request_queue.remove_unidentified(connection, subscription)
        if not self._is_current(subscription):
            return
        subscription.unrouted_event_since = None
        subscription.mark_confirmed(at)
        if subscription.live_at is None:
            self._listener.on_subscribed(subscription, now)
        elif subscription.possibly_ended_since is not None:
            # It may have ended while it was being renewed, and started again: events in between are lost.
            self._listener.on_subscription_missing(subscription, now)
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
            self._listener.on_renewal_failed(subscription, Failure(FailureKind.TRANSPORT_ERROR, "no response"), now)

    def _on_error(
        self, connection: ConnectionState, request: PendingRequest, response: ResponseFrame, now: float
    ) -> None:
        failure = classify_response(response, self._context.to_epoch_ms(now))
        self._context.counters.failures += 1
        if request.kind is RequestKind.UNSUBSCRIBE:
            return
        subscriptions = [each for each, _ in request.subscriptions]
        if failure.kind is FailureKind.ALREADY_SUBSCRIBED and request.kind is RequestKind.SUBSCRIBE:
            self.request_queue.add_unidentified(connection, filter(self._is_current, subscriptions))
            return
        connection.rejections += 1
        is_new = request.kind is RequestKind.SUBSCRIBE
        report = self._listener.on_subscribe_failed if is_new else self._listener.on_renewal_failed
        for subscription in subscriptions:
            if self._is_current(subscription):
                report(subscription, failure, now)

    def _on_subscription_list(
        self, connection: ConnectionState, request: PendingRequest, response: ResponseFrame, now: float
    ) -> None:
        if request.timed_out:
            return
        ids = _parse_subscription_ids(response)
        if ids is None:
            self.request_queue.on_unusable_list(connection, now)
            return
        self.request_queue.forget_unanswered(connection, request.sent_at)
        lost = self._confirm_listed(connection, ids, request.sent_at)
        self._assign_unknown_ids(connection, ids, request.sent_at, now)
        for subscription in lost:
            if self._is_current(subscription) and subscription.id not in ids:
                self._listener.on_subscription_missing(subscription, now)
        for subscription in connection.subscriptions:
            subscription.unrouted_event_since = None  # every id is attributed now

    def _confirm_listed(self, connection: ConnectionState, ids: set[int], at: float) -> list[Subscription]:
        """Mark the listed subscriptions as confirmed, and return those that are not listed."""
        lost: list[Subscription] = []
        for subscription in connection.subscriptions:
            if subscription.live_at is None or subscription.live_at > at:
                continue
            if subscription.id in ids:
                subscription.mark_confirmed(at)
            else:
                lost.append(subscription)
        return lost

    def _assign_unknown_ids(self, connection: ConnectionState, ids: set[int], at: float, now: float) -> None:
        """Assign an id to the one subscription that it can belong to. Unsubscribe ids that are ambiguous."""
        unknown_ids = [each for each in ids if each not in connection.subscriptions_by_id]
        unidentified = self.request_queue.take_unidentified(connection)
        without_id = [each for each in unidentified if each.live_at is None or each.id not in ids]
        if not without_id and len(unidentified) == 1:
            without_id = unidentified.copy()  # its old id goes on, beside the one of its renewal
        total = len(connection.subscriptions_by_id) + len(unknown_ids)
        if len(without_id) == 1 and len(unknown_ids) == 1:
            self._assign_id(connection, without_id[0], unknown_ids[0], at, now)
            unidentified.remove(without_id[0])
        elif total > self._context.limits.subscriptions_per_connection:
            self._listener.replace_connection(connection, "it lists more subscriptions than were made", now)
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
        known = connection.subscriptions_by_id
        if self._is_current(subscription):
            if subscription.live_at is not None and subscription.id is not None and subscription_id not in known:
                self._move_to_second_id(subscription, subscription_id, at, now)
                return
            subscription.assign_id(subscription_id)
            self._confirm_subscription(subscription, at, now)
        else:
            self._adopt_late_subscription(connection, subscription, subscription_id, at, now)

    def _move_to_second_id(
        self, subscription: Subscription, subscription_id: SubscriptionId, at: float, now: float
    ) -> None:
        """A renewal brought another id. Whether the old one still delivers is not documented: either is right."""
        self.request_queue.remove_unidentified(subscription.connection, subscription)
        renewed = self._listener.on_second_id(subscription, at, now)
        renewed.assign_id(subscription_id)
        self._confirm_subscription(renewed, at, now)

    def _resolve_ambiguous(
        self, connection: ConnectionState, subscription: Subscription, ids: set[int], at: float, now: float
    ) -> None:
        if not self._is_current(subscription):
            return
        if subscription.live_at is not None:
            self._report_renewal(subscription, now)
            return
        own_ids = [each for each in ids if _find_feed(connection, each) is subscription.feed]
        if len(own_ids) == 1:
            subscription.assign_id(own_ids[0])
            self._confirm_subscription(subscription, at, now)
        else:
            self.request_queue.send_serially(connection)
            failure = Failure(FailureKind.TRANSPORT_ERROR, "the id of the subscription is unknown")
            self._listener.on_subscribe_failed(subscription, failure, now)

    def buffer_unrouted(
        self, connection: ConnectionState, subscription_id: SubscriptionId, at: float, event: object
    ) -> bool:
        """Keep an event with an unknown id. Returns False if it cannot be attributed later, or there is no room."""
        if subscription_id in connection.subscriptions_by_id:
            return True
        has_room = connection.unrouted_count < self._context.limits.max_unrouted_events
        if not has_room or not self.request_queue.awaits_ids(connection):
            return False
        if subscription_id not in connection.unrouted_events:
            self._mark_pending_uncertain(connection, at - self._context.settings.latency_allowance)
        connection.unrouted_events.setdefault(subscription_id, []).append((at, event))
        connection.unrouted_count += 1
        return True

    def on_early_end(self, connection: ConnectionState, subscription_id: SubscriptionId, now: float) -> None:
        """The end of a subscription arrived before the response that states which subscription it is."""
        if len(connection.terminated_ids) < self._context.limits.max_unrouted_events:
            connection.terminated_ids.add(subscription_id)
        self.request_queue.request_list(connection, now)

    def _mark_pending_uncertain(self, connection: ConnectionState, since: float) -> None:
        """An unrouted event may belong to any subscription that awaits a response, also to one being renewed."""
        for subscription in self.request_queue.list_awaiting_ids(connection):
            earlier = subscription.unrouted_event_since
            subscription.unrouted_event_since = since if earlier is None else min(earlier, since)

    def _drop_unrouted(self, connection: ConnectionState, now: float) -> None:
        """Drop events that cannot be attributed. They are lost unless their subscription was ended here."""
        lost = [each for each in connection.unrouted_events if each not in connection.subscriptions_by_id]
        connection.unrouted_events.clear()
        connection.unrouted_count = 0
        if lost:
            self._listener.on_unattributed_events(connection, now)


def _find_feed(connection: ConnectionState, subscription_id: SubscriptionId) -> object:
    subscription = connection.subscriptions_by_id.get(subscription_id)
    return subscription.feed if subscription is not None else None


def _parse_subscription_ids(response: ResponseFrame) -> set[int] | None:
    """The ids in a list of subscriptions, bare or each in an object. None if the response is no list."""
    if not response.ok or not isinstance(response.result, list):
        return None
    listed = (each.get("subscriptionId") if isinstance(each, dict) else each for each in response.result)
    return {each for each in listed if isinstance(each, int)}
