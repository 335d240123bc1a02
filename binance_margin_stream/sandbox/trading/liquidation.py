"""Margin level statuses as they change, and the forced liquidation at their end."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_down, round_up
from binance_margin_stream.sandbox.delivery.event_payloads import build_margin_level_change
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.prices import VALUATION_ASSET
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.execution import close_order, place_order
from binance_margin_stream.sandbox.trading.lending import MARGIN_EVENT_NAMES, repay
from binance_margin_stream.sandbox.trading.margin import (
    FORCE_LIQUIDATION,
    MARGIN_LEVEL_STATUSES,
    classify_margin_level,
    compute_margin_level,
)

__all__ = ["check_margin_level", "send_margin_level"]


def check_margin_level(state: ExchangeState, uid: int, account: str, now: int) -> None:
    """Tell the margin level when its status has changed; at the last status, liquidate the account.

    Only the cross account has a stream that tells it; isolated accounts are liquidated without a word.
    """
    if _update_status(state, uid, account, now) == FORCE_LIQUIDATION:
        _liquidate(state, uid, account, now)
        _update_status(state, uid, account, now)


def send_margin_level(state: ExchangeState, uid: int, level: Decimal, status: str, now: int) -> None:
    """Tell a margin level of the cross account."""
    name, _ = MARGIN_EVENT_NAMES[state.rules.margin_event_name_style]
    publish(state, uid, CROSS, build_margin_level_change(level, status, name, now))


def _update_status(state: ExchangeState, uid: int, account: str, now: int) -> str | None:
    """The new status if it is another one than before, and told."""
    level = compute_margin_level(state.ledger, state.prices, uid, account)
    status = classify_margin_level(level, state.rules)
    before = state.ledger.margin_statuses.get((uid, account), MARGIN_LEVEL_STATUSES[0])
    if status == before:
        return None
    state.ledger.margin_statuses[uid, account] = status
    if account == CROSS:
        send_margin_level(state, uid, level, status, now)
    return status


def _liquidate(state: ExchangeState, uid: int, account: str, now: int) -> None:
    """Cancel what is open, repay from what is there, sell the rest for what is owed, and repay again."""
    for order in state.orders.open_orders():
        if (order.uid, order.account) == (uid, account):
            close_order(state, order, "CANCELED", now)
    _repay_all(state, uid, account, now)
    quote_asset = VALUATION_ASSET if account == CROSS else state.orders.split_symbol(account)[1]
    owed = [asset for asset, balance in state.ledger.get_balances(uid, account).items() if balance.debt]
    for asset in list(state.ledger.get_balances(uid, account)):
        if asset != quote_asset and asset not in owed:
            _sell_asset(state, uid, account, asset, quote_asset, now)
    for asset in owed:
        if asset != quote_asset:
            _buy_asset(state, uid, account, asset, quote_asset, now)
    _repay_all(state, uid, account, now)


def _repay_all(state: ExchangeState, uid: int, account: str, now: int) -> None:
    for asset, balance in list(state.ledger.get_balances(uid, account).items()):
        amount = min(balance.debt, balance.free)
        if amount:
            repay(state, uid, account, asset, amount, now)


def _sell_asset(state: ExchangeState, uid: int, account: str, asset: str, quote_asset: str, now: int) -> None:
    """Sell as much of an asset as the account's debts still ask for."""
    price = state.prices.get_price(f"{asset}{quote_asset}")
    missing = (
        _compute_debt_cost(state, uid, account, quote_asset) - state.ledger.get_balance(uid, account, quote_asset).free
    )
    quantity = min(state.ledger.get_balance(uid, account, asset).free, _add_commission(state, missing / price))
    _place_market_order(state, uid, account, f"{asset}{quote_asset}", "SELL", quantity, price, now)


def _buy_asset(state: ExchangeState, uid: int, account: str, asset: str, quote_asset: str, now: int) -> None:
    """Buy what the account owes of an asset, or as much of it as it can pay."""
    price = state.prices.get_price(f"{asset}{quote_asset}")
    affordable = round_down(state.ledger.get_balance(uid, account, quote_asset).free / price)
    balance = state.ledger.get_balance(uid, account, asset)
    quantity = min(affordable, _add_commission(state, balance.debt - balance.free))
    _place_market_order(state, uid, account, f"{asset}{quote_asset}", "BUY", quantity, price, now)


def _compute_debt_cost(state: ExchangeState, uid: int, account: str, quote_asset: str) -> Decimal:
    """What it takes of the home asset to repay everything."""
    cost = ZERO
    for asset, balance in state.ledger.get_balances(uid, account).items():
        if asset == quote_asset:
            cost += balance.debt
        elif balance.debt:
            cost += _add_commission(state, balance.debt) * state.prices.get_price(f"{asset}{quote_asset}")
    return cost


def _add_commission(state: ExchangeState, amount: Decimal) -> Decimal:
    """How much to trade so that an amount remains after commission."""
    return round_up(amount / (1 - state.rules.commission_rate))


def _place_market_order(
    state: ExchangeState, uid: int, account: str, symbol: str, side: str, quantity: Decimal, price: Decimal, now: int
) -> None:
    if quantity <= ZERO or state.rules.split_symbol(symbol) is None:
        return
    place_order(state, Order(0, "", uid, account, symbol, side, "MARKET", quantity, price, now), now)
