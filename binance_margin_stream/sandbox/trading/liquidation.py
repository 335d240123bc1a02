"""Margin level statuses as they change, and the forced liquidation at their end."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, rounded_down, rounded_up
from binance_margin_stream.sandbox.delivery.event_payloads import margin_level_change
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.prices import HOME
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.execution import end, place
from binance_margin_stream.sandbox.trading.lending import MARGIN_EVENT_NAMES, repay
from binance_margin_stream.sandbox.trading.margin import FORCE_LIQUIDATION, STATUSES, margin_level, status_at

__all__ = ["tell_level", "watch"]


def watch(state: State, uid: int, account: str, now: int) -> None:
    """Tell the margin level when its status has changed; at the last status, liquidate the account.

    Only the cross account has a stream that tells it; isolated accounts are liquidated without a word.
    """
    if _changed(state, uid, account, now) == FORCE_LIQUIDATION:
        _liquidate(state, uid, account, now)
        _changed(state, uid, account, now)


def tell_level(state: State, uid: int, level: Decimal, status: str, now: int) -> None:
    """Tell a margin level of the cross account."""
    name, _ = MARGIN_EVENT_NAMES[state.rules.margin_event_names]
    publish(state, uid, CROSS, margin_level_change(level, status, name, now))


def _changed(state: State, uid: int, account: str, now: int) -> str | None:
    """The new status if it is another one than before, and told."""
    level = margin_level(state.ledger, state.prices, uid, account)
    status = status_at(level, state.rules)
    before = state.ledger.statuses.get((uid, account), STATUSES[0])
    if status == before:
        return None
    state.ledger.statuses[uid, account] = status
    if account == CROSS:
        tell_level(state, uid, level, status, now)
    return status


def _liquidate(state: State, uid: int, account: str, now: int) -> None:
    """Cancel what is open, repay from what is there, sell the rest for what is owed, and repay again."""
    for order in state.orders.open():
        if (order.uid, order.account) == (uid, account):
            end(state, order, "CANCELED", now)
    _repay_all(state, uid, account, now)
    home = HOME if account == CROSS else state.orders.assets(account)[1]
    owed = [asset for asset, balance in state.ledger.of_account(uid, account).items() if balance.debt]
    for asset in list(state.ledger.of_account(uid, account)):
        if asset != home and asset not in owed:
            _sell(state, uid, account, asset, home, now)
    for asset in owed:
        if asset != home:
            _buy(state, uid, account, asset, home, now)
    _repay_all(state, uid, account, now)


def _repay_all(state: State, uid: int, account: str, now: int) -> None:
    for asset, balance in list(state.ledger.of_account(uid, account).items()):
        amount = min(balance.debt, balance.free)
        if amount:
            repay(state, uid, account, asset, amount, now)


def _sell(state: State, uid: int, account: str, asset: str, home: str, now: int) -> None:
    """Sell as much of an asset as the account's debts still ask for."""
    price = state.prices.of(f"{asset}{home}")
    missing = _cost_of_debts(state, uid, account, home) - state.ledger.balance(uid, account, home).free
    quantity = min(state.ledger.balance(uid, account, asset).free, _with_commission(state, missing / price))
    _trade(state, uid, account, f"{asset}{home}", "SELL", quantity, price, now)


def _buy(state: State, uid: int, account: str, asset: str, home: str, now: int) -> None:
    """Buy what the account owes of an asset, or as much of it as it can pay."""
    price = state.prices.of(f"{asset}{home}")
    affordable = rounded_down(state.ledger.balance(uid, account, home).free / price)
    balance = state.ledger.balance(uid, account, asset)
    quantity = min(affordable, _with_commission(state, balance.debt - balance.free))
    _trade(state, uid, account, f"{asset}{home}", "BUY", quantity, price, now)


def _cost_of_debts(state: State, uid: int, account: str, home: str) -> Decimal:
    """What it takes of the home asset to repay everything."""
    cost = ZERO
    for asset, balance in state.ledger.of_account(uid, account).items():
        if asset == home:
            cost += balance.debt
        elif balance.debt:
            cost += _with_commission(state, balance.debt) * state.prices.of(f"{asset}{home}")
    return cost


def _with_commission(state: State, amount: Decimal) -> Decimal:
    """How much to trade so that an amount remains after commission."""
    return rounded_up(amount / (1 - state.rules.commission_rate))


def _trade(
    state: State, uid: int, account: str, symbol: str, side: str, quantity: Decimal, price: Decimal, now: int
) -> None:
    if quantity <= ZERO or state.rules.assets_of(symbol) is None:
        return
    place(state, Order(0, "", uid, account, symbol, side, "MARKET", quantity, price, now), now)
