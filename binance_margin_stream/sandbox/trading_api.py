"""What a sandbox's users can do in its market: the half of the handle that trades."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import Number
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.users import CROSS, User
from binance_margin_stream.sandbox.server.thread import ServerThread

__all__ = ["TradingApi"]


class TradingApi:
    """Orders, balances, debt and prices, for any thread; every call returns when it has taken effect.

    An account is ``cross`` or the symbol of an isolated one; without an API key it is that of the user who is
    there from the start. Amounts are `Decimal`, `int` or `str`.
    """

    _exchange: Exchange
    _server_thread: ServerThread
    _user: User

    def place_order(
        self,
        symbol: str = "BTCUSDT",
        side: str = "BUY",
        type: str = "LIMIT",
        quantity: Number = "1",
        price: Number | None = None,
        account: str = CROSS,
        api_key: str | None = None,
        *,
        stop_price: Number = 0,
        time_in_force: str = "GTC",
    ) -> Order:
        """Place an order: an execution report, trades if it meets the market, then the balances.

        Without a price it takes the symbol's. A MARKET order is filled at once; any other order meets the
        market once `set_price` has set its symbol's price. One that the account cannot pay comes back with the
        status ``REJECTED``.

        Raises:
            ValueError: no such order is possible.

        """
        uid, trading = self._resolve_uid(api_key), self._exchange.trading
        return self._server_thread.call(
            lambda now: trading.place_order(
                uid,
                account,
                symbol,
                side,
                type,
                quantity,
                price,
                now,
                stop_price=stop_price,
                time_in_force=time_in_force,
            )
        )

    def reject_order(
        self,
        symbol: str = "BTCUSDT",
        side: str = "BUY",
        type: str = "LIMIT",
        quantity: Number = "1",
        price: Number | None = None,
        account: str = CROSS,
        api_key: str | None = None,
        *,
        reason: str = "INSUFFICIENT_BALANCES",
    ) -> Order:
        """Refuse an order, with an execution report that tells the reason.

        Raises:
            ValueError: no such order is possible.

        """
        uid, trading = self._resolve_uid(api_key), self._exchange.trading
        return self._server_thread.call(
            lambda now: trading.reject_order(uid, account, symbol, side, type, quantity, price, reason, now)
        )

    def fill_order(
        self, order_id: int | None = None, quantity: Number | None = None, price: Number | None = None
    ) -> Order:
        """Fill an order, by default what remains of the youngest open one at its price.

        Raises:
            ValueError: no such order, not open, more than remains, worse than its limit, or too expensive.

        """
        return self._server_thread.call(lambda now: self._exchange.trading.fill_order(order_id, quantity, price, now))

    def cancel_order(self, order_id: int | None = None) -> Order:
        """Cancel an order, by default the youngest open one.

        Raises:
            ValueError: no such order, or not open.

        """
        return self._server_thread.call(lambda now: self._exchange.trading.cancel_order(order_id, now))

    def expire_order(self, order_id: int | None = None) -> Order:
        """Let an order expire, by default the youngest open one.

        Raises:
            ValueError: no such order, or not open.

        """
        return self._server_thread.call(lambda now: self._exchange.trading.expire_order(order_id, now))

    def set_price(self, symbol: str, price: Number) -> None:
        """Let a symbol trade at a price from now on.

        Open orders that it reaches fill, stops that it reaches wake up, and the margin levels of those who owe
        something follow, with their notices, up to forced liquidation.

        Raises:
            ValueError: no such symbol, or no price.

        """
        self._server_thread.call(lambda now: self._exchange.trading.set_price(symbol, price, now))

    def price(self, symbol: str) -> Decimal:
        """What a symbol trades at; `ExchangeRules.opening_price` until one is set.

        Raises:
            ValueError: no such symbol.

        """
        return self._server_thread.read(lambda: self._exchange.trading.price(symbol))

    def borrow(self, asset: str, amount: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Borrow: a liability change on the risk stream, then the balance.

        Raises:
            ValueError: the amount is not above zero, or there is no such account.

        """
        uid = self._resolve_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.borrow(uid, account, asset, amount, now))

    def repay(self, asset: str, amount: Number | None = None, account: str = CROSS, api_key: str | None = None) -> None:
        """Repay debt, interest first: a liability change on the risk stream, then the balance.

        Without an amount, all that is owed of the asset.

        Raises:
            ValueError: nothing is owed, or less than that, or the account has not enough of it.

        """
        uid = self._resolve_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.repay(uid, account, asset, amount, now))

    def charge_interest(self, rate: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Charge interest now, such as ``"0.0001"`` of what was borrowed: a liability change for each asset.

        What `ExchangeRules.hourly_interest_rate` says is charged by itself at every full hour.

        Raises:
            ValueError: the rate is not above zero, or there is no such account.

        """
        uid = self._resolve_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.charge_interest(uid, account, rate, now))

    def change_balance(self, asset: str, delta: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Move an asset into the account, or out of it with a negative delta.

        Raises:
            ValueError: the account has less than that, or there is no such account.

        """
        uid = self._resolve_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.change_balance(uid, account, asset, delta, now))

    def change_external_lock(self, asset: str, delta: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Lock an asset for something outside the account, or unlock it with a negative delta.

        Raises:
            ValueError: the account has not so much that is free, or locked, or there is no such account.

        """
        uid = self._resolve_uid(api_key)
        self._server_thread.call(
            lambda now: self._exchange.trading.change_external_lock(uid, account, asset, delta, now)
        )

    def send_margin_call(self, level: Number, status: str = "MARGIN_CALL", api_key: str | None = None) -> None:
        """Tell a margin level of the cross account on the risk stream, whatever the account owes.

        Raises:
            ValueError: the level is not a number.

        """
        uid = self._resolve_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.send_margin_call(uid, level, status, now))

    def balances(self, account: str = CROSS, api_key: str | None = None) -> dict[str, Balance]:
        """What an account holds and owes, by asset; only the assets that it had to do with.

        Raises:
            ValueError: there is no such account.

        """
        uid = self._resolve_uid(api_key)
        return self._server_thread.read(lambda: self._exchange.trading.balances(uid, account))

    def open_orders(self, account: str = CROSS, api_key: str | None = None) -> list[Order]:
        """The open orders of an account, oldest first.

        Raises:
            ValueError: there is no such account.

        """
        uid = self._resolve_uid(api_key)
        return self._server_thread.read(lambda: self._exchange.trading.open_orders(uid, account))

    def margin_level(self, account: str = CROSS, api_key: str | None = None) -> Decimal:
        """What an account holds, divided by what it owes; 999 at most, as for one without debt.

        Raises:
            ValueError: there is no such account.

        """
        uid = self._resolve_uid(api_key)
        return self._server_thread.read(lambda: self._exchange.trading.margin_level(uid, account))

    def _resolve_uid(self, api_key: str | None) -> int:
        return self._user.uid if api_key is None else self._exchange.get_user(api_key).uid
