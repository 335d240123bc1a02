"""The gateway in front of the REST calls: routing, limits, keys, signatures, and injected faults."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from binance_margin_stream.sandbox.api.public_endpoints import PUBLIC_CALLS
from binance_margin_stream.sandbox.api.request_parameters import decode, read
from binance_margin_stream.sandbox.api.rest_endpoints import CALLS, LISTEN_TOKEN_PATH, REST_PATHS, Call
from binance_margin_stream.sandbox.api.signature import SIGNING_PARAMETERS, check_signature, check_window
from binance_margin_stream.sandbox.error_responses import RefusedError, error, json_answer, page
from binance_margin_stream.sandbox.faults.types import AnswerWith, DelayAnswer, HalfAnswer, Hang, ResetConnection
from binance_margin_stream.sandbox.messages import Answer, Headers, Request
from binance_margin_stream.sandbox.model.metrics import RestCall
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.model.users import ApiAccount, well_formed

__all__ = ["answer", "banned"]

_REST_FAULTS = (AnswerWith, ResetConnection, Hang, HalfAnswer, DelayAnswer)
_FORM = "application/x-www-form-urlencoded"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"})


def answer(state: State, request: Request, now: int) -> Answer:
    """Answer a REST request, and write it down."""
    path, result = _struck_by_faults(state, request, now)
    known = path if path in REST_PATHS else "(unknown)"
    method = request.method if request.method in _METHODS else "(unknown)"
    state.tally.called(RestCall(now, request.ip, method, known, result.status))
    return result


def _struck_by_faults(state: State, request: Request, now: int) -> tuple[str, Answer]:
    path, query = _split_target(request.target)
    fault = state.faults.take(_REST_FAULTS, path)
    match fault:
        case AnswerWith(status=status, body=body, headers=headers):
            return path, Answer(status, body, headers)
        case ResetConnection(takes_effect=False):
            return path, Answer(0, delivery="reset")
        case _:
            result = _gateway(state, request, path, query, now)
    match fault:
        case ResetConnection():
            return path, replace(result, delivery="reset")
        case Hang():
            return path, replace(result, delivery="hang")
        case HalfAnswer():
            return path, replace(result, delivery="half")
        case DelayAnswer(seconds=seconds):
            return path, replace(result, delay_ms=round(seconds * 1000))
        case _:
            return path, result


def _split_target(target: str) -> tuple[str, str]:
    """Path and query; a proxy's absolute form is taken too. A path that cannot be decoded fits no call."""
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("#")[0].partition("?")
    try:
        return decode(path, plus=False), query
    except RefusedError:
        return "", query


def _gateway(state: State, request: Request, path: str, query: str, now: int) -> Answer:
    if path not in REST_PATHS:
        return page(404)
    if path in state.retired:
        return page(410)
    if (request.method, path) in PUBLIC_CALLS:
        return _public(state, request, path, query, now)
    call = CALLS.get((request.method, path))
    if call is None:
        return page(405, (("Allow", ", ".join(REST_PATHS[path])),))
    if len(request.body) > state.rules.body_limit:
        return page(413)
    if request.body and not _is_form(request):
        return page(415)
    return _limited(state, request, call, path, query, now)


def _is_form(request: Request) -> bool:
    types = request.header("Content-Type")
    return not types or types[0].partition(";")[0].strip().lower() in ("", _FORM)


def _public(state: State, request: Request, path: str, query: str, now: int) -> Answer:
    until = state.limits.banned_until(request.ip, now)
    if until is not None:
        return banned(until, now)
    limit = state.rules.websocket_api_weight_limit
    over, headers = _spend(state, request.ip, "X-MBX-USED-WEIGHT-1M", ("public", request.ip), 1, limit, now)
    if over is not None:
        return over
    try:
        read((), query, "")
    except RefusedError as refusal:
        return error(refusal, headers=headers)
    return json_answer(PUBLIC_CALLS[request.method, path](now), headers=headers)


def _limited(state: State, request: Request, call: Call, path: str, query: str, now: int) -> Answer:
    until = state.limits.banned_until(request.ip, now)
    if until is not None:
        return banned(until, now)
    headers: Headers = ()
    if call.scope == "IP":
        over, headers = _spend_call(state, request, call, path, request.ip, now)
        if over is not None:
            return over
    try:
        account = _authorised(state, request)
        if call.scope == "UID":
            over, headers = _spend_call(state, request, call, path, account.uid, now)
            if over is not None:
                return over
        result = _run(state, request, call, path, account, query, now)
    except RefusedError as refusal:
        result = error(refusal)
    return replace(result, headers=result.headers + headers)


def _spend_call(
    state: State, request: Request, call: Call, path: str, who: str | int, now: int
) -> tuple[Answer | None, Headers]:
    limit = state.rules.ip_weight_limit if call.scope == "IP" else state.rules.uid_weight_limit
    subject = (call.scope, who, request.method, path)
    return _spend(state, request.ip, f"X-SAPI-USED-{call.scope}-WEIGHT-1M", subject, call.weight, limit, now)


def _spend(
    state: State, ip: str, header: str, subject: Hashable, weight: int, limit: int, now: int
) -> tuple[Answer | None, Headers]:
    """Count a call's weight; the refusal if that is too much, and the header that tells the sum."""
    spent = state.limits.spend(subject, weight, limit, now)
    headers: Headers = ((header, str(spent.used)),)
    if not spent.over:
        return None, headers
    retry_at = state.limits.refuse(ip, now)
    until = state.limits.banned_until(ip, now)
    if until is not None:
        return banned(until, now), headers
    message = f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
    retry = ("Retry-After", _seconds(retry_at - now))
    return error(RefusedError(-1003, message), 429, (retry, *headers)), headers


def banned(until: int, now: int) -> Answer:
    """The answer to every request of an IP that is banned until a time (ms)."""
    message = f"Way too much request weight used; IP banned until {until}."
    return error(RefusedError(-1003, message), 418, (("Retry-After", _seconds(until - now)),))


def _seconds(milliseconds: int) -> str:
    return str(max(1, -(-milliseconds // 1000)))


def _authorised(state: State, request: Request) -> ApiAccount:
    keys = request.header("X-MBX-APIKEY")
    if len(keys) != 1 or not well_formed(keys[0]):
        raise RefusedError(-2014)
    account = state.accounts.find(keys[0])
    if account is None:
        raise RefusedError(-2015)
    return account


def _run(state: State, request: Request, call: Call, path: str, account: ApiAccount, query: str, now: int) -> Answer:
    body = request.body.decode("utf-8", "surrogateescape")
    parameters = read((*call.parameters, *SIGNING_PARAMETERS), query, body)
    check_window(parameters)
    if "signature" in parameters or _must_be_signed(state, path):
        check_signature(parameters, query, body, account.api_secret, now)
    return call.run(state, account, parameters, now)


def _must_be_signed(state: State, path: str) -> bool:
    return path == LISTEN_TOKEN_PATH and state.rules.signing == "required"
