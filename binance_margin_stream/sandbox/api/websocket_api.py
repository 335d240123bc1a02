"""The WebSocket API: requests as JSON text frames, and subscriptions to accounts by listen token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from binance_margin_stream.sandbox.api.subscriptions import Params, list_subscriptions, named_by, subscribe, unsubscribe
from binance_margin_stream.sandbox.delivery.publishing import expire_subscription
from binance_margin_stream.sandbox.error_responses import MESSAGES, RefusedError
from binance_margin_stream.sandbox.faults.types import (
    DelaySubscribeAnswer,
    LoseSubscribeAnswer,
    RefuseSubscribe,
    RepeatSubscribeAnswer,
)
from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.sandbox.model.connections import Connection, Subscription
from binance_margin_stream.sandbox.model.state import State

__all__ = ["WEBSOCKET_API_PATH", "receive", "revoked", "weigh_connecting"]

WEBSOCKET_API_PATH = "/ws-api/v3"
_CONNECT_WEIGHT = 2

_SUBSCRIBE = "userDataStream.subscribe.listenToken"
_SUBSCRIBE_FAULTS = (RefuseSubscribe, LoseSubscribeAnswer, DelaySubscribeAnswer, RepeatSubscribeAnswer)

Run = Callable[[State, Connection, Params, int], object]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: what it does, what it weighs, and the parameters it knows."""

    run: Run
    weight: int
    parameters: frozenset[str] = frozenset()


def receive(state: State, connection: Connection, text: str, now: int) -> None:
    """Answer one request."""
    request_id: object = None
    weight = 1
    try:
        request = _parse(text)
        request_id = _id_of(request)
        method = _method_of(state, request)
        weight = method.weight
        params = _params_of(request, method)
    except RefusedError as refusal:
        if not _refused_by_limits(state, connection, request_id, weight, now):
            _send(state, connection, _failure(request_id, refusal), now)
        return
    if not _refused_by_limits(state, connection, request_id, weight, now):
        _answer(state, connection, request_id, method, params, now)


def weigh_connecting(state: State, ip: str, now: int) -> bool:
    """Count a handshake's weight, and say whether the IP has used too much."""
    limit = state.rules.websocket_api_weight_limit
    return state.limits.spend(_subject(ip), _CONNECT_WEIGHT, limit, now).over


def revoked(state: State, uid: int, now: int) -> None:
    """Tell every connection that listens to a user that the key was taken away; its events end."""
    for connection in state.connections.all():
        theirs = [s for s in connection.subscriptions.values() if s.uid == uid]
        for subscription in theirs:
            state.connections.unsubscribe(connection, subscription)
        if theirs and state.rules.revocation == "present":
            _send(state, connection, _failure(None, RefusedError(-2015), 401), now)


def _answer(state: State, connection: Connection, request_id: object, method: Method, params: Params, now: int) -> None:
    fault = state.faults.take(_SUBSCRIBE_FAULTS, _SUBSCRIBE) if method.run is subscribe else None
    if isinstance(fault, RefuseSubscribe):
        refusal = RefusedError(fault.code, MESSAGES.get(fault.code, "Refused by an injected fault."))
        _send(state, connection, _failure(request_id, refusal, fault.status), now)
        return
    terminated: list[Subscription] = []
    try:
        if method.run is unsubscribe:
            terminated = named_by(connection, params)
        result = method.run(state, connection, params, now)
        reply = {"id": request_id, "status": 200, "result": result}
    except RefusedError as refusal:
        reply = _failure(request_id, refusal)
    text = _with_limits(state, connection, reply, now)
    match fault:
        case LoseSubscribeAnswer():
            pass
        case DelaySubscribeAnswer():
            connection.held_answers.append(text)
        case RepeatSubscribeAnswer():
            state.connections.send(connection, text)
            state.connections.send(connection, text)
        case _:
            state.connections.send(connection, text)
    for subscription in terminated:
        expire_subscription(state, connection, subscription, now)


def _ping(state: State, connection: Connection, params: Params, now: int) -> object:
    return {}


def _time(state: State, connection: Connection, params: Params, now: int) -> object:
    return {"serverTime": now}


_METHODS = {
    _SUBSCRIBE: Method(subscribe, 2, frozenset({"listenToken"})),
    "userDataStream.unsubscribe": Method(unsubscribe, 2, frozenset({"subscriptionId"})),
    "session.subscriptions": Method(list_subscriptions, 2),
    "ping": Method(_ping, 1),
    "time": Method(_time, 1),
}


def _parse(text: str) -> dict[str, object]:
    try:
        request = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusedError(-1135) from None
    if not isinstance(request, dict):
        raise RefusedError(-1135)
    return request


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _id_of(request: Params) -> object:
    request_id = request.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise RefusedError(-1135, "Invalid 'id' in JSON request; expected an integer, a string or null.")
    return request_id


def _method_of(state: State, request: Params) -> Method:
    name = request.get("method")
    if not isinstance(name, str):
        raise RefusedError(-1135, "Invalid 'method' in JSON request; expected a string.")
    method = _METHODS.get(name)
    if method is None or name in state.retired:
        raise RefusedError(-1020)
    return method


def _params_of(request: Params, method: Method) -> dict[str, object]:
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise RefusedError(-1135, "Invalid 'params' in JSON request; expected an object.")
    if not params.keys() <= method.parameters:
        known = len(method.parameters)
        raise RefusedError(-1101, f"Too many parameters; expected '{known}' and received '{len(params)}'.")
    return params


def _refused_by_limits(state: State, connection: Connection, request_id: object, weight: int, now: int) -> bool:
    retry_after = now
    until = state.limits.banned_until(connection.ip, now)
    if until is None:
        limit = state.rules.websocket_api_weight_limit
        if not state.limits.spend(_subject(connection.ip), weight, limit, now).over:
            return False
        retry_after = state.limits.refuse(connection.ip, now)
        until = state.limits.banned_until(connection.ip, now)
    if until is None:
        status, message = 429, "Too much request weight used."
    else:
        status, retry_after, message = 418, until, f"Way too much request weight used; IP banned until {until}."
    data = {"serverTime": now, "retryAfter": retry_after}
    _send(state, connection, _failure(request_id, RefusedError(-1003, message), status, data), now)
    return True


def _failure(
    request_id: object, refusal: RefusedError, status: int = 400, data: Params | None = None
) -> dict[str, object]:
    error: dict[str, object] = {"code": refusal.code, "msg": refusal.message}
    if data is not None:
        error["data"] = data
    return {"id": request_id, "status": status, "error": error}


def _send(state: State, connection: Connection, reply: Params, now: int) -> None:
    state.connections.send(connection, _with_limits(state, connection, reply, now))


def _with_limits(state: State, connection: Connection, reply: Params, now: int) -> Text:
    limit = state.rules.websocket_api_weight_limit
    if connection.show_rate_limits:
        count = state.limits.spend(_subject(connection.ip), 0, limit, now).used
        usage = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": limit,
            "count": count,
        }
        reply = {**reply, "rateLimits": [usage]}
    return Text(json.dumps(reply, separators=(",", ":")))


def _subject(ip: str) -> tuple[str, str]:
    return ("websocket_api", ip)
