"""WebSocket handshakes: routing to a host, limits, and injected faults."""

from __future__ import annotations

from collections.abc import Sequence

from binance_margin_stream.sandbox.api.rest import banned_response
from binance_margin_stream.sandbox.api.stream_host import StreamSelection, parse_stream_path
from binance_margin_stream.sandbox.api.websocket_api import WEBSOCKET_API_PATH, record_connect_weight
from binance_margin_stream.sandbox.clock import to_milliseconds
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.error_responses import RefusedError, error_response, gateway_error_response
from binance_margin_stream.sandbox.faults.types import RefuseHandshake, SilentConnection, SlowHandshake
from binance_margin_stream.sandbox.messages import Accepted, LoggedRequest, Request, Response
from binance_margin_stream.sandbox.model.connections import HostKind, ServerConnection, TimeUnit
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["MARGIN_STREAM_PREFIX", "handle_handshake", "is_websocket_path", "margin_stream_prefix"]

MARGIN_STREAM_PREFIX = "/margin-stream"
"""Path prefix of the risk stream's host, where the rules give it a separate address."""

_HANDSHAKE_FAULTS = (RefuseHandshake, SlowHandshake, SilentConnection)


def margin_stream_prefix(rules: ExchangeRules) -> str:
    """Path prefix of the risk stream's host; empty where the two stream hosts share an address."""
    return "" if rules.listen_key_v2_host == "either" else MARGIN_STREAM_PREFIX


def is_websocket_path(target: str) -> bool:
    """Whether a target belongs to a WebSocket host and not to the REST calls."""
    path = target.partition("?")[0].removeprefix(MARGIN_STREAM_PREFIX)
    return path in (WEBSOCKET_API_PATH, "/ws", "/stream") or path.startswith(("/ws/", "/stream/"))


def handle_handshake(state: ExchangeState, request: Request, now: int) -> Accepted | Response:
    """Accept a handshake or refuse it; the request is logged."""
    result = _handle_handshake(state, request, now)
    status, code = (101, None) if isinstance(result, Accepted) else (result.status, result.code)
    path = _fault_path(request.target.partition("?")[0])
    state.metrics.record_request(LoggedRequest(now, request.ip, "GET", path, status, code))
    return result


def _handle_handshake(state: ExchangeState, request: Request, now: int) -> Accepted | Response:
    path, _, query = request.target.partition("?")
    fault = state.pending_faults.take_matching(_HANDSHAKE_FAULTS, _fault_path(path))
    if isinstance(fault, RefuseHandshake):
        return _record_refusal(state, gateway_error_response(fault.status, fault.headers))
    refusal = _check_limits(state, request.ip, path, now)
    if refusal is not None:
        return _record_refusal(state, refusal)
    try:
        connection = _open_connection(state, path, query, request.ip, now)
    except RefusedError:
        return _record_refusal(state, gateway_error_response(400))
    if connection is None:
        return _record_refusal(state, gateway_error_response(404))
    connection.frozen = isinstance(fault, SilentConnection)
    delay = to_milliseconds(fault.seconds) if isinstance(fault, SlowHandshake) else 0
    return Accepted(connection.id, delay)


def _fault_path(path: str) -> str:
    """The path that faults match: without listen keys."""
    if path == WEBSOCKET_API_PATH:
        return path
    return "/" + path.removeprefix(MARGIN_STREAM_PREFIX).split("/")[1] if "/" in path else path


def _record_refusal(state: ExchangeState, response: Response) -> Response:
    state.metrics.handshakes_refused += 1
    return response


def _check_limits(state: ExchangeState, ip: str, path: str, now: int) -> Response | None:
    until = state.rate_limits.banned_until(ip, now)
    if until is not None:
        return banned_response(state.rules, until, now)
    host = "websocket_api" if path == WEBSOCKET_API_PATH else "stream"
    retry_at = state.rate_limits.record_connection_attempt(ip, host, now)
    if retry_at is None and host == "websocket_api" and record_connect_weight(state, ip, now):
        retry_at = state.rate_limits.record_refusal(ip, now)
    return None if retry_at is None else _too_many_attempts_response(state.rules, retry_at - now)


def _too_many_attempts_response(rules: ExchangeRules, wait_ms: int) -> Response:
    retry = ("Retry-After", str(max(1, -(-wait_ms // 1000))))
    return error_response(RefusedError(-1034, "Too many connection attempts."), rules, 429, (retry,))


def _open_connection(state: ExchangeState, path: str, query: str, ip: str, now: int) -> ServerConnection | None:
    if path == WEBSOCKET_API_PATH:
        connection = state.connections.open("websocket_api", ip, False, now)
        connection.return_rate_limits = "returnRateLimits=false" not in query.split("&")
        connection.time_unit = _parse_time_unit(query)
        return connection
    host, path = _resolve_stream_host(state.rules, path)
    selection = parse_stream_path(path, query)
    if selection is None:
        return None
    connection = _open_stream_connection(state, host, selection, ip, now)
    connection.time_unit = _parse_time_unit(query)
    return connection


def _parse_time_unit(query: str) -> TimeUnit:
    return "us" if {"timeUnit=MICROSECOND", "timeUnit=microsecond"} & set(query.split("&")) else "ms"


def _resolve_stream_host(rules: ExchangeRules, path: str) -> tuple[HostKind, str]:
    prefix = margin_stream_prefix(rules)
    if not prefix:
        return "any_stream", path
    if path.startswith(f"{prefix}/"):
        return "margin_stream", path.removeprefix(prefix)
    return "stream", path


def _open_stream_connection(
    state: ExchangeState, host: HostKind, selection: StreamSelection, ip: str, now: int
) -> ServerConnection:
    connection = state.connections.open(host, ip, selection.combined, now)
    streams: Sequence[str] = selection.streams
    for stream in streams:
        # The exchange accepts an unknown key and sends nothing for it.
        state.connections.subscribe_stream(connection, stream)
    return connection
