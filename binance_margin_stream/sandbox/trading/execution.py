"""Steps of an order: each moves balances, records what happened and sends its events in the exchange's order."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_down
from binance_margin_stream.sandbox.model.market.candles import PublicTrade
from binance_margin_stream.sandbox.model.orders import (
    BORROWING_SIDE_EFFECTS,
    REPAYING_SIDE_EFFECTS,
    FinalStatus,
    Order,
    OrderFill,
)
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.lending import borrow, repay
from binance_margin_stream.sandbox.trading.reports import send_order_balances, send_report

__all__ = ["accept_order", "borrow_for_order", "close_order", "fill_closed_order", "fill_order", "reject_order"]


def accept_order(state: ExchangeState, draft: Order, now: int, *, sends_balances: bool) -> Order:
    """Accept an order: borrow what its side effect allows, lock its funds, and send the report."""
    _, required = state.orders.required_funds(draft, draft.quantity)
    draft, locked = borrow_for_order(state, draft, required, now)
    order = state.orders.accept(draft, locked)
    send_report(state, order, "NEW", now)
    if sends_balances:
        send_order_balances(state, order, now)
    return order


def borrow_for_order(state: ExchangeState, draft: Order, required: Decimal, now: int) -> tuple[Order, Decimal]:
    """Borrow what an order lacks, if its side effect does so; returns the order, and what is to be locked for it."""
    asset, _ = state.orders.required_funds(draft, draft.quantity)
    missing = required - state.ledger.get_balance(draft.uid, draft.account, asset).free
    if missing <= ZERO or draft.side_effect not in BORROWING_SIDE_EFFECTS:
        return draft, required
    if state.rules.borrow_time == "execution":
        return draft, required - missing
    borrow(state, draft.uid, draft.account, asset, missing, now, "AUTO")
    return _with_loan(draft, missing), required


def reject_order(state: ExchangeState, draft: Order, reason: str, now: int) -> Order:
    """Reject an order with a report; no balance changes, so none is sent."""
    order = state.orders.reject(draft, reason)
    send_report(state, order, "REJECTED", now)
    return order


def fill_order(state: ExchangeState, order: Order, quantity: Decimal, price: Decimal, now: int, maker: bool) -> Order:
    """Fill an order, fully or partially.

    Raises:
        ValueError: not open, more than remains, beyond the limit price, or more than the account can pay.

    """
    if order.side_effect in BORROWING_SIDE_EFFECTS and order.is_open:
        missing = state.orders.find_shortfall(order, quantity, price)
        if missing:
            asset, _ = state.orders.required_funds(order, quantity)
            borrow(state, order.uid, order.account, asset, missing, now, "AUTO")
            order = state.orders.update(_with_loan(order, missing), now)
    commission = _compute_commission(state, order, quantity, price)
    order, fill = state.orders.fill(order, quantity, price, maker, now, commission)
    _record_trade(state, order, fill, now)
    send_report(state, order, "TRADE", now, fill)
    send_order_balances(state, order, now, (fill.commission_asset,))
    if order.side_effect in REPAYING_SIDE_EFFECTS:
        _repay_from_fill(state, order, fill, now)
    return order


def fill_closed_order(state: ExchangeState, order: Order, now: int) -> None:
    """Fill the remaining quantity of an order that has ended, at its price; it stays ended.

    Raises:
        ValueError: nothing remains, or more than the account can pay.

    """
    quantity = order.remaining
    commission = _compute_commission(state, order, quantity, order.price)
    order, fill = state.orders.fill(order, quantity, order.price, True, now, commission, late=True)
    _record_trade(state, order, fill, now)
    send_report(state, order, "TRADE", now, fill)
    send_order_balances(state, order, now, (fill.commission_asset,))


def close_order(
    state: ExchangeState, order: Order, status: FinalStatus, now: int, cancel_id: str | None = None
) -> Order:
    """Cancel an order, or let it expire; what was borrowed for it and is unused is repaid.

    Raises:
        ValueError: not open.

    """
    unused = min(order.borrowed, order.locked)
    asset, _ = state.orders.required_funds(order, order.quantity)
    order = state.orders.close(order, status, now)
    execution = "TRADE_PREVENTION" if status == "EXPIRED_IN_MATCH" else status
    send_report(state, order, execution, now, cancel_id=cancel_id)
    send_order_balances(state, order, now)
    if unused and order.repays_at_cancel:
        _repay_up_to(state, order, asset, unused, now)
    return order


def _with_loan(order: Order, amount: Decimal) -> Order:
    return replace(order, borrowed=order.borrowed + amount)


def _repay_from_fill(state: ExchangeState, order: Order, fill: OrderFill, now: int) -> None:
    base, quote = state.orders.split_symbol(order.symbol)
    received, asset = (fill.quantity, base) if order.side == "BUY" else (fill.quantity * fill.price, quote)
    if fill.commission_asset == asset:
        received -= fill.commission
    _repay_up_to(state, order, asset, received, now)


def _repay_up_to(state: ExchangeState, order: Order, asset: str, amount: Decimal, now: int) -> None:
    balance = state.ledger.get_balance(order.uid, order.account, asset)
    amount = min(amount, balance.debt, balance.free)
    if amount > ZERO:
        # The exchange does not report that an automatic repayment has failed.
        with contextlib.suppress(ValueError):
            repay(state, order.uid, order.account, asset, amount, now, "AUTO")


def _compute_commission(state: ExchangeState, order: Order, quantity: Decimal, price: Decimal) -> tuple[Decimal, str]:
    """Amount and asset: BNB where the user has chosen so and the cross account has enough, else what is received."""
    burn = state.ledger.bnb_burn.get(order.uid)
    if burn is None or not burn.commission or order.account != CROSS:
        return state.orders.compute_commission(order, quantity, price)
    _, quote = state.orders.split_symbol(order.symbol)
    value = quantity * price * state.rules.commission_rate * state.prices.get_unit_value(CROSS, quote)
    discounted = value * (1 - state.rules.bnb_commission_discount)
    amount = round_down(discounted / state.prices.get_unit_value(CROSS, "BNB"))
    if state.ledger.get_balance(order.uid, order.account, "BNB").free < amount:
        return state.orders.compute_commission(order, quantity, price)
    return amount, "BNB"


def _record_trade(state: ExchangeState, order: Order, fill: OrderFill, now: int) -> None:
    is_buyer_maker = (order.side == "BUY") == fill.is_maker
    state.trades.record(order, fill, now)
    state.prices.record_trade(order.symbol, PublicTrade(fill.trade_id, fill.price, fill.quantity, now, is_buyer_maker))
    base, quote = state.orders.split_symbol(order.symbol)
    bought, sold = (base, quote) if order.side == "BUY" else (quote, base)
    amounts = {base: fill.quantity, quote: fill.quantity * fill.price}
    flows = (
        (bought, f"{order.side}_INCOME", amounts[bought]),
        (sold, f"{order.side}_EXPENSE", -amounts[sold]),
        (fill.commission_asset, "TRADING_COMMISSION", -fill.commission),
    )
    for asset, kind, amount in flows:
        state.records.record_flow(order.uid, order.account, order.symbol, asset, kind, amount, fill.trade_id, now)
