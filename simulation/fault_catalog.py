"""What can go wrong, by name: for a while, with a share of the calls, handshakes and messages, or at a moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.faults import DeferredFault, RefuseHandshake

__all__ = ["CALLS", "FATAL", "HANDSHAKES", "HARMLESS", "HURTFUL", "NAMES", "OCCASIONS", "SUBSCRIBES", "WINDOWS"]

OCCASIONS = ("call", "opening", "message", "probe", "answer")
"""A call leaves, a connection opens, a message leaves, a ping of the client's leaves, a credential arrives."""

Make = Callable[[random.Random], DeferredFault]


def _status(dice: random.Random) -> int:
    return dice.choice((500, 502, 503, 504))


def _wait(dice: random.Random) -> int | None:
    return dice.choice((None, 1, 5, 30, 120, 600))


def _refused(dice: random.Random, status: int) -> RefuseHandshake:
    wait = _wait(dice)
    return RefuseHandshake(status, () if wait is None else (("Retry-After", str(wait)),))


CALLS: Mapping[str, Make] = {
    "5xx": lambda dice: faults.server_error(_status(dice)),
    "HTML 403": lambda dice: faults.forbidden(),
    "429": lambda dice: faults.too_many_requests(_wait(dice)),
    "418": lambda dice: faults.ip_banned(_wait(dice)),
    "not found": lambda dice: faults.StaticResponse(404, b"<html><title>404 Not Found</title></html>"),
    "truncate": lambda dice: faults.TruncatedResponse(),
    "reset": lambda dice: faults.ResetConnection(takes_effect=dice.random() < 0.5),
    "hang": lambda dice: faults.NoResponse(),
    "delay": lambda dice: faults.DelayedResponse(dice.choice((0.5, 2.0, 6.0))),
    "country": lambda dice: faults.StaticResponse(451, b"Unavailable for legal reasons"),
    "no such symbol": lambda dice: faults.StaticResponse(400, b'{"code":-1121,"msg":"Invalid symbol."}'),
}
"""Faults of REST calls."""

HANDSHAKES: Mapping[str, Make] = {
    "5xx": lambda dice: RefuseHandshake(_status(dice)),
    "HTML 403": lambda dice: RefuseHandshake(403),
    "429": lambda dice: _refused(dice, 429),
    "418": lambda dice: _refused(dice, 418),
    "slow handshake": lambda dice: faults.SlowHandshake(dice.choice((1.0, 6.0, 14.0))),
    "accept, then nothing": lambda dice: faults.SilentConnection(),
    "country": lambda dice: RefuseHandshake(451),
}
"""Faults of WebSocket handshakes."""

SUBSCRIBES: Mapping[str, Make] = {
    "lost answer": lambda dice: faults.LostSubscribeResponse(),
    "reorder": lambda dice: faults.DelayedSubscribeResponse(),
    "repeated answer": lambda dice: faults.DuplicateSubscribeResponse(),
    "refused subscribe": lambda dice: faults.RefuseSubscribe(dice.choice((-1000, -1209, -1008))),
}
"""Faults of subscribes to the WebSocket API."""

WINDOWS: Mapping[str, tuple[float, float]] = {
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

HARMLESS = (
    "5xx", "HTML 403", "429", "418", "not found", "hang", "delay", "slow handshake", "lost answer", "reorder",
    "repeated answer", "refused subscribe", "refuse", "wrong certificate", "duplicate", "shutdown notice",
)  # fmt: skip
"""What by itself makes nobody miss an event."""

HURTFUL = (
    "drop", "reset", "freeze", "half-open", "truncate", "malformed", "binary", "expire", "delete the key",
    "accept, then nothing", "slow consumer",
)  # fmt: skip
"""What may make somebody miss one."""

NAMES = HURTFUL + HARMLESS
"""Whatever may strike at any time. A way in is retired only where another one follows."""

FATAL = ("revoke the API key", "revoke the API key", "country", "no such symbol")
"""What no repeat can mend."""
