"""What follows every operation on an account: its margin level, and interest at every full hour."""

from __future__ import annotations

import contextlib
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import exact
from binance_margin_stream.sandbox.config import HOUR_MS
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.trading.execution import fill_closed_order
from binance_margin_stream.sandbox.trading.lending import charge_interest
from binance_margin_stream.sandbox.trading.margin import check_margin_level
from binance_margin_stream.sandbox.trading.matching import on_price

__all__ = ["check_account", "fill_late", "set_market_price"]


def check_account(state: ExchangeState, uid: int, account: str, now: int) -> None:
    """Send the account's margin level if its status has changed, and charge interest from now on if it has debt."""
    check_margin_level(state, uid, account, now)
    if (
        state.rules.hourly_interest_rate
        and not state.ledger.interest_is_scheduled
        and state.ledger.accounts_with_debt()
    ):
        state.ledger.interest_is_scheduled = True
        _schedule(state, now)


def set_market_price(state: ExchangeState, symbol: str, price: Decimal, now: int) -> None:
    """Set the price of a symbol that exists: fill or trigger the orders that it reaches, and check margin levels."""
    state.prices.set_price(symbol, price, now)
    for order in state.orders.open_orders_of_symbol(symbol):
        current = state.orders.get(order.order_id)
        if current.is_open:
            on_price(state, current, price, now)
    for uid, account in state.ledger.accounts_with_debt():
        check_account(state, uid, account, now)


def fill_late(state: ExchangeState, order_id: int, due: int) -> None:
    """Fill the remaining quantity of an order at a time (ms) after its end, if the account can pay it."""

    @exact
    def fill(at: int, _: int) -> None:
        order = state.orders.get(order_id)
        # Nobody is left to tell that the account cannot pay it any more.
        with contextlib.suppress(ValueError):
            fill_closed_order(state, order, at)
        check_account(state, order.uid, order.account, at)

    state.scheduler.call_at(due, fill)


def _schedule(state: ExchangeState, now: int) -> None:
    @exact
    def charge(due: int, _: int) -> None:
        for uid, account in state.ledger.accounts_with_debt():
            charge_interest(state, uid, account, state.rules.hourly_interest_rate, due)
            check_margin_level(state, uid, account, due)
        if state.ledger.accounts_with_debt():
            _schedule(state, due)
        else:
            state.ledger.interest_is_scheduled = False

    state.scheduler.call_at((now // HOUR_MS + 1) * HOUR_MS, charge)
