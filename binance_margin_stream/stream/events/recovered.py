"""What recovery adds to a stream: fills and orders that a gap had swallowed, and the end of the gap itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from binance_margin_stream.stream.events.base import Identity, StreamItem
from binance_margin_stream.stream.events.enumerations import OrderStatus, OrderType, Side, TimeInForce
from binance_margin_stream.stream.events.execution_report import Fill
from binance_margin_stream.stream.events.field_types import Integer, Money, Time, format_value
from binance_margin_stream.stream.events.record import Record

__all__ = ["GapClosed", "RecoveredOrder", "RecoveredTrade", "Unproven", "UnprovenKind"]


class RecoveredTrade(Fill, frozen=True, kw_only=True):
    """A fill that the stream did not deliver, read from the exchange; the names are those of an execution report.

    What the exchange does not tell is None. The cumulative quantities and the order status are those at this fill,
    summed from the order's own fills; they are None where the sums could not be proved.
    """

    symbol: str
    order_id: Integer
    trade_id: Integer
    side: Annotated[str, Side]
    last_executed_price: Money
    last_executed_quantity: Money
    last_quote_quantity: Money
    """Price times quantity."""
    commission_amount: Money | None = None
    commission_asset: str | None = None
    is_maker: bool
    transaction_time: Time
    """Milliseconds since 1970-01-01 UTC."""
    execution_type: Literal["TRADE"] = "TRADE"
    client_order_id: str | None = None
    order_type: Annotated[str, OrderType] | None = None
    time_in_force: Annotated[str, TimeInForce] | None = None
    quantity: Money | None = None
    """Of the order."""
    price: Money | None = None
    """Of the order."""
    order_status: Annotated[str, OrderStatus] | None = None  # type: ignore[assignment]  # None where it is not proved
    cumulative_filled_quantity: Money | None = None
    cumulative_quote_quantity: Money | None = None

    @property
    def summary(self) -> str:
        """What was traded."""
        amount, price = format_value(self.last_executed_quantity), format_value(self.last_executed_price)
        return f"recovered trade: {self.side} {amount} {self.symbol} at {price}, order {self.order_id}"

    def __hash__(self) -> int:
        return hash(self.identity)


class RecoveredOrder(StreamItem, frozen=True, kw_only=True):
    """The present state of an order that changed in a gap: how it ended, or that it was made there and is open."""

    symbol: str
    order_id: Integer
    client_order_id: str
    side: Annotated[str, Side]
    order_type: Annotated[str, OrderType]
    time_in_force: Annotated[str, TimeInForce]
    quantity: Money
    price: Money
    stop_price: Money | None = None
    iceberg_quantity: Money | None = None
    order_status: Annotated[str, OrderStatus]
    cumulative_filled_quantity: Money
    cumulative_quote_quantity: Money | None = None
    """None where the exchange does not know it, as for old orders."""
    order_creation_time: Time
    """Milliseconds since 1970-01-01 UTC."""
    update_time: Time
    """When the order changed last; milliseconds since 1970-01-01 UTC."""

    @property
    def identity(self) -> Identity:
        """Account, symbol, order id, status and the time of the last change."""
        name = type(self).__name__
        return name, str(self.account), self.symbol, self.order_id, self.order_status, self.update_time

    @property
    def summary(self) -> str:
        """What became of the order."""
        filled, quantity = format_value(self.cumulative_filled_quantity), format_value(self.quantity)
        return f"recovered order {self.order_id}: {self.order_status}, {filled} of {quantity} {self.symbol} filled"

    def __hash__(self) -> int:
        return hash(self.identity)


class UnprovenKind(StrEnum):
    """What recovery could not prove about a gap."""

    ORDER_END = "order end"
    """The order was open before the gap, and the exchange does not show it."""
    ORDER_ARCHIVED = "order archived"
    """The order ended without a fill more than 90 days ago, and the exchange no longer shows how."""
    FILLS = "fills"
    """The fills of the order do not add up to its executed quantity."""
    SYMBOL = "symbol"
    """The exchange refuses to return the fills or orders of the symbol."""
    LEDGER_DELAY = "ledger delay"
    """Symbols that nobody watches may have been traded: the account's ledger may not cover the time yet."""


class Unproven(Record, frozen=True, kw_only=True):
    """One thing about a gap that is not proved, by name."""

    kind: Annotated[str, UnprovenKind]
    symbol: str | None = None
    order_id: Integer | None = None

    def __str__(self) -> str:
        subject = " ".join(str(part) for part in (self.symbol, self.order_id) if part is not None)
        return f"{self.kind}: {subject}" if subject else str(self.kind)


class GapClosed(StreamItem, frozen=True, kw_only=True):
    """What happened in a gap has been handed over, except for what is `unproven`.

    It comes a second time, with `is_final`, when the last look at the gap found something more, or when something
    was unproven before. Then nothing more about the gap can come.
    """

    gap_ids: tuple[int, ...]
    """The ids of the gaps that this closes; gaps that came before the first one was closed are one."""
    since: Time
    """Milliseconds since 1970-01-01 UTC, as in the gap."""
    until: Time
    """Milliseconds since 1970-01-01 UTC, as in the gap."""
    trades: Integer
    """How many fills were recovered."""
    orders: Integer
    """How many orders were recovered."""
    unproven: tuple[Unproven, ...] = ()
    is_final: bool = False

    @property
    def summary(self) -> str:
        """What was recovered, and what is not proved."""
        unproven = f", unproven: {', '.join(map(str, self.unproven))}" if self.unproven else ""
        gaps = ", ".join(map(str, self.gap_ids))
        return f"gap {gaps} closed: {self.trades} trades and {self.orders} orders recovered{unproven}"

    def __hash__(self) -> int:
        return hash((self.account, self.gap_ids, self.is_final))
