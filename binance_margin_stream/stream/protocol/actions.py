"""What the life cycle tells its shell to do, and what the shell tells back, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.sources import Call, Source

__all__ = [
    "Action",
    "Change",
    "CloseConnection",
    "Fail",
    "Failure",
    "Level",
    "OpenConnection",
    "Reason",
    "Request",
    "SendPing",
    "SendText",
    "State",
    "Trouble",
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


class Trouble(Enum):
    """Why a request or a connection failed, as far as the life cycle acts on it."""

    RETIRED = "retired"
    """The exchange no longer serves this way in."""
    NOT_FOUND = "not found"
    """The address is not there: retired, if it stays so, or a fault that passes."""
    REJECTED = "rejected"
    """The API key is refused: fatal."""
    BAD_PARAMETER = "bad parameter"
    """The request can never succeed, such as for a symbol that does not exist: fatal."""
    FORBIDDEN = "forbidden"
    """This country is refused: fatal."""
    FULL = "full"
    """The connection takes no further subscription."""
    ACTIVE = "active"
    """The account is already subscribed on the connection."""
    BLOCKED = "blocked"
    """A firewall refuses: send nothing for a while."""
    LIMITED = "limited"
    """Too many requests: send nothing for as long as told."""
    BANNED = "banned"
    """The address is banned: send nothing for as long as told."""
    UNKNOWN_CREDENTIAL = "unknown credential"
    """The listen key or the token is gone: make a new one."""
    SERVER = "server"
    """The exchange failed; the outcome is unknown, repeating is safe."""
    TRANSPORT = "transport"
    """No whole answer came: name resolution, connection, TLS, time."""
    INTERNAL = "internal"
    """A mistake of this program: fatal."""

    @property
    def is_fatal(self) -> bool:
        """Whether no repeat can mend it."""
        return self in (Trouble.REJECTED, Trouble.BAD_PARAMETER, Trouble.FORBIDDEN)

    @property
    def demands_silence(self) -> bool:
        """Whether nothing at all may be sent for a while."""
        return self in (Trouble.LIMITED, Trouble.BANNED, Trouble.BLOCKED)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, with the seconds to wait where the exchange told, and the error for the user."""

    trouble: Trouble
    detail: str = ""
    wait: float | None = None
    error: BaseException | None = field(default=None, repr=False, compare=False)


class Reason:
    """Why events may be missing: the values of a gap's `reason`."""

    DISCONNECTED = "disconnected"
    FROZEN = "frozen"
    EXPIRED = "expired"
    GONE = "credential gone"
    TERMINATED = "terminated"
    SHUTDOWN = "shutdown"
    MALFORMED = "malformed frame"
    OVERFLOW = "slow consumer"


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Open a WebSocket for a source; answer with `opened`, or `closed` with the failure."""

    connection: int
    source: Source


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close a WebSocket, or give up opening it; no answer is needed."""

    connection: int


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text frame; it may hold a secret."""

    connection: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping frame; answer with `pong` when its pong has come."""

    connection: int


@dataclass(frozen=True, slots=True)
class Request:
    """Make a REST call; answer with `obtained`, `extended` or `refused`."""

    number: int
    account: Account
    source: Source
    call: Call


@dataclass(frozen=True, slots=True)
class Fail:
    """The stream is over: raise this out of the iterator once all that was delivered has been taken."""

    failure: Failure


class Level(Enum):
    """How loudly a change is worth telling."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class Change:
    """Something about the stream changed: for callbacks and log records. Holds no secret."""

    name: str
    level: Level
    account: Account | None = None
    detail: str = ""


Action: TypeAlias = OpenConnection | CloseConnection | SendText | SendPing | Request | Fail | Change
"""What a shell is told."""
