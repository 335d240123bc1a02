"""Sessions of WebSocket API connections: logon, status and logout, and the signatures of requests."""

from __future__ import annotations

from collections.abc import Mapping

from binance_margin_stream.sandbox.api.request_parameters import (
    API_KEY_PATTERN,
    RequestParameter,
    check_parameters,
    missing_parameter,
)
from binance_margin_stream.sandbox.api.signature import SIGNING_PARAMETERS, check_signed_payload, check_timestamp
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import ApiKey, is_well_formed

__all__ = ["SIGNED_PARAMETERS", "Params", "authenticate", "get_session_status", "log_off", "log_on"]

Params = Mapping[str, object]

_PARAMETERS = (RequestParameter("apiKey", API_KEY_PATTERN), *SIGNING_PARAMETERS)
SIGNED_PARAMETERS = frozenset(each.name for each in _PARAMETERS)
"""Names of the parameters of a signed request."""


def log_on(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """Authenticate a connection with an Ed25519 key, instead of the key that it had.

    Raises:
        RefusedError: as `authenticate`; -4056 another kind of key.

    """
    key = _check_signed_request(state, _to_texts(params), now)
    if key.public_key is None or key.public_key.kind != "Ed25519":
        kind = "HMAC_SHA256" if key.public_key is None else key.public_key.kind
        raise RefusedError(-4056, f"{kind} API key is not supported.")
    connection.api_key, connection.authorized_since = key, now
    return get_session_status(state, connection, params, now)


def log_off(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """Forget the API key of a connection; its subscriptions go on."""
    connection.log_off()
    return get_session_status(state, connection, params, now)


def get_session_status(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """The API key of a connection, and since when it is connected and authenticated; null without a logon."""
    return {
        "apiKey": None if connection.api_key is None else connection.api_key.value,
        "authorizedSince": connection.authorized_since,
        "connectedSince": connection.opened_at,
        "returnRateLimits": connection.return_rate_limits,
        "serverTime": now,
    }


def authenticate(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> ApiKey:
    """The API key of a signed request, or that of the session if the request names none.

    Raises:
        RefusedError: -1100, -1102 and -1130 parameters, -1021 timestamp, -1022 signature, -2014 and -2015 API key.

    """
    texts = _to_texts(params)
    if connection.api_key is not None and not texts.keys() & {"apiKey", "signature"}:
        check_timestamp(texts, state.signing_clock.get_times(now))
        return connection.api_key
    return _check_signed_request(state, texts, now)


def _check_signed_request(state: ExchangeState, texts: Mapping[str, str], now: int) -> ApiKey:
    value = texts.get("apiKey")
    if value is None:
        raise missing_parameter("apiKey")
    if not is_well_formed(value):
        raise RefusedError(-2014)
    key = state.users.find_active(value)
    if key is None:
        raise RefusedError(-2015)
    payload = "&".join(f"{name}={texts[name]}" for name in sorted(texts) if name != "signature")
    check_signed_payload(texts, payload.encode("utf-8", "surrogateescape"), key, state.signing_clock.get_times(now))
    return key


def _to_texts(params: Params) -> dict[str, str]:
    """The parameters as they are signed."""
    texts: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise missing_parameter(name)
        texts[name] = str(value)
    check_parameters(texts, {parameter.name: parameter for parameter in _PARAMETERS})
    return texts
