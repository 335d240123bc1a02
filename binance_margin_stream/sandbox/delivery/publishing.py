"""Delivery of events to subscribed connections, and the expiry of their credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import get_args

from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.delivery.time_units import convert_event
from binance_margin_stream.sandbox.faults.types import DuplicateEvent, EventFault, ReorderEvents, TruncateEvent
from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.sandbox.model.connections import AccountSubscription, ServerConnection, TimeUnit
from binance_margin_stream.sandbox.model.listen_keys import ListenKey, ListenToken
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = [
    "EventPayload",
    "expire_key",
    "expire_subscription",
    "publish",
    "schedule_key_expiry",
    "schedule_token_expiry",
    "serves_key",
]

EventPayload = Mapping[str, object]

_RISK_EVENTS = frozenset(
    {
        "MARGIN_LEVEL_STATUS_CHANGE",
        "marginLevelStatusChange",
        "USER_LIABILITY_CHANGE",
        "userLiabilityChange",
    }
)
_CONTROL_EVENTS = frozenset({"listenKeyExpired", "eventStreamTerminated", "serverShutdown"})
_EVENT_FAULTS: tuple[type[EventFault], ...] = (DuplicateEvent, TruncateEvent, ReorderEvents)
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_MAX_HOLD_MS = 1000
_KEY_KINDS: tuple[ListenKeyKind, ...] = get_args(ListenKeyKind)


def publish(state: ExchangeState, uid: int, account: str, event: EventPayload) -> int:
    """Send an event to all subscribers of an account; returns the number of frames.

    Nothing is sent for an account that is disabled or whose symbol is delisted.
    """
    if state.availability.find_refusal(uid, account) is not None:
        state.metrics.record_event(state.scheduler.now, uid, account, 0, event)
        return 0
    encoded = _EncodedEvent(event)
    has_subscribers = _has_subscribers(state, uid, account)
    fault = state.pending_faults.take_matching(_EVENT_FAULTS, "", account) if has_subscribers else None
    copies = 2 if isinstance(fault, DuplicateEvent) else 1
    name = event.get("e")
    sent = 0
    for _ in range(copies):
        if name not in _RISK_EVENTS:
            sent += _send_to_subscriptions(state, uid, account, encoded, fault)
        for kind in _KEY_KINDS:
            key = state.listen_keys.find_for_account(kind, uid, account)
            if key is not None and _key_carries_event(kind, name):
                sent += _send_to_key_subscribers(state, key, encoded, fault)
    state.metrics.record_event(state.scheduler.now, uid, account, sent, event)
    return sent


def send_event(
    state: ExchangeState, connection: ServerConnection, label: int | str, text: str, fault: EventFault | None = None
) -> bool:
    """Send an event frame and count it, then send the responses that a fault has delayed until now."""
    if isinstance(fault, TruncateEvent):
        text = text[: len(text) // 2]
    if isinstance(fault, ReorderEvents) and not state.connections.is_silent(connection.id):
        state.connections.flush_held_event(connection)
        connection.held_event, connection.held_event_label = Text(text), label
        state.scheduler.call_at(
            state.scheduler.now + _MAX_HOLD_MS, lambda _, __: state.connections.flush_held_event(connection)
        )
        sent = True
    else:
        sent = _send_before_held_event(state, connection, label, Text(text))
    if sent:
        state.metrics.event_counts[connection.id, label] += 1
    held, connection.held_responses = connection.held_responses, []
    for response in held:
        state.connections.send(connection, response)
    return sent


def _send_before_held_event(state: ExchangeState, connection: ServerConnection, label: int | str, frame: Text) -> bool:
    """Send an event before a delayed one of another account."""
    held = connection.held_event
    if held is None or connection.held_event_label == label:
        return state.connections.send(connection, frame)
    connection.held_event = None
    sent = state.connections.send(connection, frame)
    state.connections.send(connection, held)
    return sent


def serves_key(state: ExchangeState, connection: ServerConnection, key: ListenKey) -> bool:
    """Whether the host of a connection serves this kind of listen key."""
    if connection.host == "any_stream":
        return True
    host_by_kind = {
        "listen_key": "stream",
        "risk_listen_key": "margin_stream",
        "listen_key_v2": state.rules.listen_key_v2_host,
    }
    return host_by_kind[key.kind] in ("either", connection.host)


def schedule_key_expiry(state: ExchangeState, key: ListenKey) -> None:
    """Schedule the expiry of a new key; an extension reschedules it at the old expiry."""

    def expire_if_due(due: int, _: int) -> None:
        if state.listen_keys.find(key.value) is not key:
            return
        if key.expires_at > due:
            state.scheduler.call_at(key.expires_at, expire_if_due)
        else:
            expire_key(state, key, due)

    state.scheduler.call_at(key.expires_at, expire_if_due)


def expire_key(state: ExchangeState, key: ListenKey, at: int) -> None:
    """Expire a key and notify its subscribers; no event follows on it."""
    time: int | str = str(at) if state.rules.listen_key_expired_time_type == "string" else at
    event = {"e": "listenKeyExpired", "E": time, "listenKey": key.value}
    state.metrics.record_event(
        at, key.uid, key.account, _send_to_key_subscribers(state, key, _EncodedEvent(event)), event
    )
    state.listen_keys.remove(key)


def schedule_token_expiry(state: ExchangeState, token: ListenToken) -> None:
    """Schedule the expiry of a token."""
    state.scheduler.call_at(token.expires_at, lambda _, __: state.listen_tokens.remove(token))


def expire_subscription(
    state: ExchangeState, connection: ServerConnection, subscription: AccountSubscription, at: int
) -> None:
    """End a subscription and notify the client, as after expiry and after its own unsubscribe."""
    state.connections.unsubscribe(connection, subscription)
    event: EventPayload = {"e": "eventStreamTerminated", "E": at}
    text = _wrap_event(subscription.id, _EncodedEvent(event).get_text(connection))
    sent = send_event(state, connection, subscription.id, text)
    state.metrics.record_event(at, subscription.uid, subscription.account, int(sent), event)


def _has_subscribers(state: ExchangeState, uid: int, account: str) -> bool:
    """Whether an account has subscribers; an event without any must not consume a fault."""
    keys = (state.listen_keys.find_for_account(kind, uid, account) for kind in _KEY_KINDS)
    has_key = any(key is not None and key.value in state.connections.subscribers_by_stream for key in keys)
    return has_key or (uid, account) in state.connections.subscribers_by_account


def _key_carries_event(kind: ListenKeyKind, name: object) -> bool:
    if kind == "listen_key_v2" or name in _CONTROL_EVENTS:
        return True
    return (name in _RISK_EVENTS) == (kind == "risk_listen_key")


def _send_to_subscriptions(
    state: ExchangeState, uid: int, account: str, encoded: _EncodedEvent, fault: EventFault | None
) -> int:
    subscribers = state.connections.subscribers_by_account.get((uid, account), {})
    return sum(
        send_event(state, connection, number, _wrap_event(number, encoded.get_text(connection)), fault)
        for connection, number in list(subscribers)
    )


def _send_to_key_subscribers(
    state: ExchangeState, key: ListenKey, encoded: _EncodedEvent, fault: EventFault | None = None
) -> int:
    label = key.kind if key.account == CROSS else f"{key.kind} {key.account}"
    return sum(
        send_event(state, connection, label, _wrap_for_stream(key, connection, encoded.get_text(connection)), fault)
        for connection in list(state.connections.subscribers_by_stream.get(key.value, {}))
        if serves_key(state, connection, key)
    )


def _wrap_for_stream(key: ListenKey, connection: ServerConnection, text: str) -> str:
    return f'{{"stream":{json.dumps(key.value)},"data":{text}}}' if connection.combined else text


def _wrap_event(number: int, text: str) -> str:
    return f'{{"subscriptionId":{number},"event":{text}}}'


class _EncodedEvent:
    """An event as JSON, encoded once for each unit of time."""

    def __init__(self, event: EventPayload) -> None:
        self._event = event
        self._texts: dict[TimeUnit, str] = {}

    def get_text(self, connection: ServerConnection) -> str:
        """The event in the unit of time of a connection."""
        unit = connection.time_unit
        if unit not in self._texts:
            self._texts[unit] = _ENCODER.encode(convert_event(self._event) if unit == "us" else self._event)
        return self._texts[unit]
