"""Cancels of orders and order lists."""

from __future__ import annotations

from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint
from binance_margin_stream.sandbox.api.margin.order_queries import find_order, find_order_list
from binance_margin_stream.sandbox.api.margin.rows import build_list_row, build_result
from binance_margin_stream.sandbox.api.parameter_types import flag, integer, symbol, text
from binance_margin_stream.sandbox.clock import to_milliseconds
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.faults.trading import LateFill
from binance_margin_stream.sandbox.model.history.order_lists import OrderList
from binance_margin_stream.sandbox.model.orders import NO_LIST, Order
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.follow_up import check_account, fill_late
from binance_margin_stream.sandbox.trading.matching import end_order
from binance_margin_stream.sandbox.trading.order_lists import cancel_list

__all__ = ["ENDPOINTS"]

_ORDER_PATH = "/sapi/v1/margin/order"


def _cancel_order(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    order = find_order(call, account, name, -2011)
    if not order.is_open:
        raise RefusedError(-2011)
    cancelled = end_order(call.state, order, "CANCELED", call.now, call.parameters.get("newClientOrderId"))
    fault = call.state.pending_faults.take_matching((LateFill,), _ORDER_PATH, account)
    if fault is not None:
        fill_late(call.state, order.order_id, call.now + to_milliseconds(fault.seconds))
    check_account(call.state, call.user.uid, account, call.now)
    return _build_cancel(call, cancelled)


def _cancel_all(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    orders = call.state.orders.open_orders_of_account(call.user.uid, account, name)
    if not orders:
        raise RefusedError(-2011)
    reports: list[object] = []
    for order in orders:
        if not call.state.orders.get(order.order_id).is_open:
            continue
        if order.order_list_id == NO_LIST:
            reports.append(_build_cancel(call, end_order(call.state, order, "CANCELED", call.now)))
        else:
            reports.append(_cancel_list(call, call.state.order_lists.get(order.order_list_id)))
    check_account(call.state, call.user.uid, account, call.now)
    return reports


def _cancel_order_list(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    found = find_order_list(call, account, "listClientOrderId")
    if found is None or found.is_done or found.symbol != name:
        raise RefusedError(-2011)
    response = _cancel_list(call, found)
    check_account(call.state, call.user.uid, account, call.now)
    return response


def _cancel_list(call: Call, order_list: OrderList) -> dict[str, object]:
    cancelled = cancel_list(call.state, order_list, call.now)
    done = call.state.order_lists.get(order_list.list_id)
    return build_list_row(call.state, done) | {"orderReports": [_build_list_cancel(call, each) for each in cancelled]}


def _build_cancel(call: Call, order: Order) -> dict[str, object]:
    cancel_id = call.parameters.get("newClientOrderId", f"{order.client_order_id}-cancel")
    return {
        "symbol": order.symbol,
        "isIsolated": order.account != CROSS,
        "orderId": str(order.order_id),
        "origClientOrderId": order.client_order_id,
        "clientOrderId": cancel_id,
        **build_result(order),
    }


def _build_list_cancel(call: Call, order: Order) -> dict[str, object]:
    report = _build_cancel(call, order)
    return report | {
        "orderId": order.order_id,
        "orderListId": order.order_list_id,
        "selfTradePreventionMode": order.self_trade_prevention,
    }


_SYMBOL = (symbol(mandatory=True), flag("isIsolated"))
_NEW_ID = text("newClientOrderId")
_ORDER = (*_SYMBOL, integer("orderId"), text("origClientOrderId"), _NEW_ID)
_LIST = (*_SYMBOL, integer("orderListId"), text("listClientOrderId"), _NEW_ID)

ENDPOINTS = (
    Endpoint("DELETE", _ORDER_PATH, "TRADE", 10, "IP", _cancel_order, _ORDER),
    Endpoint("DELETE", "/sapi/v1/margin/openOrders", "TRADE", 1, "IP", _cancel_all, _SYMBOL),
    Endpoint("DELETE", "/sapi/v1/margin/orderList", "TRADE", 1, "UID", _cancel_order_list, _LIST),
)
"""The calls that cancel."""
