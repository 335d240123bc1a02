"""What can go wrong, by name: for a while, with a share of the calls, handshakes and messages, or at a moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.faults import DeferredFault, RefuseHandshake

__all__ = [
    "DURATIONS",
    "FATAL_FAULTS",
    "FAULT_NAMES",
    "HANDSHAKE_FAULTS",
    "LOSSLESS_FAULTS",
    "LOSSY_FAULTS",
    "REST_FAULTS",
    "SUBSCRIBE_FAULTS",
    "TRIGGERS",
]

TRIGGERS = ("call", "opening", "message", "probe", "answer")
"""A call leaves, a connection opens, a message leaves, a ping of the client's leaves, a credential arrives."""

FaultFactory = Callable[[random.Random], DeferredFault]


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
    "country": lambda rng: faults.StaticResponse(451, b"Unavailable for legal reasons"),
    "no such symbol": lambda rng: faults.StaticResponse(400, b'{"code":-1121,"msg":"Invalid symbol."}'),
}
"""Faults of REST calls."""

HANDSHAKE_FAULTS: Mapping[str, FaultFactory] = {
    "5xx": lambda rng: RefuseHandshake(_choose_status(rng)),
    "HTML 403": lambda rng: RefuseHandshake(403),
    "429": lambda rng: _refuse_with_retry_after(rng, 429),
    "418": lambda rng: _refuse_with_retry_after(rng, 418),
    "slow handshake": lambda rng: faults.SlowHandshake(rng.choice((1.0, 6.0, 14.0))),
    "accept, then nothing": lambda rng: faults.SilentConnection(),
    "country": lambda rng: RefuseHandshake(451),
}
"""Faults of WebSocket handshakes."""

SUBSCRIBE_FAULTS: Mapping[str, FaultFactory] = {
    "lost answer": lambda rng: faults.LostSubscribeResponse(),
    "reorder": lambda rng: faults.DelayedSubscribeResponse(),
    "repeated answer": lambda rng: faults.DuplicateSubscribeResponse(),
    "refused subscribe": lambda rng: faults.RefuseSubscribe(rng.choice((-1000, -1209, -1008))),
}
"""Faults of subscribes to the WebSocket API."""

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
    "accept, then nothing": (1, 30),
    "lost answer": (1, 60),
    "reorder": (1, 60),
    "repeated answer": (1, 60),
    "refused subscribe": (1, 60),
    "refuse": (1, 300),
    "wrong certificate": (1, 300),
    "slow consumer": (1, 300),
}
"""How many seconds these may last; everything else happens at a moment."""

LOSSLESS_FAULTS = (
    "5xx", "HTML 403", "429", "418", "not found", "hang", "delay", "slow handshake", "lost answer", "reorder",
    "repeated answer", "refused subscribe", "refuse", "wrong certificate", "duplicate", "shutdown notice",
)  # fmt: skip
"""What by itself makes nobody miss an event."""

LOSSY_FAULTS = (
    "drop", "reset", "freeze", "half-open", "truncate", "malformed", "binary", "expire", "delete the key",
    "accept, then nothing", "slow consumer",
)  # fmt: skip
"""What may make somebody miss one."""

FAULT_NAMES = LOSSY_FAULTS + LOSSLESS_FAULTS
"""Whatever may strike at any time. A way in is retired only where another one follows."""

FATAL_FAULTS = ("revoke the API key", "revoke the API key", "country", "no such symbol")
"""What no repeat can mend."""
