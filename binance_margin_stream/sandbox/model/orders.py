"""Orders as values: their parameters, their state, and their fills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from binance_margin_stream.sandbox.amounts import ZERO, Number, subtract_exact
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = [
    "BORROWING_SIDE_EFFECTS",
    "NO_LIST",
    "ORDER_TYPES",
    "REPAYING_SIDE_EFFECTS",
    "SIDES",
    "SIDE_EFFECTS",
    "STOP_TYPES",
    "TIMES_IN_FORCE",
    "FinalStatus",
    "Order",
    "OrderFill",
    "OrderRequest",
    "OrderStatus",
]

OrderStatus = Literal[
    "NEW", "PENDING_NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"
]
FinalStatus = Literal["CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"]

SIDES = ("BUY", "SELL")
_MARKET_TYPES = ("MARKET", "STOP_LOSS", "TAKE_PROFIT")
STOP_TYPES = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
ORDER_TYPES = ("LIMIT", "MARKET", "LIMIT_MAKER", *STOP_TYPES)
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
BORROWING_SIDE_EFFECTS = ("MARGIN_BUY", "AUTO_BORROW_REPAY")
REPAYING_SIDE_EFFECTS = ("AUTO_REPAY", "AUTO_BORROW_REPAY")
SIDE_EFFECTS = ("NO_SIDE_EFFECT", "MARGIN_BUY", "AUTO_REPAY", "AUTO_BORROW_REPAY")

NO_LIST = -1
"""The order list id of a single order."""

_BASIS_POINTS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The parameters of a new order, as a client sends them; amounts are not checked yet."""

    symbol: str = "BTCUSDT"
    side: str = "BUY"
    type: str = "LIMIT"
    quantity: Number = 1
    price: Number | None = None
    """The symbol's price where None."""
    account: str = CROSS
    stop_price: Number = 0
    time_in_force: str = "GTC"


@dataclass(frozen=True, slots=True)
class Order:
    """The state of an order; times are milliseconds of exchange time."""

    order_id: int
    client_order_id: str
    uid: int
    account: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal
    """The limit price; of a market order, the price that its funds are computed with."""
    created_at: int
    stop_price: Decimal = ZERO
    time_in_force: str = "GTC"
    status: OrderStatus = "NEW"
    reject_reason: str = "NONE"
    triggered_at: int | None = None
    """When the market reached the stop price."""
    filled: Decimal = ZERO
    filled_quote: Decimal = ZERO
    updated_at: int = 0
    """When it last changed."""
    iceberg_quantity: Decimal = ZERO
    quote_quantity: Decimal = ZERO
    """The amount of a market order that is given in the quote asset."""
    trailing_delta: int = 0
    """Distance of a trailing stop from the best price, in hundredths of a percent."""
    best_price: Decimal = ZERO
    """The best price since the trailing stop became active; 0 before."""
    self_trade_prevention: str = "NONE"
    side_effect: str = "NO_SIDE_EFFECT"
    repays_at_cancel: bool = True
    borrowed: Decimal = ZERO
    """What was borrowed for it and is not used yet."""
    locked: Decimal = ZERO
    """What is locked for it."""
    order_list_id: int = NO_LIST

    def __post_init__(self) -> None:
        """Validate the order.

        Raises:
            ValueError: unknown side, type or time in force; invalid quantity, price or stop price.

        """
        _check_one_of("side", self.side, SIDES)
        _check_one_of("type", self.type, ORDER_TYPES)
        _check_one_of("time_in_force", self.time_in_force, TIMES_IN_FORCE)
        if self.quantity <= ZERO or self.price <= ZERO or self.stop_price < ZERO:
            raise ValueError("quantity and price have to be above zero")
        if self.is_stop != bool(self.stop_price or self.trailing_delta):
            raise ValueError(f"{self.type} {'needs a' if self.is_stop else 'takes no'} stop_price")

    @property
    def remaining(self) -> Decimal:
        """Quantity that is not filled yet."""
        return subtract_exact(self.quantity, self.filled)

    @property
    def is_open(self) -> bool:
        """Whether it can still be filled, be cancelled or expire."""
        return self.status in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")

    @property
    def is_pending(self) -> bool:
        """Whether it waits for another order of its list."""
        return self.status == "PENDING_NEW"

    @property
    def is_market(self) -> bool:
        """Whether it trades at any price."""
        return self.type in _MARKET_TYPES

    @property
    def is_stop(self) -> bool:
        """Whether it has a stop price."""
        return self.type in STOP_TYPES

    @property
    def is_on_book(self) -> bool:
        """Whether it is on the order book."""
        if not self.is_open or self.is_pending or self.is_market:
            return False
        return self.triggered_at is not None or not self.is_stop

    @property
    def working_since(self) -> int:
        """When it was placed on the book, in milliseconds."""
        return self.created_at if self.triggered_at is None else self.triggered_at

    def matches(self, price: Decimal) -> bool:
        """Whether it trades when the symbol is at a price."""
        return self.is_market or (price <= self.price if self.side == "BUY" else price >= self.price)

    @property
    def is_triggered_by_rise(self) -> bool:
        """Whether a rising price triggers it, and not a falling one."""
        return (self.side == "BUY") == self.type.startswith("STOP_LOSS")

    def is_triggered_by(self, price: Decimal) -> bool:
        """Whether a price reaches its stop price, or its trailing distance from the best price."""
        limit = self._get_trigger_price()
        if not limit:
            return False
        return price >= limit if self.is_triggered_by_rise else price <= limit

    def follow(self, price: Decimal) -> Order:
        """The order after a price of its symbol: a trailing stop becomes active, or moves."""
        if not self.trailing_delta or self.triggered_at is not None:
            return self
        rising, best = self.is_triggered_by_rise, self.best_price
        if not best and self.stop_price and (price > self.stop_price if rising else price < self.stop_price):
            return self
        if not best or (price < best if rising else price > best):
            return replace(self, best_price=price)
        return self

    def _get_trigger_price(self) -> Decimal:
        if not self.trailing_delta:
            return self.stop_price
        share = self.trailing_delta / _BASIS_POINTS
        return self.best_price * (1 + share if self.is_triggered_by_rise else 1 - share)


@dataclass(frozen=True, slots=True)
class OrderFill:
    """One execution of an order."""

    trade_id: int
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    is_maker: bool


def _check_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} takes one of {', '.join(choices)}")
