"""The gateway in front of the REST calls: routing, limits, API keys, signatures, and injected faults."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from dataclasses import replace

from binance_margin_stream.sandbox.api.masking import mask_path
from binance_margin_stream.sandbox.api.request_parameters import parse_parameters, percent_decode
from binance_margin_stream.sandbox.api.rest_endpoints import (
    ENDPOINTS,
    LISTEN_TOKEN_PATH,
    METHODS_BY_PATH,
    PUBLIC_ENDPOINTS,
    PublicEndpoint,
    RestEndpoint,
)
from binance_margin_stream.sandbox.api.signature import SIGNING_PARAMETERS, check_recv_window, check_signature
from binance_margin_stream.sandbox.clock import to_milliseconds
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.error_responses import (
    RefusedError,
    error_response,
    gateway_error_response,
    json_response,
    make_refusal,
)
from binance_margin_stream.sandbox.faults.types import (
    ApiError,
    DelayedResponse,
    NoResponse,
    ResetConnection,
    StaticResponse,
    TruncatedResponse,
)
from binance_margin_stream.sandbox.messages import Headers, LoggedRequest, Request, Response
from binance_margin_stream.sandbox.model.metrics import RestCall
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS, ApiKey, is_well_formed

__all__ = ["banned_response", "handle_request"]

_REST_FAULTS = (ApiError, StaticResponse, ResetConnection, NoResponse, TruncatedResponse, DelayedResponse)
_NOT_SUPPORTED = -1020
_FORM_TYPE = "application/x-www-form-urlencoded"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"})


def handle_request(state: ExchangeState, request: Request, now: int) -> Response:
    """The response to a REST request; the request is logged."""
    path, response = _handle_with_faults(state, request, now)
    known = path in METHODS_BY_PATH
    method = request.method if request.method in _METHODS else "(unknown)"
    state.metrics.record_call(RestCall(now, request.ip, method, path if known else "(unknown)", response.status))
    target = path if known else mask_path(path)
    state.metrics.record_request(LoggedRequest(now, request.ip, method, target, response.status, response.code))
    return response


def banned_response(rules: ExchangeRules, until: int, now: int) -> Response:
    """The response to every request of an IP that is banned until a time (ms)."""
    message = f"Way too much request weight used; IP banned until {until}."
    return error_response(RefusedError(-1003, message), rules, 418, (("Retry-After", _to_retry_after(until - now)),))


def _handle_with_faults(state: ExchangeState, request: Request, now: int) -> tuple[str, Response]:
    path, query = _split_target(request.target)
    fault = state.pending_faults.take_matching(_REST_FAULTS, path, _find_account(request, query))
    match fault:
        case ApiError(code=code, status=status):
            return path, error_response(make_refusal(code), state.rules, status)
        case StaticResponse(status=status, body=body, headers=headers):
            return path, Response(status, body, headers)
        case ResetConnection(takes_effect=False):
            return path, Response(0, delivery="reset")
        case _:
            response = _route(state, request, path, query, now)
    match fault:
        case ResetConnection():
            return path, replace(response, delivery="reset")
        case NoResponse():
            return path, replace(response, delivery="never")
        case TruncatedResponse():
            return path, replace(response, delivery="truncated")
        case DelayedResponse(seconds=seconds):
            return path, replace(response, delay_ms=to_milliseconds(seconds))
        case _:
            return path, response


def _find_account(request: Request, query: str) -> str:
    """The account that a request is for, as far as its parameters can be read; faults may be limited to it."""
    for encoded in (query, request.body.decode("utf-8", "surrogateescape")):
        for pair in encoded.split("&"):
            name, _, value = pair.partition("=")
            if name == "symbol":
                with contextlib.suppress(RefusedError):
                    return percent_decode(value, plus_as_space=True)
    return CROSS


def _split_target(target: str) -> tuple[str, str]:
    """Path and query, also of the absolute form that proxies use. A path that cannot be decoded becomes empty."""
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    try:
        return percent_decode(path, plus_as_space=False), query
    except RefusedError:
        return "", query


def _route(state: ExchangeState, request: Request, path: str, query: str, now: int) -> Response:
    if path not in METHODS_BY_PATH:
        return _unserved_response(request, path)
    if path in state.retired_paths:
        return gateway_error_response(410)
    public_endpoint = PUBLIC_ENDPOINTS.get((request.method, path))
    if public_endpoint is not None:
        return _handle_public(state, request, public_endpoint, query, now)
    endpoint = ENDPOINTS.get((request.method, path))
    if endpoint is None:
        return _unserved_response(request, path)
    if len(request.body) > state.rules.max_body_bytes:
        return gateway_error_response(413)
    if request.body and not _is_form_encoded(request):
        return gateway_error_response(415)
    return _handle_with_limits(state, request, endpoint, path, query, now)


def _unserved_response(request: Request, path: str) -> Response:
    """The response to a call that the sandbox does not serve, although the exchange may."""
    methods = METHODS_BY_PATH.get(path)
    served = [f"{method} {each}" for each, names in METHODS_BY_PATH.items() for method in names]
    method = request.method if request.method in _METHODS else "(unknown)"
    message = f"The sandbox does not serve {method} {mask_path(path)}; the field 'served' lists its calls."
    headers: Headers = (("X-Sandbox", "not-served"),)
    if methods is not None:
        headers += (("Allow", ", ".join(methods)),)
    body = {"code": _NOT_SUPPORTED, "msg": message, "served": served}
    return replace(json_response(body, 404 if methods is None else 405, headers), code=_NOT_SUPPORTED)


def _is_form_encoded(request: Request) -> bool:
    types = request.get_header_values("Content-Type")
    return not types or types[0].partition(";")[0].strip().lower() in ("", _FORM_TYPE)


def _handle_public(state: ExchangeState, request: Request, endpoint: PublicEndpoint, query: str, now: int) -> Response:
    until = state.rate_limits.banned_until(request.ip, now)
    if until is not None:
        return banned_response(state.rules, until, now)
    limit, subject = state.rules.websocket_api_weight_limit, ("public", request.ip)
    refusal, headers = _record_weight(state, request.ip, "X-MBX-USED-WEIGHT-1M", subject, endpoint.weight, limit, now)
    if refusal is not None:
        return refusal
    try:
        response = endpoint.handler(state, parse_parameters(endpoint.parameters, query, ""), now)
    except RefusedError as error:
        response = error_response(error, state.rules)
    return replace(response, headers=response.headers + headers)


def _handle_with_limits(
    state: ExchangeState, request: Request, endpoint: RestEndpoint, path: str, query: str, now: int
) -> Response:
    until = state.rate_limits.banned_until(request.ip, now)
    if until is not None:
        return banned_response(state.rules, until, now)
    headers: Headers = ()
    if endpoint.scope == "IP":
        refusal, headers = _record_endpoint_weight(state, request, endpoint, path, request.ip, now)
        if refusal is not None:
            return refusal
    try:
        key = _authenticate(state, request)
        if endpoint.scope == "UID":
            refusal, headers = _record_endpoint_weight(state, request, endpoint, path, key.user.uid, now)
            if refusal is not None:
                return refusal
        response = _execute(state, request, endpoint, path, key, query, now)
    except RefusedError as error:
        response = error_response(error, state.rules)
    return replace(response, headers=response.headers + headers)


def _record_endpoint_weight(
    state: ExchangeState, request: Request, endpoint: RestEndpoint, path: str, ip_or_uid: str | int, now: int
) -> tuple[Response | None, Headers]:
    limit = state.rules.ip_weight_limit if endpoint.scope == "IP" else state.rules.uid_weight_limit
    subject = (endpoint.scope, ip_or_uid, request.method, path)
    return _record_weight(
        state, request.ip, f"X-SAPI-USED-{endpoint.scope}-WEIGHT-1M", subject, endpoint.weight, limit, now
    )


def _record_weight(
    state: ExchangeState, ip: str, header: str, subject: Hashable, weight: int, limit: int, now: int
) -> tuple[Response | None, Headers]:
    """Count a call's weight; returns the refusal if it exceeds the limit, and the header with the used weight."""
    usage = state.rate_limits.record_request(subject, weight, limit, now)
    headers: Headers = ((header, str(usage.used)),)
    if not usage.exceeded:
        return None, headers
    retry_at = state.rate_limits.record_refusal(ip, now)
    until = state.rate_limits.banned_until(ip, now)
    if until is not None:
        return banned_response(state.rules, until, now), headers
    message = f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
    retry = ("Retry-After", _to_retry_after(retry_at - now))
    return error_response(RefusedError(-1003, message), state.rules, 429, (retry, *headers)), headers


def _to_retry_after(milliseconds: int) -> str:
    return str(max(1, -(-milliseconds // 1000)))


def _authenticate(state: ExchangeState, request: Request) -> ApiKey:
    keys = request.get_header_values("X-MBX-APIKEY")
    if len(keys) != 1 or not is_well_formed(keys[0]):
        raise RefusedError(-2014)
    key = state.users.find_active(keys[0])
    if key is None:
        raise RefusedError(-2015)
    return key


def _execute(
    state: ExchangeState, request: Request, endpoint: RestEndpoint, path: str, key: ApiKey, query: str, now: int
) -> Response:
    body = request.body.decode("utf-8", "surrogateescape")
    parameters = parse_parameters((*endpoint.parameters, *SIGNING_PARAMETERS), query, body)
    check_recv_window(parameters)
    if "signature" in parameters or _requires_signature(state, path):
        check_signature(parameters, query, body, key, now)
    return endpoint.handler(state, key.user, parameters, now)


def _requires_signature(state: ExchangeState, path: str) -> bool:
    return path == LISTEN_TOKEN_PATH and state.rules.signature_policy == "required"
