"""Everything that can go wrong, as one tree: a class for each thing that a caller does differently.

::

    OpenApiException
    ├── ApiTypeError, ApiValueError     an argument is wrong; nothing was sent
    ├── TransportError                  no whole answer came: refused, DNS, TLS, timeout, cut off
    ├── ResponseError                   an answer came that is not what the exchange promises
    ├── StreamError                     the stream cannot go on
    ├── CheckpointError                 a checkpoint file is damaged, or belongs to something else
    └── ApiException                    the exchange, or something in front of it, said no
        ├── BadRequestException         … and the request is at fault
        │   ├── BadParameterError       a parameter is missing, ill-formed or unknown
        │   ├── TimestampError          the clock is off (-1021)
        │   ├── ListenKeyUnknownError   make a new listen key (-1125)
        │   └── ListenTokenInvalidError make a new listen token (-1209)
        ├── KeyRejectedError            the API key or its signature; do not repeat
        ├── BlockedError                a firewall or a country rule
        ├── EndpointRetiredError        the call is gone; names its successor
        ├── RateLimitError              too many requests; wait `retry_after`
        ├── BannedError                 the IP is banned; send nothing until `until`
        └── ServerError                 the exchange failed; whether the call took effect is unknown

No message, attribute or representation of these holds a key, secret, listen key or token.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

__all__ = [
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


class OpenApiException(Exception):  # noqa: N818  # the name that generated code imports
    """The root of all errors of this package."""


class ApiTypeError(OpenApiException, TypeError):
    """An argument has the wrong type, or is missing; nothing was sent."""


class ApiValueError(OpenApiException, ValueError):
    """An argument or a setting has a value that cannot be; nothing was sent."""


class StreamError(OpenApiException):
    """The stream cannot go on; the cause is attached."""


class CheckpointError(OpenApiException):
    """A checkpoint cannot be used: it is damaged, written by a newer version, or belongs to another stream."""


class TransportError(OpenApiException):
    """No whole answer came, after all repeats that are allowed. The call may have taken effect.

    `kind` is one of ``refused``, ``dns``, ``tls``, ``connect``, ``timeout``, ``cut off``, ``protocol``, ``proxy``
    and ``closed``.
    """

    def __init__(self, message: str, *, kind: str = "protocol") -> None:
        super().__init__(message)
        self.kind = kind


class ResponseError(OpenApiException):
    """An answer came that is not what the exchange promises: HTML, broken JSON, a missing field, a redirect.

    `status` is the HTTP status, `headers` compare without case, `body` is the answer's text, shortened and
    without secrets.
    """

    def __init__(
        self, message: str, *, status: int = 0, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.body = body


class ApiException(OpenApiException):
    """The exchange, or something in front of it, refused the call or failed.

    `status` is the HTTP status and `code` and `msg` are the exchange's own, None where the answer had none.
    `headers` compare without case. `body` is the answer's text, shortened and without secrets. `retry_after`
    is in seconds, None where the answer had none. `at` is when the answer came.
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
        """The error for a response of the plain generated client; `body` and `data` are read from it anew."""
        from binance_margin_stream.http.responses import HttpResponse, map_error

        return map_error(HttpResponse(http_resp.status, http_resp.headers, http_resp.data or b""))

    @property
    def hint(self) -> str:
        """What happened and what to do next, in one line."""
        return self._hint

    def __str__(self) -> str:
        details = [f"HTTP {self.status}"] if self.status else []
        details += [f"code {self.code}"] if self.code is not None else []
        details += [repr(self.msg)] if self.msg else [repr(self.reason)] if self.reason else []
        prefix = f"{self.call}: " if self.call else ""
        return f"{prefix}{self.hint} ({', '.join(details)})"


class BadRequestException(ApiException):
    """The request is at fault; repeating it unchanged is of no use."""

    _hint = "the exchange refused the request"


class BadParameterError(BadRequestException):
    """A parameter is missing, ill-formed or unknown to the exchange (-1100 … -1108, -1121, -1130)."""

    _hint = "correct the parameter that the message names"


class TimestampError(BadRequestException):
    """The request's timestamp lies outside `recvWindow`, although the clock's offset was corrected (-1021)."""

    _hint = "the clock of this machine is off or the network is slow: set the clock, or raise recvWindow"


class ListenKeyUnknownError(BadRequestException):
    """The listen key ended, was closed, or belongs to another account (-1125)."""

    _hint = "this listen key is gone: make a new key and connect with it"


class ListenTokenInvalidError(BadRequestException):
    """The listen token ended or was never valid (-1209)."""

    _hint = "this listen token is gone: make a new token and subscribe with it"


_KEY_HINTS = {
    -1002: "permission: allow this API key to read user data",
    -1022: "signature: check the API secret",
    -2008: "unknown key: check that the API key was copied whole and still exists",
    -2014: "format: check that the API key was copied whole",
    -2015: "permission or IP list: check that the API key exists, may read user data, and allows this IP",
}


class KeyRejectedError(ApiException):
    """The exchange does not take the API key or its signature (401, -1002, -1022, -2008, -2014, -2015)."""

    @property
    def hint(self) -> str:
        """What to check first."""
        return f"the API key was rejected; {_KEY_HINTS.get(self.code or 0, 'check the key and its permissions')}"


class BlockedError(ApiException):
    """A firewall or a country rule stands before the exchange (403, 451)."""

    _hint = "blocked by a firewall or a country rule, not by the API key: try from another network"


class EndpointRetiredError(ApiException):
    """The exchange no longer serves this call (404, 410, -1016, -1020).

    `successor` names the call to use instead, None where none is known.
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
    """Too many requests (429, -1003, -1015). To go on regardless leads to a ban."""

    @property
    def hint(self) -> str:
        """How long to wait."""
        wait = "a minute" if self.retry_after is None else f"{self.retry_after:g} s"
        return f"too many requests: wait {wait} before the next one"


class BannedError(ApiException):
    """The IP is banned for ignoring the rate limit (418), for 2 minutes up to 3 days.

    `until` is when the ban ends, None where the answer did not say.
    """

    def __init__(self, *args: Any, until: datetime | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.until = until

    @property
    def hint(self) -> str:
        """When the ban ends."""
        end = f"until {self.until:%Y-%m-%d %H:%M:%S} UTC" if self.until else "for 2 minutes up to 3 days"
        return f"this IP is banned {end}: send nothing before"


class ServerError(ApiException):
    """The exchange failed (5xx, -1000, -1001, -1006, -1007, -1008)."""

    _hint = "the exchange failed; outcome unknown: the call may have taken effect, and is safe to repeat"


# The names under which generated code knows these.
UnauthorizedException = KeyRejectedError
ForbiddenException = BlockedError
NotFoundException = EndpointRetiredError
ServiceException = ServerError
