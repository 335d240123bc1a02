"""What goes into the exchange and comes out of it: requests, answers and WebSocket frames, as values.

Bodies, targets and frames may hold API keys, listen keys and tokens, so none of them appears in a repr.
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
DeliveryMode = Literal["whole", "half", "reset", "hang"]
AbortKind = Literal["reset", "eof"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it came off the wire, a WebSocket handshake included."""

    method: str
    target: str = field(repr=False)
    """Path and query as sent, still percent-encoded."""
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    ip: str = "127.0.0.1"

    def get_header_values(self, name: str) -> list[str]:
        """Every value of a header; names are compared without regard to case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, and how much of it reaches the client."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Headers = ()
    delivery: DeliveryMode = "whole"
    delay_ms: int = 0
    """Wait this long before anything is sent: milliseconds of the client's time, not of the exchange's."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A WebSocket handshake that is accepted."""

    connection_id: int
    delay_ms: int = 0
    """Wait this long before the handshake is answered: milliseconds of the client's time."""


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
    """The answer to a ping, with the ping's payload."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Close:
    """An orderly end: a close frame with code and reason."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """An end without a close frame: a TCP reset, or a plain end of the byte stream."""

    kind: AbortKind


Frame = Text | Binary | Ping | Pong | Close | Abort
Output = tuple[int, Frame]
"""The number of a connection, and what to send on it."""
