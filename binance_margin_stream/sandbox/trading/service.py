"""Operations on the market: orders, balances, debt and prices, each with the events and margin checks that follow."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import Number, exact, parse_decimal, parse_positive
from binance_margin_stream.sandbox.config import HOUR_MS
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.orders import Order, OrderRequest
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading import execution, lending, matching
from binance_margin_stream.sandbox.trading.follow_up import check_account, set_market_price
from binance_margin_stream.sandbox.trading.margin import compute_margin_level, send_margin_level
from binance_margin_stream.sandbox.trading.price_feeds import PriceFeeds

__all__ = ["TradingService"]


class TradingService:
    """Sends the events of each operation in the exchange's order, then checks the account's margin level."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self.price_feeds = PriceFeeds(state)
        """Prices that move by themselves."""

    @exact
    def place_order(self, uid: int, request: OrderRequest, now: int) -> Order:
        """Place an order; a MARKET order is filled at once.

        An order that the account cannot pay is no error: it is rejected, with an execution report.

        Raises:
            ValueError: the order is invalid.

        """
        order = matching.place_order(self._state, self._build_order(uid, request, now), now)
        check_account(self._state, uid, request.account, now)
        return order

    @exact
    def reject_order(self, uid: int, request: OrderRequest, reason: str, now: int) -> Order:
        """Reject an order for a reason such as ``INSUFFICIENT_BALANCES``.

        Raises:
            ValueError: the order is invalid.

        """
        return execution.reject_order(self._state, self._build_order(uid, request, now), reason, now)

    @exact
    def fill_order(self, order_id: int | None, quantity: Number | None, price: Number | None, now: int) -> Order:
        """Fill an order; by default its remaining quantity, at its price.

        Raises:
            ValueError: no such order, not open, more than remains, beyond the limit price, or too expensive.

        """
        order = self._state.orders.get(order_id)
        order = matching.trade_order(
            self._state,
            order,
            order.remaining if quantity is None else parse_decimal(quantity),
            order.price if price is None else parse_decimal(price),
            now,
            maker=order.is_on_book,
        )
        check_account(self._state, order.uid, order.account, now)
        return order

    @exact
    def cancel_order(self, order_id: int | None, now: int) -> Order:
        """Cancel an order.

        Raises:
            ValueError: no such order, or not open.

        """
        return matching.end_order(self._state, self._state.orders.get(order_id), "CANCELED", now)

    @exact
    def expire_order(self, order_id: int | None, now: int) -> Order:
        """Let an order expire.

        Raises:
            ValueError: no such order, or not open.

        """
        return matching.end_order(self._state, self._state.orders.get(order_id), "EXPIRED", now)

    @exact
    def set_price(self, symbol: str, price: Number, now: int) -> None:
        """Set a symbol's price: fill or trigger the orders that it reaches, and update margin levels.

        Raises:
            ValueError: no such symbol, or invalid price.

        """
        self._state.orders.split_symbol(symbol)
        market_price = parse_positive(price)
        set_market_price(self._state, symbol, market_price, now)

    @exact
    def borrow(self, uid: int, account: str, asset: str, amount: Number, now: int) -> None:
        """Borrow an asset: a liability event on the risk stream, then the balance.

        Raises:
            ValueError: the amount is not above zero, or no such account.

        """
        self._check_account(account, asset)
        lending.borrow(self._state, uid, account, asset, parse_positive(amount), now)
        check_account(self._state, uid, account, now)

    @exact
    def repay(self, uid: int, account: str, asset: str, amount: Number | None, now: int) -> None:
        """Repay debt, interest first; by default the whole debt in the asset.

        Raises:
            ValueError: no debt, or more than the debt or the free balance.

        """
        self._check_account(account, asset)
        debt = self._state.ledger.get_balance(uid, account, asset).debt
        if not debt:
            raise ValueError(f"the account has no debt in {asset}")
        lending.repay(self._state, uid, account, asset, debt if amount is None else parse_positive(amount), now)
        check_account(self._state, uid, account, now)

    @exact
    def charge_interest(self, uid: int, account: str, rate: Number, now: int) -> None:
        """Charge interest now: a fraction of each asset's borrowed amount.

        Raises:
            ValueError: the rate is not above zero, or no such account.

        """
        self._check_account(account)
        lending.charge_interest(self._state, uid, account, parse_positive(rate), now)
        check_account(self._state, uid, account, now)

    @exact
    def change_balance(self, uid: int, account: str, asset: str, delta: Number, now: int) -> None:
        """Add an asset to an account, or remove it with a negative delta.

        Raises:
            ValueError: more than the free balance, or no such account.

        """
        self._check_account(account, asset)
        lending.transfer(self._state, uid, account, asset, parse_decimal(delta), now)
        check_account(self._state, uid, account, now)

    @exact
    def change_external_lock(self, uid: int, account: str, asset: str, delta: Number, now: int) -> None:
        """Lock an asset for a purpose outside the account, or unlock it with a negative delta.

        Raises:
            ValueError: more than the free, or externally locked, balance, or no such account.

        """
        self._check_account(account, asset)
        lending.change_external_lock(self._state, uid, account, asset, parse_decimal(delta), now)

    @exact
    def send_margin_call(self, uid: int, level: Number, status: str, now: int) -> None:
        """Send a margin level event of the cross account with a status such as ``MARGIN_CALL``, whatever its debt.

        Raises:
            ValueError: the level is not a number.

        """
        send_margin_level(self._state, uid, parse_decimal(level), status, now)

    def balances(self, uid: int, account: str) -> dict[str, Balance]:
        """An account's balances by asset; assets that it never used are left out."""
        self._check_account(account)
        return self._state.ledger.copy_balances(uid, account)

    def open_orders(self, uid: int, account: str) -> list[Order]:
        """The open orders of an account, oldest first."""
        self._check_account(account)
        return self._state.orders.open_orders_of_account(uid, account)

    @exact
    def margin_level(self, uid: int, account: str) -> Decimal:
        """Assets divided by debt; at most 999, also without debt."""
        self._check_account(account)
        return compute_margin_level(self._state.ledger, self._state.prices, uid, account)

    def price(self, symbol: str) -> Decimal:
        """A symbol's price.

        Raises:
            ValueError: no such symbol.

        """
        self._state.orders.split_symbol(symbol)
        return self._state.prices.get_price(symbol)

    def expected_interest_charges(self, now: int, until: int) -> int:
        """The number of hourly interest charges between two times (ms)."""
        if not self._state.rules.hourly_interest_rate:
            return 0
        return (until // HOUR_MS - now // HOUR_MS) * len(self._state.ledger.accounts_with_debt())

    def _build_order(self, uid: int, request: OrderRequest, now: int) -> Order:
        self._check_account(request.account)
        if self._state.availability.is_delisted(request.symbol):
            raise ValueError(f"{request.symbol} is delisted")
        if self._state.availability.find_refusal(uid, request.account) is not None:
            raise ValueError(f"the account {request.account} is disabled")
        if request.account not in (CROSS, request.symbol):
            raise ValueError(f"the isolated account {request.account} trades {request.account} only")
        stop = parse_decimal(request.stop_price)
        # The funds of a stop order without a limit are computed with the stop price.
        default_price = stop if stop and request.type in ("STOP_LOSS", "TAKE_PROFIT") else self.price(request.symbol)
        return Order(
            order_id=0,
            client_order_id="",
            uid=uid,
            account=request.account,
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            quantity=parse_decimal(request.quantity),
            price=default_price if request.price is None else parse_decimal(request.price),
            created_at=now,
            stop_price=stop,
            time_in_force=request.time_in_force,
        )

    def _check_account(self, account: str, asset: str | None = None) -> None:
        assets = None if account == CROSS else self._state.orders.split_symbol(account)
        if assets is not None and asset is not None and asset not in assets:
            raise ValueError(f"the isolated account {account} holds {' and '.join(assets)}, not {asset}")
