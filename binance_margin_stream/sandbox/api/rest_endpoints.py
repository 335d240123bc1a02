"""The thirteen REST calls: what each takes, weighs and does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from binance_margin_stream.sandbox.api.public_endpoints import PUBLIC_CALLS
from binance_margin_stream.sandbox.api.request_parameters import (
    BOOLEAN,
    LISTEN_KEY,
    MILLISECONDS,
    SYMBOL,
    Parameter,
    invalid,
    missing,
)
from binance_margin_stream.sandbox.delivery.publishing import watch_key, watch_token
from binance_margin_stream.sandbox.error_responses import EMPTY, RefusedError, json_answer
from binance_margin_stream.sandbox.messages import Answer
from binance_margin_stream.sandbox.model.listen_keys import KeyKind, ListenKey
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.model.users import CROSS, ApiAccount

__all__ = ["CALLS", "LISTEN_TOKEN_PATH", "REST_PATHS", "Call"]

Parameters = Mapping[str, str]
Run = Callable[[State, ApiAccount, Parameters, int], Answer]


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call: what it takes, what it weighs and by whom that is counted, and what it does."""

    run: Run
    scope: Literal["IP", "UID"]
    parameters: tuple[Parameter, ...] = ()
    weight: int = 1


def _create(kind: KeyKind) -> Run:
    def run(state: State, account: ApiAccount, parameters: Parameters, now: int) -> Answer:
        margin_account = _margin_account(state, parameters)
        key, is_new = state.keys.create(kind, account.uid, margin_account, now)
        if is_new:
            watch_key(state, key)
        return json_answer({"listenKey": key.text})

    return run


def _extend(kind: KeyKind) -> Run:
    def run(state: State, account: ApiAccount, parameters: Parameters, now: int) -> Answer:
        state.keys.extend(_own_key(state, kind, account, parameters), now)
        return _EMPTY_OBJECT if kind == "listen_key" else _done(state)

    return run


def _close(kind: KeyKind) -> Run:
    def run(state: State, account: ApiAccount, parameters: Parameters, now: int) -> Answer:
        state.keys.end(_own_key(state, kind, account, parameters))
        return _EMPTY_OBJECT

    return run


def _close_only_key(kind: KeyKind) -> Run:
    """Close the account's one key; an account without one is left as it is."""

    def run(state: State, account: ApiAccount, parameters: Parameters, now: int) -> Answer:
        key = state.keys.of_account(kind, account.uid, CROSS)
        if key is not None:
            state.keys.end(key)
        return _done(state)

    return run


def _done(state: State) -> Answer:
    return EMPTY if state.rules.done_answer == "nothing" else _EMPTY_OBJECT


def _create_token(state: State, account: ApiAccount, parameters: Parameters, now: int) -> Answer:
    longest = state.rules.listen_token_validity_ms
    isolated = parameters.get("isIsolated", "false").lower() == "true"
    if isolated and "symbol" not in parameters:
        raise missing("symbol")
    margin_account = _margin_account(state, parameters)
    validity = int(parameters.get("validity", longest))
    if not 1 <= validity <= longest:
        raise invalid("validity")
    token = state.tokens.create(account.uid, margin_account if isolated else CROSS, now + validity)
    watch_token(state, token)
    return json_answer({"token": token.text, "expirationTime": token.expires_at})


def _margin_account(state: State, parameters: Parameters) -> str:
    symbol = parameters.get("symbol")
    if symbol is None:
        return CROSS
    if state.rules.assets_of(symbol) is None:
        raise RefusedError(-1121)
    return symbol


def _own_key(state: State, kind: KeyKind, account: ApiAccount, parameters: Parameters) -> ListenKey:
    """The key that was named, if it is live and of this kind, user and margin account; else -1125."""
    margin_account = _margin_account(state, parameters)
    key = state.keys.find(parameters["listenKey"])
    if key is None or (key.kind, key.uid, key.account) != (kind, account.uid, margin_account):
        raise RefusedError(-1125)
    return key


_EMPTY_OBJECT = json_answer({})
_KEY = Parameter("listenKey", LISTEN_KEY, mandatory=True)
_ISOLATED_SYMBOL = Parameter("symbol", SYMBOL, mandatory=True)
_TOKEN_PARAMETERS = (
    Parameter("isIsolated", BOOLEAN),
    Parameter("symbol", SYMBOL),
    Parameter("validity", MILLISECONDS),
)

_CROSS_PATH = "/sapi/v1/userDataStream"
_ISOLATED_PATH = "/sapi/v1/userDataStream/isolated"
LISTEN_TOKEN_PATH = "/sapi/v1/userListenToken"  # noqa: S105 - a path, not a token
"""Path of the one call that may have to be signed."""

_V2_PATH = "/sapi/v2/margin/listen-key"
_RISK_PATH = "/sapi/v1/margin/listen-key"

CALLS: dict[tuple[str, str], Call] = {
    ("POST", _CROSS_PATH): Call(_create("listen_key"), "IP"),
    ("PUT", _CROSS_PATH): Call(_extend("listen_key"), "IP", (_KEY,)),
    ("DELETE", _CROSS_PATH): Call(_close("listen_key"), "IP", (_KEY,)),
    ("POST", _ISOLATED_PATH): Call(_create("listen_key"), "IP", (_ISOLATED_SYMBOL,)),
    ("PUT", _ISOLATED_PATH): Call(_extend("listen_key"), "IP", (_ISOLATED_SYMBOL, _KEY)),
    ("DELETE", _ISOLATED_PATH): Call(_close("listen_key"), "IP", (_ISOLATED_SYMBOL, _KEY)),
    ("POST", LISTEN_TOKEN_PATH): Call(_create_token, "UID", _TOKEN_PARAMETERS),
    ("POST", _V2_PATH): Call(_create("listen_key_v2"), "IP"),
    ("PUT", _V2_PATH): Call(_extend("listen_key_v2"), "IP", (_KEY,)),
    ("DELETE", _V2_PATH): Call(_close_only_key("listen_key_v2"), "IP"),
    ("POST", _RISK_PATH): Call(_create("risk_listen_key"), "UID"),
    ("PUT", _RISK_PATH): Call(_extend("risk_listen_key"), "UID", (_KEY,)),
    ("DELETE", _RISK_PATH): Call(_close_only_key("risk_listen_key"), "UID", weight=3000),
}
"""The calls by method and path."""

REST_PATHS: dict[str, tuple[str, ...]] = {
    path: tuple(method for method, its_path in (*CALLS, *PUBLIC_CALLS) if its_path == path)
    for _, path in (*CALLS, *PUBLIC_CALLS)
}
"""The paths of the REST calls, those without a key included, each with its methods."""
