"""What waits for the consumer: bounded, and honest about what had to go."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.protocol.actions import Reason

__all__ = ["EventBuffer"]


class Buffered(Protocol):
    """What can wait: something of an account."""

    @property
    def account(self) -> Account:
        """Whose it is."""
        ...


E = TypeVar("E", bound=Buffered)


@dataclass(slots=True)
class _Missing:
    since: int
    until: int
    reason: str
    dropped: int = 0


class EventBuffer(Generic[E]):
    """A queue of events and gaps for one consumer.

    When it is full the oldest go. For each account that lost some, one gap with their number stands where
    they were, before all that is left; it grows while more have to go, until the consumer takes it.
    """

    __slots__ = ("_allowance", "_items", "_limit", "_missing", "_times", "_wall", "dropped")

    def __init__(self, limit: int, wall: Callable[[float], int], allowance: float = 0.0) -> None:
        self._limit = limit
        self._wall = wall
        self._allowance = allowance
        self._items: deque[E | StreamGap] = deque()
        self._times: deque[float] = deque()  # beside the items: a pair for each would be one more thing to collect
        self._missing: dict[Account, _Missing] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items) + len(self._missing)

    def put(self, at: float, item: E | StreamGap) -> None:
        """Add an item that arrived at `at`."""
        if len(self._items) >= self._limit:
            self._drop_oldest()
        self._items.append(item)
        self._times.append(at)

    def take(self) -> E | StreamGap | None:
        """The next item, None if there is none."""
        if self._missing:
            return self._take_gap()
        if not self._items:
            return None
        self._times.popleft()
        return self._items.popleft()

    def _take_gap(self) -> StreamGap:
        account = next(iter(self._missing))
        gap = self._missing.pop(account)
        return StreamGap(account=account, since=gap.since, until=gap.until, reason=gap.reason, dropped=gap.dropped)

    def _drop_oldest(self) -> None:
        item, at = self._items.popleft(), self._times.popleft()
        account = item.account
        if isinstance(item, StreamGap):
            self._merge(account, item.since, item.until, item.dropped, item.reason)
        else:
            self.dropped += 1
            self._merge(account, self._wall(at - self._allowance), self._wall(at), 1, Reason.OVERFLOW)

    def _merge(self, account: Account, since: int, until: int, dropped: int, reason: str) -> None:
        gap = self._missing.get(account)
        if gap is None:
            self._missing[account] = _Missing(since, until, reason, dropped)
            return
        gap.since = min(gap.since, since)
        gap.until = max(gap.until, until)
        gap.dropped += dropped
        gap.reason = Reason.OVERFLOW if gap.dropped else reason
