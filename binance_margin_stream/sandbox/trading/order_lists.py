"""Order lists: how the orders of an OCO, OTO or OTOCO depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from binance_margin_stream.sandbox.amounts import ZERO
from binance_margin_stream.sandbox.model.history.order_lists import ContingencyType, OrderList
from binance_margin_stream.sandbox.model.orders import NO_LIST, Order
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.trading.execution import borrow_for_order, close_order
from binance_margin_stream.sandbox.trading.reports import send_list_status, send_report

__all__ = ["cancel_list", "create_list", "prepare_leg", "settle_list"]


def create_list(
    state: ExchangeState, contingency: ContingencyType, drafts: Sequence[Order], client_id: str, now: int
) -> OrderList:
    """Accept the orders of a list, and send its status and their reports; none is matched yet.

    The orders of an OCO share the funds of the more expensive one. The orders of a pending part lock none.
    """
    first = drafts[0]
    created = state.order_lists.create(contingency, first.uid, first.account, first.symbol, client_id, now)
    placed = [replace(draft, order_list_id=created.list_id) for draft in drafts]
    orders = (
        _accept_oco(state, placed, now) if contingency == "OCO" else _accept_working_and_pending(state, placed, now)
    )
    created = state.order_lists.update(replace(created, order_ids=tuple(order.order_id for order in orders)))
    send_list_status(state, created, "EXEC_STARTED", "EXECUTING", now)
    for order in orders:
        send_report(state, order, "NEW", now)
    return created


def prepare_leg(state: ExchangeState, order: Order) -> Order:
    """Give an order of an OCO, before it trades or is triggered, the funds that are locked for both."""
    if order.order_list_id == NO_LIST or order.is_pending:
        return order
    for sibling in _find_siblings(state, order):
        if sibling.locked and sibling.is_open and not _is_working_leg(state, sibling):
            _, order = state.orders.move_lock(sibling, order)
    return order


def settle_list(state: ExchangeState, order: Order, now: int) -> list[Order]:
    """What follows in a list when one of its orders has changed; returns the pending orders that have to start now."""
    if order.order_list_id == NO_LIST:
        return []
    order_list = state.order_lists.get(order.order_list_id)
    if order_list.is_done:
        return []
    started: list[Order] = []
    if _is_working_leg(state, order):
        if order.status == "FILLED":
            started = [each for each in _find_siblings(state, order) if each.is_pending]
        elif not order.is_open:
            _close_siblings(state, order, "CANCELED" if order.status == "CANCELED" else "EXPIRED", now)
    elif order.filled or order.triggered_at is not None:
        _close_siblings(state, order, "EXPIRED", now)
    elif not order.is_open:
        _close_siblings(state, order, "CANCELED", now)
    if not started and all(not state.orders.get(number).is_open for number in order_list.order_ids):
        state.order_lists.finish(order_list, now)
        send_list_status(state, order_list, "ALL_DONE", "ALL_DONE", now)
    return started


def cancel_list(state: ExchangeState, order_list: OrderList, now: int) -> list[Order]:
    """Cancel all open orders of a list; returns them."""
    orders = [state.orders.get(number) for number in order_list.order_ids]
    cancelled = [close_order(state, order, "CANCELED", now) for order in orders if order.is_open]
    if cancelled and not state.order_lists.get(order_list.list_id).is_done:
        state.order_lists.finish(order_list, now)
        send_list_status(state, order_list, "ALL_DONE", "ALL_DONE", now)
    return cancelled


def _accept_oco(state: ExchangeState, drafts: Sequence[Order], now: int) -> list[Order]:
    amounts = [state.orders.required_funds(draft, draft.quantity)[1] for draft in drafts]
    holder = amounts.index(max(amounts))
    orders = []
    for index, draft in enumerate(drafts):
        holding, locked = borrow_for_order(state, draft, amounts[index], now) if index == holder else (draft, ZERO)
        orders.append(state.orders.accept(holding, locked))
    return orders


def _accept_working_and_pending(state: ExchangeState, drafts: Sequence[Order], now: int) -> list[Order]:
    working, *pending = drafts
    _, required = state.orders.required_funds(working, working.quantity)
    working, locked = borrow_for_order(state, working, required, now)
    orders = [state.orders.accept(working, locked)]
    return orders + [state.orders.accept(replace(draft, status="PENDING_NEW"), ZERO) for draft in pending]


def _is_working_leg(state: ExchangeState, order: Order) -> bool:
    order_list = state.order_lists.get(order.order_list_id)
    return order_list.contingency != "OCO" and order_list.order_ids[:1] == (order.order_id,)


def _find_siblings(state: ExchangeState, order: Order) -> list[Order]:
    numbers = state.order_lists.get(order.order_list_id).order_ids
    return [state.orders.get(number) for number in numbers if number != order.order_id]


def _close_siblings(state: ExchangeState, order: Order, status: str, now: int) -> None:
    for sibling in _find_siblings(state, order):
        if sibling.is_open:
            close_order(state, sibling, "CANCELED" if status == "CANCELED" else "EXPIRED", now)
