"""The faults that a simulated month can contain, by name.

A fault happens at one moment, or it lasts for a while and hits a share of the calls, handshakes or messages.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.faults import DeferredFault, ImmediateFault, RefuseHandshake

__all__ = [
    "CREDENTIAL_SELECTIONS",
    "DURATIONS",
    "FATAL_FAULTS",
    "FAULT_NAMES",
    "HANDSHAKE_FAULTS",
    "IMMEDIATE_FAULTS",
    "LOSSLESS_FAULTS",
    "LOSSY_FAULTS",
    "REST_FAULTS",
    "SUBSCRIBE_FAULTS",
    "TRIGGERS",
    "FaultFactory",
]

TRIGGERS = ("rest_request", "connect", "send_text", "send_ping", "rest_response")
"""What a planned fault can wait for: the client sends a REST request, opens a connection, sends a text or a ping, or
receives a REST response."""

FaultFactory = Callable[[random.Random], DeferredFault]
"""Makes a fault from random parameters."""

CredentialSelection = Literal["all", "listen_tokens", "listen_keys"]
CREDENTIAL_SELECTIONS: tuple[CredentialSelection, ...] = get_args(CredentialSelection)
"""Which credentials expire."""


def _choose_status(rng: random.Random) -> int:
    return rng.choice((500, 502, 503, 504))


def _choose_retry_after(rng: random.Random) -> int | None:
    return rng.choice((None, 1, 5, 30, 120, 600))


def _refuse_with_retry_after(rng: random.Random, status: int) -> RefuseHandshake:
    wait = _choose_retry_after(rng)
    return RefuseHandshake(status, () if wait is None else (("Retry-After", str(wait)),))


REST_FAULTS: Mapping[str, FaultFactory] = {
    "5xx": lambda rng: faults.server_error(_choose_status(rng)),
    "HTML 403": lambda rng: faults.forbidden(),
    "429": lambda rng: faults.too_many_requests(_choose_retry_after(rng)),
    "418": lambda rng: faults.ip_banned(_choose_retry_after(rng)),
    "not found": lambda rng: faults.StaticResponse(404, b"<html><title>404 Not Found</title></html>"),
    "truncate": lambda rng: faults.TruncatedResponse(),
    "reset": lambda rng: faults.ResetConnection(takes_effect=rng.random() < 0.5),
    "hang": lambda rng: faults.NoResponse(),
    "delay": lambda rng: faults.DelayedResponse(rng.choice((0.5, 2.0, 6.0))),
    "blocked country": lambda rng: faults.StaticResponse(451, b"Unavailable for legal reasons"),
}
"""Faults of REST calls."""

HANDSHAKE_FAULTS: Mapping[str, FaultFactory] = {
    "5xx": lambda rng: RefuseHandshake(_choose_status(rng)),
    "HTML 403": lambda rng: RefuseHandshake(403),
    "429": lambda rng: _refuse_with_retry_after(rng, 429),
    "418": lambda rng: _refuse_with_retry_after(rng, 418),
    "slow handshake": lambda rng: faults.SlowHandshake(rng.choice((1.0, 6.0, 14.0))),
    "silent connection": lambda rng: faults.SilentConnection(),
    "blocked country": lambda rng: RefuseHandshake(451),
}
"""Faults of WebSocket handshakes."""

SUBSCRIBE_FAULTS: Mapping[str, FaultFactory] = {
    "lost response": lambda rng: faults.LostSubscribeResponse(),
    "reorder": lambda rng: faults.DelayedSubscribeResponse(),
    "repeated response": lambda rng: faults.DuplicateSubscribeResponse(),
    "subscribe refused": lambda rng: faults.RefuseSubscribe(rng.choice((-1000, -1209, -1008))),
}
"""Faults of subscribe requests to the WebSocket API."""

IMMEDIATE_FAULTS: Mapping[str, Callable[[random.Random], ImmediateFault]] = {
    "drop": lambda rng: faults.DropConnections(rng.choice(("close", "close", "eof", "reset"))),
    "freeze": lambda rng: faults.FreezeConnections(),
    "malformed": lambda rng: faults.MalformedFrame(rng.choice(('{"subscriptionId":0,"event":{"e":', "}{", "[]"))),
    "binary": lambda rng: faults.BinaryFrame(b"\x00\xff"),
    "shutdown notice": lambda rng: faults.ShutdownNotice(rng.choice((None, 0.5, 5.0, 60.0, 120.0))),
}
"""Faults of open connections."""

DURATIONS: Mapping[str, tuple[float, float]] = {
    "5xx": (1, 300),
    "HTML 403": (1, 60),
    "429": (1, 30),
    "418": (1, 20),
    "not found": (1, 4),
    "truncate": (1, 60),
    "hang": (1, 60),
    "delay": (1, 120),
    "slow handshake": (1, 120),
    "silent connection": (1, 30),
    "lost response": (1, 60),
    "reorder": (1, 60),
    "repeated response": (1, 60),
    "subscribe refused": (1, 60),
    "connection refused": (1, 300),
    "wrong certificate": (1, 300),
    "slow consumer": (1, 300),
}
"""The shortest and the longest duration of a fault, in seconds. All other faults happen at one moment."""

LOSSLESS_FAULTS = (
    "5xx", "HTML 403", "429", "418", "not found", "hang", "delay", "slow handshake", "lost response", "reorder",
    "repeated response", "subscribe refused", "connection refused", "wrong certificate", "duplicate", "shutdown notice",
)  # fmt: skip
"""Faults that alone cannot cause a gap."""

LOSSY_FAULTS = (
    "drop", "reset", "freeze", "half-open", "truncate", "malformed", "binary", "expire credentials",
    "delete listen key", "silent connection", "slow consumer",
)  # fmt: skip
"""Faults that can cause a gap."""

FAULT_NAMES = LOSSY_FAULTS + LOSSLESS_FAULTS
"""The faults of all months. A source is retired only in months with a source to switch to."""

FATAL_FAULTS = ("revoke API key", "revoke API key", "blocked country")
"""Faults that must end the stream with an error."""
