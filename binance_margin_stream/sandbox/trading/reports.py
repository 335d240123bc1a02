"""Events of orders and balances, sent to the subscribers of an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from binance_margin_stream.sandbox.delivery.event_payloads import (
    build_account_position,
    build_execution_report,
    build_list_status,
)
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.history.order_lists import OrderList
from binance_margin_stream.sandbox.model.orders import Order, OrderFill
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["send_list_status", "send_order_balances", "send_position", "send_report"]

_NO_FIELDS: Mapping[str, object] = {}


def send_report(
    state: ExchangeState,
    order: Order,
    execution: str,
    now: int,
    fill: OrderFill | None = None,
    cancel_id: str | None = None,
    more: Mapping[str, object] = _NO_FIELDS,
) -> None:
    """Send the execution report of an order; `more` are further fields."""
    report = build_execution_report(order, execution, state.orders.next_execution_id(), now, fill, cancel_id)
    if order.is_on_book:
        since = order.working_since
        report["W"] = str(since) if state.rules.working_time_type == "string" else since
    publish(state, order.uid, order.account, {**report, **more})


def send_order_balances(state: ExchangeState, order: Order, now: int, more_assets: Iterable[str] = ()) -> None:
    """Send the balances of the assets of an order."""
    assets = dict.fromkeys((*state.orders.split_symbol(order.symbol), *more_assets))
    send_position(state, order.uid, order.account, assets, now)


def send_position(state: ExchangeState, uid: int, account: str, assets: Iterable[str], now: int) -> None:
    """Send the balances of the assets that may have changed."""
    balances = [(asset, state.ledger.get_balance(uid, account, asset)) for asset in assets]
    publish(state, uid, account, build_account_position(balances, now))


def send_list_status(state: ExchangeState, order_list: OrderList, status: str, order_status: str, now: int) -> None:
    """Send the status of an order list."""
    orders = [state.orders.get(number) for number in order_list.order_ids]
    event = build_list_status(order_list, status, order_status, orders, now)
    publish(state, order_list.uid, order_list.account, event)
