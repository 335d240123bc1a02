"""The execution report: all that happens to an order."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from binance_margin_stream.stream.events.base import Identity, TimedEvent
from binance_margin_stream.stream.events.field_types import (
    Flag,
    Integer,
    Money,
    OptionalTime,
    Text,
    Time,
    to_datetime,
    to_optional_datetime,
)

__all__ = [
    "ExecutionReport",
    "ExecutionType",
    "OrderStatus",
    "OrderType",
    "RejectReason",
    "SelfTradePreventionMode",
    "Side",
    "TimeInForce",
    "UsualReport",
]

Side: TypeAlias = Literal["BUY", "SELL"] | str
OrderType: TypeAlias = (
    Literal[
        "LIMIT",
        "MARKET",
        "STOP_LOSS",
        "STOP_LOSS_LIMIT",
        "TAKE_PROFIT",
        "TAKE_PROFIT_LIMIT",
        "LIMIT_MAKER",
    ]
    | str
)
TimeInForce: TypeAlias = Literal["GTC", "IOC", "FOK"] | str
ExecutionType: TypeAlias = (
    Literal["NEW", "CANCELED", "REPLACED", "REJECTED", "TRADE", "EXPIRED", "TRADE_PREVENTION"] | str
)
OrderStatus: TypeAlias = (
    Literal[
        "NEW",
        "PENDING_NEW",
        "PARTIALLY_FILLED",
        "FILLED",
        "CANCELED",
        "PENDING_CANCEL",
        "REJECTED",
        "EXPIRED",
        "EXPIRED_IN_MATCH",
    ]
    | str
)
RejectReason: TypeAlias = (
    Literal[
        "NONE",
        "INSUFFICIENT_BALANCES",
        "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY",
        "WOULD_MATCH_IMMEDIATELY",
        "OCO_BAD_PRICES",
    ]
    | str
)
SelfTradePreventionMode: TypeAlias = (
    Literal["NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"] | str
)

_OptionalText: TypeAlias = Annotated[str, Text] | None


class UsualReport(TimedEvent, frozen=True):
    """The fields that nearly every execution report has, for the decoder alone; users see `ExecutionReport`."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    event_type: Literal["executionReport"] = Field("executionReport", validation_alias="e")
    symbol: Annotated[str, Text] = Field(validation_alias="s")
    client_order_id: Annotated[str, Text] = Field(validation_alias="c")
    side: Annotated[Side, Text] = Field(validation_alias="S")
    order_type: Annotated[OrderType, Text] = Field(validation_alias="o")
    time_in_force: Annotated[TimeInForce, Text] = Field(validation_alias="f")
    quantity: Money = Field(validation_alias="q")
    price: Money = Field(validation_alias="p")
    stop_price: Money = Field(validation_alias="P")
    iceberg_quantity: Money = Field(validation_alias="F")
    order_list_id: Integer = Field(validation_alias="g")
    """-1: the order belongs to no order list."""
    original_client_order_id: Annotated[str, Text] = Field(validation_alias="C")
    """Of the order that is being cancelled; else empty."""
    execution_type: Annotated[ExecutionType, Text] = Field(validation_alias="x")
    """What has just happened."""
    order_status: Annotated[OrderStatus, Text] = Field(validation_alias="X")
    """What has become of the order as a whole."""
    reject_reason: Annotated[RejectReason, Text] = Field(validation_alias="r")
    order_id: Integer = Field(validation_alias="i")
    last_executed_quantity: Money = Field(validation_alias="l")
    cumulative_filled_quantity: Money = Field(validation_alias="z")
    last_executed_price: Money = Field(validation_alias="L")
    commission_amount: Money = Field(validation_alias="n")
    commission_asset: _OptionalText = Field(None, validation_alias="N")
    transaction_time: Time = Field(validation_alias="T")
    trade_id: Integer = Field(validation_alias="t")
    """-1: no trade."""
    execution_id: Integer | None = Field(None, validation_alias="I")
    is_on_book: Flag = Field(validation_alias="w")
    is_maker: Flag = Field(validation_alias="m")
    ignored: Flag | None = Field(None, validation_alias="M")
    """The exchange says to ignore it."""
    order_creation_time: Time = Field(validation_alias="O")
    cumulative_quote_quantity: Money = Field(validation_alias="Z")
    last_quote_quantity: Money = Field(validation_alias="Y")
    quote_order_quantity: Money = Field(validation_alias="Q")
    self_trade_prevention_mode: Annotated[SelfTradePreventionMode, Text] = Field(validation_alias="V")
    working_time: OptionalTime = Field(None, validation_alias="W")


class ExecutionReport(UsualReport, frozen=True):
    """An order was taken, changed, filled, cancelled, refused or expired (``executionReport``).

    The fields are those of the exchange's documentation under full names. Those from `working_time` on come only
    for some orders and are None otherwise. Enumerations are open: the exchange adds values several times a year.
    """

    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)

    trailing_delta: Integer | None = Field(None, validation_alias="d")
    """In basis points."""
    trailing_time: OptionalTime = Field(None, validation_alias="D")
    strategy_id: Integer | None = Field(None, validation_alias="j")
    strategy_type: Integer | None = Field(None, validation_alias="J")
    prevented_match_id: Integer | None = Field(None, validation_alias="v")
    prevented_quantity: Money | None = Field(None, validation_alias="A")
    last_prevented_quantity: Money | None = Field(None, validation_alias="B")
    trade_group_id: Integer | None = Field(None, validation_alias="u")
    counter_order_id: Integer | None = Field(None, validation_alias="U")
    counter_symbol: _OptionalText = Field(None, validation_alias="Cs")
    prevented_execution_quantity: Money | None = Field(None, validation_alias="pl")
    prevented_execution_price: Money | None = Field(None, validation_alias="pL")
    prevented_execution_quote_quantity: Money | None = Field(None, validation_alias="pY")
    match_type: _OptionalText = Field(None, validation_alias="b")
    allocation_id: Integer | None = Field(None, validation_alias="a")
    working_floor: _OptionalText = Field(None, validation_alias="k")
    used_smart_order_routing: Flag | None = Field(None, validation_alias="uS")
    peg_price_type: _OptionalText = Field(None, validation_alias="gP")
    peg_offset_type: _OptionalText = Field(None, validation_alias="gOT")
    peg_offset_value: Integer | None = Field(None, validation_alias="gOV")
    pegged_price: Money | None = Field(None, validation_alias="gp")
    expiry_reason: _OptionalText = Field(None, validation_alias="eR")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """None for a field that did not come: to store all those Nones would cost a tenth of decoding."""
            return None if name in _CONDITIONAL else super().__getattr__(name)

    @property
    def identity(self) -> Identity:
        """The account, the symbol and the execution id.

        Where that id is absent or not positive: the account, symbol, order id, execution type, trade id and
        transaction time, which together name one step in the life of one order.
        """
        name = (type(self).__name__, str(self.account), self.symbol)
        if self.execution_id is not None and self.execution_id > 0:
            return *name, self.execution_id
        return *name, self.order_id, self.execution_type, self.trade_id, self.transaction_time

    def __hash__(self) -> int:
        return hash((type(self), self.account, self.symbol, self.order_id, self.event_time))

    @property
    def transaction_datetime(self) -> datetime:
        """When it happened, in UTC."""
        return to_datetime(self.transaction_time)

    @property
    def order_creation_datetime(self) -> datetime:
        """When the order was made, in UTC."""
        return to_datetime(self.order_creation_time)

    @property
    def working_datetime(self) -> datetime | None:
        """When the order came on the book, in UTC; None where it is not there."""
        return to_optional_datetime(self.working_time)

    @property
    def trailing_datetime(self) -> datetime | None:
        """When the trailing began, in UTC; None where the order does not trail."""
        return to_optional_datetime(self.trailing_time)


_CONDITIONAL = frozenset(ExecutionReport.model_fields.keys() - UsualReport.model_fields.keys())
