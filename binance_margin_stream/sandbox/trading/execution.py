"""Execution of orders: each step moves balances and sends its events in the exchange's order."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from binance_margin_stream.sandbox.delivery.event_payloads import build_account_position, build_execution_report
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.orders import FinalStatus, Order, OrderFill
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["close_order", "fill_order", "on_price", "place_order", "reject_order", "send_position"]


def place_order(state: ExchangeState, draft: Order, now: int) -> Order:
    """Place an order: an execution report, trades if it matches the market, then the balances.

    An order is rejected, with a report, if the account cannot pay it or its type forbids an immediate match.
    Where the symbol has a price, a matching order trades at once; IOC and FOK orders that do not match expire.
    """
    market_price = state.prices.find_price(draft.symbol)
    reason = _find_reject_reason(state, draft, market_price)
    if reason is not None:
        return reject_order(state, draft, reason, now)
    order = state.orders.accept(draft)
    _send_report(state, order, "NEW", now)
    if order.type == "MARKET":
        return fill_order(state, order, order.remaining, order.price, now, maker=False)
    if market_price is not None and not order.is_stop and order.matches(market_price):
        return fill_order(state, order, order.remaining, market_price, now, maker=False)
    if order.time_in_force != "GTC" and not order.is_stop:
        return close_order(state, order, "EXPIRED", now)
    _send_order_balances(state, order, now)
    return order


def reject_order(state: ExchangeState, draft: Order, reason: str, now: int) -> Order:
    """Reject an order with a report; no balance changes, so none is sent."""
    order = state.orders.reject(draft, reason)
    _send_report(state, order, "REJECTED", now)
    return order


def fill_order(state: ExchangeState, order: Order, quantity: Decimal, price: Decimal, now: int, maker: bool) -> Order:
    """Fill an order, fully or partially.

    Raises:
        ValueError: not open, more than remains, beyond the limit price, or more than the account can pay.

    """
    order, fill = state.orders.fill(order, quantity, price, maker)
    _send_report(state, order, "TRADE", now, fill)
    _send_order_balances(state, order, now)
    return order


def close_order(state: ExchangeState, order: Order, status: FinalStatus, now: int) -> Order:
    """Cancel an order, or let it expire.

    Raises:
        ValueError: not open.

    """
    order = state.orders.close(order, status)
    _send_report(state, order, status, now)
    _send_order_balances(state, order, now)
    return order


def on_price(state: ExchangeState, order: Order, market_price: Decimal, now: int) -> Order:
    """Trigger or fill an open order if a new price of its symbol reaches it."""
    maker = order.is_on_book
    if order.is_stop and order.triggered_at is None:
        if not order.is_triggered_by(market_price):
            return order
        order = state.orders.trigger(order, now)
        if not order.is_market:
            _send_report(state, order, "NEW", now)
    if not order.matches(market_price):
        return order
    try:
        return fill_order(state, order, order.remaining, order.price if maker else market_price, now, maker=maker)
    except ValueError:
        # A triggered market order for which too little was locked.
        return close_order(state, order, "EXPIRED", now)


def send_position(state: ExchangeState, uid: int, account: str, assets: Iterable[str], now: int) -> None:
    """Send the balances of the assets that may have changed."""
    balances = [(asset, state.ledger.get_balance(uid, account, asset)) for asset in assets]
    publish(state, uid, account, build_account_position(balances, now))


def _find_reject_reason(state: ExchangeState, draft: Order, market_price: Decimal | None) -> str | None:
    if not state.orders.is_affordable(draft):
        return "INSUFFICIENT_BALANCES"
    if market_price is None:
        return None
    if draft.is_stop and draft.is_triggered_by(market_price):
        return "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
    if draft.type == "LIMIT_MAKER" and draft.matches(market_price):
        return "WOULD_MATCH_IMMEDIATELY"
    return None


def _send_report(state: ExchangeState, order: Order, execution: str, now: int, fill: OrderFill | None = None) -> None:
    report = build_execution_report(order, execution, state.orders.next_execution_id(), now, fill)
    if order.is_on_book:
        since = order.working_since
        report["W"] = str(since) if state.rules.working_time_type == "string" else since
    publish(state, order.uid, order.account, report)


def _send_order_balances(state: ExchangeState, order: Order, now: int) -> None:
    send_position(state, order.uid, order.account, state.orders.split_symbol(order.symbol), now)
