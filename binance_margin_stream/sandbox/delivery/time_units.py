"""Times in microseconds, for connections with ``timeUnit=MICROSECOND``."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["convert_event", "convert_response"]

_EVENT_FIELDS = frozenset({"E", "T"})
_MORE_EVENT_FIELDS: Mapping[object, frozenset[str]] = {
    "executionReport": frozenset({"O", "W", "D"}),
    "outboundAccountPosition": frozenset({"u"}),
}
_RESPONSE_FIELDS = frozenset({"serverTime", "authorizedSince", "connectedSince", "retryAfter"})


def convert_event(event: Mapping[str, object]) -> dict[str, object]:
    """An event with its times in microseconds instead of milliseconds."""
    names = _EVENT_FIELDS | _MORE_EVENT_FIELDS.get(event.get("e"), frozenset())
    return {name: _convert_time(value) if name in names else value for name, value in event.items()}


def convert_response(response: Mapping[str, object]) -> dict[str, object]:
    """A response of the WebSocket API with its times in microseconds instead of milliseconds."""
    return {
        name: convert_response(value)
        if isinstance(value, dict)
        else _convert_time(value)
        if name in _RESPONSE_FIELDS
        else value
        for name, value in response.items()
    }


def _convert_time(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value * 1000
    return f"{value}000" if isinstance(value, str) and value.isdecimal() else value
