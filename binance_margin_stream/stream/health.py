"""The health of a stream, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.state import ScheduledAction, State

__all__ = ["Health"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a stream at one moment. Ages and durations are in seconds."""

    state: State
    accounts: Mapping[Account, bool]
    """Whether each account is subscribed on a connection that is known to work."""
    sources: Mapping[Account, str]
    """The source that each account uses."""
    lost_accounts: Mapping[Account, str]
    """The accounts that the stream no longer follows, each with the reason."""
    connections: int
    """The number of open connections."""
    connection_age: float | None
    """The age of the oldest open connection, None if none is open."""
    frame_age: float | None
    """The time since the last frame on any open connection, None if there was none yet."""
    ping_age: float | None
    """The time since the last ping or pong on any open connection, None if there was none yet."""
    events: Mapping[str, int]
    """The number of events received, by the name of their class."""
    gaps: int
    reconnects: int
    rotations: int
    renewals: int
    failures: int
    malformed_frames: int
    rest_calls: int
    """The number of REST calls made."""
    dropped: int
    """The number of events dropped because the consumer was too slow."""
    buffered: int
    """The number of items that wait for the consumer now."""
    next_action: ScheduledAction | None
    """What the stream does next, such as ``renew a credential``; None if nothing is scheduled."""
    next_action_in: float | None
    """The seconds until then."""
