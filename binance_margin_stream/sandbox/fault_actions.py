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
    ImmediateFault,
    MalformedFrame,
    RevokeApiKey,
    ShutdownNotice,
)
from binance_margin_stream.sandbox.messages import Abort, Binary, Close, Text
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.revocation import delete_listen_keys, revoke_api_key

__all__ = ["apply_fault"]


def apply_fault(state: ExchangeState, fault: ImmediateFault, connections: list[ServerConnection], now: int) -> None:
    """Let a fault strike: the given connections, or credentials, whoever holds them."""
    state.metrics.record_fault(fault)
    match fault:
        case ExpireCredentials():
            _expire_credentials(state, fault, now)
        case DeleteListenKeys(kind=kind):
            delete_listen_keys(state, kind)
        case RevokeApiKey(uid=uid):
            revoke_api_key(state, uid, now)
        case _:
            for connection in connections:
                _apply_to_connection(state, fault, connection, now)


def _apply_to_connection(state: ExchangeState, fault: ConnectionFault, connection: ServerConnection, now: int) -> None:
    match fault:
        case DropConnections(mode="close", code=code):
            state.connections.close(connection, Close(code))
        case DropConnections(mode="reset" | "eof" as how):
            state.connections.close(connection, Abort(how))
        case FreezeConnections():
            connection.frozen = True
        case HalfOpenConnections():
            state.connections.drop_silently(connection)
        case DelayFrames(seconds=seconds):
            connection.frame_delay_ms = round(seconds * 1000)
        case MalformedFrame(text=text):
            state.connections.send(connection, Text(text))
        case BinaryFrame(data=data):
            state.connections.send(connection, Binary(data))
        case ShutdownNotice():
            _send_shutdown_notice(state, fault, connection, now)


def _send_shutdown_notice(state: ExchangeState, fault: ShutdownNotice, connection: ServerConnection, now: int) -> None:
    notice = {"e": "serverShutdown", "E": now}
    envelope = _default_envelope(connection) if fault.envelope == "host" else fault.envelope
    wrapped: dict[str, object] = dict(notice)
    if envelope == "event":
        wrapped = {"event": notice}
    elif envelope == "combined":
        wrapped = {"stream": next(iter(connection.streams), ""), "data": notice}
    state.connections.send(connection, Text(json.dumps(wrapped, separators=(",", ":"))))
    if fault.close_after_seconds is not None:
        due = now + round(fault.close_after_seconds * 1000)
        state.scheduler.call_at(due, lambda _, __: state.connections.close(connection, Close(1001)))


def _default_envelope(connection: ServerConnection) -> str:
    if connection.host == "websocket_api":
        return "event"
    return "combined" if connection.combined else "bare"


def _expire_credentials(state: ExchangeState, fault: ExpireCredentials, now: int) -> None:
    if fault.credentials != "listen_keys":
        for token in state.listen_tokens.all():
            state.listen_tokens.remove(token)
        for connection in state.connections.all():
            for subscription in list(connection.subscriptions.values()):
                expire_subscription(state, connection, subscription, now)
    if fault.credentials != "listen_tokens":
        for key in state.listen_keys.all():
            expire_key(state, key, now)
