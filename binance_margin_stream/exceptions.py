"""The exceptions of this package, as one tree. Each class stands for a different reaction of the caller.

::

    OpenApiException
    ├── ApiTypeError, ApiValueError     an argument is wrong; nothing was sent
    ├── TransportError                  no complete response: refused, DNS, TLS, timeout, disconnected
    ├── ResponseError                   the response is not what the exchange documents
    ├── StreamError                     the stream cannot continue
    ├── CheckpointError                 a checkpoint file is damaged, or belongs to another stream
    └── ApiException                    the exchange, or a server in front of it, refused the call or failed
        ├── BadRequestException         the request is wrong
        │   ├── BadParameterError       a parameter is missing, malformed or unknown
        │   ├── AccountUnavailableError the margin account does not exist or is disabled
        │   ├── TimestampError          the clock is wrong (-1021)
        │   ├── ListenKeyUnknownError   create a new listen key (-1125)
        │   └── ListenTokenInvalidError create a new listen token (-1209)
        ├── KeyRejectedError            the API key or its signature was rejected; do not retry
        ├── BlockedError                a firewall or a country rule refused the request
        ├── EndpointRetiredError        the call no longer exists; names its successor
        ├── RateLimitError              too many requests; wait `retry_after`
        ├── BannedError                 the IP address is banned; send nothing until `until`
        └── ServerError                 the exchange failed; whether the call took effect is unknown

No message, attribute or representation of these exceptions contains an API key, a secret, a listen key or a token.
Which class an error response gets follows from the table in `binance_margin_stream.error_codes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from binance_margin_stream.error_codes import ErrorKind, classify
from binance_margin_stream.redaction import redact, truncate

__all__ = [
    "AccountUnavailableError",
    "ApiException",
    "ApiTypeError",
    "ApiValueError",
    "BadParameterError",
    "BadRequestException",
    "BannedError",
    "BlockedError",
    "CheckpointError",
    "EndpointRetiredError",
    "KeyRejectedError",
    "ListenKeyUnknownError",
    "ListenTokenInvalidError",
    "OpenApiException",
    "RateLimitError",
    "ResponseError",
    "ServerError",
    "StreamError",
    "TimestampError",
    "TransportError",
]


TransportErrorKind = Literal[
    "refused", "dns", "tls", "connect", "timeout", "disconnected", "protocol", "proxy", "closed"
]
"""The values of `TransportError.kind`."""


class OpenApiException(Exception):  # noqa: N818  # the name that generated code imports
    """The base class of all exceptions of this package."""


class ApiTypeError(OpenApiException, TypeError):
    """An argument has the wrong type or is missing. Nothing was sent."""


class ApiValueError(OpenApiException, ValueError):
    """An argument or a setting has an invalid value. Nothing was sent."""


class StreamError(OpenApiException):
    """The stream cannot continue. ``__cause__`` says why."""


class CheckpointError(OpenApiException):
    """A checkpoint cannot be used: it is damaged, written by a newer version, or belongs to another stream."""


class TransportError(OpenApiException):
    """No complete response arrived, after all retries. The call may have taken effect.

    `kind` is one of ``refused``, ``dns``, ``tls``, ``connect``, ``timeout``, ``disconnected``, ``protocol``,
    ``proxy`` and ``closed``.
    """

    def __init__(self, message: str, *, kind: TransportErrorKind = "protocol") -> None:
        super().__init__(message)
        self.kind: TransportErrorKind = kind


class ResponseError(OpenApiException):
    """The response is not what the exchange documents: HTML, invalid JSON, a missing field, a redirect.

    `status` is the HTTP status. `headers` ignore case. `body` is the text of the response, truncated and without
    secrets.
    """

    def __init__(
        self, message: str, *, status: int = 0, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body


class ApiException(OpenApiException):
    """The exchange, or a server in front of it, refused the call or failed.

    `status` is the HTTP status. `code` and `msg` are the exchange's own, None if the response has none. `headers`
    ignore case. `body` is the text of the response, truncated and without secrets. `retry_after` is in seconds,
    None if the response has no such header. `call` is the method and path. `received_at` is when the response
    arrived.
    """

    _hint: ClassVar[str] = "the exchange refused the call"

    def __init__(
        self,
        status: int | None = None,
        reason: str | None = None,
        *,
        code: int | None = None,
        msg: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        retry_after: float | None = None,
        call: str | None = None,
        received_at: datetime | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.code = code
        self.msg = msg
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body
        self.retry_after = retry_after
        self.call = call
        self.received_at = received_at if received_at is not None else datetime.now(UTC)

    @classmethod
    def from_response(cls, *, http_resp: Any, body: str | None = None, data: object = None) -> ApiException:
        """Build the error for an error response of the generated client, used without `ApiClient`.

        `data` is the deserialized ``ErrorResponse`` model, None if the body is not one.
        """
        code, msg = getattr(data, "code", None), getattr(data, "msg", None)
        text = truncate(redact(body or ""))
        return get_error_class(http_resp.status, code)(
            http_resp.status,
            None if msg else text or http_resp.reason,
            code=code,
            msg=truncate(redact(msg)) if msg else None,
            headers=http_resp.headers,
            body=text,
        )

    @property
    def hint(self) -> str:
        """What happened and what to do next, on one line."""
        return self._hint

    def __str__(self) -> str:
        details = [f"HTTP {self.status}"] if self.status else []
        details += [f"code {self.code}"] if self.code is not None else []
        details += [repr(self.msg)] if self.msg else [repr(self.reason)] if self.reason else []
        prefix = f"{self.call}: " if self.call else ""
        return f"{prefix}{self.hint} ({', '.join(details)})"


class BadRequestException(ApiException):
    """The request is wrong. Retrying it unchanged fails again."""

    _hint = "the exchange refused the request"


class BadParameterError(BadRequestException):
    """A parameter is missing, malformed or unknown to the exchange (-1100 … -1108, -1121, -1130)."""

    @property
    def hint(self) -> str:
        """What to correct."""
        if classify(self.status, self.code) is ErrorKind.SYMBOL_UNKNOWN:
            return "the symbol does not exist or was delisted: correct it, or leave it out"
        return "correct the parameter named in the message"


class AccountUnavailableError(BadRequestException):
    """The margin account does not exist, is disabled, or is not served.

    The codes are -3003, -3022, -3027, -3028, -3999, -11001 and -11007. It is final for that account. Other
    accounts of the same API key are not concerned.
    """

    _hint = "this margin account is not available: open or enable it at the exchange, or leave it out"


class TimestampError(BadRequestException):
    """The timestamp is outside `recvWindow`, even after the clock offset was corrected (-1021)."""

    _hint = "the clock of this machine is wrong or the network is slow: synchronize the clock, or raise recvWindow"


class ListenKeyUnknownError(BadRequestException):
    """The listen key has expired, was closed, or belongs to another account (-1125, -3038)."""

    _hint = "this listen key is no longer valid: create a new one and connect with it"


class ListenTokenInvalidError(BadRequestException):
    """The listen token has expired or was never valid (-1209)."""

    _hint = "this listen token is no longer valid: create a new one and subscribe with it"


_KEY_HINTS = {
    -1002: "permission: allow this API key to read user data",
    -1022: "signature: check the API secret",
    -2008: "unknown key: check that the API key was copied completely and still exists",
    -2014: "format: check that the API key was copied completely",
    -2015: "permission or IP list: check that the API key exists, may read user data, and allows this IP",
}


class KeyRejectedError(ApiException):
    """The exchange rejects the API key or its signature (401, -1002, -1022, -2008, -2014, -2015)."""

    @property
    def hint(self) -> str:
        """What to check first."""
        return f"the API key was rejected; {_KEY_HINTS.get(self.code or 0, 'check the key and its permissions')}"


class BlockedError(ApiException):
    """A firewall or a country rule in front of the exchange refuses the request (403, 451)."""

    _hint = "blocked by a firewall or a country rule, not because of the API key: try another network"


class EndpointRetiredError(ApiException):
    """The exchange no longer serves this call (404, 410, -1016, -1020).

    `successor` names the call to use instead, None if none is known.
    """

    def __init__(self, *args: Any, successor: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.successor = successor

    @property
    def hint(self) -> str:
        """What to call instead."""
        replacement = f"use {self.successor} instead" if self.successor else "no successor is known"
        return f"the exchange has retired this call; {replacement}"


class RateLimitError(ApiException):
    """Too many requests (429, -1003, -1015). Sending more leads to a ban."""

    @property
    def hint(self) -> str:
        """How long to wait."""
        wait = "a minute" if self.retry_after is None else f"{self.retry_after:g} s"
        return f"too many requests: wait {wait} before the next request"


class BannedError(ApiException):
    """The IP address is banned for ignoring a rate limit (418), for 2 minutes up to 3 days.

    `until` is when the ban ends, None if the response does not say.
    """

    def __init__(self, *args: Any, until: datetime | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.until = until

    @property
    def hint(self) -> str:
        """When the ban ends."""
        end = f"until {self.until:%Y-%m-%d %H:%M:%S} UTC" if self.until else "for 2 minutes up to 3 days"
        return f"this IP address is banned {end}: send nothing before that"


class ServerError(ApiException):
    """The exchange failed (408, 5xx, -1000, -1001, -1004, -1006, -1007, -1008, -3000, -3044)."""

    _hint = "the exchange failed, outcome unknown: the call may have taken effect; retrying it is safe"


_CLASS_BY_KIND: dict[ErrorKind, type[ApiException]] = {
    ErrorKind.RATE_LIMITED: RateLimitError,
    ErrorKind.BANNED: BannedError,
    ErrorKind.BLOCKED: BlockedError,
    ErrorKind.COUNTRY_REFUSED: BlockedError,
    ErrorKind.KEY_REJECTED: KeyRejectedError,
    ErrorKind.TIMESTAMP: TimestampError,
    ErrorKind.BAD_PARAMETER: BadParameterError,
    ErrorKind.SYMBOL_UNKNOWN: BadParameterError,
    ErrorKind.ACCOUNT_UNAVAILABLE: AccountUnavailableError,
    ErrorKind.LISTEN_KEY_UNKNOWN: ListenKeyUnknownError,
    ErrorKind.LISTEN_TOKEN_INVALID: ListenTokenInvalidError,
    ErrorKind.RETIRED: EndpointRetiredError,
    ErrorKind.NOT_FOUND: EndpointRetiredError,
    ErrorKind.SERVER_FAULT: ServerError,
}


def get_error_class(status: int, code: int | None) -> type[ApiException]:
    """The class for an error response, from its HTTP status and the exchange's code, None if it has none."""
    other_class = BadRequestException if status == 400 else ApiException
    return _CLASS_BY_KIND.get(classify(status, code), other_class)


# The names that generated code imports.
UnauthorizedException = KeyRejectedError
ForbiddenException = BlockedError
NotFoundException = EndpointRetiredError
ServiceException = ServerError
