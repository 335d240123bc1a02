"""Statistics and recent entries for the live table."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from binance_margin_stream.redaction import truncate
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import (
    MarginLevelStatusChange,
    StreamGap,
    StreamItem,
    UserLiabilityChange,
)
from binance_margin_stream.stream.state import StatusChange, StatusChangeKind

__all__ = ["AccountStats", "Dashboard", "LogEntry"]

_MAX_ENTRIES = 100
_RISK_EVENTS = (MarginLevelStatusChange, UserLiabilityChange)


@dataclass(slots=True)
class AccountStats:
    """The events of one account, or the risk events of the cross account."""

    events: int = 0
    gaps: int = 0
    last_event: str = ""
    """A description of the last event."""
    last_event_at: float | None = None
    """When it arrived, in seconds of the caller's monotonic clock."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log. `kind` is ``event``, ``gap`` or ``stream``."""

    timestamp: float
    """Seconds since 1970."""
    kind: str
    account: str
    text: str

    def format(self) -> str:
        """Return the entry as a line, with the local time."""
        moment = datetime.fromtimestamp(self.timestamp).astimezone().strftime("%H:%M:%S")
        return f"{moment}  {self.kind:<6}  {f'{self.account}: ' if self.account else ''}{self.text}"


class Dashboard:
    """Statistics per account and the latest entries. Written by the stream's threads, read by the main thread.

    With `risk`, risk events have statistics of their own.
    """

    def __init__(self, *, risk: bool = False) -> None:
        self.risk = risk
        self._lock = threading.Lock()
        self._stats: dict[Account, AccountStats] = {}
        self._risk_stats = AccountStats()
        self._recent: deque[LogEntry] = deque(maxlen=_MAX_ENTRIES)

    def add_item(self, item: StreamItem, now: float, timestamp: float) -> None:
        """Record an item. `now` is in seconds of a monotonic clock, `timestamp` in seconds since 1970."""
        text = truncate(item.summary)
        with self._lock:
            is_risk_event = self.risk and isinstance(item, _RISK_EVENTS)
            stats = self._risk_stats if is_risk_event else self._stats.setdefault(item.account, AccountStats())
            kind = "gap" if isinstance(item, StreamGap) else "event"
            if kind == "gap":
                stats.gaps += 1
            else:
                stats.events, stats.last_event, stats.last_event_at = stats.events + 1, text, now
            self._recent.append(LogEntry(timestamp, kind, str(item.account), text))

    def add_note(self, text: str, timestamp: float) -> None:
        """Record a note about how the stream connects."""
        with self._lock:
            self._recent.append(LogEntry(timestamp, "stream", "", text))

    def add_change(self, change: StatusChange, timestamp: float) -> None:
        """Record a change of the stream itself. Gaps are recorded as items."""
        if change.kind is StatusChangeKind.GAP:
            return
        account = "" if change.account is None else str(change.account)
        text = truncate(f"{change.kind} ({change.detail})" if change.detail else change.kind.value)
        with self._lock:
            self._recent.append(LogEntry(timestamp, "stream", account, text))

    def get_stats(self, account: Account) -> AccountStats:
        """Return the statistics of an account."""
        with self._lock:
            return self._stats.get(account, AccountStats())

    def get_risk_stats(self) -> AccountStats:
        """Return the statistics of the risk events."""
        with self._lock:
            return self._risk_stats

    def get_total(self) -> tuple[int, int]:
        """Return how many events and gaps there were."""
        with self._lock:
            all_stats = [*self._stats.values(), self._risk_stats]
            return sum(stats.events for stats in all_stats), sum(stats.gaps for stats in all_stats)

    def get_recent(self, count: int) -> list[LogEntry]:
        """Return at most `count` of the latest entries, oldest first."""
        with self._lock:
            return list(self._recent)[-count:] if count > 0 else []
