"""Failures of requests and connections, and how errors of the REST client and responses map to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from binance_margin_stream.error_codes import ErrorKind, classify
from binance_margin_stream.exceptions import (
    AccountUnavailableError,
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
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.responses import ResponseFrame

__all__ = ["Failure", "FailureKind", "classify_error", "classify_response", "classify_status"]


class FailureKind(Enum):
    """Why a request or a connection failed, as far as the stream reacts to it."""

    RETIRED = "retired"
    """The exchange no longer serves this source."""
    NOT_FOUND = "not found"
    """Nothing is served at the address: retired if this lasts, or a passing fault."""
    KEY_REJECTED = "key rejected"
    """The API key is refused: fatal."""
    BAD_PARAMETER = "bad parameter"
    """The request can never succeed, since a parameter is malformed: fatal."""
    ACCOUNT_UNAVAILABLE = "account unavailable"
    """The account does not exist, is disabled or delisted: final for that account, not for the stream."""
    TIMED_OUT = "timed out"
    """Not every account was subscribed within the time that entering may take."""
    COUNTRY_BLOCKED = "blocked in this country"
    """The exchange does not serve the country of this IP address: fatal."""
    CONNECTION_FULL = "connection full"
    """The connection takes no further subscription."""
    ALREADY_SUBSCRIBED = "already subscribed"
    """The account is already subscribed on the connection."""
    FIREWALL_BLOCKED = "blocked by a firewall"
    """A firewall refuses the request: send nothing for a while."""
    RATE_LIMITED = "rate limited"
    """Too many requests: send nothing for as long as the response states."""
    BANNED = "banned"
    """The IP address is banned: send nothing for as long as the response states."""
    UNKNOWN_CREDENTIAL = "unknown credential"
    """The listen key or listen token does not exist: create a new one."""
    SERVER_ERROR = "server error"
    """The exchange failed, or refused for an unknown reason; a retry is safe."""
    TRANSPORT_ERROR = "transport error"
    """No complete response arrived: name resolution, connection, TLS, timeout."""
    INTERNAL_ERROR = "internal error"
    """A defect of this package: fatal."""

    @property
    def is_fatal(self) -> bool:
        """Whether a retry cannot succeed."""
        return self in (FailureKind.KEY_REJECTED, FailureKind.BAD_PARAMETER, FailureKind.COUNTRY_BLOCKED)

    @property
    def is_final_for_account(self) -> bool:
        """Whether a retry cannot succeed for this account, while other accounts are not concerned."""
        return self is FailureKind.ACCOUNT_UNAVAILABLE

    @property
    def requires_backoff(self) -> bool:
        """Whether nothing at all may be sent for a while."""
        return self in (FailureKind.RATE_LIMITED, FailureKind.BANNED, FailureKind.FIREWALL_BLOCKED)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure, with the seconds to wait if the exchange stated them, and the error that the user gets as cause."""

    kind: FailureKind
    detail: str = ""
    retry_after: float | None = None
    cause: BaseException | None = field(default=None, repr=False, compare=False)

    @property
    def code(self) -> int | None:
        """The error code of the exchange, None if there is none."""
        return self.cause.code if isinstance(self.cause, ApiException) else None

    def of_account(self, account: Account) -> Failure:
        """The same failure, with a detail that names the account."""
        return Failure(self.kind, f"account {account}: {self.detail}", self.retry_after, self.cause)


_FAILURE_BY_ERROR_KIND = {
    ErrorKind.RATE_LIMITED: FailureKind.RATE_LIMITED,
    ErrorKind.BANNED: FailureKind.BANNED,
    ErrorKind.BLOCKED: FailureKind.FIREWALL_BLOCKED,
    ErrorKind.COUNTRY_REFUSED: FailureKind.COUNTRY_BLOCKED,
    ErrorKind.KEY_REJECTED: FailureKind.KEY_REJECTED,
    ErrorKind.TIMESTAMP: FailureKind.KEY_REJECTED,
    ErrorKind.BAD_PARAMETER: FailureKind.BAD_PARAMETER,
    ErrorKind.SYMBOL_UNKNOWN: FailureKind.ACCOUNT_UNAVAILABLE,
    ErrorKind.ACCOUNT_UNAVAILABLE: FailureKind.ACCOUNT_UNAVAILABLE,
    ErrorKind.LISTEN_KEY_UNKNOWN: FailureKind.UNKNOWN_CREDENTIAL,
    ErrorKind.LISTEN_TOKEN_INVALID: FailureKind.UNKNOWN_CREDENTIAL,
    ErrorKind.CONNECTION_FULL: FailureKind.CONNECTION_FULL,
    ErrorKind.ALREADY_SUBSCRIBED: FailureKind.ALREADY_SUBSCRIBED,
    ErrorKind.RETIRED: FailureKind.RETIRED,
    ErrorKind.NOT_FOUND: FailureKind.NOT_FOUND,
}
"""The other kinds are retried after a backoff: `FailureKind.SERVER_ERROR`."""

_FAILURE_BY_EXCEPTION: tuple[tuple[type[OpenApiException], FailureKind], ...] = (
    (ListenKeyUnknownError, FailureKind.UNKNOWN_CREDENTIAL),
    (ListenTokenInvalidError, FailureKind.UNKNOWN_CREDENTIAL),
    (AccountUnavailableError, FailureKind.ACCOUNT_UNAVAILABLE),
    (BadParameterError, FailureKind.BAD_PARAMETER),
    (ApiValueError, FailureKind.BAD_PARAMETER),
    (ApiTypeError, FailureKind.BAD_PARAMETER),
    (TimestampError, FailureKind.KEY_REJECTED),
    (KeyRejectedError, FailureKind.KEY_REJECTED),
    (EndpointRetiredError, FailureKind.RETIRED),
    (BlockedError, FailureKind.FIREWALL_BLOCKED),
    (BannedError, FailureKind.BANNED),
    (RateLimitError, FailureKind.RATE_LIMITED),
    (ServerError, FailureKind.SERVER_ERROR),
)

_CAUSE_BY_FAILURE: dict[FailureKind, type[ApiException]] = {
    FailureKind.ACCOUNT_UNAVAILABLE: AccountUnavailableError,
    FailureKind.BAD_PARAMETER: BadParameterError,
    FailureKind.COUNTRY_BLOCKED: BlockedError,
    FailureKind.KEY_REJECTED: KeyRejectedError,
    FailureKind.RETIRED: EndpointRetiredError,
}
"""The error that the REST client raises for the same refusal, for failures that end the stream."""

_MAX_WAIT = 3 * 86_400
"""Seconds. The exchange documents bans of at most three days; a longer wait is capped, so that every wait ends."""


def classify_error(error: BaseException) -> Failure:
    """The failure for an error of the REST client."""
    kind = next(
        (kind for error_type, kind in _FAILURE_BY_EXCEPTION if isinstance(error, error_type)),
        FailureKind.SERVER_ERROR if isinstance(error, ApiException) else FailureKind.TRANSPORT_ERROR,
    )
    if isinstance(error, BadParameterError):
        kind = _FAILURE_BY_ERROR_KIND.get(classify(error.status, error.code), kind)
    elif isinstance(error, BlockedError) or (isinstance(error, EndpointRetiredError) and error.code is None):
        kind = _FAILURE_BY_ERROR_KIND.get(classify(error.status, None), kind)
    return Failure(kind, _describe_error(error), _retry_after(error), error)


def _retry_after(error: BaseException) -> float | None:
    waits = [error.retry_after] if isinstance(error, ApiException) and error.retry_after is not None else []
    if isinstance(error, BannedError) and error.until is not None:
        waits.append((error.until - datetime.now(UTC)).total_seconds())
    return max(0.0, min(max(waits), _MAX_WAIT)) if waits else None


def _describe_error(error: BaseException) -> str:
    return str(error) if isinstance(error, OpenApiException) else type(error).__name__


def classify_status(status: int, retry_after: float | None) -> Failure:
    """The failure for a refused WebSocket handshake. A 401 there says nothing about the API key."""
    kind = _FAILURE_BY_ERROR_KIND.get(classify(status, None), FailureKind.SERVER_ERROR)
    kind = FailureKind.TRANSPORT_ERROR if kind is FailureKind.KEY_REJECTED else kind
    wait = None if retry_after is None else max(0.0, min(retry_after, _MAX_WAIT))
    error_type = _CAUSE_BY_FAILURE.get(kind)
    cause = None if error_type is None else error_type(status, call="WebSocket handshake")
    return Failure(kind, f"the handshake failed with HTTP {status}", wait, cause)


def classify_response(response: ResponseFrame, now_ms: int) -> Failure:
    """The failure for an error response on a connection; `now_ms` is the current time in epoch milliseconds."""
    error_kind = classify(response.status, response.error_code)
    kind = _FAILURE_BY_ERROR_KIND.get(error_kind, FailureKind.SERVER_ERROR)
    wait = None if response.retry_after is None else max(0, min(response.retry_after - now_ms, _MAX_WAIT * 1000)) / 1000
    message = truncate(redact(response.error_message or "no reason given"))
    error_type = _CAUSE_BY_FAILURE.get(kind)
    cause = None if error_type is None else error_type(response.status, code=response.error_code, msg=message)
    return Failure(kind, f"code {response.error_code}: {message}", wait, cause)
