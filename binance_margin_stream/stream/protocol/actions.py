"""What the life cycle tells its shell to do, and what the shell tells back, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.sources import ApiCall, Source

__all__ = [
    "Action",
    "CloseConnection",
    "Failure",
    "FailureKind",
    "GapReason",
    "OpenConnection",
    "RestRequest",
    "SendPing",
    "SendText",
    "Severity",
    "State",
    "StatusChange",
    "Terminate",
]


class State(Enum):
    """Where a stream is in its life."""

    CONNECTING = "connecting"
    """Not every account has been live yet."""
    LIVE = "live"
    """Every account is subscribed on a connection that is known to be good."""
    RECOVERING = "recovering"
    """Some account is not; events of it may be missing, and a gap will say so."""
    CLOSED = "closed"
    """Closed on request."""
    FAILED = "failed"
    """Something that no repeat can mend."""


class FailureKind(Enum):
    """Why a request or a connection failed, as far as the life cycle acts on it."""

    RETIRED = "retired"
    """The exchange no longer serves this way in."""
    NOT_FOUND = "not found"
    """The address is not there: retired, if it stays so, or a fault that passes."""
    KEY_REJECTED = "rejected"
    """The API key is refused: fatal."""
    BAD_PARAMETER = "bad parameter"
    """The request can never succeed, such as for a symbol that does not exist: fatal."""
    COUNTRY_BLOCKED = "forbidden"
    """This country is refused: fatal."""
    CONNECTION_FULL = "full"
    """The connection takes no further subscription."""
    ALREADY_SUBSCRIBED = "active"
    """The account is already subscribed on the connection."""
    FIREWALL_BLOCKED = "blocked"
    """A firewall refuses: send nothing for a while."""
    RATE_LIMITED = "limited"
    """Too many requests: send nothing for as long as told."""
    BANNED = "banned"
    """The address is banned: send nothing for as long as told."""
    UNKNOWN_CREDENTIAL = "unknown credential"
    """The listen key or the token is gone: make a new one."""
    SERVER_ERROR = "server"
    """The exchange failed; the outcome is unknown, repeating is safe."""
    TRANSPORT_ERROR = "transport"
    """No whole answer came: name resolution, connection, TLS, time."""
    INTERNAL_ERROR = "internal"
    """A mistake of this program: fatal."""

    @property
    def is_fatal(self) -> bool:
        """Whether no repeat can mend it."""
        return self in (FailureKind.KEY_REJECTED, FailureKind.BAD_PARAMETER, FailureKind.COUNTRY_BLOCKED)

    @property
    def requires_backoff(self) -> bool:
        """Whether nothing at all may be sent for a while."""
        return self in (FailureKind.RATE_LIMITED, FailureKind.BANNED, FailureKind.FIREWALL_BLOCKED)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, with the seconds to wait where the exchange told, and the error for the user."""

    kind: FailureKind
    detail: str = ""
    retry_after: float | None = None
    cause: BaseException | None = field(default=None, repr=False, compare=False)


class GapReason:
    """Why events may be missing: the values of a gap's `reason`."""

    DISCONNECTED = "disconnected"
    FROZEN = "frozen"
    CREDENTIAL_EXPIRED = "expired"
    CREDENTIAL_GONE = "credential gone"
    SUBSCRIPTION_TERMINATED = "terminated"
    SHUTDOWN = "shutdown"
    MALFORMED_FRAME = "malformed frame"
    SLOW_CONSUMER = "slow consumer"


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Open a WebSocket for a source; answer with `opened`, or `closed` with the failure."""

    connection_id: int
    source: Source


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close a WebSocket, or give up opening it; no answer is needed."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text frame; it may hold a secret."""

    connection_id: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping frame; answer with `pong` when its pong has come."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class RestRequest:
    """Make a REST call; answer with `obtained`, `extended` or `refused`."""

    id: int
    account: Account
    source: Source
    call: ApiCall


@dataclass(frozen=True, slots=True)
class Terminate:
    """The stream is over: raise this out of the iterator once all that was delivered has been taken."""

    failure: Failure


class Severity(Enum):
    """How loudly a change is worth telling."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class StatusChange:
    """Something about the stream changed: for callbacks and log records. Holds no secret."""

    name: str
    severity: Severity
    account: Account | None = None
    detail: str = ""


Action: TypeAlias = OpenConnection | CloseConnection | SendText | SendPing | RestRequest | Terminate | StatusChange
"""What a shell is told."""
