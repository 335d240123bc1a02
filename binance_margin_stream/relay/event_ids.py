"""The identifier under which an event or a gap is stored: equal in every reader. No I/O."""

from __future__ import annotations

import hashlib
import json

from binance_margin_stream.relay.frontier import TimeRange
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import Event

__all__ = ["make_event_id", "make_gap_id"]

_ID_LENGTH = 32


def make_event_id(event: Event, occurrence: int) -> str:
    """The identifier of an event.

    `occurrence` counts the equal identities that this event's subscription brought before and with it. It tells equal
    deposits of one millisecond apart; where equal identities are one event, it is ignored.
    """
    return _hash(*event.identity, *([occurrence] if event.is_repeatable else []))


def make_gap_id(account: Account, content: str, gap: TimeRange) -> str:
    """The identifier of a gap. It holds both ends: two gaps that begin at one place are two gaps."""
    return f"gap-{_hash(str(account), content, gap.start, gap.end)}"


def _hash(*parts: str | int) -> str:
    text = json.dumps(parts, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]
