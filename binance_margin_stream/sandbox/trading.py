"""What happens in an account when somebody trades, borrows or comes near liquidation."""

from __future__ import annotations

from decimal import Decimal

from .accounts import CROSS
from .events import (
    account_position,
    balance_update,
    execution_report,
    liability_change,
    margin_level_change,
)
from .orders import Number, Order, Orders, decimal
from .publishing import publish
from .state import State

__all__ = ["Trading"]

_NAMES = {
    "upper": ("MARGIN_LEVEL_STATUS_CHANGE", "USER_LIABILITY_CHANGE"),
    "camel": ("marginLevelStatusChange", "userLiabilityChange"),
}


class Trading:
    """The market as played from outside; every action sends its events in the exchange's order."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._orders = Orders(state.rules)
        self._level_name, self._liability_name = _NAMES[state.rules.margin_event_names]

    def place(
        self,
        uid: int,
        account: str,
        symbol: str,
        side: str,
        order_type: str,
        quantity: Number,
        price: Number | None,
        now: int,
    ) -> Order:
        """Place an order; a MARKET order is filled at once.

        Raises:
            ValueError: the order is not acceptable.

        """
        draft = Order(
            order_id=0,
            client_order_id="",
            uid=uid,
            account=account,
            symbol=symbol,
            side=side,
            type=order_type,
            quantity=decimal(quantity),
            price=decimal(0 if price is None else price),
            created_at=now,
        )
        order = self._orders.place(draft)
        self._report(order, "NEW", now)
        if order.type == "MARKET":
            return self.fill(order.order_id, None, None, now)
        self._position(order, now)
        return order

    def fill(self, order_id: int, quantity: Number | None, price: Number | None, now: int) -> Order:
        """Fill an order: what remains of it unless a quantity is given, at its price unless one is given.

        Raises:
            ValueError: no such order, not open, or more than remains.

        """
        order = self._orders.find(order_id)
        order, fill = self._orders.fill(
            order,
            order.remaining if quantity is None else decimal(quantity),
            order.price if price is None else decimal(price),
        )
        report = execution_report(order, "TRADE", self._orders.next_execution_id(), now, fill)
        publish(self._state, order.uid, order.account, report)
        self._position(order, now)
        return order

    def cancel(self, order_id: int, now: int) -> Order:
        """Cancel an order.

        Raises:
            ValueError: no such order, or not open.

        """
        order = self._orders.cancel(self._orders.find(order_id))
        self._report(order, "CANCELED", now)
        self._position(order, now)
        return order

    def borrow(self, uid: int, account: str, asset: str, amount: Number, now: int) -> None:
        """Borrow an asset: a liability on the risk stream, and the balance that it brings.

        Raises:
            ValueError: nothing to borrow.

        """
        principal = _positive(amount)
        change = liability_change(asset, "BORROW", principal, self._liability_name, now)
        publish(self._state, uid, account, change)
        self.change_balance(uid, account, asset, principal, now)

    def change_balance(self, uid: int, account: str, asset: str, delta: Number, now: int) -> None:
        """Move an asset into or out of an account.

        Raises:
            ValueError: the account has less than that.

        """
        amount = decimal(delta)
        balance = self._orders.balance(uid, account, asset)
        if balance.free + amount < 0:
            raise ValueError(f"not enough {asset}: {balance.free} free")
        balance.free += amount
        publish(self._state, uid, account, balance_update(asset, amount, now))
        publish(self._state, uid, account, account_position([(asset, balance)], now))

    def margin_call(self, uid: int, level: Number, status: str, now: int) -> None:
        """Change the margin level of the cross account, with a status such as ``MARGIN_CALL``.

        Raises:
            ValueError: the level is not a number.

        """
        change = margin_level_change(decimal(level), status, self._level_name, now)
        publish(self._state, uid, CROSS, change)

    def _report(self, order: Order, execution: str, now: int) -> None:
        report = execution_report(order, execution, self._orders.next_execution_id(), now)
        publish(self._state, order.uid, order.account, report)

    def _position(self, order: Order, now: int) -> None:
        assets = self._orders.assets(order.symbol)
        balances = [(asset, self._orders.balance(order.uid, order.account, asset)) for asset in assets]
        publish(self._state, order.uid, order.account, account_position(balances, now))


def _positive(amount: Number) -> Decimal:
    number = decimal(amount)
    if number <= 0:
        raise ValueError("the amount has to be above zero")
    return number
