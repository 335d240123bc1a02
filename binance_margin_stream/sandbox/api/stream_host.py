"""The stream hosts: listen keys in the path, in the query, or in a SUBSCRIBE request."""

from __future__ import annotations

import json
from dataclasses import dataclass

from binance_margin_stream.sandbox.api.request_parameters import percent_decode
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.messages import Close, LoggedRequest, Text
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["StreamSelection", "enforce_message_rate", "handle_request", "parse_stream_path"]

_MAX_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_UNKNOWN = "(unknown)"


@dataclass(frozen=True, slots=True)
class StreamSelection:
    """The streams of a handshake, and whether events have the combined envelope."""

    combined: bool
    streams: tuple[str, ...]


def parse_stream_path(path: str, query: str) -> StreamSelection | None:
    """Parse the path and query of a handshake, both percent-encoded; None for an unknown path.

    Raises:
        RefusedError: invalid percent-encoding, or bytes that are not UTF-8.

    """
    if path in ("/ws", "/ws/"):
        return StreamSelection(False, ())
    if path.startswith("/ws/"):
        # A listen key may contain a slash, so the rest of the path is one name.
        return StreamSelection(False, (percent_decode(path.removeprefix("/ws/"), plus_as_space=False),))
    if path in ("/stream", "/stream/"):
        return StreamSelection(True, _parse_streams_query(query))
    return None


def handle_request(state: ExchangeState, connection: ServerConnection, text: str, now: int) -> None:
    """Handle a request and send its response; the request is logged."""
    request_id: object = None
    name, status, code = _UNKNOWN, 200, None
    try:
        request = _parse_request(text)
        name = _parse_method_name(request)
        request_id = _parse_id(request)
        result = _execute(state, connection, request)
        response: dict[str, object] = {"result": result, "id": request_id}
    except RefusedError as refusal:
        status, code = 400, refusal.code
        response = {"error": {"code": refusal.code, "msg": refusal.message}}
        if request_id is not None:
            response["id"] = request_id
    state.connections.send(connection, Text(json.dumps(response, separators=(",", ":"))))
    state.metrics.record_request(LoggedRequest(now, connection.ip, "WebSocket", name, status, code))


def enforce_message_rate(state: ExchangeState, connection: ServerConnection, now: int) -> bool:
    """Count a message, ping or pong; close the connection of a client that exceeds the limit per second."""
    if connection.message_rate is None or not connection.message_rate.record_message(now):
        return False
    state.connections.close(connection, Close(1008, "Too many requests"))
    return True


def _parse_streams_query(query: str) -> tuple[str, ...]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "streams":
            return tuple(percent_decode(stream, plus_as_space=False) for stream in value.split("/") if stream)
    return ()


def _parse_request(text: str) -> dict[str, object]:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(request, dict):
        raise RefusedError(2, "Invalid request: expected an object")
    return request


def _parse_id(request: dict[str, object]) -> object:
    request_id = request.get("id")
    if isinstance(request_id, int) and not isinstance(request_id, bool) and request_id >= 0:
        return request_id
    if isinstance(request_id, str) and len(request_id) <= 36:
        return request_id
    if request_id is None:
        return None
    raise RefusedError(2, "Invalid request: request ID must be an unsigned integer")


def _execute(state: ExchangeState, connection: ServerConnection, request: dict[str, object]) -> object:
    method = request.get("method")
    if method is None:
        raise RefusedError(2, "Invalid request: missing field `method` at line 1 column 1")
    if method not in _METHODS:
        raise RefusedError(2, f"Invalid request: unknown variant, expected one of {', '.join(_METHODS)}")
    if method == "LIST_SUBSCRIPTIONS":
        return list(connection.streams)
    if method == "SET_PROPERTY":
        connection.combined = _parse_property(request, 2)
        return None
    if method == "GET_PROPERTY":
        _parse_property(request, 1)
        return connection.combined
    for stream in _parse_stream_names(request):
        if method == "UNSUBSCRIBE":
            state.connections.unsubscribe_stream(connection, stream)
        elif len(connection.streams) >= _MAX_STREAMS:
            raise RefusedError(2, "Invalid request: too many streams")
        else:
            state.connections.subscribe_stream(connection, stream)
    return None


def _parse_method_name(request: dict[str, object]) -> str:
    """The name of a request's method, for the log."""
    method = request.get("method")
    return method if isinstance(method, str) and method in _METHODS else _UNKNOWN


def _parse_property(request: dict[str, object], count: int) -> bool:
    """The value of the only property, `combined`; False without a value."""
    params = request.get("params")
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        raise RefusedError(2, "Invalid request: property name must be a string")
    if len(params) > count:
        raise RefusedError(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        raise RefusedError(0, "Unknown property")
    value = params[1] if len(params) == 2 else None if count == 2 else False
    if not isinstance(value, bool):
        raise RefusedError(1, "Invalid value type: expected Boolean")
    return value


def _parse_stream_names(request: dict[str, object]) -> list[str]:
    params = request.get("params")
    if not isinstance(params, list) or not params:
        raise RefusedError(2, "Invalid request: params must be an array of stream names")
    names = [name for name in params if isinstance(name, str)]
    if len(names) < len(params):
        raise RefusedError(2, "Invalid request: stream name must be a string")
    return names
