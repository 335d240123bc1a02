"""Whether the account at the exchange is still the one that events describe.

A stream may be connected and silent, and a frame may never have been sent although the connection stayed healthy. Only
a comparison with the exchange shows that. A single read proves nothing, since it may be stale: a difference counts when
two reads show it, some time apart, and no event speaks of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from decimal import Decimal

from binance_margin_stream.account.clock import ExchangeClock
from binance_margin_stream.account.reads.rows import OrderRow
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.account_state import AccountState
from binance_margin_stream.account.state.orders import OrderKey

__all__ = ["OrderAudit"]

_Difference = tuple[OrderKey, Decimal | None]
"""An order, and what the exchange says was executed of it; None where it does not show the order as open."""


@dataclass(slots=True)
class OrderAudit:
    """Compares the open orders of one account with the exchange. Times are in seconds of the stream's clock."""

    state: AccountState
    settings: Recovery
    clock: ExchangeClock
    is_first: bool = True
    """Whether the open orders were never read: those found are taken over, since they are from before the stream."""
    equal_reads: int = 0
    """How many reads in a row, since the last gap, showed no difference."""
    checked_at: float | None = None
    """When the last read that showed none was sent."""
    _differences: dict[_Difference, float] = field(default_factory=dict)
    """Each with the time at which the first read of it was sent."""

    @property
    def is_exact(self) -> bool:
        """Whether the open orders are confirmed."""
        return self.equal_reads >= 2 and not self.state.orders.list_unsummed()

    def on_gap(self) -> None:
        """Events may have been missed."""
        self.equal_reads = 0
        self._differences.clear()

    def on_open_orders(
        self, rows: Iterable[OrderRow], sent_at: float, live_at: float, unproven: Set[OrderKey] = frozenset()
    ) -> bool:
        """All open orders of the account were read; True if a difference is certain.

        Orders that are known to be unproven do not count.
        """
        if not self.clock.is_known:
            return False
        rows = list(rows)
        if self.is_first:
            self.is_first = False
            for row in rows:
                self.state.orders.adopt(row)
        before = self._differences
        self._differences = {
            difference: before.get(difference, sent_at)
            for difference in self._find_differences(rows, sent_at, live_at)
            if difference[0] not in unproven
        }
        if self._differences:
            self.equal_reads = 0
        elif not self.equal_reads or self.checked_at is None or self._is_later(sent_at, self.checked_at):
            self.equal_reads, self.checked_at = self.equal_reads + 1, sent_at
            if self.equal_reads == 2:
                self.state.orders.confirm_reads()
        return any(self._is_later(sent_at, first) for first in self._differences.values())

    def _is_later(self, at: float, before: float) -> bool:
        return at - before >= self.settings.repeat_after

    def _find_differences(self, rows: list[OrderRow], sent_at: float, live_at: float) -> set[_Difference]:
        """What an event of an order said lately outweighs a read."""
        orders = self.state.orders
        theirs = {(row.symbol, row.order_id): row.executed_quantity for row in rows}
        lately = self.clock.to_exchange(max(live_at, sent_at - self.settings.unproven_after))
        mine = orders.list_executed(reported_before=lately)
        differing: set[_Difference] = {
            (key, theirs.get(key)) for key, executed in mine.items() if theirs.get(key) != executed
        }
        return differing | {
            (key, executed)
            for key, executed in theirs.items()
            if not orders.is_known_open(key) and not orders.has_ended(key)
        }
