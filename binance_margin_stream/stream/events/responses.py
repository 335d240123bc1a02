"""The exchange's answers to requests on a WebSocket, which come between the events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from binance_margin_stream.error_codes import parse_code
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.field_types import JsonValue

__all__ = ["ResponseFrame", "is_response", "parse_response"]

_OK = 200
_MAX_MILLISECONDS = 10**14


@dataclass(frozen=True, slots=True)
class ResponseFrame:
    """An answer to a request, of the WebSocket API or of a stream host.

    `status` is None on a stream host, which has none. `retry_after` is an epoch time in milliseconds. The repr
    leaves out `result` and `error_message`: a stream host lists listen keys there.
    """

    id: int | str | None
    status: int | None = None
    result: JsonValue = None
    error_code: int | None = None
    error_message: str | None = None
    retry_after: int | None = None

    def __repr__(self) -> str:
        return f"ResponseFrame(id={self.id!r}, status={self.status!r}, error_code={self.error_code!r})"

    @property
    def ok(self) -> bool:
        """The request succeeded."""
        return self.status in (None, _OK) and self.error_code is None and self.error_message is None

    @property
    def subscription_id(self) -> int | None:
        """The id of the subscription that was made, None where the answer says none."""
        return _as_integer(_as_object(self.result).get("subscriptionId"))

    @property
    def expiration_time(self) -> int | None:
        """When the subscription ends: milliseconds since 1970-01-01 UTC, None where the answer does not say.

        The exchange's documentation shows microseconds here and milliseconds elsewhere; both are taken.
        """
        time = _as_integer(_as_object(self.result).get("expirationTime"))
        return time // 1000 if time is not None and time > _MAX_MILLISECONDS else time


def is_response(frame: Mapping[str, JsonValue]) -> bool:
    """Whether this is an answer: it has an id, is an error that belongs to no request, or is a result without both."""
    return "id" in frame or "error" in frame or ("code" in frame and "msg" in frame) or _is_bare(frame)


def _is_bare(frame: Mapping[str, JsonValue]) -> bool:
    """Whether this is the result of a subscribe without `id` and `status`, as the exchange's margin page prints it."""
    return "id" not in frame and "result" not in frame and ("subscriptionId" in frame or "expirationTime" in frame)


def parse_response(frame: Mapping[str, JsonValue]) -> ResponseFrame:
    """The answer; raises `MalformedFrameError` where its id or status is not what it should be."""
    response_id, status = frame.get("id"), frame.get("status")
    if isinstance(response_id, bool) or not isinstance(response_id, int | str | None):
        raise MalformedFrameError("answer: the id is neither an integer nor a string")
    if status is not None and _as_integer(status) is None:
        raise MalformedFrameError("answer: the status is not an integer")
    error = _as_object(frame.get("error", frame if "code" in frame else None))
    message = error.get("msg")
    if message is None and frame.get("error") is not None:
        message = ""
    return ResponseFrame(
        id=response_id,
        status=_as_integer(status),
        result=dict(frame) if _is_bare(frame) else frame.get("result"),
        error_code=parse_code(error.get("code")),
        error_message=message if isinstance(message, str) else None,
        retry_after=_as_integer(_as_object(error.get("data")).get("retryAfter")),
    )


def _as_object(value: object) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _as_integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
