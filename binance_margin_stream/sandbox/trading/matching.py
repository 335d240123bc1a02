"""Matching: when orders trade, are triggered, expire or are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO
from binance_margin_stream.sandbox.model.orders import BORROWING_SIDE_EFFECTS, FinalStatus, Order
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.trading.execution import accept_order, close_order, fill_order, reject_order
from binance_margin_stream.sandbox.trading.order_lists import prepare_leg, settle_list
from binance_margin_stream.sandbox.trading.reports import send_order_balances, send_report
from binance_margin_stream.sandbox.trading.self_trades import prevent_self_trade

__all__ = ["end_order", "find_reject_reason", "iterate_levels", "match_order", "on_price", "place_order", "trade_order"]

_MAX_LEVELS = 1000


def place_order(state: ExchangeState, draft: Order, now: int) -> Order:
    """Place an order: an execution report, trades if it matches the market, then the balances.

    An order is rejected, with a report, if the account cannot pay it or its type forbids an immediate match.
    Where the symbol has a price, a matching order trades at once; IOC and FOK orders that do not match expire.
    """
    market_price = state.prices.find_price(draft.symbol)
    reason = find_reject_reason(state, draft, market_price)
    if reason is not None:
        return reject_order(state, draft, reason, now)
    trades = draft.type == "MARKET" or (
        market_price is not None and not draft.is_stop and (draft.matches(market_price) or draft.time_in_force != "GTC")
    )
    order = accept_order(state, draft, now, sends_balances=not trades and _rests(draft))
    return match_order(state, order, market_price, now)


def find_reject_reason(state: ExchangeState, draft: Order, market_price: Decimal | None) -> str | None:
    """Why an order is not accepted, as a value of ``r`` in execution reports; None if it is."""
    if draft.side_effect not in BORROWING_SIDE_EFFECTS and not state.orders.is_affordable(draft):
        return "INSUFFICIENT_BALANCES"
    if market_price is None:
        return None
    if draft.is_stop and not draft.trailing_delta and draft.is_triggered_by(market_price):
        return "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
    if draft.type == "LIMIT_MAKER" and draft.matches(market_price):
        return "WOULD_MATCH_IMMEDIATELY"
    return None


def match_order(state: ExchangeState, order: Order, market_price: Decimal | None, now: int) -> Order:
    """Trade an order that works now as far as the market allows, and let it expire if it must not rest."""
    if order.is_stop and order.triggered_at is None:
        if market_price is None or not order.trailing_delta:
            return order
        return state.orders.update(order.follow(market_price), now)
    price = order.price if order.type == "MARKET" else market_price
    if price is not None and order.matches(price):
        order = _take_liquidity(state, order, price, now)
    if order.is_open and not _rests(order):
        order = end_order(state, order, "EXPIRED", now)
    return order


def trade_order(state: ExchangeState, order: Order, quantity: Decimal, price: Decimal, now: int, maker: bool) -> Order:
    """Fill an order, and do what follows from it in its list.

    Raises:
        ValueError: as `fill_order`.

    """
    order = fill_order(state, prepare_leg(state, order), quantity, price, now, maker)
    _start_pending_orders(state, order, now)
    return order


def end_order(state: ExchangeState, order: Order, status: FinalStatus, now: int, cancel_id: str | None = None) -> Order:
    """Cancel an order, or let it expire, and do what follows from it in its list.

    Raises:
        ValueError: not open.

    """
    order = close_order(state, order, status, now, cancel_id)
    _start_pending_orders(state, order, now)
    return order


def on_price(state: ExchangeState, order: Order, market_price: Decimal, now: int) -> Order:
    """Trigger or fill an open order if a new price of its symbol reaches it."""
    if order.is_pending:
        return order
    maker = order.is_on_book
    if order.is_stop and order.triggered_at is None:
        followed = order.follow(market_price)
        if followed is not order:
            order = state.orders.update(followed, now)
        if not order.is_triggered_by(market_price):
            return order
        order = _trigger(state, order, now)
    if not order.matches(market_price):
        return order
    try:
        return _fill_at_price(state, order, market_price, now, maker)
    except ValueError:
        # A triggered market order for which too little was locked.
        return end_order(state, state.orders.get(order.order_id), "EXPIRED", now)


def iterate_levels(
    state: ExchangeState, symbol: str, side: str, price: Decimal
) -> Iterator[tuple[Decimal, Decimal | None]]:
    """Prices that the market offers to a side, best first, each with its quantity; None: any quantity."""
    liquidity = state.rules.liquidity
    if not liquidity:
        yield price, None
        return
    _, quote = state.orders.split_symbol(symbol)
    tick = state.rules.get_tick_size(quote)
    step = tick if side == "BUY" else -tick
    for index in range(_MAX_LEVELS):
        level = price + index * step
        if level <= ZERO:
            return
        yield level, liquidity


def _rests(order: Order) -> bool:
    """Whether an order stays open without a match."""
    return (
        order.time_in_force == "GTC" and order.type != "MARKET"
        if not order.is_stop
        else (order.triggered_at is None or (order.time_in_force == "GTC" and not order.is_market))
    )


def _take_liquidity(state: ExchangeState, order: Order, price: Decimal, now: int) -> Order:
    if order.time_in_force == "FOK" and not _can_fill_completely(state, order, price):
        return order
    for level, available in iterate_levels(state, order.symbol, order.side, price):
        order = prevent_self_trade(state, order, level, now, end_order, trade_order)
        if not order.is_open or not order.matches(level):
            break
        quantity = order.remaining if available is None else min(order.remaining, available)
        try:
            order = trade_order(state, order, quantity, level, now, maker=False)
        except ValueError:
            # A market order that becomes too expensive at a worse price.
            return end_order(state, order, "EXPIRED", now)
        if not order.is_open:
            break
    return order


def _can_fill_completely(state: ExchangeState, order: Order, price: Decimal) -> bool:
    missing = order.remaining
    for level, available in iterate_levels(state, order.symbol, order.side, price):
        if available is None:
            return True
        if not order.matches(level):
            return False
        missing -= available
        if missing <= ZERO:
            return True
    return False


def _trigger(state: ExchangeState, order: Order, now: int) -> Order:
    order = state.orders.update(replace(prepare_leg(state, order), triggered_at=now), now)
    if not order.is_market:
        send_report(state, order, "NEW", now)
    _start_pending_orders(state, order, now)
    return order


def _fill_at_price(state: ExchangeState, order: Order, market_price: Decimal, now: int, maker: bool) -> Order:
    if not state.rules.liquidity or maker:
        price = order.price if maker else market_price
        available = state.rules.liquidity or order.remaining
        return trade_order(state, order, min(order.remaining, available), price, now, maker)
    order = _take_liquidity(state, order, market_price, now)
    return order if not order.is_open or _rests(order) else end_order(state, order, "EXPIRED", now)


def _start_pending_orders(state: ExchangeState, order: Order, now: int) -> None:
    for pending in settle_list(state, order, now):
        if not state.orders.get(pending.order_id).is_pending:
            continue
        if not _is_sibling_locked(state, pending) and not state.orders.is_affordable(pending):
            end_order(state, pending, "EXPIRED", now)
            continue
        started = _activate(state, pending, now)
        send_report(state, started, "NEW", now)
        market_price = state.prices.find_price(order.symbol)
        if market_price is not None and started.is_stop and started.is_triggered_by(market_price):
            on_price(state, started, market_price, now)
        else:
            match_order(state, started, market_price, now)
        send_order_balances(state, started, now)


def _is_sibling_locked(state: ExchangeState, pending: Order) -> bool:
    numbers = state.order_lists.get(pending.order_list_id).order_ids[1:]
    return any(state.orders.get(number).locked for number in numbers)


def _activate(state: ExchangeState, pending: Order, now: int) -> Order:
    if _is_sibling_locked(state, pending):
        return state.orders.update(replace(pending, status="NEW"), now)
    return state.orders.activate(pending, now)
