"""The WebSocket API: requests as JSON text frames, and subscriptions to accounts by listen token."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from binance_margin_stream.sandbox.api.sessions import (
    SIGNED_PARAMETERS,
    Params,
    get_session_status,
    log_off,
    log_on,
)
from binance_margin_stream.sandbox.api.subscriptions import (
    list_subscriptions,
    select_subscriptions,
    subscribe,
    subscribe_spot,
    unsubscribe,
)
from binance_margin_stream.sandbox.delivery.publishing import expire_subscription
from binance_margin_stream.sandbox.delivery.time_units import convert_response
from binance_margin_stream.sandbox.error_responses import STATUS_BY_CODE, RefusedError, error_body, make_refusal
from binance_margin_stream.sandbox.faults.types import (
    DelayedSubscribeResponse,
    DuplicateSubscribeResponse,
    LostSubscribeResponse,
    RefuseSubscribe,
    SubscribeFault,
)
from binance_margin_stream.sandbox.messages import LoggedRequest, Text
from binance_margin_stream.sandbox.model.connections import AccountSubscription, ServerConnection
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["WEBSOCKET_API_PATH", "handle_request", "notify_key_revoked", "record_connect_weight"]

WEBSOCKET_API_PATH = "/ws-api/v3"
_CONNECT_WEIGHT = 2
_UNKNOWN = "(unknown)"

_SUBSCRIBE = "userDataStream.subscribe.listenToken"
_SUBSCRIBE_FAULTS: tuple[type[SubscribeFault], ...] = (
    RefuseSubscribe,
    LostSubscribeResponse,
    DelayedSubscribeResponse,
    DuplicateSubscribeResponse,
)

Handler = Callable[[ExchangeState, ServerConnection, Params, int], object]


@dataclass(frozen=True, slots=True)
class WebSocketMethod:
    """A method: its handler, weight and parameters."""

    handler: Handler
    weight: int
    parameters: frozenset[str] = frozenset()


def handle_request(state: ExchangeState, connection: ServerConnection, text: str, now: int) -> None:
    """Handle a request and send its response; the request is logged."""
    name, response = _handle(state, connection, text, now)
    error = response.get("error")
    code = int(error["code"]) if isinstance(error, dict) else None
    status = int(str(response["status"]))
    state.metrics.record_request(LoggedRequest(now, connection.ip, "WebSocket", name, status, code))


def _handle(
    state: ExchangeState, connection: ServerConnection, text: str, now: int
) -> tuple[str, Mapping[str, object]]:
    """Handle a request; returns the name of its method, and the response."""
    request_id: object = None
    name, weight = _UNKNOWN, 1
    try:
        request = _parse_request(text)
        request_id = _parse_id(request)
        name = _parse_method_name(state, request)
        method = _METHODS[name]
        weight = method.weight
        params = _parse_params(request, method)
    except RefusedError as refusal:
        response = _refuse_over_limit(state, connection, request_id, weight, now)
        if response is None:
            response = _error_response(state, request_id, refusal)
        _send_response(state, connection, response, now)
        return name, response
    response = _refuse_over_limit(state, connection, request_id, weight, now)
    if response is None:
        return name, _respond(state, connection, request_id, method, params, now)
    _send_response(state, connection, response, now)
    return name, response


def record_connect_weight(state: ExchangeState, ip: str, now: int) -> bool:
    """Count the weight of a handshake; returns whether the IP exceeds the limit."""
    limit = state.rules.websocket_api_weight_limit
    return state.rate_limits.record_request(_limit_key(ip), _CONNECT_WEIGHT, limit, now).exceeded


def notify_key_revoked(state: ExchangeState, uid: int, now: int) -> None:
    """End a user's subscriptions and sessions, and notify their connections that the API key was revoked."""
    for connection in state.connections.all():
        theirs = [s for s in connection.subscriptions.values() if s.uid == uid]
        for subscription in theirs:
            state.connections.unsubscribe(connection, subscription)
        logged_on = connection.api_key is not None and connection.api_key.user.uid == uid
        if logged_on:
            connection.log_off()
        if (theirs or logged_on) and state.rules.revocation_notice == "present":
            _send_response(state, connection, _error_response(state, None, RefusedError(-2015), 401), now)


def _respond(
    state: ExchangeState,
    connection: ServerConnection,
    request_id: object,
    method: WebSocketMethod,
    params: Params,
    now: int,
) -> dict[str, object]:
    """Run a method, and send its response as far as a fault allows; returns the response."""
    is_subscribe = method.handler is subscribe
    fault = _take_subscribe_fault(state, params) if is_subscribe else None
    if isinstance(fault, RefuseSubscribe):
        refused = _error_response(state, request_id, make_refusal(fault.code), fault.status)
        _send_response(state, connection, refused, now)
        return refused
    terminated: list[AccountSubscription] = []
    try:
        if method.handler is unsubscribe:
            terminated = select_subscriptions(connection, params)
        result = method.handler(state, connection, params, now)
        response: dict[str, object] = {"id": request_id, "status": 200, "result": result}
        bare = is_subscribe and state.rules.subscribe_response == "bare"
        text = _to_text(result) if bare else _encode_response(state, connection, response, now)
    except RefusedError as refusal:
        response = _error_response(state, request_id, refusal, STATUS_BY_CODE.get(refusal.code, 400))
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
    return response


def _take_subscribe_fault(state: ExchangeState, params: Params) -> SubscribeFault | None:
    value = params.get("listenToken")
    token = state.listen_tokens.find(value) if isinstance(value, str) else None
    account = None if token is None else token.account
    return state.pending_faults.take_matching(_SUBSCRIBE_FAULTS, _SUBSCRIBE, account)


def _handle_ping(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    return {}


def _handle_time(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    return {"serverTime": now}


_METHODS = {
    _SUBSCRIBE: WebSocketMethod(subscribe, 2, frozenset({"listenToken"})),
    "userDataStream.unsubscribe": WebSocketMethod(unsubscribe, 2, frozenset({"subscriptionId"})),
    "userDataStream.subscribe.signature": WebSocketMethod(subscribe_spot, 2, SIGNED_PARAMETERS),
    "session.logon": WebSocketMethod(log_on, 2, SIGNED_PARAMETERS),
    "session.logout": WebSocketMethod(log_off, 2),
    "session.status": WebSocketMethod(get_session_status, 2),
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


def _parse_method_name(state: ExchangeState, request: Params) -> str:
    name = request.get("method")
    if not isinstance(name, str):
        raise RefusedError(-1135, "Invalid 'method' in JSON request; expected a string.")
    if name not in _METHODS:
        raise RefusedError(-1020, data={"served": list(_METHODS)})
    if name in state.retired_paths:
        raise RefusedError(-1020)
    return name


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
) -> dict[str, object] | None:
    """Count the weight of a request; returns the refusal if the IP exceeds the limit."""
    retry_after = now
    until = state.rate_limits.banned_until(connection.ip, now)
    if until is None:
        limit = state.rules.websocket_api_weight_limit
        if not state.rate_limits.record_request(_limit_key(connection.ip), weight, limit, now).exceeded:
            return None
        retry_after = state.rate_limits.record_refusal(connection.ip, now)
        until = state.rate_limits.banned_until(connection.ip, now)
    if until is None:
        status, message = 429, "Too much request weight used."
    else:
        status, retry_after, message = 418, until, f"Way too much request weight used; IP banned until {until}."
    data = {"serverTime": now, "retryAfter": retry_after}
    return _error_response(state, request_id, RefusedError(-1003, message, data), status)


def _error_response(
    state: ExchangeState, request_id: object, refusal: RefusedError, status: int = 400
) -> dict[str, object]:
    error = error_body(refusal, state.rules)
    if refusal.data is not None:
        error["data"] = refusal.data
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
    return _to_text(convert_response(response) if connection.time_unit == "us" else response)


def _to_text(response: object) -> Text:
    return Text(json.dumps(response, separators=(",", ":")))


def _limit_key(ip: str) -> tuple[str, str]:
    return ("websocket_api", ip)
