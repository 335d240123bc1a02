"""Trading on a running sandbox: orders, prices, debt and balances."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from binance_margin_stream.sandbox.amounts import Number
from binance_margin_stream.sandbox.control.operations import operation, recorded
from binance_margin_stream.sandbox.handle.base import ExchangeHandle
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.orders import Order, OrderRequest
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.price_feeds import read_candles

__all__ = ["TradingHandle"]


OrderSide = Literal["BUY", "SELL"]
OrderType = Literal[
    "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"
]
TimeInForce = Literal["GTC", "IOC", "FOK"]


class TradingHandle(ExchangeHandle):
    """Orders, prices, debt and balances."""

    @operation
    def place_order(
        self,
        symbol: str = "BTCUSDT",
        side: OrderSide = "BUY",
        type: OrderType = "LIMIT",
        quantity: Number = "1",
        price: Number | None = None,
        account: str = CROSS,
        api_key: str | None = None,
        *,
        stop_price: Number = 0,
        time_in_force: TimeInForce = "GTC",
    ) -> Order:
        """Place an order: an execution report, trades if it matches the market, then the balances.

        The price defaults to the symbol's. A MARKET order is filled at once; any other order is matched once
        `set_price` has set its symbol's price. An order that the account cannot pay is returned with the status
        ``REJECTED``.

        Raises:
            ValueError: the order is invalid.

        """
        request = OrderRequest(symbol, side, type, quantity, price, account, stop_price, time_in_force)
        uid = self._find_uid(api_key)
        return self._server_thread.call(lambda now: self._exchange.trading.place_order(uid, request, now))

    @operation
    def fill_order(
        self, order_id: int | None = None, quantity: Number | None = None, price: Number | None = None
    ) -> Order:
        """Fill an order; by default the remaining quantity of the newest open order, at its price.

        Raises:
            ValueError: no such order, not open, more than remains, beyond the limit price, or too expensive.

        """
        return self._server_thread.call(lambda now: self._exchange.trading.fill_order(order_id, quantity, price, now))

    @operation
    def cancel_order(self, order_id: int | None = None) -> Order:
        """Cancel an order; by default the newest open order.

        Raises:
            ValueError: no such order, or not open.

        """
        return self._server_thread.call(lambda now: self._exchange.trading.cancel_order(order_id, now))

    @operation
    def expire_order(self, order_id: int | None = None) -> Order:
        """Let an order expire; by default the newest open order.

        Raises:
            ValueError: no such order, or not open.

        """
        return self._server_thread.call(lambda now: self._exchange.trading.expire_order(order_id, now))

    @operation
    def reject_order(
        self,
        symbol: str = "BTCUSDT",
        side: OrderSide = "BUY",
        type: OrderType = "LIMIT",
        quantity: Number = "1",
        price: Number | None = None,
        account: str = CROSS,
        api_key: str | None = None,
        *,
        reason: str = "INSUFFICIENT_BALANCES",
    ) -> Order:
        """Reject an order, with an execution report that has the reason.

        Raises:
            ValueError: the order is invalid.

        """
        request = OrderRequest(symbol, side, type, quantity, price, account)
        uid = self._find_uid(api_key)
        return self._server_thread.call(lambda now: self._exchange.trading.reject_order(uid, request, reason, now))

    @operation
    def set_price(self, symbol: str, price: Number) -> None:
        """Set a symbol's price.

        Open orders that it reaches are filled or triggered. The margin levels of accounts with debt follow, with
        their events, up to forced liquidation.

        Raises:
            ValueError: no such symbol, or an invalid price.

        """
        self._server_thread.call(lambda now: self._exchange.trading.set_price(symbol, price, now))

    def price(self, symbol: str) -> Decimal:
        """A symbol's price; `ExchangeRules.opening_price` until one is set.

        Raises:
            ValueError: no such symbol.

        """
        return self._server_thread.read(lambda: self._exchange.trading.price(symbol))

    @operation
    def start_price_walk(
        self, symbol: str = "BTCUSDT", seed: int = 1, every_seconds: float = 1.0, percent: float = 0.05
    ) -> None:
        """Move a symbol's price at random until `stop_prices`; the same seed gives the same prices.

        Each step changes the price by a normally distributed percentage; `every_seconds` is exchange time.

        Raises:
            ValueError: no such symbol, `every_seconds` below 0.01, or `percent` outside 0 to 20.

        """
        feeds = self._exchange.trading.price_feeds
        self._server_thread.call(lambda now: feeds.start_walk(symbol, seed, every_seconds, percent, now))

    @recorded
    def play_candles(self, path: str | Path, symbol: str = "BTCUSDT") -> None:
        """Set a symbol's prices from a CSV file from now on: time in milliseconds, open, high, low, close.

        Only the distances between the times count. A rising candle reaches its low first, a falling one its high.

        Raises:
            OSError: the file cannot be read.
            ValueError: no such symbol, or an invalid line; the message says which.

        """
        with Path(path).open(encoding="utf-8", newline="") as lines:
            candles = read_candles(lines)
        feeds = self._exchange.trading.price_feeds
        self._server_thread.call(lambda now: feeds.play_candles(symbol, candles, now))

    @operation
    def stop_prices(self, symbol: str = "BTCUSDT") -> None:
        """Let a symbol's price stay where it is; ends `start_price_walk` and `play_candles`."""
        self._server_thread.read(lambda: self._exchange.trading.price_feeds.stop(symbol))

    @operation
    def borrow(self, asset: str, amount: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Borrow: a liability event on the risk stream, then the balance.

        Raises:
            ValueError: the amount is not above zero, or no such account.

        """
        uid = self._find_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.borrow(uid, account, asset, amount, now))

    @operation
    def repay(self, asset: str, amount: Number | None = None, account: str = CROSS, api_key: str | None = None) -> None:
        """Repay debt, interest first: a liability event on the risk stream, then the balance.

        The amount defaults to the whole debt in the asset.

        Raises:
            ValueError: no debt, or more than the debt or the free balance.

        """
        uid = self._find_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.repay(uid, account, asset, amount, now))

    @operation
    def charge_interest(self, rate: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Charge interest now, such as ``"0.0001"`` of the borrowed amounts: a liability event for each asset.

        `ExchangeRules.hourly_interest_rate` charges interest automatically at every full hour.

        Raises:
            ValueError: the rate is not above zero, or no such account.

        """
        uid = self._find_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.charge_interest(uid, account, rate, now))

    @operation
    def change_balance(self, asset: str, delta: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Add an asset to an account, or remove it with a negative delta.

        Raises:
            ValueError: more than the free balance, or no such account.

        """
        uid = self._find_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.change_balance(uid, account, asset, delta, now))

    @operation
    def change_external_lock(self, asset: str, delta: Number, account: str = CROSS, api_key: str | None = None) -> None:
        """Lock an asset for a purpose outside the account, or unlock it with a negative delta.

        Raises:
            ValueError: more than the free, or externally locked, balance, or no such account.

        """
        uid = self._find_uid(api_key)
        self._server_thread.call(
            lambda now: self._exchange.trading.change_external_lock(uid, account, asset, delta, now)
        )

    @operation
    def send_margin_call(self, level: Number, status: str = "MARGIN_CALL", api_key: str | None = None) -> None:
        """Send a margin level event of the cross account on the risk stream, whatever its debt.

        Raises:
            ValueError: the level is not a number.

        """
        uid = self._find_uid(api_key)
        self._server_thread.call(lambda now: self._exchange.trading.send_margin_call(uid, level, status, now))

    def balances(self, account: str = CROSS, api_key: str | None = None) -> dict[str, Balance]:
        """An account's balances by asset; assets that it never used are left out.

        Raises:
            ValueError: no such account.

        """
        uid = self._find_uid(api_key)
        return self._server_thread.read(lambda: self._exchange.trading.balances(uid, account))

    def open_orders(self, account: str = CROSS, api_key: str | None = None) -> list[Order]:
        """The open orders of an account, oldest first.

        Raises:
            ValueError: no such account.

        """
        uid = self._find_uid(api_key)
        return self._server_thread.read(lambda: self._exchange.trading.open_orders(uid, account))

    def margin_level(self, account: str = CROSS, api_key: str | None = None) -> Decimal:
        """Assets divided by debt; at most 999, also without debt.

        Raises:
            ValueError: no such account.

        """
        uid = self._find_uid(api_key)
        return self._server_thread.read(lambda: self._exchange.trading.margin_level(uid, account))
