"""The gateway in front of the REST calls: routing, limits, API keys, signatures, and injected faults."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from binance_margin_stream.sandbox.amounts import exact
from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint, Security
from binance_margin_stream.sandbox.api.listen_keys import LISTEN_TOKEN_PATH
from binance_margin_stream.sandbox.api.masking import mask_path
from binance_margin_stream.sandbox.api.order_limits import check_order_limits, record_orders
from binance_margin_stream.sandbox.api.read_faults import apply_read_faults, check_order_fault
from binance_margin_stream.sandbox.api.request_parameters import parse_parameters, percent_decode, read_parameters
from binance_margin_stream.sandbox.api.rest_endpoints import ENDPOINTS, METHODS_BY_PATH
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
from binance_margin_stream.sandbox.faults.trading import UnknownOutcome
from binance_margin_stream.sandbox.faults.types import (
    ApiError,
    DelayedResponse,
    NoResponse,
    ResetConnection,
    RestFault,
    StaticResponse,
    TruncatedResponse,
)
from binance_margin_stream.sandbox.messages import Headers, LoggedRequest, Request, Response
from binance_margin_stream.sandbox.model.metrics import RestCall
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS, ApiKey, Permission, User, is_well_formed

__all__ = ["banned_response", "handle_request"]

_REST_FAULTS: tuple[type[RestFault], ...] = (
    ApiError,
    StaticResponse,
    ResetConnection,
    NoResponse,
    TruncatedResponse,
    DelayedResponse,
    UnknownOutcome,
)
_SHARED_BUDGET_PREFIX = "/api/"
_NOBODY = User(0, "", "")
_PERMISSIONS: Mapping[Security, Permission] = {
    "USER_DATA": "reading",
    "TRADE": "trading",
    "MARGIN": "loan_and_transfer",
}
"""What an API key has to be allowed for a signed call."""

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
    fault: RestFault | None = None
    if state.pending_faults.has_any():
        fault = state.pending_faults.take_matching(_REST_FAULTS, path, _find_account(request, path, query))
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
        case UnknownOutcome(status=status):
            return path, gateway_error_response(status)
        case NoResponse():
            return path, replace(response, delivery="never")
        case TruncatedResponse():
            return path, replace(response, delivery="truncated")
        case DelayedResponse(seconds=seconds):
            return path, replace(response, delay_ms=to_milliseconds(seconds))
        case _:
            return path, response


def _find_account(request: Request, path: str, query: str) -> str:
    """The account that a request is for, as far as its parameters can be read; faults may be limited to it."""
    parameters = read_parameters(query, request.body.decode("utf-8", "surrogateescape"))
    isolated = path.endswith("/isolated") or parameters.get("isIsolated", "").lower() == "true"
    account = parameters.get("symbol") if isolated else parameters.get("isolatedSymbol")
    return CROSS if account is None else account


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
    endpoint = ENDPOINTS.get((request.method, path))
    if endpoint is None:
        return _unserved_response(request, path)
    if len(request.body) > state.rules.max_body_bytes:
        return gateway_error_response(413)
    if request.body and not _is_form_encoded(request):
        return gateway_error_response(415)
    return _handle_with_limits(state, request, endpoint, query, now)


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


def _handle_with_limits(state: ExchangeState, request: Request, endpoint: Endpoint, query: str, now: int) -> Response:
    until = state.rate_limits.banned_until(request.ip, now)
    if until is not None:
        return banned_response(state.rules, until, now)
    body = request.body.decode("utf-8", "surrogateescape")
    weight, scope = endpoint.compute_cost(state.rules, query, body)
    headers: Headers = ()
    if scope == "IP":
        refusal, headers = _record_endpoint_weight(state, request, endpoint, weight, None, now)
        if refusal is not None:
            return refusal
    try:
        key = None if endpoint.security == "NONE" else _authenticate(state, request, endpoint)
        if scope == "UID" and key is not None:
            refusal, headers = _record_endpoint_weight(state, request, endpoint, weight, key.user, now)
            if refusal is not None:
                return refusal
        parameters = _parse_and_verify(state, endpoint, key, query, body, now)
        user = _NOBODY if key is None else key.user
        call = Call(state, user, parameters, now)
        result = _execute(call, endpoint)
        headers += _count_orders(call, endpoint)
    except RefusedError as error:
        result = error_response(error, state.rules)
    response = result if isinstance(result, Response) else json_response(result)
    return replace(response, headers=response.headers + headers)


def _record_endpoint_weight(
    state: ExchangeState, request: Request, endpoint: Endpoint, weight: int, user: User | None, now: int
) -> tuple[Response | None, Headers]:
    if endpoint.path.startswith(_SHARED_BUDGET_PREFIX):
        limit = state.rules.websocket_api_weight_limit
        shared = ("public", request.ip)
        return _record_weight(state, request.ip, "X-MBX-USED-WEIGHT-1M", shared, weight, limit, now)
    scope, counted = ("IP", request.ip) if user is None else ("UID", user.uid)
    limit = state.rules.ip_weight_limit if user is None else state.rules.uid_weight_limit
    subject = (scope, counted, endpoint.method, endpoint.path)
    return _record_weight(state, request.ip, f"X-SAPI-USED-{scope}-WEIGHT-1M", subject, weight, limit, now)


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


def _authenticate(state: ExchangeState, request: Request, endpoint: Endpoint) -> ApiKey:
    keys = request.get_header_values("X-MBX-APIKEY")
    if len(keys) != 1 or not is_well_formed(keys[0]):
        raise RefusedError(-2014)
    key = state.users.find_active(keys[0])
    permission = _PERMISSIONS.get(endpoint.security)
    if key is None or (permission is not None and not state.users.has_permission(key, permission)):
        raise RefusedError(-2015)
    return key


def _parse_and_verify(
    state: ExchangeState, endpoint: Endpoint, key: ApiKey | None, query: str, body: str, now: int
) -> Mapping[str, str]:
    """The parameters of a call, whose signature is valid if it needs one or has one."""
    if key is None:
        return parse_parameters(endpoint.parameters, query, "")
    parameters = parse_parameters((*endpoint.parameters, *SIGNING_PARAMETERS), query, body)
    check_recv_window(parameters)
    if "signature" in parameters or _requires_signature(state, endpoint):
        check_signature(parameters, query, body, key, state.signing_clock.get_times(now))
    return parameters


def _requires_signature(state: ExchangeState, endpoint: Endpoint) -> bool:
    if endpoint.path == LISTEN_TOKEN_PATH:
        return state.rules.signature_policy == "required"
    return endpoint.security in _PERMISSIONS


@exact
def _execute(call: Call, endpoint: Endpoint) -> object:
    if endpoint.orders:
        check_order_limits(call)
    check_order_fault(call, endpoint)
    result = endpoint.handler(call)
    call.state.metrics.executed_calls += 1
    return apply_read_faults(call, endpoint, result)


def _count_orders(call: Call, endpoint: Endpoint) -> Headers:
    if not endpoint.orders:
        return ()
    return record_orders(call, endpoint.orders)
