"""The meaning of the exchange's error codes and HTTP statuses, in one table.

Exceptions, the stream's failure kinds, the causes that `doctor` reports and the exit codes of the command line follow
from `ErrorKind`. Sources: the exchange's error code page, its margin pages, and codes seen in clients.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

__all__ = ["ErrorKind", "classify", "parse_code"]


class ErrorKind(Enum):
    """What a refused or failed request means for its caller."""

    RATE_LIMITED = "rate limited"
    """Too many requests: wait as long as the response says."""
    BANNED = "banned"
    """The IP address is banned for ignoring a rate limit."""
    BLOCKED = "blocked"
    """A firewall in front of the exchange refuses."""
    COUNTRY_REFUSED = "country refused"
    """The exchange does not serve the country of this IP address."""
    KEY_REJECTED = "key rejected"
    """The API key, its permissions, its IP list or the signature: fatal."""
    TIMESTAMP = "timestamp rejected"
    """The timestamp lies outside `recvWindow`."""
    BAD_PARAMETER = "bad parameter"
    """A parameter is missing, malformed or has a value that the exchange does not know."""
    SYMBOL_UNKNOWN = "symbol unknown"
    """The symbol does not exist, or was delisted: final for that account."""
    ACCOUNT_UNAVAILABLE = "account unavailable"
    """The account does not exist, is disabled, or is not served: final for that account."""
    LISTEN_KEY_UNKNOWN = "listen key unknown"
    """The listen key ended, was closed, or belongs to another account."""
    LISTEN_TOKEN_INVALID = "listen token invalid"  # noqa: S105  # a description, not a secret
    """The listen token ended or was never valid."""
    ORDER_UNKNOWN = "order unknown"
    """The order does not exist, or is not visible yet."""
    ORDER_ARCHIVED = "order archived"
    """The order ended without a fill more than 90 days ago and is no longer served."""
    CONNECTION_FULL = "connection full"
    """The connection takes no further subscription, or the host no further connection."""
    ALREADY_SUBSCRIBED = "already subscribed"
    """The account is already subscribed on the connection."""
    NOT_SUBSCRIBED = "not subscribed"
    """The subscription is not active."""
    RETIRED = "retired"
    """The exchange no longer serves this call."""
    NOT_FOUND = "not found"
    """Nothing is served at this address: retired if it stays so, or a passing fault of a front server."""
    SERVER_FAULT = "server fault"
    """The exchange failed; the outcome is unknown."""
    BAD_REQUEST = "bad request"
    """Refused for a reason that none of the other kinds describes."""


CODES: Final[dict[int, ErrorKind]] = {
    **dict.fromkeys((-1003, -1015), ErrorKind.RATE_LIMITED),
    **dict.fromkeys((-1002, -1022, -2008, -2014, -2015), ErrorKind.KEY_REJECTED),
    -1021: ErrorKind.TIMESTAMP,
    **dict.fromkeys((*range(-1108, -1099), -1130), ErrorKind.BAD_PARAMETER),
    -1121: ErrorKind.SYMBOL_UNKNOWN,
    **dict.fromkeys((-3003, -3022, -3027, -3028, -3999, -11001, -11007), ErrorKind.ACCOUNT_UNAVAILABLE),
    **dict.fromkeys((-1125, -3038), ErrorKind.LISTEN_KEY_UNKNOWN),
    -1209: ErrorKind.LISTEN_TOKEN_INVALID,
    -2013: ErrorKind.ORDER_UNKNOWN,
    -2026: ErrorKind.ORDER_ARCHIVED,
    **dict.fromkeys((-1034, -2042), ErrorKind.CONNECTION_FULL),
    -2035: ErrorKind.ALREADY_SUBSCRIBED,
    -2036: ErrorKind.NOT_SUBSCRIBED,
    **dict.fromkeys((-1016, -1020), ErrorKind.RETIRED),
    **dict.fromkeys((-1000, -1001, -1004, -1006, -1007, -1008, -3000, -3044), ErrorKind.SERVER_FAULT),
}
"""The meaning of each code of the exchange that this package knows."""

_ALWAYS: Final[dict[int, ErrorKind]] = {
    404: ErrorKind.NOT_FOUND,
    410: ErrorKind.RETIRED,
    418: ErrorKind.BANNED,
    429: ErrorKind.RATE_LIMITED,
}
"""Statuses that decide whatever code the body has."""

_OTHERWISE: Final[dict[int, ErrorKind]] = {
    401: ErrorKind.KEY_REJECTED,
    403: ErrorKind.BLOCKED,
    408: ErrorKind.SERVER_FAULT,
    451: ErrorKind.COUNTRY_REFUSED,
}
"""Statuses that decide where the body has no code that is known."""

_code = re.compile(r"-?[0-9]{1,6}", re.ASCII)


def classify(status: int | None, code: int | None) -> ErrorKind:
    """What a response means that is not a success; None where it has no status or no code."""
    if status in _ALWAYS:
        return _ALWAYS[status]
    if status is not None and status >= 500:
        return ErrorKind.SERVER_FAULT
    if code is not None and code in CODES:
        return CODES[code]
    return _OTHERWISE.get(status or 0, ErrorKind.BAD_REQUEST)


def parse_code(value: object) -> int | None:
    """The code in an error body, also where a proxy made text of it; None where it is none."""
    if isinstance(value, str) and _code.fullmatch(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
