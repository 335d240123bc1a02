"""The execution report: all that happens to an order; and `Fill`, what a report of a trade says about it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import field

from binance_margin_stream.stream.events.base import Identity, StreamItem, TimedEvent
from binance_margin_stream.stream.events.enumerations import (
    ExecutionType,
    ExpiryReason,
    OrderStatus,
    OrderType,
    RejectReason,
    SelfTradePreventionMode,
    Side,
    TimeInForce,
)
from binance_margin_stream.stream.events.field_types import (
    Integer,
    IntegerOrText,
    Money,
    OptionalTime,
    Sent,
    TextOrNull,
    Time,
    format_value,
    to_key,
    to_optional_datetime,
)
from binance_margin_stream.stream.events.record_fields import local_field

__all__ = ["ExecutionReport", "Fill"]


class Fill(StreamItem, frozen=True, kw_only=True):
    """What is known of an execution wherever it comes from; ``case Fill(execution_type="TRADE")`` is a trade.

    Fields: account, symbol, client_order_id, side, order_type, execution_type, order_status, order_id, trade_id,
    last_executed_quantity, last_executed_price, last_quote_quantity, cumulative_filled_quantity,
    cumulative_quote_quantity, commission_amount, commission_asset, is_maker, transaction_time.
    """

    if TYPE_CHECKING:  # each class below lays them out in the order of its wire: decoding takes a fifth longer else
        symbol: str
        client_order_id: str | None
        side: str | None
        order_type: str | None
        execution_type: str
        order_status: str
        order_id: int
        last_executed_quantity: Decimal | None
        cumulative_filled_quantity: Decimal | None
        last_executed_price: Decimal | None
        commission_amount: Decimal | None
        commission_asset: str | None
        transaction_time: int | None
        trade_id: int | None
        is_maker: bool | None
        cumulative_quote_quantity: Decimal | None
        last_quote_quantity: Decimal | None

    @property
    def is_trade(self) -> bool:
        """Whether a trade was made, with an id."""
        return self.execution_type == ExecutionType.TRADE and self.trade_id is not None and self.trade_id >= 0

    @property
    def identity(self) -> Identity:
        """For a trade: ``Fill``, the account, the symbol, the trade id and the order id.

        The order id belongs to it, because an order that trades with another one of the account makes two fills.
        """
        return "Fill", str(self.account), self.symbol, -1 if self.trade_id is None else self.trade_id, self.order_id

    @property
    def transaction_datetime(self) -> datetime | None:
        """`transaction_time`, in UTC."""
        return to_optional_datetime(self.transaction_time)


class ExecutionReport(Fill, TimedEvent, frozen=True, kw_only=True, tag_field="e", tag="executionReport"):
    """An order was taken, changed, filled, cancelled, refused or expired (``executionReport``).

    Amounts are `Decimal`, times are milliseconds since 1970-01-01 UTC, and each time has a ``…_datetime``. A field is
    None where it did not come or could not be read. The fields, as the exchange's documentation describes them:

    Order
        symbol, order_id, client_order_id, original_client_order_id (of the order that is being cancelled, else
        empty), order_list_id (-1: none), side, order_type, time_in_force, quantity, price, stop_price,
        iceberg_quantity, quote_order_quantity, self_trade_prevention_mode, order_creation_time, is_on_book
    What has just happened
        event_time, transaction_time, execution_type, execution_id, order_status (of the order as a whole),
        reject_reason
    Fill
        trade_id (-1: no trade), last_executed_quantity, last_executed_price, last_quote_quantity, is_maker,
        commission_amount, commission_asset, cumulative_filled_quantity, cumulative_quote_quantity
    Only for some orders, else None
        working_time (since when it is on the book), trailing_delta (basis points), trailing_time, strategy_id,
        strategy_type, prevented_match_id, prevented_quantity, last_prevented_quantity, trade_group_id,
        counter_order_id, counter_symbol, prevented_execution_quantity, prevented_execution_price,
        prevented_execution_quote_quantity, match_type, allocation_id, working_floor, used_smart_order_routing,
        peg_price_type, peg_offset_type, peg_offset_value, pegged_price, expiry_reason
    Of every event
        account, subscription, event_type, extra (fields that this version does not know), problems (fields that were not what
        the exchange documents), and ignored, which the exchange says to ignore
    """

    event_type: Literal["executionReport"] = local_field("event_type", "executionReport")
    symbol: str = field(name="s")
    client_order_id: Sent[str] = field(name="c")
    side: Sent[Annotated[str, Side]] = field(name="S")
    order_type: Sent[Annotated[str, OrderType]] = field(name="o")
    time_in_force: Sent[Annotated[str, TimeInForce]] = field(name="f")
    quantity: Sent[Money] = field(name="q")
    price: Sent[Money] = field(name="p")
    stop_price: Sent[Money] = field(name="P")
    iceberg_quantity: Sent[Money] = field(name="F")
    order_list_id: Sent[Integer] = field(name="g")
    """-1: the order belongs to no order list."""
    original_client_order_id: Sent[str] = field(name="C")
    """Of the order that is being cancelled; else empty."""
    execution_type: Annotated[str, ExecutionType] = field(name="x")
    """What has just happened."""
    order_status: Annotated[str, OrderStatus] = field(name="X")
    """What has become of the order as a whole."""
    reject_reason: Sent[Annotated[str, RejectReason]] = field(name="r")
    order_id: Integer = field(name="i")
    last_executed_quantity: Sent[Money] = field(name="l")
    cumulative_filled_quantity: Sent[Money] = field(name="z")
    last_executed_price: Sent[Money] = field(name="L")
    commission_amount: Sent[Money] = field(name="n")
    commission_asset: TextOrNull | None = field(name="N")
    """None where nothing was charged."""
    transaction_time: Sent[Time] = field(name="T")
    """When it happened; milliseconds since 1970-01-01 UTC."""
    trade_id: Sent[Integer] = field(name="t")
    """-1: no trade."""
    execution_id: Sent[Integer] = field(name="I")
    is_on_book: Sent[bool] = field(name="w")
    is_maker: Sent[bool] = field(name="m")
    ignored: Sent[bool] = field(name="M")
    """The exchange says to ignore it."""
    order_creation_time: Sent[Time] = field(name="O")
    """Milliseconds since 1970-01-01 UTC."""
    cumulative_quote_quantity: Sent[Money] = field(name="Z")
    last_quote_quantity: Sent[Money] = field(name="Y")
    quote_order_quantity: Sent[Money] = field(name="Q")
    working_time: OptionalTime | None = field(name="W", default=None)
    """Since when the order is on the book; milliseconds since 1970-01-01 UTC."""
    self_trade_prevention_mode: Sent[Annotated[str, SelfTradePreventionMode]] = field(name="V")
    trailing_delta: IntegerOrText | None = field(name="d", default=None)
    """In basis points."""
    trailing_time: OptionalTime | None = field(name="D", default=None)
    strategy_id: IntegerOrText | None = field(name="j", default=None)
    strategy_type: IntegerOrText | None = field(name="J", default=None)
    prevented_match_id: IntegerOrText | None = field(name="v", default=None)
    prevented_quantity: Money | None = field(name="A", default=None)
    last_prevented_quantity: Money | None = field(name="B", default=None)
    trade_group_id: IntegerOrText | None = field(name="u", default=None)
    counter_order_id: IntegerOrText | None = field(name="U", default=None)
    counter_symbol: str | None = field(name="Cs", default=None)
    prevented_execution_quantity: Money | None = field(name="pl", default=None)
    prevented_execution_price: Money | None = field(name="pL", default=None)
    prevented_execution_quote_quantity: Money | None = field(name="pY", default=None)
    match_type: str | None = field(name="b", default=None)
    allocation_id: IntegerOrText | None = field(name="a", default=None)
    working_floor: str | None = field(name="k", default=None)
    used_smart_order_routing: bool | None = field(name="uS", default=None)
    peg_price_type: str | None = field(name="gP", default=None)
    peg_offset_type: str | None = field(name="gOT", default=None)
    peg_offset_value: IntegerOrText | None = field(name="gOV", default=None)
    pegged_price: Money | None = field(name="gp", default=None)
    expiry_reason: Annotated[str, ExpiryReason] | None = field(name="eR", default=None)

    @property
    def identity(self) -> Identity:
        """For a trade, that of its `Fill`. For anything else the account, the symbol and the execution id.

        Where that id is absent or not positive: the account, symbol, order id, execution type, trade id and
        transaction time, which together name one step of one order.
        """
        if self.is_trade:
            return super().identity
        name = (type(self).__name__, str(self.account), self.symbol)
        if self.execution_id is not None and self.execution_id > 0:
            return *name, self.execution_id
        return *name, self.order_id, self.execution_type, to_key(self.trade_id), to_key(self.transaction_time)

    @property
    def summary(self) -> str:
        """The order, how much of it is filled, and what has just happened."""
        text = " ".join(map(format_value, (self.symbol, self.side, self.order_type, self.quantity)))
        text += f" @ {format_value(self.price)}" if self.price else ""
        text += f" {self.order_status} {format_value(self.cumulative_filled_quantity)}/{format_value(self.quantity)}"
        if self.is_trade:
            amounts = f"{format_value(self.last_executed_quantity)} @ {format_value(self.last_executed_price)}"
            return f"{text}, trade {self.trade_id}: {amounts}"
        reasons = [each for each in (self.reject_reason, self.expiry_reason) if each and each != RejectReason.NONE]
        return ", ".join([text, *reasons])

    def __hash__(self) -> int:
        return hash((type(self), self.account, self.symbol, self.order_id, self.event_time))

    @property
    def order_creation_datetime(self) -> datetime | None:
        """When the order was made, in UTC."""
        return to_optional_datetime(self.order_creation_time)

    @property
    def working_datetime(self) -> datetime | None:
        """When the order came on the book, in UTC; None where it is not there."""
        return to_optional_datetime(self.working_time)

    @property
    def trailing_datetime(self) -> datetime | None:
        """When the trailing began, in UTC; None where the order does not trail."""
        return to_optional_datetime(self.trailing_time)
