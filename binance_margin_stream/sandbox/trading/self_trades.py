"""Self-trade prevention: what happens when an order meets another one of the same account."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from binance_margin_stream.sandbox.model.history.prevented_matches import PreventedMatch
from binance_margin_stream.sandbox.model.orders import FinalStatus, Order
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["prevent_self_trade"]


class _EndOrder(Protocol):
    def __call__(
        self, state: ExchangeState, order: Order, status: FinalStatus, now: int, cancel_id: str | None = None
    ) -> Order: ...


_TradeOrder = Callable[[ExchangeState, Order, Decimal, Decimal, int, bool], Order]


def prevent_self_trade(
    state: ExchangeState, order: Order, price: Decimal, now: int, end_order: _EndOrder, trade_order: _TradeOrder
) -> Order:
    """Let an order meet the account's own orders at a price; by its mode, one of the two or both expire.

    With the mode NONE they trade with each other. Returns the order after that.
    """
    for maker in _find_own_makers(state, order, price):
        order = state.orders.get(order.order_id)
        if not order.is_open:
            break
        mode = order.self_trade_prevention
        quantity = min(order.remaining, maker.remaining)
        if mode == "NONE":
            trade_order(state, maker, quantity, maker.price, now, True)
            order = trade_order(state, order, quantity, maker.price, now, False)
            continue
        _record_prevented_match(state, order, maker, quantity, now)
        if mode in ("EXPIRE_MAKER", "EXPIRE_BOTH"):
            end_order(state, maker, "EXPIRED_IN_MATCH", now)
        if mode in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
            order = end_order(state, order, "EXPIRED_IN_MATCH", now)
    return order


def _find_own_makers(state: ExchangeState, order: Order, price: Decimal) -> list[Order]:
    if not state.rules.liquidity:
        return []
    return [
        each
        for each in state.orders.open_orders_of_account(order.uid, order.account, order.symbol)
        if each.side != order.side and each.is_on_book and each.matches(price)
    ]


def _record_prevented_match(state: ExchangeState, taker: Order, maker: Order, quantity: Decimal, now: int) -> None:
    number = state.records.next_id()
    match = PreventedMatch(number, now, taker, maker, quantity)
    state.prevented_matches.add((taker.uid, taker.account, taker.symbol), match)
