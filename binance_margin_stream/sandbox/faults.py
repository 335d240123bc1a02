"""What can go wrong with the exchange, as values: pass one to `fail`.

Three kinds. Faults of REST calls, of handshakes, of subscribes and of event frames are *armed*: they
strike the next calls that they fit, once, several times, or until cleared. The others strike at once, on
the connections that are open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from .pages import page
from .wire import Answer, CutHow, Headers

__all__ = [
    "AcceptThenNothing",
    "AnswerWith",
    "Armed",
    "ArmedFault",
    "BinaryFrame",
    "DelayAnswer",
    "DelaySubscribeAnswer",
    "DropConnections",
    "ExpireCredentials",
    "Fault",
    "Faults",
    "FreezeConnections",
    "HalfAnswer",
    "Hang",
    "LoseSubscribeAnswer",
    "MalformedFrame",
    "PromptFault",
    "RefuseHandshake",
    "RefuseSubscribe",
    "RepeatEvent",
    "RepeatSubscribeAnswer",
    "ResetConnection",
    "RestFault",
    "ServerShutdown",
    "SlowHandshake",
    "banned",
    "forbidden",
    "server_error",
    "too_many_requests",
]


@dataclass(frozen=True, slots=True)
class AnswerWith:
    """Answer a REST call with this instead; the call takes no effect."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class ResetConnection:
    """Reset the TCP connection instead of answering a REST call."""

    takes_effect: bool = True
    """Whether the call was carried out before."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Carry a REST call out and never answer."""


@dataclass(frozen=True, slots=True)
class HalfAnswer:
    """Carry a REST call out, send the first half of the body and end the connection."""


@dataclass(frozen=True, slots=True)
class DelayAnswer:
    """Answer a REST call late, by this many seconds of the client's time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RefuseHandshake:
    """Refuse a WebSocket handshake with an HTTP status, such as 403, 429 or 503, and an HTML page."""

    status: int = 503
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class SlowHandshake:
    """Accept a WebSocket handshake late, by this many seconds of the client's time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AcceptThenNothing:
    """Accept a WebSocket handshake, then send nothing and read nothing."""


@dataclass(frozen=True, slots=True)
class LoseSubscribeAnswer:
    """Let a subscribe to the WebSocket API take effect and lose its answer."""


@dataclass(frozen=True, slots=True)
class DelaySubscribeAnswer:
    """Let a subscribe take effect and answer it after the next event on that connection."""


@dataclass(frozen=True, slots=True)
class RepeatSubscribeAnswer:
    """Answer a subscribe twice, with the same id."""


@dataclass(frozen=True, slots=True)
class RefuseSubscribe:
    """Refuse a subscribe, which then takes no effect."""

    code: int = -1000
    status: int = 400


@dataclass(frozen=True, slots=True)
class RepeatEvent:
    """Send an event frame twice on each connection that it goes to."""


@dataclass(frozen=True, slots=True)
class DropConnections:
    """End open WebSocket connections: with a close frame, a TCP reset, or a plain end of stream."""

    how: Literal["close"] | CutHow = "close"
    code: int = 1001


@dataclass(frozen=True, slots=True)
class FreezeConnections:
    """Send nothing more on open WebSocket connections, pings included, and keep the sockets open."""


@dataclass(frozen=True, slots=True)
class MalformedFrame:
    """Send a text frame that is not what it should be."""

    text: str = '{"subscriptionId":0,"event":{"e":"executionReport","E":17'


@dataclass(frozen=True, slots=True)
class BinaryFrame:
    """Send a binary frame, which the exchange never does."""

    data: bytes = b"\x00\xff\xfe"


@dataclass(frozen=True, slots=True)
class ServerShutdown:
    """Announce a shutdown on every open connection, and close them later if a time is given."""

    close_after_seconds: float | None = None
    """Seconds of exchange time."""
    shape: Literal["host", "event", "bare", "combined"] = "host"
    """How the notice is wrapped; ``host`` is what fits the connection."""


@dataclass(frozen=True, slots=True)
class ExpireCredentials:
    """End listen keys or listen tokens now, as if their time were up, with the notices that follow."""

    which: Literal["all", "listen_tokens", "listen_keys"] = "all"


RestFault = AnswerWith | ResetConnection | Hang | HalfAnswer | DelayAnswer
HandshakeFault = RefuseHandshake | SlowHandshake | AcceptThenNothing
SubscribeFault = LoseSubscribeAnswer | DelaySubscribeAnswer | RepeatSubscribeAnswer | RefuseSubscribe
ArmedFault = RestFault | HandshakeFault | SubscribeFault | RepeatEvent
PromptFault = DropConnections | FreezeConnections | MalformedFrame | BinaryFrame | ServerShutdown | ExpireCredentials
Fault = ArmedFault | PromptFault

_F = TypeVar("_F")


@dataclass(slots=True)
class Armed:
    """A fault that waits for its occasion."""

    fault: ArmedFault
    path: str | None
    left: int | None


class Faults:
    """The armed faults, oldest first."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def arm(self, fault: ArmedFault, path: str | None, times: int | None) -> None:
        """Let a fault strike `times` times, or until cleared, on one path or on any.

        Raises:
            ValueError: times below 1.

        """
        if times is not None and times < 1:
            raise ValueError("times takes a whole number from 1, or None for: until cleared")
        self._armed.append(Armed(fault, path, times))

    def take(self, kinds: tuple[type[_F], ...], path: str) -> _F | None:
        """The oldest fault of these kinds that fits the path; each taking uses it up by one."""
        for armed in self._armed:
            if isinstance(armed.fault, kinds) and armed.path in (None, path):
                self._use(armed)
                return armed.fault
        return None

    def clear(self) -> None:
        """Disarm every fault."""
        self._armed.clear()

    def _use(self, armed: Armed) -> None:
        if armed.left is None:
            return
        armed.left -= 1
        if armed.left == 0:
            self._armed.remove(armed)


def forbidden() -> AnswerWith:
    """The firewall's 403: an HTML page."""
    return _as_fault(page(403))


def server_error(status: int = 503) -> AnswerWith:
    """A failing gateway: an HTML page."""
    return _as_fault(page(status))


def too_many_requests(retry_after: int | None = 1) -> AnswerWith:
    """429, with or without ``Retry-After`` in seconds."""
    return _limited(429, retry_after)


def banned(retry_after: int | None = 120) -> AnswerWith:
    """418, with or without ``Retry-After`` in seconds."""
    return _limited(418, retry_after)


def _limited(status: int, retry_after: int | None) -> AnswerWith:
    headers: Headers = (("Content-Type", "application/json;charset=UTF-8"),)
    if retry_after is not None:
        headers += (("Retry-After", str(retry_after)),)
    body = json.dumps({"code": -1003, "msg": "Too many requests."}).encode()
    return AnswerWith(status, body, headers)


def _as_fault(answer: Answer) -> AnswerWith:
    return AnswerWith(answer.status, answer.body, answer.headers)
