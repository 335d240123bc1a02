"""The bounded buffer of items that wait for the consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import AccountLost, StreamGap
from binance_margin_stream.stream.state import GapReason

__all__ = ["EventBuffer", "Notice"]


class HasAccount(Protocol):
    """An item that belongs to an account."""

    @property
    def account(self) -> Account:
        """The account of the item."""
        ...


E = TypeVar("E", bound=HasAccount)

Notice: TypeAlias = StreamGap | AccountLost
"""What the stream itself reports between the events."""


@dataclass(slots=True)
class _PendingGap:
    since: int
    until: int
    reason: str
    dropped: int = 0


class EventBuffer(Generic[E]):
    """A queue of events and gaps for one consumer.

    When it is full, the oldest items are dropped. For each account that lost items, one gap with their number takes
    their place, before all items that are left. The gap grows with further losses until the consumer takes it.
    """

    __slots__ = (
        "_arrival_times",
        "_items",
        "_latency_allowance",
        "_limit",
        "_pending_gaps",
        "_pending_losses",
        "_to_epoch_ms",
        "dropped",
    )

    def __init__(self, limit: int, to_epoch_ms: Callable[[float], int], latency_allowance: float = 0.0) -> None:
        self._limit = limit
        self._to_epoch_ms = to_epoch_ms
        self._latency_allowance = latency_allowance
        self._items: deque[E | Notice] = deque()
        # Not pairs with the items: a pair per item would be one more object for the garbage collector.
        self._arrival_times: deque[float] = deque()
        self._pending_gaps: dict[Account, _PendingGap] = {}
        self._pending_losses: deque[AccountLost] = deque()
        self.dropped = 0
        """The number of events that were dropped so far."""

    def __len__(self) -> int:
        return len(self._items) + len(self._pending_gaps) + len(self._pending_losses)

    def oldest_at(self) -> float | None:
        """When the oldest event that waits arrived, None if none waits."""
        try:
            return self._arrival_times[0]
        except IndexError:
            return None

    def put(self, at: float, item: E | Notice) -> None:
        """Add an item that arrived at `at`."""
        if len(self._items) >= self._limit:
            self._drop_oldest()
        self._items.append(item)
        self._arrival_times.append(at)

    @property
    def first_arrival(self) -> float | None:
        """When the first item arrived that was not taken, None if there is none."""
        return self._arrival_times[0] if self._arrival_times else None

    def earliest_gap(self, account: Account) -> int | None:
        """The earliest start of a gap of an account that was not taken, in epoch milliseconds."""
        starts = [each.since for each in self._items if isinstance(each, StreamGap) and each.account == account]
        pending = self._pending_gaps.get(account)
        return min([*starts, pending.since] if pending is not None else starts, default=None)

    def pop(self) -> E | Notice | None:
        """Remove and return the next item, None if there is none."""
        if self._pending_gaps:
            return self._pop_gap()
        if self._pending_losses:
            return self._pending_losses.popleft()
        if not self._items:
            return None
        self._arrival_times.popleft()
        return self._items.popleft()

    def _pop_gap(self) -> StreamGap:
        account = next(iter(self._pending_gaps))
        gap = self._pending_gaps.pop(account)
        return StreamGap(account=account, since=gap.since, until=gap.until, reason=gap.reason, dropped=gap.dropped)

    def _drop_oldest(self) -> None:
        item, at = self._items.popleft(), self._arrival_times.popleft()
        account = item.account
        if isinstance(item, StreamGap):
            self._merge_gap(account, item.since, item.until, item.dropped, item.reason)
        elif isinstance(item, AccountLost):
            self._pending_losses.append(item)  # there is one for an account at most, and it must not be missed
        else:
            self.dropped += 1
            self._merge_gap(
                account,
                self._to_epoch_ms(at - self._latency_allowance),
                self._to_epoch_ms(at),
                1,
                GapReason.SLOW_CONSUMER.value,
            )

    def _merge_gap(self, account: Account, since: int, until: int, dropped: int, reason: str) -> None:
        gap = self._pending_gaps.get(account)
        if gap is None:
            self._pending_gaps[account] = _PendingGap(since, until, reason, dropped)
            return
        gap.since = min(gap.since, since)
        gap.until = max(gap.until, until)
        gap.dropped += dropped
        gap.reason = GapReason.SLOW_CONSUMER.value if gap.dropped else reason
