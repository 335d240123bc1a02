"""The market as it is played from outside: orders, balances, debt and prices, each with all that follows from it."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import Number, parse_decimal, parse_positive
from binance_margin_stream.sandbox.config import HOUR_MS
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading import execution, lending
from binance_margin_stream.sandbox.trading.liquidation import check_margin_level, send_margin_level
from binance_margin_stream.sandbox.trading.margin import compute_margin_level

__all__ = ["TradingService"]


class TradingService:
    """Every action sends its events in the exchange's order, and then looks at the account's margin level."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self._interest_scheduled = False

    def place_order(
        self,
        uid: int,
        account: str,
        symbol: str,
        side: str,
        order_type: str,
        quantity: Number,
        price: Number | None,
        now: int,
        *,
        stop_price: Number = 0,
        time_in_force: str = "GTC",
    ) -> Order:
        """Place an order; a MARKET order is filled at once. Without a price it takes the symbol's.

        An order that the account cannot pay is not an error: it is rejected, with a report that says so.

        Raises:
            ValueError: no such order is possible.

        """
        order = self._build_order(
            uid, account, symbol, side, order_type, quantity, price, now, stop_price, time_in_force
        )
        order = execution.place_order(self._state, order, now)
        check_margin_level(self._state, uid, account, now)
        return order

    def reject_order(
        self,
        uid: int,
        account: str,
        symbol: str,
        side: str,
        order_type: str,
        quantity: Number,
        price: Number | None,
        reason: str,
        now: int,
        *,
        stop_price: Number = 0,
    ) -> Order:
        """Refuse an order for a reason such as ``INSUFFICIENT_BALANCES``.

        Raises:
            ValueError: no such order is possible.

        """
        order = self._build_order(uid, account, symbol, side, order_type, quantity, price, now, stop_price, "GTC")
        return execution.reject_order(self._state, order, reason, now)

    def fill_order(self, order_id: int | None, quantity: Number | None, price: Number | None, now: int) -> Order:
        """Fill an order: what remains of it unless a quantity is given, at its price unless one is given.

        Raises:
            ValueError: no such order, not open, more than remains, worse than its limit, or too expensive.

        """
        order = self._state.orders.get(order_id)
        order = execution.fill_order(
            self._state,
            order,
            order.remaining if quantity is None else quantity,
            order.price if price is None else price,
            now,
            maker=order.is_on_book,
        )
        check_margin_level(self._state, order.uid, order.account, now)
        return order

    def cancel_order(self, order_id: int | None, now: int) -> Order:
        """Cancel an order.

        Raises:
            ValueError: no such order, or not open.

        """
        return execution.close_order(self._state, self._state.orders.get(order_id), "CANCELED", now)

    def expire_order(self, order_id: int | None, now: int) -> Order:
        """Let an order expire.

        Raises:
            ValueError: no such order, or not open.

        """
        return execution.close_order(self._state, self._state.orders.get(order_id), "EXPIRED", now)

    def set_price(self, symbol: str, price: Number, now: int) -> None:
        """Let a symbol trade at a price: orders that it reaches wake up and fill, margin levels follow.

        Raises:
            ValueError: no such symbol, or no price.

        """
        self._state.orders.split_symbol(symbol)
        market_price = parse_positive(price)
        self._state.prices.set_price(symbol, market_price)
        for order in self._state.orders.open_orders():
            if order.symbol == symbol and self._state.orders.get(order.order_id).is_open:
                execution.on_price(self._state, order, market_price, now)
        for uid, account in self._state.ledger.accounts_with_debt():
            check_margin_level(self._state, uid, account, now)

    def borrow(self, uid: int, account: str, asset: str, amount: Number, now: int) -> None:
        """Borrow an asset: a liability on the risk stream, and the balance that it brings.

        Raises:
            ValueError: nothing to borrow, or no such account.

        """
        self._check_account(account, asset)
        lending.borrow(self._state, uid, account, asset, parse_positive(amount), now)
        self._schedule_hourly_interest(now)
        check_margin_level(self._state, uid, account, now)

    def repay(self, uid: int, account: str, asset: str, amount: Number | None, now: int) -> None:
        """Repay debt, interest first; without an amount, all that is owed of the asset.

        Raises:
            ValueError: nothing is owed, or less than that, or the account has not enough of it.

        """
        self._check_account(account, asset)
        owed = self._state.ledger.get_balance(uid, account, asset).debt
        if not owed:
            raise ValueError(f"the account owes no {asset}")
        lending.repay(self._state, uid, account, asset, owed if amount is None else parse_positive(amount), now)
        check_margin_level(self._state, uid, account, now)

    def charge_interest(self, uid: int, account: str, rate: Number, now: int) -> None:
        """Charge interest now: a part of each asset's borrowed amount.

        Raises:
            ValueError: the rate is not above zero, or there is no such account.

        """
        self._check_account(account)
        lending.charge_interest(self._state, uid, account, parse_positive(rate), now)
        check_margin_level(self._state, uid, account, now)

    def change_balance(self, uid: int, account: str, asset: str, delta: Number, now: int) -> None:
        """Move an asset into or out of an account.

        Raises:
            ValueError: the account has less than that, or there is no such account.

        """
        self._check_account(account, asset)
        lending.transfer(self._state, uid, account, asset, parse_decimal(delta), now)
        check_margin_level(self._state, uid, account, now)

    def change_external_lock(self, uid: int, account: str, asset: str, delta: Number, now: int) -> None:
        """Lock an asset for something outside the account, or unlock it with a negative delta.

        Raises:
            ValueError: the account has not so much that is free, or locked, or there is no such account.

        """
        self._check_account(account, asset)
        lending.change_external_lock(self._state, uid, account, asset, parse_decimal(delta), now)

    def send_margin_call(self, uid: int, level: Number, status: str, now: int) -> None:
        """Tell a margin level of the cross account with a status such as ``MARGIN_CALL``, whatever it owes.

        Raises:
            ValueError: the level is not a number.

        """
        send_margin_level(self._state, uid, parse_decimal(level), status, now)

    def balances(self, uid: int, account: str) -> dict[str, Balance]:
        """What an account holds and owes, by asset; those that it had to do with."""
        self._check_account(account)
        return self._state.ledger.copy_balances(uid, account)

    def open_orders(self, uid: int, account: str) -> list[Order]:
        """The open orders of an account, oldest first."""
        self._check_account(account)
        return [order for order in self._state.orders.open_orders() if (order.uid, order.account) == (uid, account)]

    def margin_level(self, uid: int, account: str) -> Decimal:
        """What an account holds, divided by what it owes; 999 at most, as for one without debt."""
        self._check_account(account)
        return compute_margin_level(self._state.ledger, self._state.prices, uid, account)

    def price(self, symbol: str) -> Decimal:
        """What a symbol trades at.

        Raises:
            ValueError: no such symbol.

        """
        self._state.orders.split_symbol(symbol)
        return self._state.prices.get_price(symbol)

    def _build_order(
        self,
        uid: int,
        account: str,
        symbol: str,
        side: str,
        order_type: str,
        quantity: Number,
        price: Number | None,
        now: int,
        stop_price: Number,
        time_in_force: str,
    ) -> Order:
        self._check_account(account)
        if account not in (CROSS, symbol):
            raise ValueError(f"the isolated account {account} trades {account} and nothing else")
        stop = parse_decimal(stop_price)
        # At market after a stop, the order reckons with the stop price.
        default_price = stop if stop and order_type in ("STOP_LOSS", "TAKE_PROFIT") else self.price(symbol)
        return Order(
            order_id=0,
            client_order_id="",
            uid=uid,
            account=account,
            symbol=symbol,
            side=side,
            type=order_type,
            quantity=parse_decimal(quantity),
            price=default_price if price is None else parse_decimal(price),
            created_at=now,
            stop_price=stop,
            time_in_force=time_in_force,
        )

    def _check_account(self, account: str, asset: str | None = None) -> None:
        assets = None if account == CROSS else self._state.orders.split_symbol(account)
        if assets is not None and asset is not None and asset not in assets:
            raise ValueError(f"the isolated account {account} holds {' and '.join(assets)}, not {asset}")

    def _schedule_hourly_interest(self, now: int) -> None:
        if self._state.rules.hourly_interest_rate and not self._interest_scheduled:
            self._interest_scheduled = True
            self._state.scheduler.call_at((now // HOUR_MS + 1) * HOUR_MS, self._charge_hourly_interest)

    def _charge_hourly_interest(self, due: int, _: int) -> None:
        debtors = self._state.ledger.accounts_with_debt()
        for uid, account in debtors:
            lending.charge_interest(self._state, uid, account, self._state.rules.hourly_interest_rate, due)
            check_margin_level(self._state, uid, account, due)
        self._interest_scheduled = False
        if self._state.ledger.accounts_with_debt():
            self._schedule_hourly_interest(due)
