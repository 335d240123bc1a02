"""The gateway in front of the REST calls: routing, limits, API keys, signatures, and injected faults."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

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
from binance_margin_stream.sandbox.error_responses import RefusedError, error_response, gateway_error_response
from binance_margin_stream.sandbox.faults.types import (
    DelayedResponse,
    NoResponse,
    ResetConnection,
    StaticResponse,
    TruncatedResponse,
)
from binance_margin_stream.sandbox.messages import Headers, Request, Response
from binance_margin_stream.sandbox.model.metrics import RestCall
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import User, is_well_formed

__all__ = ["banned_response", "handle_request"]

_REST_FAULTS = (StaticResponse, ResetConnection, NoResponse, TruncatedResponse, DelayedResponse)
_FORM_TYPE = "application/x-www-form-urlencoded"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"})


def handle_request(state: ExchangeState, request: Request, now: int) -> Response:
    """The response to a REST request; the request is logged."""
    path, response = _handle_with_faults(state, request, now)
    known = path if path in METHODS_BY_PATH else "(unknown)"
    method = request.method if request.method in _METHODS else "(unknown)"
    state.metrics.record_call(RestCall(now, request.ip, method, known, response.status))
    return response


def banned_response(until: int, now: int) -> Response:
    """The response to every request of an IP that is banned until a time (ms)."""
    message = f"Way too much request weight used; IP banned until {until}."
    return error_response(RefusedError(-1003, message), 418, (("Retry-After", _to_retry_after(until - now)),))


def _handle_with_faults(state: ExchangeState, request: Request, now: int) -> tuple[str, Response]:
    path, query = _split_target(request.target)
    fault = state.pending_faults.take_matching(_REST_FAULTS, path)
    match fault:
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
            return path, replace(response, delay_ms=round(seconds * 1000))
        case _:
            return path, response


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
        return gateway_error_response(404)
    if path in state.retired_paths:
        return gateway_error_response(410)
    public_endpoint = PUBLIC_ENDPOINTS.get((request.method, path))
    if public_endpoint is not None:
        return _handle_public(state, request, public_endpoint, query, now)
    endpoint = ENDPOINTS.get((request.method, path))
    if endpoint is None:
        return gateway_error_response(405, (("Allow", ", ".join(METHODS_BY_PATH[path])),))
    if len(request.body) > state.rules.max_body_bytes:
        return gateway_error_response(413)
    if request.body and not _is_form_encoded(request):
        return gateway_error_response(415)
    return _handle_with_limits(state, request, endpoint, path, query, now)


def _is_form_encoded(request: Request) -> bool:
    types = request.get_header_values("Content-Type")
    return not types or types[0].partition(";")[0].strip().lower() in ("", _FORM_TYPE)


def _handle_public(state: ExchangeState, request: Request, endpoint: PublicEndpoint, query: str, now: int) -> Response:
    until = state.rate_limits.banned_until(request.ip, now)
    if until is not None:
        return banned_response(until, now)
    limit, subject = state.rules.websocket_api_weight_limit, ("public", request.ip)
    refusal, headers = _record_weight(state, request.ip, "X-MBX-USED-WEIGHT-1M", subject, endpoint.weight, limit, now)
    if refusal is not None:
        return refusal
    try:
        response = endpoint.handler(state, parse_parameters(endpoint.parameters, query, ""), now)
    except RefusedError as error:
        response = error_response(error)
    return replace(response, headers=response.headers + headers)


def _handle_with_limits(
    state: ExchangeState, request: Request, endpoint: RestEndpoint, path: str, query: str, now: int
) -> Response:
    until = state.rate_limits.banned_until(request.ip, now)
    if until is not None:
        return banned_response(until, now)
    headers: Headers = ()
    if endpoint.scope == "IP":
        refusal, headers = _record_endpoint_weight(state, request, endpoint, path, request.ip, now)
        if refusal is not None:
            return refusal
    try:
        user = _authenticate(state, request)
        if endpoint.scope == "UID":
            refusal, headers = _record_endpoint_weight(state, request, endpoint, path, user.uid, now)
            if refusal is not None:
                return refusal
        response = _execute(state, request, endpoint, path, user, query, now)
    except RefusedError as error:
        response = error_response(error)
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
        return banned_response(until, now), headers
    message = f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
    retry = ("Retry-After", _to_retry_after(retry_at - now))
    return error_response(RefusedError(-1003, message), 429, (retry, *headers)), headers


def _to_retry_after(milliseconds: int) -> str:
    return str(max(1, -(-milliseconds // 1000)))


def _authenticate(state: ExchangeState, request: Request) -> User:
    keys = request.get_header_values("X-MBX-APIKEY")
    if len(keys) != 1 or not is_well_formed(keys[0]):
        raise RefusedError(-2014)
    user = state.users.find_active(keys[0])
    if user is None:
        raise RefusedError(-2015)
    return user


def _execute(
    state: ExchangeState, request: Request, endpoint: RestEndpoint, path: str, user: User, query: str, now: int
) -> Response:
    body = request.body.decode("utf-8", "surrogateescape")
    parameters = parse_parameters((*endpoint.parameters, *SIGNING_PARAMETERS), query, body)
    check_recv_window(parameters)
    if "signature" in parameters or _requires_signature(state, path):
        check_signature(parameters, query, body, user.api_secret, now)
    return endpoint.handler(state, user, parameters, now)


def _requires_signature(state: ExchangeState, path: str) -> bool:
    return path == LISTEN_TOKEN_PATH and state.rules.signature_policy == "required"
