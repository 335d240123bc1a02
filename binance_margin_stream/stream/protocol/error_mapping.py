"""What a refusal means for the stream: from the REST client's errors, and from answers on a connection."""

from __future__ import annotations

from datetime import UTC, datetime

from binance_margin_stream.exceptions import (
    ApiException,
    ApiTypeError,
    ApiValueError,
    BadParameterError,
    BannedError,
    BlockedError,
    EndpointRetiredError,
    KeyRejectedError,
    ListenKeyUnknownError,
    ListenTokenInvalidError,
    OpenApiException,
    RateLimitError,
    ServerError,
    TimestampError,
)
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind

__all__ = ["classify_error", "classify_response", "classify_status"]

_KIND_BY_CODE = {
    **dict.fromkeys((-1002, -1022, -2008, -2014, -2015), FailureKind.KEY_REJECTED),
    **dict.fromkeys((-1016, -1020), FailureKind.RETIRED),
    **dict.fromkeys((*range(-1108, -1099), -1121, -1130), FailureKind.BAD_PARAMETER),
    **dict.fromkeys((-1003, -1015), FailureKind.RATE_LIMITED),
    **dict.fromkeys((-1125, -1209), FailureKind.UNKNOWN_CREDENTIAL),
    **dict.fromkeys((-1034, -2042), FailureKind.CONNECTION_FULL),
    -2035: FailureKind.ALREADY_SUBSCRIBED,
}
_KIND_BY_STATUS = {
    401: FailureKind.KEY_REJECTED,
    403: FailureKind.FIREWALL_BLOCKED,
    410: FailureKind.RETIRED,
    418: FailureKind.BANNED,
    429: FailureKind.RATE_LIMITED,
    451: FailureKind.COUNTRY_BLOCKED,
}
_KIND_BY_ERROR: tuple[tuple[type[OpenApiException], FailureKind], ...] = (
    (ListenKeyUnknownError, FailureKind.UNKNOWN_CREDENTIAL),
    (ListenTokenInvalidError, FailureKind.UNKNOWN_CREDENTIAL),
    (BadParameterError, FailureKind.BAD_PARAMETER),
    (ApiValueError, FailureKind.BAD_PARAMETER),
    (ApiTypeError, FailureKind.BAD_PARAMETER),
    (TimestampError, FailureKind.KEY_REJECTED),
    (KeyRejectedError, FailureKind.KEY_REJECTED),
    (EndpointRetiredError, FailureKind.RETIRED),
    (BannedError, FailureKind.BANNED),
    (RateLimitError, FailureKind.RATE_LIMITED),
    (ServerError, FailureKind.SERVER_ERROR),
)

_MAX_WAIT = 3 * 86_400
"""Seconds, by the exchange's documentation; a longer wait is not believed, so that none is for ever."""


def classify_error(error: BaseException) -> Failure:
    """What an error of the REST client means."""
    kind = next(
        (kind for error_type, kind in _KIND_BY_ERROR if isinstance(error, error_type)), FailureKind.TRANSPORT_ERROR
    )
    if isinstance(error, EndpointRetiredError) and error.status == 404 and error.code is None:
        kind = FailureKind.NOT_FOUND
    elif isinstance(error, BlockedError):
        kind = FailureKind.COUNTRY_BLOCKED if error.status == 451 else FailureKind.FIREWALL_BLOCKED
    elif kind is FailureKind.TRANSPORT_ERROR and isinstance(error, ApiException):
        kind = FailureKind.SERVER_ERROR
    return Failure(kind, _describe_error(error), _retry_after(error), error)


def _retry_after(error: BaseException) -> float | None:
    waits = [error.retry_after] if isinstance(error, ApiException) and error.retry_after is not None else []
    if isinstance(error, BannedError) and error.until is not None:
        waits.append((error.until - datetime.now(UTC)).total_seconds())
    return max(0.0, min(max(waits), _MAX_WAIT)) if waits else None


def _describe_error(error: BaseException) -> str:
    return str(error) if isinstance(error, OpenApiException) else type(error).__name__


def classify_status(status: int, retry_after: float | None) -> Failure:
    """What a refused WebSocket handshake means; a host that refuses so says nothing about the API key."""
    kind = _KIND_BY_STATUS.get(status, FailureKind.SERVER_ERROR)
    kind = FailureKind.TRANSPORT_ERROR if kind is FailureKind.KEY_REJECTED else kind
    wait = None if retry_after is None else max(0.0, min(retry_after, _MAX_WAIT))
    detail = f"the handshake was answered with HTTP {status}"
    error_type = {FailureKind.COUNTRY_BLOCKED: BlockedError, FailureKind.RETIRED: EndpointRetiredError}.get(kind)
    error = None if error_type is None else error_type(status, call="WebSocket handshake")
    return Failure(kind, detail, wait, error)


def classify_response(response: ResponseFrame, now_ms: int) -> Failure:
    """What a refusal on a connection means; `wall` is the time now, in epoch milliseconds."""
    kind = _KIND_BY_CODE.get(response.error_code or 0)
    if kind is None or (kind is FailureKind.RATE_LIMITED and response.status == 418):
        kind = _KIND_BY_STATUS.get(response.status or 0, FailureKind.SERVER_ERROR)
    wait = None if response.retry_after is None else max(0, min(response.retry_after - now_ms, _MAX_WAIT * 1000)) / 1000
    message = truncate(redact(response.error_message or "no reason given"))
    return Failure(kind, f"code {response.error_code}: {message}", wait, _make_error(kind, response, message))


def _make_error(kind: FailureKind, response: ResponseFrame, message: str) -> ApiException | None:
    """The error that the REST client would raise for the same refusal, as a cause for the user."""
    error_type = {FailureKind.KEY_REJECTED: KeyRejectedError, FailureKind.BAD_PARAMETER: BadParameterError}.get(kind)
    return None if error_type is None else error_type(response.status, code=response.error_code, msg=message)
