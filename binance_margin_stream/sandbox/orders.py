"""Orders and balances of the margin accounts, and the events that they cause."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Literal

from .rules import Rules

__all__ = ["Balance", "Fill", "Number", "Order", "Orders", "decimal"]

Number = Decimal | int | str
"""A quantity, price or amount; floats are not money."""

Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED"]

_ZERO = Decimal(0)
_OPENING_BALANCE = Decimal(1_000_000)
_MARKET_PRICE = Decimal(100)
_TOO_LARGE = Decimal(10) ** 15
_COMMISSION_RATE = Decimal("0.001")
_SIDES = ("BUY", "SELL")
_TYPES = (
    "LIMIT",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
    "LIMIT_MAKER",
)


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands; times in milliseconds of exchange time."""

    order_id: int
    client_order_id: str
    uid: int
    account: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal
    created_at: int
    status: Status = "NEW"
    filled: Decimal = _ZERO
    filled_quote: Decimal = _ZERO

    @property
    def remaining(self) -> Decimal:
        """Quantity that has not been filled."""
        return self.quantity - self.filled

    @property
    def open(self) -> bool:
        """Whether it can still be filled or cancelled."""
        return self.status in ("NEW", "PARTIALLY_FILLED")


@dataclass(slots=True)
class Balance:
    """An asset of a margin account."""

    free: Decimal = _OPENING_BALANCE
    locked: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order."""

    trade_id: int
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str


class Orders:
    """The order book of the sandbox: nothing matches by itself, fills come from whoever plays the market."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._orders: dict[int, Order] = {}
        self._balances: dict[tuple[int, str, str], Balance] = {}
        self._last_trade = 0
        self._last_execution = 0

    def balance(self, uid: int, account: str, asset: str) -> Balance:
        """The balance of an asset; an account starts with plenty of each."""
        return self._balances.setdefault((uid, account, asset), Balance())

    def find(self, order_id: int) -> Order:
        """The order with this id.

        Raises:
            ValueError: there is none.

        """
        order = self._orders.get(order_id)
        if order is None:
            raise ValueError(f"no order {order_id}")
        return order

    def assets(self, symbol: str) -> tuple[str, str]:
        """Base and quote asset.

        Raises:
            ValueError: no such symbol.

        """
        assets = self._rules.assets_of(symbol)
        if assets is None:
            raise ValueError(f"no symbol {symbol}")
        return assets

    def place(self, draft: Order) -> Order:
        """Accept an order and lock what it needs.

        Raises:
            ValueError: unknown symbol, side or type, nothing to trade, or not enough balance.

        """
        _check(draft)
        price = draft.price or _MARKET_PRICE
        number = len(self._orders) + 1
        order = replace(draft, order_id=number, client_order_id=f"sandbox-{number}", price=price)
        asset, amount = self._needed(order)
        balance = self.balance(order.uid, order.account, asset)
        if amount > balance.free:
            raise ValueError(f"not enough {asset}: {amount} needed, {balance.free} free")
        balance.free -= amount
        balance.locked += amount
        self._orders[number] = order
        return order

    def fill(self, order: Order, quantity: Decimal, price: Decimal) -> tuple[Order, Fill]:
        """Fill an order, wholly or in part, and move the balances.

        Raises:
            ValueError: not open, or more than remains.

        """
        if not order.open or not _ZERO < quantity <= order.remaining or price <= _ZERO:
            raise ValueError(f"order {order.order_id} is {order.status} with {order.remaining} left to fill")
        self._last_trade += 1
        base, quote = self.assets(order.symbol)
        got, got_asset = (quantity, base) if order.side == "BUY" else (quantity * price, quote)
        commission = got * _COMMISSION_RATE
        self._unlock(order, quantity, spent=quantity * price if order.side == "BUY" else quantity)
        self.balance(order.uid, order.account, got_asset).free += got - commission
        filled = replace(
            order,
            filled=order.filled + quantity,
            filled_quote=order.filled_quote + quantity * price,
            status="FILLED" if quantity == order.remaining else "PARTIALLY_FILLED",
        )
        self._orders[order.order_id] = filled
        return filled, Fill(self._last_trade, quantity, price, commission, got_asset)

    def cancel(self, order: Order) -> Order:
        """Cancel an order and free what it locked.

        Raises:
            ValueError: not open.

        """
        if not order.open:
            raise ValueError(f"order {order.order_id} is {order.status}")
        self._unlock(order, order.remaining, spent=_ZERO)
        cancelled = replace(order, status="CANCELED")
        self._orders[order.order_id] = cancelled
        return cancelled

    def next_execution_id(self) -> int:
        """A new execution id."""
        self._last_execution += 1
        return self._last_execution

    def _needed(self, order: Order) -> tuple[str, Decimal]:
        base, quote = self.assets(order.symbol)
        if order.side == "BUY":
            return quote, order.quantity * order.price
        return base, order.quantity

    def _unlock(self, order: Order, quantity: Decimal, spent: Decimal) -> None:
        """Release what a quantity had locked, less what was spent on it."""
        asset, _ = self._needed(order)
        held = quantity * order.price if order.side == "BUY" else quantity
        balance = self.balance(order.uid, order.account, asset)
        balance.locked -= held
        balance.free += held - spent


def decimal(value: Number) -> Decimal:
    """An exact number.

    Raises:
        ValueError: a float, not a number, or not a finite one of at most 15 digits before the point.

    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise ValueError("amounts are Decimal, int or str")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"not a number: {value}") from None
    if not number.is_finite() or abs(number) >= _TOO_LARGE:
        raise ValueError(f"not a number that an account could hold: {value}")
    return number


def _check(order: Order) -> None:
    if order.side not in _SIDES:
        raise ValueError(f"side takes one of {', '.join(_SIDES)}")
    if order.type not in _TYPES:
        raise ValueError(f"type takes one of {', '.join(_TYPES)}")
    if order.quantity <= _ZERO or order.price < _ZERO:
        raise ValueError("quantity has to be above zero, and price not below")
    if order.type != "MARKET" and not order.price:
        raise ValueError(f"{order.type} needs a price")
