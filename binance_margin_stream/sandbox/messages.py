"""Input and output of the exchange: HTTP requests and responses, and WebSocket frames, as values.

Bodies, targets and frames may contain API keys, listen keys and tokens, so none of them appears in a repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "JSON",
    "Abort",
    "AbortKind",
    "Accepted",
    "Binary",
    "Close",
    "DeliveryMode",
    "Frame",
    "Headers",
    "LoggedRequest",
    "Output",
    "Ping",
    "Pong",
    "Request",
    "Response",
    "Text",
]

JSON: TypeAlias = "Mapping[str, JSON] | list[JSON] | str | int | float | None"
"""What JSON can hold; exact amounts are strings."""

Headers = tuple[tuple[str, str], ...]
DeliveryMode = Literal["complete", "truncated", "reset", "never"]
AbortKind = Literal["reset", "eof"]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as received; also a WebSocket handshake."""

    method: str
    target: str = field(repr=False)
    """Path and query as sent, still percent-encoded."""
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    ip: str = "127.0.0.1"

    def get_header_values(self, name: str) -> list[str]:
        """All values of a header; the name is case-insensitive."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, and how it is delivered."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Headers = ()
    delivery: DeliveryMode = "complete"
    code: int | None = None
    """The exchange's error code, for the request log."""
    delay_ms: int = 0
    """Delay before the response is sent, in milliseconds of real time, not of exchange time."""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request and its result, without parameters and credentials."""

    time: int
    """Exchange time in milliseconds."""
    ip: str
    method: str
    """The HTTP method, or ``WebSocket`` for a message on a WebSocket connection."""
    target: str
    """The path, or the method of a WebSocket message."""
    status: int
    """The HTTP status; 101 for an accepted handshake."""
    code: int | None = None
    """The exchange's error code."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted WebSocket handshake."""

    connection_id: int
    delay_ms: int = 0
    """Delay before the handshake is completed, in milliseconds of real time."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text frame."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary frame."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping, with its payload."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong, with the payload of the ping that it answers."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame with code and reason, which ends the connection."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """The end of a connection without a close frame: a TCP reset, or the end of the byte stream."""

    kind: AbortKind


Frame = Text | Binary | Ping | Pong | Close | Abort
Output = tuple[int, Frame]
"""The number of a connection, and a frame to send on it."""
