"""Faults of the exchange as values, to be passed to `Sandbox.inject_fault`.

Faults of REST calls, handshakes, subscribes and event frames are *deferred*: they apply to the next matching requests
or events, once, several times, or until cleared. The others are *immediate*: they apply to the open connections
or the present credentials. `NAMED_FAULTS` has a name for each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from binance_margin_stream.sandbox.clock import to_milliseconds
from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.error_responses import gateway_error_response
from binance_margin_stream.sandbox.faults.trading import TradingFault, UnexpectedTrade, UnknownOutcome
from binance_margin_stream.sandbox.messages import AbortKind, Headers, Response

__all__ = [
    "ApiError",
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
    "SubscribeFault",
    "TruncateEvent",
    "TruncatedResponse",
    "WrongCertificate",
    "archived_order",
    "forbidden",
    "ip_banned",
    "not_found",
    "order_limit",
    "server_error",
    "too_many_requests",
]


@dataclass(frozen=True, slots=True)
class StaticResponse:
    """Respond to a REST call with this instead; the call takes no effect."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class ApiError:
    """Respond to a REST call with an error of the exchange; the call takes no effect."""

    code: int
    """Such as -3003, no margin account, or -11001, no isolated account."""
    status: int = 400


@dataclass(frozen=True, slots=True)
class ResetConnection:
    """Reset the TCP connection instead of responding to a REST call."""

    takes_effect: bool = True
    """Whether the call is carried out before."""


@dataclass(frozen=True, slots=True)
class NoResponse:
    """Carry out a REST call and never respond."""


@dataclass(frozen=True, slots=True)
class TruncatedResponse:
    """Carry out a REST call, send the first half of the body and end the connection."""


@dataclass(frozen=True, slots=True)
class DelayedResponse:
    """Delay the response to a REST call by this many real seconds."""

    seconds: float

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid duration."""
        to_milliseconds(self.seconds)


@dataclass(frozen=True, slots=True)
class RefuseHandshake:
    """Refuse a WebSocket handshake with an HTTP status, such as 403, 429 or 503, and an HTML page."""

    status: int = 503
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class SlowHandshake:
    """Delay a WebSocket handshake by this many real seconds."""

    seconds: float

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid duration."""
        to_milliseconds(self.seconds)


@dataclass(frozen=True, slots=True)
class SilentConnection:
    """Accept a WebSocket handshake, then send nothing and read nothing."""


@dataclass(frozen=True, slots=True)
class LostSubscribeResponse:
    """Carry out a subscribe to the WebSocket API and drop its response."""


@dataclass(frozen=True, slots=True)
class DelayedSubscribeResponse:
    """Carry out a subscribe and send its response after the next event on the connection."""


@dataclass(frozen=True, slots=True)
class DuplicateSubscribeResponse:
    """Send the response to a subscribe twice."""


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
    """Send only the first half of an event frame."""


@dataclass(frozen=True, slots=True)
class ReorderEvents:
    """Send an event after the next one, if that belongs to another account and comes within a second.

    Events of one account keep their order, as on the exchange.
    """


@dataclass(frozen=True, slots=True)
class WrongCertificate:
    """Present an invalid certificate in a TLS handshake; without TLS it never applies."""

    problem: Literal["unknown_ca", "wrong_host", "expired"] = "unknown_ca"


@dataclass(frozen=True, slots=True)
class DropConnections:
    """End open WebSocket connections with a close frame, a TCP reset, or the end of the stream."""

    mode: Literal["close"] | AbortKind = "close"
    code: int = 1001


@dataclass(frozen=True, slots=True)
class FreezeConnections:
    """Stop sending on open WebSocket connections, pings included, and keep the sockets open."""


@dataclass(frozen=True, slots=True)
class HalfOpenConnections:
    """Drop open WebSocket connections without notifying the client: its socket stays open and its data is discarded.

    A frozen connection still counts as open and subscribed; a half-open one does not.
    """


@dataclass(frozen=True, slots=True)
class DelayFrames:
    """Delay every frame on the open connections by this many seconds of exchange time."""

    seconds: float

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid duration."""
        to_milliseconds(self.seconds)


@dataclass(frozen=True, slots=True)
class MalformedFrame:
    """Send a malformed text frame."""

    text: str = '{"subscriptionId":0,"event":{"e":"executionReport","E":17'


@dataclass(frozen=True, slots=True)
class BinaryFrame:
    """Send a binary frame; the exchange sends none."""

    data: bytes = b"\x00\xff\xfe"


@dataclass(frozen=True, slots=True)
class ShutdownNotice:
    """Announce a shutdown on the open connections; close them later if a time is given."""

    close_after_seconds: float | None = None
    """Seconds of exchange time."""
    envelope: Literal["host", "event", "bare", "combined"] = "host"
    """Envelope of the notice; ``host`` is that of the connection's host."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid duration."""
        if self.close_after_seconds is not None:
            to_milliseconds(self.close_after_seconds, "close_after_seconds")


@dataclass(frozen=True, slots=True)
class ExpireCredentials:
    """Expire listen keys or listen tokens now, with their notices."""

    credentials: Literal["all", "listen_tokens", "listen_keys"] = "all"


@dataclass(frozen=True, slots=True)
class DeleteListenKeys:
    """Delete the listen keys of one kind, or all, as another client's DELETE would: their streams go silent."""

    kind: ListenKeyKind | None = None


@dataclass(frozen=True, slots=True)
class RevokeApiKey:
    """Revoke a user's API key; the first user has uid 1."""

    uid: int = 1


RestFault = (
    ApiError | StaticResponse | ResetConnection | NoResponse | TruncatedResponse | DelayedResponse | UnknownOutcome
)
HandshakeFault = RefuseHandshake | SlowHandshake | SilentConnection
SubscribeFault = LostSubscribeResponse | DelayedSubscribeResponse | DuplicateSubscribeResponse | RefuseSubscribe
EventFault = DuplicateEvent | TruncateEvent | ReorderEvents
DeferredFault = TradingFault | RestFault | HandshakeFault | SubscribeFault | EventFault | WrongCertificate
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
ImmediateFault = ConnectionFault | CredentialFault | UnexpectedTrade
Fault = DeferredFault | ImmediateFault


def forbidden() -> StaticResponse:
    """The HTML page of the firewall, status 403."""
    return _to_fault(gateway_error_response(403))


def not_found() -> StaticResponse:
    """The HTML page of a front server that does not know the path, status 404."""
    return _to_fault(gateway_error_response(404))


def server_error(status: int = 503) -> StaticResponse:
    """The HTML page of a failing gateway."""
    return _to_fault(gateway_error_response(status))


def too_many_requests(retry_after: int | None = 1) -> StaticResponse:
    """429, with or without ``Retry-After`` in seconds."""
    return _rate_limit_response(429, retry_after)


def ip_banned(retry_after: int | None = 120) -> StaticResponse:
    """418, with or without ``Retry-After`` in seconds."""
    return _rate_limit_response(418, retry_after)


def order_limit() -> ApiError:
    """-1015, too many new orders; without ``Retry-After``."""
    return ApiError(-1015, 429)


def archived_order() -> ApiError:
    """-2026, an order that ended without a fill more than 90 days ago."""
    return ApiError(-2026)


def _rate_limit_response(status: int, retry_after: int | None) -> StaticResponse:
    headers: Headers = (("Content-Type", "application/json;charset=UTF-8"),)
    if retry_after is not None:
        headers += (("Retry-After", str(retry_after)),)
    body = json.dumps({"code": -1003, "msg": "Too many requests."}).encode()
    return StaticResponse(status, body, headers)


def _to_fault(response: Response) -> StaticResponse:
    return StaticResponse(response.status, response.body, response.headers)
