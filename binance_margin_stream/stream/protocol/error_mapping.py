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
from binance_margin_stream.stream.protocol.actions import Failure, Trouble

__all__ = ["failure_of", "failure_of_answer", "failure_of_status"]

_BY_CODE = {
    **dict.fromkeys((-1002, -1022, -2008, -2014, -2015), Trouble.REJECTED),
    **dict.fromkeys((-1016, -1020), Trouble.RETIRED),
    **dict.fromkeys((*range(-1108, -1099), -1121, -1130), Trouble.BAD_PARAMETER),
    **dict.fromkeys((-1003, -1015), Trouble.LIMITED),
    **dict.fromkeys((-1125, -1209), Trouble.UNKNOWN_CREDENTIAL),
    **dict.fromkeys((-1034, -2042), Trouble.FULL),
    -2035: Trouble.ACTIVE,
}
_BY_STATUS = {
    401: Trouble.REJECTED,
    403: Trouble.BLOCKED,
    410: Trouble.RETIRED,
    418: Trouble.BANNED,
    429: Trouble.LIMITED,
    451: Trouble.FORBIDDEN,
}
_BY_ERROR: tuple[tuple[type[OpenApiException], Trouble], ...] = (
    (ListenKeyUnknownError, Trouble.UNKNOWN_CREDENTIAL),
    (ListenTokenInvalidError, Trouble.UNKNOWN_CREDENTIAL),
    (BadParameterError, Trouble.BAD_PARAMETER),
    (ApiValueError, Trouble.BAD_PARAMETER),
    (ApiTypeError, Trouble.BAD_PARAMETER),
    (TimestampError, Trouble.REJECTED),
    (KeyRejectedError, Trouble.REJECTED),
    (EndpointRetiredError, Trouble.RETIRED),
    (BannedError, Trouble.BANNED),
    (RateLimitError, Trouble.LIMITED),
    (ServerError, Trouble.SERVER),
)

_LONGEST_BAN = 3 * 86_400
"""Seconds, by the exchange's documentation; a longer wait is not believed, so that none is for ever."""


def failure_of(error: BaseException) -> Failure:
    """What an error of the REST client means."""
    trouble = next((trouble for kind, trouble in _BY_ERROR if isinstance(error, kind)), Trouble.TRANSPORT)
    if isinstance(error, EndpointRetiredError) and error.status == 404 and error.code is None:
        trouble = Trouble.NOT_FOUND
    elif isinstance(error, BlockedError):
        trouble = Trouble.FORBIDDEN if error.status == 451 else Trouble.BLOCKED
    elif trouble is Trouble.TRANSPORT and isinstance(error, ApiException):
        trouble = Trouble.SERVER
    return Failure(trouble, _line(error), _wait(error), error)


def _wait(error: BaseException) -> float | None:
    waits = [error.retry_after] if isinstance(error, ApiException) and error.retry_after is not None else []
    if isinstance(error, BannedError) and error.until is not None:
        waits.append((error.until - datetime.now(UTC)).total_seconds())
    return max(0.0, min(max(waits), _LONGEST_BAN)) if waits else None


def _line(error: BaseException) -> str:
    return str(error) if isinstance(error, OpenApiException) else type(error).__name__


def failure_of_status(status: int, retry_after: float | None) -> Failure:
    """What a refused WebSocket handshake means; a host that refuses so says nothing about the API key."""
    trouble = _BY_STATUS.get(status, Trouble.SERVER)
    trouble = Trouble.TRANSPORT if trouble is Trouble.REJECTED else trouble
    wait = None if retry_after is None else max(0.0, min(retry_after, _LONGEST_BAN))
    detail = f"the handshake was answered with HTTP {status}"
    kind = {Trouble.FORBIDDEN: BlockedError, Trouble.RETIRED: EndpointRetiredError}.get(trouble)
    error = None if kind is None else kind(status, call="WebSocket handshake")
    return Failure(trouble, detail, wait, error)


def failure_of_answer(answer: ResponseFrame, wall: int) -> Failure:
    """What a refusal on a connection means; `wall` is the time now, in epoch milliseconds."""
    trouble = _BY_CODE.get(answer.error_code or 0)
    if trouble is None or (trouble is Trouble.LIMITED and answer.status == 418):
        trouble = _BY_STATUS.get(answer.status or 0, Trouble.SERVER)
    wait = None if answer.retry_after is None else max(0, min(answer.retry_after - wall, _LONGEST_BAN * 1000)) / 1000
    said = truncate(redact(answer.error_message or "no reason given"))
    return Failure(trouble, f"code {answer.error_code}: {said}", wait, _error_of(trouble, answer, said))


def _error_of(trouble: Trouble, answer: ResponseFrame, said: str) -> ApiException | None:
    """The error that the REST client would raise for the same refusal, as a cause for the user."""
    kind = {Trouble.REJECTED: KeyRejectedError, Trouble.BAD_PARAMETER: BadParameterError}.get(trouble)
    return None if kind is None else kind(answer.status, code=answer.error_code, msg=said)
