"""The calls for listen keys and listen tokens."""

from __future__ import annotations

from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint, Handler, Security
from binance_margin_stream.sandbox.api.request_parameters import (
    BOOLEAN_PATTERN,
    LISTEN_KEY_PATTERN,
    MILLISECONDS_PATTERN,
    SYMBOL_PATTERN,
    RequestParameter,
)
from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.delivery.publishing import schedule_key_expiry, schedule_token_expiry
from binance_margin_stream.sandbox.error_responses import EMPTY_RESPONSE, RefusedError
from binance_margin_stream.sandbox.model.listen_keys import ListenKey
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["ENDPOINTS", "LISTEN_TOKEN_PATH"]


def _create_key_handler(kind: ListenKeyKind) -> Handler:
    def handle(call: Call) -> object:
        account = _parse_margin_account(call)
        key, is_new = call.state.listen_keys.create(kind, call.user.uid, account, call.now)
        if is_new:
            schedule_key_expiry(call.state, key)
        return {"listenKey": key.value}

    return handle


def _extend_key_handler(kind: ListenKeyKind) -> Handler:
    def handle(call: Call) -> object:
        call.state.listen_keys.extend(_find_own_key(call, kind), call.now)
        return {} if kind == "listen_key" else _empty_response(call.state)

    return handle


def _close_key_handler(kind: ListenKeyKind) -> Handler:
    def handle(call: Call) -> object:
        call.state.listen_keys.remove(_find_own_key(call, kind))
        return {}

    return handle


def _close_only_key_handler(kind: ListenKeyKind) -> Handler:
    """Close the account's key; no error without one."""

    def handle(call: Call) -> object:
        key = call.state.listen_keys.find_for_account(kind, call.user.uid, CROSS)
        if key is not None:
            call.state.listen_keys.remove(key)
        return _empty_response(call.state)

    return handle


def _empty_response(state: ExchangeState) -> object:
    return EMPTY_RESPONSE if state.rules.empty_body == "nothing" else {}


def _create_listen_token(call: Call) -> object:
    state, longest = call.state, call.state.rules.listen_token_validity_ms
    isolated = call.is_true("isIsolated")
    if isolated:
        call.get_text("symbol")
    account = _parse_margin_account(call, isolated)
    validity = call.get_integer("validity", longest, longest)
    token = state.listen_tokens.create(call.user.uid, account, call.now + validity)
    schedule_token_expiry(state, token)
    return {"token": token.value, "expirationTime": token.expires_at}


def _parse_margin_account(call: Call, isolated: bool = True) -> str:
    """The isolated account of the parameter ``symbol``, if there is one and the call is not for the cross account."""
    symbol = call.parameters.get("symbol")
    if symbol is not None and call.state.rules.split_symbol(symbol) is None:
        raise RefusedError(-1121)
    account = symbol if symbol is not None and isolated else CROSS
    refusal = call.state.availability.find_refusal(call.user.uid, account)
    if refusal is not None:
        raise RefusedError(refusal)
    return account


def _find_own_key(call: Call, kind: ListenKeyKind) -> ListenKey:
    """The key in the request, if it is valid and of this kind, user and margin account; else -1125."""
    account = _parse_margin_account(call)
    key = call.state.listen_keys.find(call.parameters["listenKey"])
    if key is None or (key.kind, key.uid, key.account) != (kind, call.user.uid, account):
        raise RefusedError(-1125)
    return key


_LISTEN_KEY = (RequestParameter("listenKey", LISTEN_KEY_PATTERN, mandatory=True),)
_SYMBOL = (RequestParameter("symbol", SYMBOL_PATTERN, mandatory=True),)
_TOKEN_PARAMETERS = (
    RequestParameter("isIsolated", BOOLEAN_PATTERN),
    RequestParameter("symbol", SYMBOL_PATTERN),
    RequestParameter("validity", MILLISECONDS_PATTERN),
)

_CROSS_PATH = "/sapi/v1/userDataStream"
_ISOLATED_PATH = "/sapi/v1/userDataStream/isolated"
LISTEN_TOKEN_PATH = "/sapi/v1/userListenToken"  # noqa: S105 - a path, not a token
"""Path of the call that has to be signed by one reading only."""

_V2_PATH = "/sapi/v2/margin/listen-key"
_UTA_PATH = "/sapi/v2/margin/uta/listen-key"
_RISK_PATH = "/sapi/v1/margin/listen-key"
_USER: Security = "USER_STREAM"

ENDPOINTS = (
    Endpoint("POST", _CROSS_PATH, _USER, 1, "IP", _create_key_handler("listen_key")),
    Endpoint("PUT", _CROSS_PATH, _USER, 1, "IP", _extend_key_handler("listen_key"), _LISTEN_KEY),
    Endpoint("DELETE", _CROSS_PATH, _USER, 1, "IP", _close_key_handler("listen_key"), _LISTEN_KEY),
    Endpoint("POST", _ISOLATED_PATH, _USER, 1, "IP", _create_key_handler("listen_key"), _SYMBOL),
    Endpoint("PUT", _ISOLATED_PATH, _USER, 1, "IP", _extend_key_handler("listen_key"), _SYMBOL + _LISTEN_KEY),
    Endpoint("DELETE", _ISOLATED_PATH, _USER, 1, "IP", _close_key_handler("listen_key"), _SYMBOL + _LISTEN_KEY),
    Endpoint("POST", LISTEN_TOKEN_PATH, _USER, 1, "UID", _create_listen_token, _TOKEN_PARAMETERS),
    Endpoint("POST", _V2_PATH, _USER, 1, "IP", _create_key_handler("listen_key_v2")),
    Endpoint("PUT", _V2_PATH, _USER, 1, "IP", _extend_key_handler("listen_key_v2"), _LISTEN_KEY),
    Endpoint("DELETE", _V2_PATH, _USER, 1, "IP", _close_only_key_handler("listen_key_v2")),
    # The calls for unified accounts are undocumented; here they serve the listen key V2.
    Endpoint("POST", _UTA_PATH, _USER, 1, "IP", _create_key_handler("listen_key_v2")),
    Endpoint("PUT", _UTA_PATH, _USER, 1, "IP", _extend_key_handler("listen_key_v2"), _LISTEN_KEY),
    Endpoint("DELETE", _UTA_PATH, _USER, 1, "IP", _close_only_key_handler("listen_key_v2")),
    Endpoint("POST", _RISK_PATH, _USER, 1, "UID", _create_key_handler("risk_listen_key")),
    Endpoint("PUT", _RISK_PATH, _USER, 1, "UID", _extend_key_handler("risk_listen_key"), _LISTEN_KEY),
    Endpoint("DELETE", _RISK_PATH, _USER, 3000, "UID", _close_only_key_handler("risk_listen_key")),
)
"""The calls for credentials of streams."""
