"""Orders on their way: each step moves the balances and tells those who listen, in the exchange's order."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import Number, decimal
from binance_margin_stream.sandbox.delivery.event_payloads import account_position, execution_report
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.orders import Ending, Fill, Order
from binance_margin_stream.sandbox.model.state import State

__all__ = ["end", "fill", "place", "position", "react", "reject"]


def place(state: State, draft: Order, now: int) -> Order:
    """Take an order: an execution report, trades if it meets the market, then the balances.

    An order that the account cannot pay, or whose type forbids what it would do, is rejected with a report.
    Where the symbol's price was set, what it meets trades at once; IOC and FOK orders that do not, expire.
    """
    mark = state.prices.known(draft.symbol)
    reason = _reason_to_reject(state, draft, mark)
    if reason is not None:
        return reject(state, draft, reason, now)
    order = state.orders.accept(draft)
    _report(state, order, "NEW", now)
    if order.type == "MARKET":
        return fill(state, order, order.remaining, order.price, now, maker=False)
    if mark is not None and not order.is_stop and order.matches(mark):
        return fill(state, order, order.remaining, mark, now, maker=False)
    if order.time_in_force != "GTC" and not order.is_stop:
        return end(state, order, "EXPIRED", now)
    _tell_assets(state, order, now)
    return order


def reject(state: State, draft: Order, reason: str, now: int) -> Order:
    """Refuse an order with a report; no balance moves, so none is told."""
    order = state.orders.reject(draft, reason)
    _report(state, order, "REJECTED", now)
    return order


def fill(state: State, order: Order, quantity: Number, price: Number, now: int, maker: bool) -> Order:
    """Fill an order, wholly or in part.

    Raises:
        ValueError: not open, more than remains, worse than its limit, or more than the account can pay.

    """
    order, its_fill = state.orders.fill(order, decimal(quantity), decimal(price), maker)
    _report(state, order, "TRADE", now, its_fill)
    _tell_assets(state, order, now)
    return order


def end(state: State, order: Order, status: Ending, now: int) -> Order:
    """Cancel an order, or let it expire.

    Raises:
        ValueError: not open.

    """
    order = state.orders.end(order, status)
    _report(state, order, status, now)
    _tell_assets(state, order, now)
    return order


def react(state: State, order: Order, mark: Decimal, now: int) -> Order:
    """Let an open order trade, or wake up, when its symbol has come to a price."""
    maker = order.on_book
    if order.is_stop and order.triggered_at is None:
        if not order.triggers(mark):
            return order
        order = state.orders.trigger(order, now)
        if not order.at_market:
            _report(state, order, "NEW", now)
    if not order.matches(mark):
        return order
    try:
        return fill(state, order, order.remaining, order.price if maker else mark, now, maker=maker)
    except ValueError:
        # A stop at market that was locked for less than it costs now.
        return end(state, order, "EXPIRED", now)


def position(state: State, uid: int, account: str, assets: Iterable[str], now: int) -> None:
    """Tell the balances of the assets that may have changed."""
    balances = [(asset, state.ledger.balance(uid, account, asset)) for asset in assets]
    publish(state, uid, account, account_position(balances, now))


def _reason_to_reject(state: State, draft: Order, mark: Decimal | None) -> str | None:
    if not state.orders.affordable(draft):
        return "INSUFFICIENT_BALANCES"
    if mark is None:
        return None
    if draft.is_stop and draft.triggers(mark):
        return "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
    if draft.type == "LIMIT_MAKER" and draft.matches(mark):
        return "WOULD_MATCH_IMMEDIATELY"
    return None


def _report(state: State, order: Order, execution: str, now: int, its_fill: Fill | None = None) -> None:
    report = execution_report(order, execution, state.orders.next_execution_id(), now, its_fill)
    if order.on_book:
        since = order.working_since
        report["W"] = str(since) if state.rules.working_time == "string" else since
    publish(state, order.uid, order.account, report)


def _tell_assets(state: State, order: Order, now: int) -> None:
    position(state, order.uid, order.account, state.orders.assets(order.symbol), now)
