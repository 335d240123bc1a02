"""WebSocket handshakes: which host they are for, and whether they are accepted."""

from __future__ import annotations

from collections.abc import Sequence

from binance_margin_stream.sandbox.api.rest import banned
from binance_margin_stream.sandbox.api.stream_host import Listening, parse_stream_path
from binance_margin_stream.sandbox.api.websocket_api import WEBSOCKET_API_PATH, weigh_connecting
from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.error_responses import RefusedError, error, page
from binance_margin_stream.sandbox.faults.types import AcceptThenNothing, RefuseHandshake, SlowHandshake
from binance_margin_stream.sandbox.messages import Answer, Opened, Request
from binance_margin_stream.sandbox.model.connections import Connection, Host
from binance_margin_stream.sandbox.model.state import State

__all__ = ["MARGIN_STREAM_PREFIX", "connect", "is_websocket_path", "margin_stream_prefix"]

MARGIN_STREAM_PREFIX = "/margin-stream"
"""Stands for the host of the risk stream where the two stream hosts have to differ."""

_HANDSHAKE_FAULTS = (RefuseHandshake, SlowHandshake, AcceptThenNothing)


def margin_stream_prefix(rules: Rules) -> str:
    """Path that the risk stream's host is found under; empty where both hosts are one."""
    return "" if rules.listen_key_v2_host == "either" else MARGIN_STREAM_PREFIX


def is_websocket_path(target: str) -> bool:
    """Whether a target belongs to a WebSocket host, and not to the REST calls."""
    path = target.partition("?")[0].removeprefix(MARGIN_STREAM_PREFIX)
    return path in (WEBSOCKET_API_PATH, "/ws", "/stream") or path.startswith(("/ws/", "/stream/"))


def connect(state: State, request: Request, now: int) -> Opened | Answer:
    """Accept a handshake or refuse it."""
    path, _, query = request.target.partition("?")
    fault = state.faults.take(_HANDSHAKE_FAULTS, _path_of_faults(path))
    if isinstance(fault, RefuseHandshake):
        return _refused(state, page(fault.status, fault.headers))
    refusal = _over_limits(state, request.ip, path, now)
    if refusal is not None:
        return _refused(state, refusal)
    try:
        connection = _open(state, path, query, request.ip, now)
    except RefusedError:
        return _refused(state, page(400))
    if connection is None:
        return _refused(state, page(404))
    connection.frozen = isinstance(fault, AcceptThenNothing)
    delay = round(fault.seconds * 1000) if isinstance(fault, SlowHandshake) else 0
    return Opened(connection.id, delay)


def _path_of_faults(path: str) -> str:
    """What a fault names: the path without the listen keys in it."""
    if path == WEBSOCKET_API_PATH:
        return path
    return "/" + path.removeprefix(MARGIN_STREAM_PREFIX).split("/")[1] if "/" in path else path


def _refused(state: State, answer: Answer) -> Answer:
    state.tally.handshakes_refused += 1
    return answer


def _over_limits(state: State, ip: str, path: str, now: int) -> Answer | None:
    until = state.limits.banned_until(ip, now)
    if until is not None:
        return banned(until, now)
    host = "websocket_api" if path == WEBSOCKET_API_PATH else "stream"
    retry_at = state.limits.attempt(ip, host, now)
    if retry_at is None and host == "websocket_api" and weigh_connecting(state, ip, now):
        retry_at = state.limits.refuse(ip, now)
    return None if retry_at is None else _too_many(retry_at - now)


def _too_many(wait_ms: int) -> Answer:
    retry = ("Retry-After", str(max(1, -(-wait_ms // 1000))))
    return error(RefusedError(-1034, "Too many connection attempts."), 429, (retry,))


def _open(state: State, path: str, query: str, ip: str, now: int) -> Connection | None:
    if path == WEBSOCKET_API_PATH:
        connection = state.connections.open("websocket_api", ip, False, now)
        connection.show_rate_limits = "returnRateLimits=false" not in query.split("&")
        return connection
    host, path = _stream_host(state.rules, path)
    listening = parse_stream_path(path, query)
    return None if listening is None else _listen(state, host, listening, ip, now)


def _stream_host(rules: Rules, path: str) -> tuple[Host, str]:
    prefix = margin_stream_prefix(rules)
    if not prefix:
        return "any_stream", path
    if path.startswith(f"{prefix}/"):
        return "margin_stream", path.removeprefix(prefix)
    return "stream", path


def _listen(state: State, host: Host, listening: Listening, ip: str, now: int) -> Connection:
    connection = state.connections.open(host, ip, listening.combined, now)
    streams: Sequence[str] = listening.streams
    for stream in streams:
        # An unknown key is accepted and stays silent, as on the exchange.
        state.connections.listen(connection, stream)
    return connection
