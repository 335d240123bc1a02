"""The REST calls: parameters, weight and handler of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from binance_margin_stream.sandbox.api.request_parameters import (
    BOOLEAN_PATTERN,
    LISTEN_KEY_PATTERN,
    MILLISECONDS_PATTERN,
    SYMBOL_PATTERN,
    RequestParameter,
    invalid_parameter,
    missing_parameter,
)
from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.delivery.publishing import schedule_key_expiry, schedule_token_expiry
from binance_margin_stream.sandbox.error_responses import EMPTY_RESPONSE, RefusedError, json_response
from binance_margin_stream.sandbox.messages import Response
from binance_margin_stream.sandbox.model.listen_keys import ListenKey
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS, User

__all__ = ["ENDPOINTS", "LISTEN_TOKEN_PATH", "METHODS_BY_PATH", "PUBLIC_ENDPOINTS", "PublicEndpoint", "RestEndpoint"]

Parameters = Mapping[str, str]
Handler = Callable[[ExchangeState, User, Parameters, int], Response]
PublicHandler = Callable[[ExchangeState, Parameters, int], Response]


@dataclass(frozen=True, slots=True)
class RestEndpoint:
    """A call that needs an API key."""

    handler: Handler
    scope: Literal["IP", "UID"]
    """Whether its weight is counted by IP or by user."""
    parameters: tuple[RequestParameter, ...] = ()
    weight: int = 1


@dataclass(frozen=True, slots=True)
class PublicEndpoint:
    """A call that needs no API key; its weight is counted by IP, together with all other public calls."""

    handler: PublicHandler
    parameters: tuple[RequestParameter, ...] = ()
    weight: int = 1


def _ping(state: ExchangeState, parameters: Parameters, now: int) -> Response:
    return _EMPTY_OBJECT


def _get_server_time(state: ExchangeState, parameters: Parameters, now: int) -> Response:
    return json_response({"serverTime": now})


def _create_key_handler(kind: ListenKeyKind) -> Handler:
    def handle(state: ExchangeState, user: User, parameters: Parameters, now: int) -> Response:
        margin_account = _parse_margin_account(state, user, parameters)
        key, is_new = state.listen_keys.create(kind, user.uid, margin_account, now)
        if is_new:
            schedule_key_expiry(state, key)
        return json_response({"listenKey": key.value})

    return handle


def _extend_key_handler(kind: ListenKeyKind) -> Handler:
    def handle(state: ExchangeState, user: User, parameters: Parameters, now: int) -> Response:
        state.listen_keys.extend(_find_own_key(state, kind, user, parameters), now)
        return _EMPTY_OBJECT if kind == "listen_key" else _empty_response(state)

    return handle


def _close_key_handler(kind: ListenKeyKind) -> Handler:
    def handle(state: ExchangeState, user: User, parameters: Parameters, now: int) -> Response:
        state.listen_keys.remove(_find_own_key(state, kind, user, parameters))
        return _EMPTY_OBJECT

    return handle


def _close_only_key_handler(kind: ListenKeyKind) -> Handler:
    """Close the account's key; no error without one."""

    def handle(state: ExchangeState, user: User, parameters: Parameters, now: int) -> Response:
        key = state.listen_keys.find_for_account(kind, user.uid, CROSS)
        if key is not None:
            state.listen_keys.remove(key)
        return _empty_response(state)

    return handle


def _empty_response(state: ExchangeState) -> Response:
    return EMPTY_RESPONSE if state.rules.empty_body == "nothing" else _EMPTY_OBJECT


def _create_listen_token(state: ExchangeState, user: User, parameters: Parameters, now: int) -> Response:
    longest = state.rules.listen_token_validity_ms
    isolated = parameters.get("isIsolated", "false").lower() == "true"
    if isolated and "symbol" not in parameters:
        raise missing_parameter("symbol")
    margin_account = _parse_margin_account(state, user, parameters, isolated)
    validity = int(parameters.get("validity", longest))
    if not 1 <= validity <= longest:
        raise invalid_parameter("validity")
    token = state.listen_tokens.create(user.uid, margin_account, now + validity)
    schedule_token_expiry(state, token)
    return json_response({"token": token.value, "expirationTime": token.expires_at})


def _parse_margin_account(state: ExchangeState, user: User, parameters: Parameters, isolated: bool = True) -> str:
    """The isolated account of the parameter ``symbol``, if there is one and the call is not for the cross account."""
    symbol = parameters.get("symbol")
    if symbol is not None and state.rules.split_symbol(symbol) is None:
        raise RefusedError(-1121)
    account = symbol if symbol is not None and isolated else CROSS
    refusal = state.availability.find_refusal(user.uid, account)
    if refusal is not None:
        raise RefusedError(refusal)
    return account


def _find_own_key(state: ExchangeState, kind: ListenKeyKind, user: User, parameters: Parameters) -> ListenKey:
    """The key in the request, if it is valid and of this kind, user and margin account; else -1125."""
    margin_account = _parse_margin_account(state, user, parameters)
    key = state.listen_keys.find(parameters["listenKey"])
    if key is None or (key.kind, key.uid, key.account) != (kind, user.uid, margin_account):
        raise RefusedError(-1125)
    return key


_EMPTY_OBJECT = json_response({})
_LISTEN_KEY_PARAMETER = RequestParameter("listenKey", LISTEN_KEY_PATTERN, mandatory=True)
_SYMBOL_PARAMETER = RequestParameter("symbol", SYMBOL_PATTERN, mandatory=True)
_TOKEN_PARAMETERS = (
    RequestParameter("isIsolated", BOOLEAN_PATTERN),
    RequestParameter("symbol", SYMBOL_PATTERN),
    RequestParameter("validity", MILLISECONDS_PATTERN),
)

_CROSS_PATH = "/sapi/v1/userDataStream"
_ISOLATED_PATH = "/sapi/v1/userDataStream/isolated"
LISTEN_TOKEN_PATH = "/sapi/v1/userListenToken"  # noqa: S105 - a path, not a token
"""Path of the only call that may have to be signed."""

_V2_PATH = "/sapi/v2/margin/listen-key"
_UTA_PATH = "/sapi/v2/margin/uta/listen-key"
_RISK_PATH = "/sapi/v1/margin/listen-key"

ENDPOINTS: dict[tuple[str, str], RestEndpoint] = {
    ("POST", _CROSS_PATH): RestEndpoint(_create_key_handler("listen_key"), "IP"),
    ("PUT", _CROSS_PATH): RestEndpoint(_extend_key_handler("listen_key"), "IP", (_LISTEN_KEY_PARAMETER,)),
    ("DELETE", _CROSS_PATH): RestEndpoint(_close_key_handler("listen_key"), "IP", (_LISTEN_KEY_PARAMETER,)),
    ("POST", _ISOLATED_PATH): RestEndpoint(_create_key_handler("listen_key"), "IP", (_SYMBOL_PARAMETER,)),
    ("PUT", _ISOLATED_PATH): RestEndpoint(
        _extend_key_handler("listen_key"), "IP", (_SYMBOL_PARAMETER, _LISTEN_KEY_PARAMETER)
    ),
    ("DELETE", _ISOLATED_PATH): RestEndpoint(
        _close_key_handler("listen_key"), "IP", (_SYMBOL_PARAMETER, _LISTEN_KEY_PARAMETER)
    ),
    ("POST", LISTEN_TOKEN_PATH): RestEndpoint(_create_listen_token, "UID", _TOKEN_PARAMETERS),
    ("POST", _V2_PATH): RestEndpoint(_create_key_handler("listen_key_v2"), "IP"),
    ("PUT", _V2_PATH): RestEndpoint(_extend_key_handler("listen_key_v2"), "IP", (_LISTEN_KEY_PARAMETER,)),
    ("DELETE", _V2_PATH): RestEndpoint(_close_only_key_handler("listen_key_v2"), "IP"),
    # The calls for unified accounts are undocumented; here they serve the listen key V2.
    ("POST", _UTA_PATH): RestEndpoint(_create_key_handler("listen_key_v2"), "IP"),
    ("PUT", _UTA_PATH): RestEndpoint(_extend_key_handler("listen_key_v2"), "IP", (_LISTEN_KEY_PARAMETER,)),
    ("DELETE", _UTA_PATH): RestEndpoint(_close_only_key_handler("listen_key_v2"), "IP"),
    ("POST", _RISK_PATH): RestEndpoint(_create_key_handler("risk_listen_key"), "UID"),
    ("PUT", _RISK_PATH): RestEndpoint(_extend_key_handler("risk_listen_key"), "UID", (_LISTEN_KEY_PARAMETER,)),
    ("DELETE", _RISK_PATH): RestEndpoint(_close_only_key_handler("risk_listen_key"), "UID", weight=3000),
}
"""The calls that need an API key, by method and path."""

PUBLIC_ENDPOINTS: dict[tuple[str, str], PublicEndpoint] = {
    ("GET", "/api/v3/ping"): PublicEndpoint(_ping),
    ("GET", "/api/v3/time"): PublicEndpoint(_get_server_time),
}
"""The calls that need no API key, by method and path; third-party clients use them at startup."""

METHODS_BY_PATH: dict[str, tuple[str, ...]] = {
    path: tuple(method for method, other in (*ENDPOINTS, *PUBLIC_ENDPOINTS) if other == path)
    for _, path in (*ENDPOINTS, *PUBLIC_ENDPOINTS)
}
"""The methods of each path."""
