"""The orders of one account: those that are open, and those that ended within the time that fills are remembered.

An order whose fills add up is kept as its last execution report, which costs next to nothing. Only an order about which
something was read, or does not add up, becomes a `KnownOrder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from binance_margin_stream.account.reads.rows import OrderRow
from binance_margin_stream.account.state.order_sums import NO_TRADE, ZERO, Amounts, KnownFill, OrderSums, add_exactly
from binance_margin_stream.account.state.reports import CompleteReport
from binance_margin_stream.account.state.snapshot import OpenOrder

__all__ = ["UNKNOWN", "KnownOrder", "OrderKey", "OrderTable", "is_open_status"]

OrderKey: TypeAlias = tuple[str, int]
"""Symbol and order id."""

UNKNOWN: Final = 2**62
"""A time that does not come: no order was followed from its beginning."""

OPEN_STATUSES: Final = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL"})


def is_open_status(status: str) -> bool:
    """Whether an order with this status may still be filled. A status that is not known ends the order."""
    return status in OPEN_STATUSES


@dataclass(slots=True)
class KnownOrder:
    """An order as the user of the stream knows it, and what was read about it since."""

    symbol: str
    order_id: int
    client_order_id: str
    side: str
    order_type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    created: int
    status: str
    sums: OrderSums
    is_delivered: bool = True
    """False for an order that was read, and that the user does not know yet."""
    row: OrderRow | None = None
    """What was read last, until it is clear whether it is news to the user."""
    reported_at: int = 0
    """The exchange's time of its last event."""
    ended_at: int | None = None
    """When it ended, where that is certain: what a row tells is the time of the last change, maybe a later fill."""

    @property
    def key(self) -> OrderKey:
        """What it is known by."""
        return self.symbol, self.order_id

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as the user knows."""
        return is_open_status(self.status)

    def status_at(self, filled: Decimal, time: int) -> str | None:
        """The status after a fill, from the sum at that fill; None if the fill may have come after the order's end."""
        end, ended_at = (None, 0) if self.is_open else (self.status, self.ended_at or 0)
        if end is None and self.row is not None and not is_open_status(self.row.status):
            end, ended_at = self.row.status, self.end_by(self.row) or 0
        if filled == self.quantity:
            return "FILLED" if end in (None, "FILLED") else None
        return "PARTIALLY_FILLED" if end in (None, "FILLED") or time < ended_at else None

    def end_by(self, row: OrderRow) -> int | None:
        """When the order ended, by a row of its end; None if a fill may have changed it after that."""
        return row.update_time if not self.sums.missing and self.sums.last_fill_at < row.update_time else None

    def on_row(self, row: OrderRow, asked_at: int) -> None:
        """A look that began at a time read the order."""
        self.sums.on_row(row.executed_quantity, row.update_time, asked_at)
        known = self.row
        if known is None or (is_open_status(known.status) and known.update_time <= row.update_time):
            self.row = row
        elif not is_open_status(row.status):
            self.row = max(known, row, key=lambda each: (not is_open_status(each.status), each.update_time))


class _EndedOrder(NamedTuple):
    status: str
    known_at: int
    """When all of it was known at the latest."""
    ended_at: int | None
    last_fill_at: int


class OrderTable:
    """The orders of one account."""

    def __init__(self) -> None:
        self.covered_since = UNKNOWN
        """Orders that were made since then were followed from their beginning; exchange time in milliseconds."""
        self._steady: dict[OrderKey, CompleteReport] = {}
        self._known: dict[OrderKey, KnownOrder] = {}
        self._ended: dict[OrderKey, _EndedOrder] = {}

    def __len__(self) -> int:
        return len(self._steady) + len(self._known) + len(self._ended)

    def has_ended(self, key: OrderKey) -> bool:
        """Whether the user knows that this order has ended, and all its fills."""
        return key in self._ended

    def get(self, key: OrderKey) -> KnownOrder | None:
        """An order that has not ended, or about which something is not settled."""
        report = self._steady.pop(key, None)
        if report is not None:
            self._known[key] = _from_report(report, _sums_at(report))
        return self._known.get(key)

    def is_known_open(self, key: OrderKey) -> bool:
        """Whether the user knows this order as open."""
        known = self._known.get(key)
        return key in self._steady or (known is not None and known.is_delivered and known.is_open)

    def list_open(self) -> list[OrderKey]:
        """The orders that the user knows as open."""
        return [*self._steady, *(key for key, order in self._known.items() if order.is_delivered and order.is_open)]

    def list_executed(self, reported_before: int) -> dict[OrderKey, Decimal]:
        """What was executed of each order that the user knows as open, unless a report came since some time."""
        executed = {
            key: report.cumulative_filled_quantity
            for key, report in self._steady.items()
            if report.event_time < reported_before
        }
        return executed | {
            key: order.sums.base.quantity
            for key, order in self._known.items()
            if order.is_delivered and order.is_open and order.reported_at < reported_before
        }

    def list_unsettled(self) -> list[KnownOrder]:
        """Orders about which something was read that is news, or whose fills do not add up."""
        return [order for order in self._known.values() if order.row is not None or not order.sums.adds_up]

    def list_unsummed(self) -> list[OrderKey]:
        """Orders whose reports do not add up: a fill did not arrive."""
        return [key for key, order in self._known.items() if order.is_delivered and not order.sums.adds_up]

    def to_open_orders(self) -> tuple[OpenOrder, ...]:
        """The open orders as values, oldest first."""
        found = [_open_order(_from_report(report, _sums_at(report))) for report in self._steady.values()]
        found += [_open_order(order) for order in self._known.values() if order.is_delivered and order.is_open]
        return tuple(sorted(found, key=lambda order: (order.order_creation_time, order.symbol, order.order_id)))

    def on_report(self, report: CompleteReport) -> None:
        """An execution report came."""
        key = report.symbol, report.order_id
        known = self._known.get(key)
        if known is not None:
            self._update(known, report)
        elif key in self._ended:
            return
        elif self._adds_up(key, report):
            if report.order_status in OPEN_STATUSES:
                self._steady[key] = report
            else:
                self._steady.pop(key, None)
                at, is_fill = report.transaction_time, report.trade_id != NO_TRADE
                self._ended[key] = _EndedOrder(report.order_status, at, _end_by(report), at if is_fill else 0)
        else:
            previous = self._steady.pop(key, None)
            self._known[key] = _from_report(report, OrderSums() if previous is None else _sums_at(previous))
            self._update(self._known[key], report)

    def _adds_up(self, key: OrderKey, report: CompleteReport) -> bool:
        previous = self._steady.get(key)
        if previous is not None:
            before = previous.cumulative_filled_quantity
        elif report.order_creation_time >= self.covered_since:
            before = ZERO.quantity
        else:
            return True
        return add_exactly(before, report.last_executed_quantity) == report.cumulative_filled_quantity

    def _update(self, order: KnownOrder, report: CompleteReport) -> None:
        order.is_delivered, order.reported_at = True, report.event_time
        if report.trade_id != NO_TRADE:
            cumulative = Amounts(report.cumulative_filled_quantity, report.cumulative_quote_quantity)
            last = Amounts(report.last_executed_quantity, report.last_quote_quantity)
            order.sums.on_report(KnownFill(report.trade_id, report.transaction_time, last, cumulative), cumulative)
            order.sums.collapse_reported()
        else:
            order.sums.on_reported_quantity(report.cumulative_filled_quantity, report.transaction_time)
        if order.is_open:
            order.status = report.order_status
            order.ended_at = None if order.is_open else _end_by(report)
            order.quantity, order.price = report.quantity, report.price
        self.settle(order, report.transaction_time)

    def adopt(self, row: OrderRow) -> None:
        """An open order was read at the start: one from before the stream began is known to the user."""
        key = row.symbol, row.order_id
        if row.time < self.covered_since and self.get(key) is None and key not in self._ended:
            executed = Amounts(row.executed_quantity, row.quote_quantity)
            sums = OrderSums(executed, last_fill_at=row.update_time, is_reading=True)
            self._known[key] = _from_row(row, sums)

    def restore(self, order: KnownOrder) -> None:
        """The user knows this order, from an earlier run."""
        self._known[order.key] = order

    def on_row(self, row: OrderRow, asked_at: int) -> KnownOrder:
        """A look that began at a time read an order."""
        key = row.symbol, row.order_id
        order = self.get(key)
        if order is None:
            is_covered = row.time >= self.covered_since
            executed = Amounts(row.executed_quantity, row.quote_quantity)
            order = _from_row(row, OrderSums() if is_covered else OrderSums(executed, last_fill_at=row.update_time))
            order.is_delivered = key in self._ended
            if order.is_delivered:
                ended = self._ended.pop(key)
                order.status, order.ended_at, order.sums.last_fill_at = ended.status, ended.ended_at, ended.last_fill_at
            self._known[key] = order
        order.on_row(row, asked_at)
        return order

    def settle(self, order: KnownOrder, at: int) -> None:
        """Keep no more than the end of an order of which all is known and delivered; `at` is now or later."""
        if order.is_delivered and not order.is_open and order.row is None and order.sums.adds_up:
            self._known.pop(order.key, None)
            self._ended[order.key] = _EndedOrder(order.status, at, order.ended_at, order.sums.last_fill_at)

    def remove(self, key: OrderKey) -> None:
        """Forget an order that the exchange does not show any more."""
        self._steady.pop(key, None)
        self._known.pop(key, None)

    def confirm_reads(self) -> None:
        """What the next report of an order says no longer goes without proof.

        Reports may be missing, or two reads agreed.
        """
        for order in self._known.values():
            order.sums.is_reading = False

    def forget(self, before: int) -> None:
        """Forget orders that ended before a time."""
        for key, ended in list(self._ended.items()):
            if ended.known_at >= before:
                break
            del self._ended[key]


def _end_by(report: CompleteReport) -> int | None:
    """When the order ended, by a report with an end status; None for a fill that came after the end."""
    is_late_fill = report.trade_id != NO_TRADE and report.order_status != "FILLED"
    return None if is_late_fill else report.transaction_time


def _sums_at(report: CompleteReport) -> OrderSums:
    cumulative = Amounts(report.cumulative_filled_quantity, report.cumulative_quote_quantity)
    return OrderSums(cumulative, base_id=report.trade_id, last_fill_at=report.transaction_time)


def _from_report(report: CompleteReport, sums: OrderSums) -> KnownOrder:
    return KnownOrder(
        symbol=report.symbol,
        order_id=report.order_id,
        client_order_id=report.original_client_order_id or report.client_order_id,
        side=report.side,
        order_type=report.order_type,
        time_in_force=report.time_in_force,
        quantity=report.quantity,
        price=report.price,
        created=report.order_creation_time,
        status=report.order_status,
        sums=sums,
        reported_at=report.event_time,
    )


def _from_row(row: OrderRow, sums: OrderSums) -> KnownOrder:
    return KnownOrder(
        symbol=row.symbol,
        order_id=row.order_id,
        client_order_id=row.client_order_id,
        side=row.side,
        order_type=row.order_type,
        time_in_force=row.time_in_force,
        quantity=row.quantity,
        price=row.price,
        created=row.time,
        status=row.status,
        sums=sums,
    )


def _open_order(order: KnownOrder) -> OpenOrder:
    return OpenOrder(
        symbol=order.symbol,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        quantity=order.quantity,
        price=order.price,
        order_status=order.status,
        cumulative_filled_quantity=order.sums.base.quantity,
        cumulative_quote_quantity=order.sums.base.quote,
        order_creation_time=order.created,
    )
