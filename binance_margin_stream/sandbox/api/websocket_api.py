"""The WebSocket API: requests as JSON text frames, and subscriptions to accounts by listen token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from binance_margin_stream.sandbox.api.subscriptions import (
    Params,
    list_subscriptions,
    select_subscriptions,
    subscribe,
    unsubscribe,
)
from binance_margin_stream.sandbox.delivery.publishing import expire_subscription
from binance_margin_stream.sandbox.error_responses import ERROR_MESSAGES, RefusedError
from binance_margin_stream.sandbox.faults.types import (
    DelayedSubscribeResponse,
    DuplicateSubscribeResponse,
    LostSubscribeResponse,
    RefuseSubscribe,
)
from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.sandbox.model.connections import AccountSubscription, ServerConnection
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["WEBSOCKET_API_PATH", "handle_request", "notify_key_revoked", "record_connect_weight"]

WEBSOCKET_API_PATH = "/ws-api/v3"
_CONNECT_WEIGHT = 2

_SUBSCRIBE = "userDataStream.subscribe.listenToken"
_SUBSCRIBE_FAULTS = (RefuseSubscribe, LostSubscribeResponse, DelayedSubscribeResponse, DuplicateSubscribeResponse)

Handler = Callable[[ExchangeState, ServerConnection, Params, int], object]


@dataclass(frozen=True, slots=True)
class WebSocketMethod:
    """A method: its handler, weight and parameters."""

    handler: Handler
    weight: int
    parameters: frozenset[str] = frozenset()


def handle_request(state: ExchangeState, connection: ServerConnection, text: str, now: int) -> None:
    """Handle a request and send its response."""
    request_id: object = None
    weight = 1
    try:
        request = _parse_request(text)
        request_id = _parse_id(request)
        method = _find_method(state, request)
        weight = method.weight
        params = _parse_params(request, method)
    except RefusedError as refusal:
        if not _refuse_over_limit(state, connection, request_id, weight, now):
            _send_response(state, connection, _error_response(request_id, refusal), now)
        return
    if not _refuse_over_limit(state, connection, request_id, weight, now):
        _respond(state, connection, request_id, method, params, now)


def record_connect_weight(state: ExchangeState, ip: str, now: int) -> bool:
    """Count the weight of a handshake; returns whether the IP exceeds the limit."""
    limit = state.rules.websocket_api_weight_limit
    return state.rate_limits.record_request(_limit_key(ip), _CONNECT_WEIGHT, limit, now).exceeded


def notify_key_revoked(state: ExchangeState, uid: int, now: int) -> None:
    """End a user's subscriptions, and notify their connections that the API key was revoked."""
    for connection in state.connections.all():
        theirs = [s for s in connection.subscriptions.values() if s.uid == uid]
        for subscription in theirs:
            state.connections.unsubscribe(connection, subscription)
        if theirs and state.rules.revocation_notice == "present":
            _send_response(state, connection, _error_response(None, RefusedError(-2015), 401), now)


def _respond(
    state: ExchangeState,
    connection: ServerConnection,
    request_id: object,
    method: WebSocketMethod,
    params: Params,
    now: int,
) -> None:
    fault = state.pending_faults.take_matching(_SUBSCRIBE_FAULTS, _SUBSCRIBE) if method.handler is subscribe else None
    if isinstance(fault, RefuseSubscribe):
        refusal = RefusedError(fault.code, ERROR_MESSAGES.get(fault.code, "Refused by an injected fault."))
        _send_response(state, connection, _error_response(request_id, refusal, fault.status), now)
        return
    terminated: list[AccountSubscription] = []
    try:
        if method.handler is unsubscribe:
            terminated = select_subscriptions(connection, params)
        result = method.handler(state, connection, params, now)
        response = {"id": request_id, "status": 200, "result": result}
    except RefusedError as refusal:
        response = _error_response(request_id, refusal)
    text = _encode_response(state, connection, response, now)
    match fault:
        case LostSubscribeResponse():
            pass
        case DelayedSubscribeResponse():
            connection.held_responses.append(text)
        case DuplicateSubscribeResponse():
            state.connections.send(connection, text)
            state.connections.send(connection, text)
        case _:
            state.connections.send(connection, text)
    for subscription in terminated:
        expire_subscription(state, connection, subscription, now)


def _handle_ping(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    return {}


def _handle_time(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    return {"serverTime": now}


_METHODS = {
    _SUBSCRIBE: WebSocketMethod(subscribe, 2, frozenset({"listenToken"})),
    "userDataStream.unsubscribe": WebSocketMethod(unsubscribe, 2, frozenset({"subscriptionId"})),
    "session.subscriptions": WebSocketMethod(list_subscriptions, 2),
    "ping": WebSocketMethod(_handle_ping, 1),
    "time": WebSocketMethod(_handle_time, 1),
}


def _parse_request(text: str) -> dict[str, object]:
    try:
        request = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise RefusedError(-1135) from None
    if not isinstance(request, dict):
        raise RefusedError(-1135)
    return request


def _reject_constant(name: str) -> object:
    raise ValueError(name)


def _parse_id(request: Params) -> object:
    request_id = request.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise RefusedError(-1135, "Invalid 'id' in JSON request; expected an integer, a string or null.")
    return request_id


def _find_method(state: ExchangeState, request: Params) -> WebSocketMethod:
    name = request.get("method")
    if not isinstance(name, str):
        raise RefusedError(-1135, "Invalid 'method' in JSON request; expected a string.")
    method = _METHODS.get(name)
    if method is None or name in state.retired_paths:
        raise RefusedError(-1020)
    return method


def _parse_params(request: Params, method: WebSocketMethod) -> dict[str, object]:
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise RefusedError(-1135, "Invalid 'params' in JSON request; expected an object.")
    if not params.keys() <= method.parameters:
        known = len(method.parameters)
        raise RefusedError(-1101, f"Too many parameters; expected '{known}' and received '{len(params)}'.")
    return params


def _refuse_over_limit(
    state: ExchangeState, connection: ServerConnection, request_id: object, weight: int, now: int
) -> bool:
    retry_after = now
    until = state.rate_limits.banned_until(connection.ip, now)
    if until is None:
        limit = state.rules.websocket_api_weight_limit
        if not state.rate_limits.record_request(_limit_key(connection.ip), weight, limit, now).exceeded:
            return False
        retry_after = state.rate_limits.record_refusal(connection.ip, now)
        until = state.rate_limits.banned_until(connection.ip, now)
    if until is None:
        status, message = 429, "Too much request weight used."
    else:
        status, retry_after, message = 418, until, f"Way too much request weight used; IP banned until {until}."
    data = {"serverTime": now, "retryAfter": retry_after}
    _send_response(state, connection, _error_response(request_id, RefusedError(-1003, message), status, data), now)
    return True


def _error_response(
    request_id: object, refusal: RefusedError, status: int = 400, data: Params | None = None
) -> dict[str, object]:
    error: dict[str, object] = {"code": refusal.code, "msg": refusal.message}
    if data is not None:
        error["data"] = data
    return {"id": request_id, "status": status, "error": error}


def _send_response(state: ExchangeState, connection: ServerConnection, response: Params, now: int) -> None:
    state.connections.send(connection, _encode_response(state, connection, response, now))


def _encode_response(state: ExchangeState, connection: ServerConnection, response: Params, now: int) -> Text:
    limit = state.rules.websocket_api_weight_limit
    if connection.return_rate_limits:
        count = state.rate_limits.record_request(_limit_key(connection.ip), 0, limit, now).used
        usage = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": limit,
            "count": count,
        }
        response = {**response, "rateLimits": [usage]}
    return Text(json.dumps(response, separators=(",", ":")))


def _limit_key(ip: str) -> tuple[str, str]:
    return ("websocket_api", ip)
