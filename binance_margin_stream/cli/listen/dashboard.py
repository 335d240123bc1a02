"""What a person who watches a stream wants to know, gathered as it happens."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from binance_margin_stream.redaction import truncate
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.formatting import describe
from binance_margin_stream.stream.events.models import Event, StreamGap
from binance_margin_stream.stream.state import StatusChange, StatusChangeKind

__all__ = ["AccountStats", "Dashboard", "LogEntry"]

_MAX_ENTRIES = 100


@dataclass(slots=True)
class AccountStats:
    """What came for one account."""

    events: int = 0
    gaps: int = 0
    last_event: str = ""
    """The last event, in words."""
    last_event_at: float | None = None
    """When that came, on the clock of the caller, in seconds."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One thing that happened: `kind` is ``event``, ``gap`` or ``stream``."""

    timestamp: float
    """Seconds since 1970."""
    kind: str
    account: str
    text: str


class Dashboard:
    """Counts and remembers what came; written by the stream's threads, read by the screen's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stats: dict[Account, AccountStats] = {}
        self._recent: deque[LogEntry] = deque(maxlen=_MAX_ENTRIES)

    def add_item(self, item: Event | StreamGap, now: float, timestamp: float) -> None:
        """An item came; `now` is on any steady clock, `timestamp` is seconds since 1970."""
        text = truncate(describe(item))
        with self._lock:
            stats = self._stats.setdefault(item.account, AccountStats())
            kind = "gap" if isinstance(item, StreamGap) else "event"
            if kind == "gap":
                stats.gaps += 1
            else:
                stats.events, stats.last_event, stats.last_event_at = stats.events + 1, text, now
            self._recent.append(LogEntry(timestamp, kind, str(item.account), text))

    def add_change(self, change: StatusChange, timestamp: float) -> None:
        """The stream itself changed."""
        if change.kind is StatusChangeKind.GAP:
            return  # it comes as an item, too
        account = "" if change.account is None else str(change.account)
        text = truncate(f"{change.kind} ({change.detail})" if change.detail else change.kind.value)
        with self._lock:
            self._recent.append(LogEntry(timestamp, "stream", account, text))

    def get_stats(self, account: Account) -> AccountStats:
        """What came for an account."""
        with self._lock:
            return self._stats.get(account, AccountStats())

    def get_recent(self, count: int) -> list[LogEntry]:
        """The last entries, oldest first."""
        with self._lock:
            return list(self._recent)[-count:]
