"""Faults that strike at once, on the connections and credentials that there are."""

from __future__ import annotations

import json

from binance_margin_stream.sandbox.delivery.publishing import expire_key, expire_subscription
from binance_margin_stream.sandbox.faults.types import (
    BinaryFrame,
    ConnectionFault,
    DelayFrames,
    DeleteListenKeys,
    DropConnections,
    ExpireCredentials,
    FreezeConnections,
    HalfOpenConnections,
    MalformedFrame,
    PromptFault,
    RevokeApiKey,
    ServerShutdown,
)
from binance_margin_stream.sandbox.messages import Binary, Close, Cut, Text
from binance_margin_stream.sandbox.model.connections import Connection
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.revocation import delete_listen_keys, revoke

__all__ = ["strike"]


def strike(state: State, fault: PromptFault, targets: list[Connection], now: int) -> None:
    """Let a fault strike: the given connections, or credentials, whoever holds them."""
    state.tally.struck(fault)
    match fault:
        case ExpireCredentials():
            _expire(state, fault, now)
        case DeleteListenKeys(kind=kind):
            delete_listen_keys(state, kind)
        case RevokeApiKey(uid=uid):
            revoke(state, uid, now)
        case _:
            for connection in targets:
                _strike_connection(state, fault, connection, now)


def _strike_connection(state: State, fault: ConnectionFault, connection: Connection, now: int) -> None:
    match fault:
        case DropConnections(how="close", code=code):
            state.connections.end(connection, Close(code))
        case DropConnections(how="reset" | "eof" as how):
            state.connections.end(connection, Cut(how))
        case FreezeConnections():
            connection.frozen = True
        case HalfOpenConnections():
            state.connections.lose(connection)
        case DelayFrames(seconds=seconds):
            connection.delay_ms = round(seconds * 1000)
        case MalformedFrame(text=text):
            state.connections.send(connection, Text(text))
        case BinaryFrame(data=data):
            state.connections.send(connection, Binary(data))
        case ServerShutdown():
            _announce(state, fault, connection, now)


def _announce(state: State, fault: ServerShutdown, connection: Connection, now: int) -> None:
    notice = {"e": "serverShutdown", "E": now}
    shape = _natural_shape(connection) if fault.shape == "host" else fault.shape
    wrapped: dict[str, object] = dict(notice)
    if shape == "event":
        wrapped = {"event": notice}
    elif shape == "combined":
        wrapped = {"stream": next(iter(connection.streams), ""), "data": notice}
    state.connections.send(connection, Text(json.dumps(wrapped, separators=(",", ":"))))
    if fault.close_after_seconds is not None:
        due = now + round(fault.close_after_seconds * 1000)
        state.timers.at(due, lambda _, __: state.connections.end(connection, Close(1001)))


def _natural_shape(connection: Connection) -> str:
    if connection.host == "websocket_api":
        return "event"
    return "combined" if connection.combined else "bare"


def _expire(state: State, fault: ExpireCredentials, now: int) -> None:
    if fault.which != "listen_keys":
        for token in state.tokens.live():
            state.tokens.end(token)
        for connection in state.connections.all():
            for subscription in list(connection.subscriptions.values()):
                expire_subscription(state, connection, subscription, now)
    if fault.which != "listen_tokens":
        for key in state.keys.live():
            expire_key(state, key, now)
