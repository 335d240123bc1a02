"""How a stream is doing, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.actions import State

__all__ = ["TIMER_DESCRIPTIONS", "Health"]

TIMER_DESCRIPTIONS = {
    "after drain": "move an account to another connection",
    "answer": "look for an answer that is due",
    "drain": "end a rotation",
    "expiry": "look whether a credential has expired",
    "open": "connect",
    "probe": "look for a pong that is due",
    "prove": "ping",
    "renew": "renew a credential",
    "repeat": "repeat a call",
    "rest": "make a call",
    "retire": "replace a connection",
    "send": "send a request",
    "tend": "subscribe",
    "watch": "look for pings",
}
"""What each timer of the life cycle is for, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A stream at one moment. Ages and times to come are in seconds."""

    state: State
    accounts: Mapping[Account, bool]
    """Whether each account is subscribed on a connection that is known to be good."""
    sources: Mapping[Account, str]
    """Through which way in each account comes."""
    connections: int
    """Open connections."""
    connection_age: float | None
    """The age of the oldest open connection, None if none is open."""
    frame_age: float | None
    """Since the last frame on any open connection, None if there was none yet."""
    ping_age: float | None
    """Since the last ping or pong on any open connection, None if there was none yet."""
    events: Mapping[str, int]
    """How many events came, by the name of their class."""
    gaps: int
    reconnects: int
    rotations: int
    renewals: int
    failures: int
    malformed_frames: int
    rest_calls: int
    """REST calls made."""
    dropped: int
    """Events that had to go because the consumer was slow."""
    buffered: int
    """Items that wait for the consumer now."""
    next_action: str | None
    """What is planned next, in words, such as ``renew a credential``."""
    next_action_in: float | None
    """In how many seconds that is."""
