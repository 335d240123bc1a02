"""Events on their way to everybody who listens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import get_args

from binance_margin_stream.sandbox.faults.types import EventFault, ReorderEvents, RepeatEvent, TruncateEvent
from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.sandbox.model.connections import Connection, Subscription
from binance_margin_stream.sandbox.model.listen_keys import KeyKind, ListenKey, ListenToken
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["Event", "expire_key", "expire_subscription", "hears", "publish", "watch_key", "watch_token"]

Event = Mapping[str, object]

_RISK = frozenset(
    {
        "MARGIN_LEVEL_STATUS_CHANGE",
        "marginLevelStatusChange",
        "USER_LIABILITY_CHANGE",
        "userLiabilityChange",
    }
)
_CONTROL = frozenset({"listenKeyExpired", "eventStreamTerminated", "serverShutdown"})
_EVENT_FAULTS: tuple[type[EventFault], ...] = (RepeatEvent, TruncateEvent, ReorderEvents)
_HELD_MS = 1000
_KINDS: tuple[KeyKind, ...] = get_args(KeyKind)


def publish(state: State, uid: int, account: str, event: Event) -> int:
    """Send an event to all who are subscribed to an account; returns how many frames went out."""
    text = _json(event)
    fault = state.faults.take(_EVENT_FAULTS, "") if _is_heard(state, uid, account) else None
    copies = 2 if isinstance(fault, RepeatEvent) else 1
    name = event.get("e")
    sent = 0
    for _ in range(copies):
        if name not in _RISK:
            sent += _to_subscriptions(state, uid, account, text, fault)
        for kind in _KINDS:
            key = state.keys.of_account(kind, uid, account)
            if key is not None and _carries(kind, name):
                sent += _to_listeners(state, key, text, fault)
    state.tally.happened(state.timers.now, uid, account, sent, event)
    return sent


def send_event(
    state: State, connection: Connection, label: int | str, text: str, fault: EventFault | None = None
) -> bool:
    """Send an event frame, count it, and let go of an answer that a fault has held back until now."""
    if isinstance(fault, TruncateEvent):
        text = text[: len(text) // 2]
    if isinstance(fault, ReorderEvents) and not state.connections.is_silent(connection.id):
        state.connections.let_go(connection)
        connection.held_event, connection.held_label = Text(text), label
        state.timers.at(state.timers.now + _HELD_MS, lambda _, __: state.connections.let_go(connection))
        sent = True
    else:
        sent = _send_past(state, connection, label, Text(text))
    if sent:
        state.tally.events[connection.id, label] += 1
    held, connection.held_answers = connection.held_answers, []
    for answer in held:
        state.connections.send(connection, answer)
    return sent


def _send_past(state: State, connection: Connection, label: int | str, frame: Text) -> bool:
    """Send an event before one of another account that is held back."""
    held = connection.held_event
    if held is None or connection.held_label == label:
        return state.connections.send(connection, frame)
    connection.held_event = None
    sent = state.connections.send(connection, frame)
    state.connections.send(connection, held)
    return sent


def hears(state: State, connection: Connection, key: ListenKey) -> bool:
    """Whether the host of a connection serves this kind of listen key."""
    if connection.host == "any_stream":
        return True
    homes = {
        "listen_key": "stream",
        "risk_listen_key": "margin_stream",
        "listen_key_v2": state.rules.listen_key_v2_host,
    }
    return homes[key.kind] in ("either", connection.host)


def watch_key(state: State, key: ListenKey) -> None:
    """Let a new key expire when its time is up; extensions are noticed when the old time comes."""

    def check(due: int, _: int) -> None:
        if state.keys.find(key.text) is not key:
            return
        if key.expires_at > due:
            state.timers.at(key.expires_at, check)
        else:
            expire_key(state, key, due)

    state.timers.at(key.expires_at, check)


def expire_key(state: State, key: ListenKey, at: int) -> None:
    """End a key and say so to those who listen; nothing follows on it."""
    time: int | str = str(at) if state.rules.listen_key_expired_time == "string" else at
    event = {"e": "listenKeyExpired", "E": time, "listenKey": key.text}
    state.tally.happened(at, key.uid, key.account, _to_listeners(state, key, _json(event)), event)
    state.keys.end(key)


def watch_token(state: State, token: ListenToken) -> None:
    """Forget a token when its time is up."""
    state.timers.at(token.expires_at, lambda _, __: state.tokens.end(token))


def expire_subscription(state: State, connection: Connection, subscription: Subscription, at: int) -> None:
    """End a subscription and say so, as after expiry and after the client's own unsubscribe."""
    state.connections.unsubscribe(connection, subscription)
    event: Event = {"e": "eventStreamTerminated", "E": at}
    sent = send_event(state, connection, subscription.id, _enveloped(subscription.id, _json(event)))
    state.tally.happened(at, subscription.uid, subscription.account, int(sent), event)


def _is_heard(state: State, uid: int, account: str) -> bool:
    """Whether anybody listens to an account: an event that goes nowhere uses up no fault."""
    keys = (state.keys.of_account(kind, uid, account) for kind in _KINDS)
    listened_to = any(key is not None and key.text in state.connections.by_stream for key in keys)
    return listened_to or (uid, account) in state.connections.by_account


def _carries(kind: KeyKind, name: object) -> bool:
    if kind == "listen_key_v2" or name in _CONTROL:
        return True
    return (name in _RISK) == (kind == "risk_listen_key")


def _to_subscriptions(state: State, uid: int, account: str, text: str, fault: EventFault | None) -> int:
    listeners = state.connections.by_account.get((uid, account), {})
    return sum(
        send_event(state, connection, number, _enveloped(number, text), fault) for connection, number in list(listeners)
    )


def _to_listeners(state: State, key: ListenKey, text: str, fault: EventFault | None = None) -> int:
    label = key.kind if key.account == CROSS else f"{key.kind} {key.account}"
    combined = f'{{"stream":{json.dumps(key.text)},"data":{text}}}'
    return sum(
        send_event(state, connection, label, combined if connection.combined else text, fault)
        for connection in list(state.connections.by_stream.get(key.text, {}))
        if hears(state, connection, key)
    )


def _enveloped(number: int, text: str) -> str:
    return f'{{"subscriptionId":{number},"event":{text}}}'


def _json(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"))
