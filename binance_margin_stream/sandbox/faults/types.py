"""What can go wrong with the exchange, as values: pass one to `fail`.

Faults of REST calls, of handshakes, of subscribes and of event frames are *armed*: they strike the next
occasions that they fit, once, several times, or until cleared. The others strike at once, on the connections
that are open or on the credentials that there are. `NAMED_FAULTS` has a plain name for each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.error_responses import gateway_error_response
from binance_margin_stream.sandbox.messages import AbortKind, Headers, Response

__all__ = [
    "BinaryFrame",
    "ConnectionFault",
    "CredentialFault",
    "DeferredFault",
    "DelayFrames",
    "DelayedResponse",
    "DelayedSubscribeResponse",
    "DeleteListenKeys",
    "DropConnections",
    "DuplicateEvent",
    "DuplicateSubscribeResponse",
    "EventFault",
    "ExpireCredentials",
    "Fault",
    "FreezeConnections",
    "HalfOpenConnections",
    "ImmediateFault",
    "LostSubscribeResponse",
    "MalformedFrame",
    "NoResponse",
    "RefuseHandshake",
    "RefuseSubscribe",
    "ReorderEvents",
    "ResetConnection",
    "RestFault",
    "RevokeApiKey",
    "ShutdownNotice",
    "SilentConnection",
    "SlowHandshake",
    "StaticResponse",
    "TruncateEvent",
    "TruncatedResponse",
    "WrongCertificate",
    "forbidden",
    "ip_banned",
    "server_error",
    "too_many_requests",
]


@dataclass(frozen=True, slots=True)
class StaticResponse:
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
class NoResponse:
    """Carry a REST call out and never answer."""


@dataclass(frozen=True, slots=True)
class TruncatedResponse:
    """Carry a REST call out, send the first half of the body and end the connection."""


@dataclass(frozen=True, slots=True)
class DelayedResponse:
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
class SilentConnection:
    """Accept a WebSocket handshake, then send nothing and read nothing."""


@dataclass(frozen=True, slots=True)
class LostSubscribeResponse:
    """Let a subscribe to the WebSocket API take effect and lose its answer."""


@dataclass(frozen=True, slots=True)
class DelayedSubscribeResponse:
    """Let a subscribe take effect and answer it after the next event on that connection."""


@dataclass(frozen=True, slots=True)
class DuplicateSubscribeResponse:
    """Answer a subscribe twice, with the same id."""


@dataclass(frozen=True, slots=True)
class RefuseSubscribe:
    """Refuse a subscribe, which then takes no effect."""

    code: int = -1000
    status: int = 400


@dataclass(frozen=True, slots=True)
class DuplicateEvent:
    """Send an event frame twice on each connection that it goes to."""


@dataclass(frozen=True, slots=True)
class TruncateEvent:
    """Send the first half of an event frame as if it were all."""


@dataclass(frozen=True, slots=True)
class ReorderEvents:
    """Send an event after the next one, if that is another account's and comes within a second.

    The events of one account keep their order, as they do on the exchange.
    """


@dataclass(frozen=True, slots=True)
class WrongCertificate:
    """Show a certificate in the TLS handshake that must not be trusted; without TLS there is no occasion."""

    problem: Literal["unknown_ca", "wrong_host", "expired"] = "unknown_ca"


@dataclass(frozen=True, slots=True)
class DropConnections:
    """End open WebSocket connections: with a close frame, a TCP reset, or a plain end of stream."""

    mode: Literal["close"] | AbortKind = "close"
    code: int = 1001


@dataclass(frozen=True, slots=True)
class FreezeConnections:
    """Send nothing more on open WebSocket connections, pings included, and keep the sockets open."""


@dataclass(frozen=True, slots=True)
class HalfOpenConnections:
    """End open WebSocket connections without a word to the client: its socket stays, and its bytes go nowhere.

    A frozen connection still counts as open and subscribed; one that is half open does not.
    """


@dataclass(frozen=True, slots=True)
class DelayFrames:
    """Send every frame on the connections that are open late, by this many seconds of exchange time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class MalformedFrame:
    """Send a text frame that is not what it should be."""

    text: str = '{"subscriptionId":0,"event":{"e":"executionReport","E":17'


@dataclass(frozen=True, slots=True)
class BinaryFrame:
    """Send a binary frame, which the exchange never does."""

    data: bytes = b"\x00\xff\xfe"


@dataclass(frozen=True, slots=True)
class ShutdownNotice:
    """Announce a shutdown on every open connection, and close them later if a time is given."""

    close_after_seconds: float | None = None
    """Seconds of exchange time."""
    envelope: Literal["host", "event", "bare", "combined"] = "host"
    """How the notice is wrapped; ``host`` is what fits the connection."""


@dataclass(frozen=True, slots=True)
class ExpireCredentials:
    """End listen keys or listen tokens now, as if their time were up, with the notices that follow."""

    credentials: Literal["all", "listen_tokens", "listen_keys"] = "all"


@dataclass(frozen=True, slots=True)
class DeleteListenKeys:
    """Close the listen keys of one kind, or all, as another client's DELETE would: their streams go quiet."""

    kind: ListenKeyKind | None = None


@dataclass(frozen=True, slots=True)
class RevokeApiKey:
    """Take a user's API key away; the first user is there from the start."""

    uid: int = 1


RestFault = StaticResponse | ResetConnection | NoResponse | TruncatedResponse | DelayedResponse
HandshakeFault = RefuseHandshake | SlowHandshake | SilentConnection
SubscribeFault = LostSubscribeResponse | DelayedSubscribeResponse | DuplicateSubscribeResponse | RefuseSubscribe
EventFault = DuplicateEvent | TruncateEvent | ReorderEvents
DeferredFault = RestFault | HandshakeFault | SubscribeFault | EventFault | WrongCertificate
ConnectionFault = (
    DropConnections
    | FreezeConnections
    | HalfOpenConnections
    | DelayFrames
    | MalformedFrame
    | BinaryFrame
    | ShutdownNotice
)
CredentialFault = ExpireCredentials | DeleteListenKeys | RevokeApiKey
ImmediateFault = ConnectionFault | CredentialFault
Fault = DeferredFault | ImmediateFault


def forbidden() -> StaticResponse:
    """The firewall's 403: an HTML page."""
    return _to_fault(gateway_error_response(403))


def server_error(status: int = 503) -> StaticResponse:
    """A failing gateway: an HTML page."""
    return _to_fault(gateway_error_response(status))


def too_many_requests(retry_after: int | None = 1) -> StaticResponse:
    """429, with or without ``Retry-After`` in seconds."""
    return _rate_limit_response(429, retry_after)


def ip_banned(retry_after: int | None = 120) -> StaticResponse:
    """418, with or without ``Retry-After`` in seconds."""
    return _rate_limit_response(418, retry_after)


def _rate_limit_response(status: int, retry_after: int | None) -> StaticResponse:
    headers: Headers = (("Content-Type", "application/json;charset=UTF-8"),)
    if retry_after is not None:
        headers += (("Retry-After", str(retry_after)),)
    body = json.dumps({"code": -1003, "msg": "Too many requests."}).encode()
    return StaticResponse(status, body, headers)


def _to_fault(response: Response) -> StaticResponse:
    return StaticResponse(response.status, response.body, response.headers)
