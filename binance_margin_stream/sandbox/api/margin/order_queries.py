"""Queries of orders, trades, order lists and prevented matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from binance_margin_stream.sandbox.amounts import format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Cost, Endpoint, Parameters, Security
from binance_margin_stream.sandbox.api.margin.rows import build_list_row, build_order_row, build_trade_row
from binance_margin_stream.sandbox.api.parameter_types import TIME_RANGE, flag, integer, symbol, text
from binance_margin_stream.sandbox.api.request_parameters import missing_parameter
from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.config import DAY_MS, ExchangeRules
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.history.order_lists import OrderList
from binance_margin_stream.sandbox.model.history.trades import Trade
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["ENDPOINTS", "find_order", "find_order_list", "parse_isolated_symbol"]

_T = TypeVar("_T")

_ARCHIVE_AFTER_MS = 90 * DAY_MS
_MAX_ORDERS = 500
_MAX_TRADES = 1000
_MAX_LISTS = 1000
_MAX_MATCHES = 500


def find_order(call: Call, account: str, name: str, error_code: int) -> Order:
    """The order of ``orderId`` or ``origClientOrderId``.

    Raises:
        RefusedError: -1102 neither is there; `error_code`, no such order.

    """
    uid, orders = call.user.uid, call.state.orders
    if "orderId" in call.parameters:
        order = orders.find(uid, account, name, call.get_integer("orderId", 0))
        client_id = call.parameters.get("origClientOrderId")
        if order is not None and client_id not in (None, order.client_order_id):
            order = None
    elif "origClientOrderId" in call.parameters:
        order = orders.find_by_client_id(uid, account, name, call.parameters["origClientOrderId"])
    else:
        raise RefusedError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    if order is None or order.status == "REJECTED":
        raise RefusedError(error_code)
    return order


def parse_isolated_symbol(call: Call) -> tuple[str, str | None]:
    """Account and symbol of the list calls, which take a symbol for isolated accounts only.

    Raises:
        RefusedError: -1102, -1106, -1121.

    """
    account = call.parse_account()
    if account == CROSS and "symbol" in call.parameters:
        raise RefusedError(-1106, "Parameter 'symbol' sent when not required.")
    return account, None if account == CROSS else account


def _get_order(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    order = find_order(call, account, name, -2013)
    if not _is_visible(call, order.created_at):
        raise RefusedError(-2013)
    if not order.is_open and not order.filled and call.now - order.updated_at > _ARCHIVE_AFTER_MS:
        raise RefusedError(-2026)
    return build_order_row(order, call.state.rules)


def _get_open_orders(call: Call) -> object:
    account = call.parse_account()
    name = call.parse_symbol() if "symbol" in call.parameters else None
    orders = call.state.orders.open_orders_of_account(call.user.uid, account, name)
    return [build_order_row(order, call.state.rules) for order in orders if _is_visible(call, order.created_at)]


def _get_all_orders(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    limit = call.get_integer("limit", _MAX_ORDERS, _MAX_ORDERS)
    orders, uid = call.state.orders, call.user.uid
    if "orderId" in call.parameters:
        found = orders.select(uid, account, name, call.get_integer("orderId", 0))
        return _build_order_rows(call, islice(found, limit))
    since, until = _parse_day(call)
    if call.state.rules.order_time_filter == "updated":
        found = (each for each in orders.select(uid, account, name) if since <= each.updated_at <= until)
        return _build_order_rows(call, islice(found, limit))
    if "startTime" not in call.parameters:
        latest = _take_while(orders.select_backwards(uid, account, name), lambda each: each.created_at >= since)
        newest = list(islice((each for each in latest if each.created_at <= until), limit))
        return _build_order_rows(call, reversed(newest))
    created = orders.select_created(uid, account, name, since)
    return _build_order_rows(call, islice(_take_while(created, lambda each: each.created_at <= until), limit))


def _build_order_rows(call: Call, orders: Iterable[Order]) -> list[dict[str, object]]:
    return [
        build_order_row(order, call.state.rules)
        for order in orders
        if order.status != "REJECTED" and _is_visible(call, order.created_at)
    ]


def _get_trades(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    limit = call.get_integer("limit", 500, _MAX_TRADES)
    trades = _select_trades(call, account, name, limit)
    visible = [trade for trade in trades if _is_visible(call, trade.time)]
    return [build_trade_row(trade, call.state.rules) for trade in visible]


def _select_trades(call: Call, account: str, name: str, limit: int) -> Iterable[Trade]:
    given = {"orderId", "fromId", "startTime", "endTime"} & call.parameters.keys()
    trades, uid = call.state.trades, call.user.uid
    from_id = call.get_integer("fromId", 0)
    if "orderId" in given:
        if given & {"startTime", "endTime"}:
            raise RefusedError(-1128)
        order = call.state.orders.find(uid, account, name, call.get_integer("orderId", 0))
        own = () if order is None else trades.of_order(order.order_id)
        return islice((trade for trade in own if trade.trade_id >= from_id), limit)
    if "fromId" in given:
        if len(given) > 1:
            raise RefusedError(-1128)
        return islice(trades.select(uid, account, name, from_id), limit)
    since, until = _parse_day(call)
    if "startTime" not in given and "endTime" not in given:
        return trades.select_latest(uid, account, name, since, limit)
    within = _take_while(trades.select(uid, account, name, since=since), lambda trade: trade.time <= until)
    return islice(within, limit)


def _parse_day(call: Call) -> tuple[int, int]:
    """The time range of a query, at most 24 hours; by default the last 24 hours."""
    start, end = call.parameters.get("startTime"), call.parameters.get("endTime")
    if start is None:
        until = MAX_TIME_MS if end is None else int(end)
        return max(0, min(until, call.now) - DAY_MS), until
    since = int(start)
    until = since + DAY_MS if end is None else int(end)
    if not 0 <= until - since <= DAY_MS:
        raise RefusedError(-1127)
    return since, until


def find_order_list(call: Call, account: str, client_id_parameter: str) -> OrderList | None:
    """The order list that a call names by its id or by its client id. Raises -1102 if it names none."""
    lists, uid = call.state.order_lists, call.user.uid
    if "orderListId" in call.parameters:
        return lists.find(uid, account, call.get_integer("orderListId", 0))
    if client_id_parameter in call.parameters:
        return lists.find_by_client_id(uid, account, call.parameters[client_id_parameter])
    raise missing_parameter("orderListId")


def _get_order_list(call: Call) -> object:
    account, _ = parse_isolated_symbol(call)
    found = find_order_list(call, account, "origClientOrderId")
    if found is None:
        raise RefusedError(-2018, "Order list does not exist.")
    return build_list_row(call.state, found)


def _get_open_order_lists(call: Call) -> object:
    account, _ = parse_isolated_symbol(call)
    return _build_list_rows(call, call.state.order_lists.open_lists(call.user.uid, account))


def _get_open_oto_lists(call: Call) -> object:
    account = call.parse_symbol() if "symbol" in call.parameters else CROSS
    lists = [each for each in call.state.order_lists.open_lists(call.user.uid, account) if each.contingency != "OCO"]
    rows = _build_list_rows(call, lists)
    for row, order_list in zip(rows, lists, strict=True):
        orders = [call.state.orders.get(number) for number in order_list.order_ids]
        row["orders"] = [
            {
                "symbol": order.symbol,
                "orderId": order.order_id,
                "clientOrderId": order.client_order_id,
                "status": order.status,
            }
            for order in orders
        ]
    return rows


def _get_all_order_lists(call: Call) -> object:
    account, _ = parse_isolated_symbol(call)
    limit = call.get_integer("limit", 500, _MAX_LISTS)
    lists = call.state.order_lists.select(call.user.uid, account, call.get_integer("fromId", 0))
    if "fromId" in call.parameters:
        if {"startTime", "endTime"} & call.parameters.keys():
            raise RefusedError(-1128)
        return _build_list_rows(call, islice(lists, limit))
    since, until = _parse_day(call)
    return _build_list_rows(call, [each for each in lists if since <= each.time <= until][-limit:])


def _build_list_rows(call: Call, lists: Iterable[OrderList]) -> list[dict[str, object]]:
    return [build_list_row(call.state, each) for each in lists]


def _get_prevented_matches(call: Call) -> object:
    account, name = call.parse_account(), call.parse_symbol()
    if not {"preventedMatchId", "orderId"} & call.parameters.keys():
        raise missing_parameter("orderId")
    limit = call.get_integer("limit", _MAX_MATCHES, _MAX_MATCHES)
    matches = call.state.prevented_matches.between((call.user.uid, account, name), 0, MAX_TIME_MS)
    order_id, from_id = call.get_integer("orderId", 0), call.get_integer("fromPreventedMatchId", 0)
    number = call.get_integer("preventedMatchId", 0)
    found = [
        match
        for match in matches
        if (not order_id or order_id in (match.taker.order_id, match.maker.order_id))
        and match.record_id >= from_id
        and number in (0, match.record_id)
    ]
    return [
        {
            "symbol": name,
            "preventedMatchId": match.record_id,
            "takerOrderId": match.taker.order_id,
            "makerSymbol": name,
            "makerOrderId": match.maker.order_id,
            "tradeGroupId": call.user.uid,
            "selfTradePreventionMode": match.taker.self_trade_prevention,
            "price": format_amount(match.maker.price),
            "makerPreventedQuantity": format_amount(match.quantity),
            "transactTime": match.time,
        }
        for match in found[:limit]
    ]


def _is_visible(call: Call, time: int) -> bool:
    lag = call.state.rules.read_lag_ms
    return lag is None or call.now - time >= lag


def _take_while(items: Iterable[_T], condition: Callable[[_T], bool]) -> Iterable[_T]:
    for item in items:
        if not condition(item):
            return
        yield item


def _compute_open_orders_cost(rules: ExchangeRules, parameters: Parameters) -> Cost:
    if "symbol" in parameters or rules.open_orders_weight == "once":
        return 10, "IP"
    return 10 * len(rules.symbols or rules.listed_symbols), "IP"


_ISOLATED = flag("isIsolated")
_ORDER = (symbol(mandatory=True), _ISOLATED, integer("orderId"), text("origClientOrderId"))
_WINDOW = (*TIME_RANGE, integer("limit"))
_ALL_ORDERS = (symbol(mandatory=True), _ISOLATED, integer("orderId"), *_WINDOW)
_LISTS = (_ISOLATED, symbol())
_MATCHES = (
    symbol(mandatory=True),
    _ISOLATED,
    integer("preventedMatchId"),
    integer("orderId"),
    integer("fromPreventedMatchId"),
    integer("limit"),
)
_DATA: Security = "USER_DATA"

ENDPOINTS = (
    Endpoint("GET", "/sapi/v1/margin/order", _DATA, 10, "IP", _get_order, _ORDER),
    Endpoint("GET", "/sapi/v1/margin/openOrders", _DATA, 10, "IP", _get_open_orders, _LISTS, _compute_open_orders_cost),
    Endpoint("GET", "/sapi/v1/margin/allOrders", _DATA, 200, "IP", _get_all_orders, _ALL_ORDERS),
    Endpoint("GET", "/sapi/v1/margin/myTrades", _DATA, 10, "IP", _get_trades, (*_ALL_ORDERS, integer("fromId"))),
    Endpoint(
        "GET",
        "/sapi/v1/margin/orderList",
        _DATA,
        10,
        "IP",
        _get_order_list,
        (*_LISTS, integer("orderListId"), text("origClientOrderId")),
    ),
    Endpoint("GET", "/sapi/v1/margin/openOrderList", _DATA, 10, "IP", _get_open_order_lists, _LISTS),
    Endpoint("GET", "/sapi/v1/margin/oto/openOrderList", _DATA, 10, "UID", _get_open_oto_lists, (symbol(),)),
    Endpoint(
        "GET",
        "/sapi/v1/margin/allOrderList",
        _DATA,
        200,
        "IP",
        _get_all_order_lists,
        (*_LISTS, integer("fromId"), *_WINDOW),
    ),
    Endpoint("GET", "/sapi/v1/margin/myPreventedMatches", _DATA, 10, "IP", _get_prevented_matches, _MATCHES),
)
"""The calls that read orders and trades."""
