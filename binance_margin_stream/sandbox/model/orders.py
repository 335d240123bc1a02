"""Orders: validation, the funds that they lock and move, and their end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from binance_margin_stream.sandbox.amounts import ZERO, Number, exact, round_down
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["FinalStatus", "Order", "OrderFill", "OrderRequest", "Orders"]

OrderStatus = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"]
FinalStatus = Literal["CANCELED", "EXPIRED"]

_SIDES = ("BUY", "SELL")
_MARKET_TYPES = ("MARKET", "STOP_LOSS", "TAKE_PROFIT")
_STOP_TYPES = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
_TYPES = ("LIMIT", "MARKET", "LIMIT_MAKER", *_STOP_TYPES)
_TIMES_IN_FORCE = ("GTC", "IOC", "FOK")


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

    def __post_init__(self) -> None:
        """Validate the order.

        Raises:
            ValueError: unknown side, type or time in force; invalid quantity, price or stop price.

        """
        _check_one_of("side", self.side, _SIDES)
        _check_one_of("type", self.type, _TYPES)
        _check_one_of("time_in_force", self.time_in_force, _TIMES_IN_FORCE)
        if self.quantity <= ZERO or self.price <= ZERO or self.stop_price < ZERO:
            raise ValueError("quantity and price have to be above zero")
        if self.is_stop != bool(self.stop_price):
            raise ValueError(f"{self.type} {'needs a' if self.is_stop else 'takes no'} stop_price")

    @property
    @exact
    def remaining(self) -> Decimal:
        """Quantity that is not filled yet."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether it can still be filled, be cancelled or expire."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def is_market(self) -> bool:
        """Whether it trades at any price."""
        return self.type in _MARKET_TYPES

    @property
    def is_stop(self) -> bool:
        """Whether it has a stop price."""
        return self.type in _STOP_TYPES

    @property
    def is_on_book(self) -> bool:
        """Whether it is on the order book."""
        return self.is_open and not self.is_market and (self.triggered_at is not None or not self.is_stop)

    @property
    def working_since(self) -> int:
        """When it was placed on the book, in milliseconds."""
        return self.created_at if self.triggered_at is None else self.triggered_at

    def matches(self, price: Decimal) -> bool:
        """Whether it trades when the symbol is at a price."""
        return self.is_market or (price <= self.price if self.side == "BUY" else price >= self.price)

    def is_triggered_by(self, price: Decimal) -> bool:
        """Whether a price reaches its stop price."""
        rising = (self.side == "BUY") == self.type.startswith("STOP_LOSS")
        return price >= self.stop_price if rising else price <= self.stop_price


@dataclass(frozen=True, slots=True)
class OrderFill:
    """One execution of an order."""

    trade_id: int
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    is_maker: bool


class Orders:
    """All orders, and the balances that they lock and move."""

    def __init__(self, rules: ExchangeRules, ledger: Ledger) -> None:
        self._rules = rules
        self._ledger = ledger
        self._orders: dict[int, Order] = {}
        self._open_ids: dict[int, None] = {}
        self._closed_ids: deque[int] = deque()
        self._last_order_id = 0
        self._last_trade_id = 0
        self._last_execution_id = 0

    def get(self, order_id: int | None) -> Order:
        """The order with this id; the newest open order for None. The oldest closed orders are forgotten.

        Raises:
            ValueError: there is none.

        """
        number = next(reversed(self._open_ids), None) if order_id is None else order_id
        order = None if number is None else self._orders.get(number)
        if order is None:
            raise ValueError("no order is open" if order_id is None else f"no order {order_id}")
        return order

    def open_orders(self) -> list[Order]:
        """The open orders, oldest first."""
        return [self._orders[number] for number in self._open_ids]

    def is_affordable(self, draft: Order) -> bool:
        """Whether the account's free balance covers an order."""
        asset, amount = self._required_funds(draft, draft.quantity)
        return amount <= self._ledger.get_balance(draft.uid, draft.account, asset).free

    def accept(self, draft: Order) -> Order:
        """Accept an order that is affordable, and lock its funds."""
        order = self._assign_id(draft)
        asset, amount = self._required_funds(order, order.quantity)
        balance = self._ledger.get_balance(order.uid, order.account, asset)
        balance.free -= amount
        balance.locked += amount
        return self._store(order)

    def reject(self, draft: Order, reason: str) -> Order:
        """Reject an order; no balance changes."""
        return self._store(replace(self._assign_id(draft), status="REJECTED", reject_reason=reason))

    def trigger(self, order: Order, now: int) -> Order:
        """Record that the market reached an order's stop price."""
        return self._store(replace(order, triggered_at=now))

    def fill(self, order: Order, quantity: Decimal, price: Decimal, maker: bool) -> tuple[Order, OrderFill]:
        """Fill an order, fully or partially, and move the balances.

        Raises:
            ValueError: not open, more than remains, beyond the limit price, or more than the account can pay.

        """
        if not order.is_open or not ZERO < quantity <= order.remaining or price <= ZERO:
            raise ValueError(f"order {order.order_id} is {order.status} with {order.remaining} left to fill")
        if not order.matches(price):
            raise ValueError(f"order {order.order_id} is limited to {order.price} and does not {order.side} at {price}")
        base, quote = self.split_symbol(order.symbol)
        received, received_asset = (quantity, base) if order.side == "BUY" else (quantity * price, quote)
        self._release_locked(order, quantity, quantity * price if order.side == "BUY" else quantity)
        commission = round_down(received * self._rules.commission_rate)
        self._ledger.get_balance(order.uid, order.account, received_asset).free += received - commission
        self._last_trade_id += 1
        filled = replace(
            order,
            filled=order.filled + quantity,
            filled_quote=order.filled_quote + quantity * price,
            status="FILLED" if quantity == order.remaining else "PARTIALLY_FILLED",
        )
        return self._store(filled), OrderFill(self._last_trade_id, quantity, price, commission, received_asset, maker)

    def close(self, order: Order, status: FinalStatus) -> Order:
        """Close an open order, and unlock its remaining funds.

        Raises:
            ValueError: not open.

        """
        if not order.is_open:
            raise ValueError(f"order {order.order_id} is {order.status}")
        self._release_locked(order, order.remaining, ZERO)
        return self._store(replace(order, status=status))

    def next_execution_id(self) -> int:
        """A new execution id."""
        self._last_execution_id += 1
        return self._last_execution_id

    def split_symbol(self, symbol: str) -> tuple[str, str]:
        """Base and quote asset.

        Raises:
            ValueError: no such symbol.

        """
        assets = self._rules.split_symbol(symbol)
        if assets is None:
            raise ValueError(f"no symbol {symbol}")
        return assets

    def _assign_id(self, draft: Order) -> Order:
        self._last_order_id += 1
        client_order_id = draft.client_order_id or f"sandbox-{self._last_order_id}"
        return replace(draft, order_id=self._last_order_id, client_order_id=client_order_id)

    def _store(self, order: Order) -> Order:
        self._orders[order.order_id] = order
        if order.is_open:
            self._open_ids[order.order_id] = None
            return order
        self._open_ids.pop(order.order_id, None)
        self._closed_ids.append(order.order_id)
        if len(self._closed_ids) > self._rules.max_log_entries:
            del self._orders[self._closed_ids.popleft()]
        return order

    def _required_funds(self, order: Order, quantity: Decimal) -> tuple[str, Decimal]:
        base, quote = self.split_symbol(order.symbol)
        return (quote, quantity * order.price) if order.side == "BUY" else (base, quantity)

    def _release_locked(self, order: Order, quantity: Decimal, spent: Decimal) -> None:
        """Unlock the funds of a quantity, less what was spent on it."""
        asset, locked = self._required_funds(order, quantity)
        balance = self._ledger.get_balance(order.uid, order.account, asset)
        if balance.free + locked < spent:
            raise ValueError(f"not enough {asset}: {spent} needed, {balance.free + locked} available")
        balance.locked -= locked
        balance.free += locked - spent


def _check_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} takes one of {', '.join(choices)}")
