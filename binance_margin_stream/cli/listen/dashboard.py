"""What a person who watches a stream wants to know, gathered as it happens."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from binance_margin_stream.redaction import shortened
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.formatting import words
from binance_margin_stream.stream.events.models import Event, StreamGap
from binance_margin_stream.stream.protocol.actions import Change

__all__ = ["Board", "Entry", "Row"]

_RECENT = 100


@dataclass(slots=True)
class Row:
    """What came for one account."""

    events: int = 0
    gaps: int = 0
    last: str = ""
    """The last event, in words."""
    at: float | None = None
    """When that came, on the clock of the caller, in seconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: `kind` is ``event``, ``gap`` or ``stream``."""

    at: float
    """Seconds since 1970."""
    kind: str
    account: str
    text: str


class Board:
    """Counts and remembers what came; written by the stream's threads, read by the screen's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[Account, Row] = {}
        self._recent: deque[Entry] = deque(maxlen=_RECENT)

    def take(self, item: Event | StreamGap, now: float, wall: float) -> None:
        """An item came; `now` is on any steady clock, `wall` is seconds since 1970."""
        said = shortened(words(item))
        with self._lock:
            row = self._rows.setdefault(item.account, Row())
            kind = "gap" if isinstance(item, StreamGap) else "event"
            if kind == "gap":
                row.gaps += 1
            else:
                row.events, row.last, row.at = row.events + 1, said, now
            self._recent.append(Entry(wall, kind, str(item.account), said))

    def changed(self, change: Change, wall: float) -> None:
        """The stream itself changed."""
        if change.name == "gap":
            return  # it comes as an item, too
        account = "" if change.account is None else str(change.account)
        said = shortened(f"{change.name} ({change.detail})" if change.detail else change.name)
        with self._lock:
            self._recent.append(Entry(wall, "stream", account, said))

    def row(self, account: Account) -> Row:
        """What came for an account."""
        with self._lock:
            return self._rows.get(account, Row())

    def recent(self, count: int) -> list[Entry]:
        """The last entries, oldest first."""
        with self._lock:
            return list(self._recent)[-count:]
