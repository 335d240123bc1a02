"""Margin levels: how they are computed and sent, and the forced liquidation at the last status."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_down, round_up
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.delivery.event_payloads import build_margin_level_change
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.history.records import LiquidationRecord
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.market.prices import VALUATION_ASSET, Prices
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.lending import MARGIN_EVENT_NAMES, repay
from binance_margin_stream.sandbox.trading.matching import end_order, place_order

__all__ = ["check_margin_level", "classify_margin_level", "compute_margin_level", "send_margin_level"]

_STATUSES = ("EXCESSIVE", "NORMAL", "MARGIN_CALL", "PRE_LIQUIDATION", "FORCE_LIQUIDATION")
_FORCE_LIQUIDATION = _STATUSES[-1]
_MAX_LEVEL = Decimal(999)
"""The level of an account without debt."""

_STEP = Decimal("0.0001")


def compute_margin_level(ledger: Ledger, prices: Prices, uid: int, account: str) -> Decimal:
    """Assets divided by debt, both valued at the present prices; at most 999."""
    assets = debt = ZERO
    for asset, balance in ledger.get_balances(uid, account).items():
        value = prices.get_unit_value(account, asset)
        assets += balance.total * value
        debt += balance.debt * value
    return min(_MAX_LEVEL, (assets / debt).quantize(_STEP, ROUND_DOWN)) if debt else _MAX_LEVEL


def classify_margin_level(level: Decimal, rules: ExchangeRules) -> str:
    """The status of a margin level: the first one whose threshold it exceeds."""
    for status, threshold in zip(_STATUSES, rules.margin_level_thresholds, strict=False):
        if level > threshold:
            return status
    return _FORCE_LIQUIDATION


def check_margin_level(state: ExchangeState, uid: int, account: str, now: int) -> None:
    """Send the margin level if its status has changed; at the last status, liquidate the account.

    Only the cross account has a stream for it. Isolated accounts are liquidated without a margin level event.
    """
    if _update_status(state, uid, account, now) == _FORCE_LIQUIDATION:
        _liquidate(state, uid, account, now)
        _update_status(state, uid, account, now)


def send_margin_level(state: ExchangeState, uid: int, level: Decimal, status: str, now: int) -> None:
    """Send a margin level event of the cross account."""
    name, _ = MARGIN_EVENT_NAMES[state.rules.margin_event_name_style]
    publish(state, uid, CROSS, build_margin_level_change(level, status, name, now))


def _update_status(state: ExchangeState, uid: int, account: str, now: int) -> str | None:
    """The new status if it has changed, after sending it; else None."""
    level = compute_margin_level(state.ledger, state.prices, uid, account)
    status = classify_margin_level(level, state.rules)
    before = state.ledger.margin_statuses.get((uid, account), _STATUSES[0])
    if status == before:
        return None
    state.ledger.margin_statuses[uid, account] = status
    if account == CROSS:
        send_margin_level(state, uid, level, status, now)
    return status


def _liquidate(state: ExchangeState, uid: int, account: str, now: int) -> None:
    """Cancel all orders, repay what is possible, trade other assets for those with debt, and repay again."""
    for order in state.orders.open_orders_of_account(uid, account):
        if state.orders.get(order.order_id).is_open:
            end_order(state, order, "CANCELED", now)
    _repay_all(state, uid, account, now)
    quote_asset = VALUATION_ASSET if account == CROSS else state.orders.split_symbol(account)[1]
    debt_assets = [asset for asset, balance in state.ledger.get_balances(uid, account).items() if balance.debt]
    for asset in list(state.ledger.get_balances(uid, account)):
        if asset != quote_asset and asset not in debt_assets:
            _sell_asset(state, uid, account, asset, quote_asset, now)
    for asset in debt_assets:
        if asset != quote_asset:
            _buy_asset(state, uid, account, asset, quote_asset, now)
    _repay_all(state, uid, account, now)


def _repay_all(state: ExchangeState, uid: int, account: str, now: int) -> None:
    for asset, balance in list(state.ledger.get_balances(uid, account).items()):
        amount = min(balance.debt, balance.free)
        if amount:
            repay(state, uid, account, asset, amount, now)


def _sell_asset(state: ExchangeState, uid: int, account: str, asset: str, quote_asset: str, now: int) -> None:
    """Sell as much of an asset as is needed to repay the account's debt."""
    price = state.prices.get_price(f"{asset}{quote_asset}")
    missing = (
        _compute_debt_cost(state, uid, account, quote_asset) - state.ledger.get_balance(uid, account, quote_asset).free
    )
    quantity = min(state.ledger.get_balance(uid, account, asset).free, _add_commission(state, missing / price))
    _place_market_order(state, uid, account, f"{asset}{quote_asset}", "SELL", quantity, price, now)


def _buy_asset(state: ExchangeState, uid: int, account: str, asset: str, quote_asset: str, now: int) -> None:
    """Buy the account's debt in an asset, or as much as it can pay."""
    price = state.prices.get_price(f"{asset}{quote_asset}")
    affordable = round_down(state.ledger.get_balance(uid, account, quote_asset).free / price)
    balance = state.ledger.get_balance(uid, account, asset)
    quantity = min(affordable, _add_commission(state, balance.debt - balance.free))
    _place_market_order(state, uid, account, f"{asset}{quote_asset}", "BUY", quantity, price, now)


def _compute_debt_cost(state: ExchangeState, uid: int, account: str, quote_asset: str) -> Decimal:
    """Amount of the quote asset that repays all debt."""
    cost = ZERO
    for asset, balance in state.ledger.get_balances(uid, account).items():
        if asset == quote_asset:
            cost += balance.debt
        elif balance.debt:
            cost += _add_commission(state, balance.debt) * state.prices.get_price(f"{asset}{quote_asset}")
    return cost


def _add_commission(state: ExchangeState, amount: Decimal) -> Decimal:
    """The quantity to trade so that an amount remains after commission."""
    return round_up(amount / (1 - state.rules.commission_rate))


def _place_market_order(
    state: ExchangeState, uid: int, account: str, symbol: str, side: str, quantity: Decimal, price: Decimal, now: int
) -> None:
    if quantity <= ZERO or state.rules.split_symbol(symbol) is None:
        return
    order = place_order(state, Order(0, "", uid, account, symbol, side, "MARKET", quantity, price, now), now)
    record = LiquidationRecord(state.records.next_id(), now, account, order)
    state.records.liquidations.add((uid, account), record)
