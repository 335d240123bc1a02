"""New order lists: OCO, OTO and OTOCO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint
from binance_margin_stream.sandbox.api.margin.rows import build_list_row, build_result
from binance_margin_stream.sandbox.api.parameter_types import amount, choice, integer, text
from binance_margin_stream.sandbox.api.request_parameters import RequestParameter
from binance_margin_stream.sandbox.api.trade.order_forms import OrderForm, build_draft, check_draft
from binance_margin_stream.sandbox.api.trade.orders import COMMON_PARAMETERS, compute_order_cost, describe_loan
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.history.order_lists import ContingencyType
from binance_margin_stream.sandbox.model.orders import ORDER_TYPES, SIDES, STOP_TYPES, TIMES_IN_FORCE, Order
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.follow_up import check_account
from binance_margin_stream.sandbox.trading.matching import match_order
from binance_margin_stream.sandbox.trading.order_lists import create_list

__all__ = ["ENDPOINTS"]

_BAD_PRICES = "The relationship of the prices for the orders is not correct."

_OCO_LIMIT = OrderForm(
    quote_quantity="-",
    stop_price="-",
    trailing_delta="-",
    time_in_force="-",
    iceberg_quantity="limitIcebergQty",
    client_order_id="limitClientOrderId",
)
_OCO_STOP = OrderForm(
    quote_quantity="-",
    price="stopLimitPrice",
    trailing_delta="-",
    iceberg_quantity="stopIcebergQty",
    time_in_force="stopLimitTimeInForce",
    client_order_id="stopClientOrderId",
)


def _build_form(prefix: str, quantity: str) -> OrderForm:
    return OrderForm(
        quantity=quantity,
        quote_quantity="-",
        price=f"{prefix}Price",
        stop_price=f"{prefix}StopPrice",
        trailing_delta=f"{prefix}TrailingDelta",
        iceberg_quantity=f"{prefix}IcebergQty",
        time_in_force=f"{prefix}TimeInForce",
        client_order_id=f"{prefix}ClientOrderId",
    )


_WORKING = _build_form("working", "workingQuantity")
_PENDING = _build_form("pending", "pendingQuantity")
_ABOVE = _build_form("pendingAbove", "pendingQuantity")
_BELOW = _build_form("pendingBelow", "pendingQuantity")


def _place_oco(call: Call) -> object:
    account, side = call.parse_account(), call.get_text("side")
    stop_type = "STOP_LOSS_LIMIT" if "stopLimitPrice" in call.parameters else "STOP_LOSS"
    if "stopLimitTimeInForce" in call.parameters and stop_type == "STOP_LOSS":
        raise RefusedError(-1106, "Parameter 'stopLimitTimeInForce' sent when not required.")
    stop = build_draft(call, account, side, stop_type, _OCO_STOP)
    limit = build_draft(call, account, side, "LIMIT_MAKER", _OCO_LIMIT)
    market_price = call.state.prices.get_price(stop.symbol)
    is_ordered = stop.stop_price < market_price < limit.price
    if side == "BUY":
        is_ordered = limit.price < market_price < stop.stop_price
    if not is_ordered:
        raise RefusedError(-2010, _BAD_PRICES)
    for draft in (stop, limit):
        check_draft(call, draft)
    return _create(call, "OCO", [stop, limit])


def _place_oto(call: Call) -> object:
    account = call.parse_account()
    working = _build_working(call, account)
    pending = build_draft(call, account, call.get_text("pendingSide"), call.get_text("pendingType"), _PENDING)
    _check_pending(call, working, [pending])
    return _create(call, "OTO", [working, pending])


def _place_otoco(call: Call) -> object:
    account, side = call.parse_account(), call.get_text("pendingSide")
    working = _build_working(call, account)
    above = build_draft(call, account, side, call.get_text("pendingAboveType"), _ABOVE)
    below = build_draft(call, account, side, call.get_text("pendingBelowType"), _BELOW)
    contingent = [each.type in STOP_TYPES for each in (above, below)]
    if all(contingent):
        raise RefusedError(-1110, "Only one of the pending orders may be a contingent order.")
    if not any(contingent):
        raise RefusedError(-1122, "One of the pending orders must be a contingent order.")
    if (above.stop_price or above.price) <= (below.stop_price or below.price):
        raise RefusedError(-2010, _BAD_PRICES)
    _check_pending(call, working, [above, below])
    return _create(call, "OTOCO", [working, below, above])


def _build_working(call: Call, account: str) -> Order:
    draft = build_draft(call, account, call.get_text("workingSide"), call.get_text("workingType"), _WORKING)
    check_draft(call, draft)
    return draft


def _check_pending(call: Call, working: Order, pending: Sequence[Order]) -> None:
    for each in pending:
        if each.quantity != working.quantity:
            raise RefusedError(-2017, "The quantities of the working and the pending order have to be equal.")
        if each.side == working.side:
            raise RefusedError(-2018, "The pending order has to be on the other side of the working order.")
        check_draft(call, each, pending=True)


def _create(call: Call, contingency: ContingencyType, drafts: Sequence[Order]) -> dict[str, object]:
    state, first = call.state, drafts[0]
    same = state.order_lists.find_by_client_id(first.uid, first.account, call.parameters.get("listClientOrderId", ""))
    if same is not None and not same.is_done:
        raise RefusedError(-2010, "Duplicate order sent.")
    if contingency != "OCO":
        pending = [replace(each, side_effect="NO_SIDE_EFFECT") for each in drafts[1:]]
        drafts = [first, *pending]
    created = create_list(state, contingency, drafts, call.parameters.get("listClientOrderId", ""), call.now)
    if contingency != "OCO":
        working = state.orders.get(created.order_ids[0])
        match_order(state, working, state.prices.get_price(working.symbol), call.now)
    check_account(state, first.uid, first.account, call.now)
    orders = [state.orders.get(number) for number in created.order_ids]
    asset, _ = state.orders.required_funds(first, first.quantity)
    loans = [describe_loan(order, is_number=False, asset=asset) for order in orders if order.borrowed]
    row = build_list_row(state, state.order_lists.get(created.list_id))
    return row | (loans[0] if loans else {}) | {"orderReports": [_build_report(call, order) for order in orders]}


def _build_report(call: Call, order: Order) -> dict[str, object]:
    report: dict[str, object] = {
        "symbol": order.symbol,
        "isIsolated": order.account != CROSS,
        "orderId": order.order_id,
        "orderListId": order.order_list_id,
        "clientOrderId": order.client_order_id,
        "transactTime": call.now,
        **build_result(order),
        "selfTradePreventionMode": order.self_trade_prevention,
    }
    if order.stop_price:
        report["stopPrice"] = f"{order.stop_price:.8f}"
    return report


def _declare_leg(prefix: str) -> tuple[RequestParameter, ...]:
    return (
        amount(f"{prefix}Price"),
        amount(f"{prefix}StopPrice"),
        integer(f"{prefix}TrailingDelta"),
        amount(f"{prefix}IcebergQty"),
        choice(f"{prefix}TimeInForce", TIMES_IN_FORCE, code=-1115),
        text(f"{prefix}ClientOrderId"),
    )


_OCO_PARAMETERS = (
    *COMMON_PARAMETERS,
    choice("side", SIDES, mandatory=True, code=-1117),
    amount("quantity", mandatory=True),
    amount("price", mandatory=True),
    amount("stopPrice", mandatory=True),
    amount("stopLimitPrice"),
    choice("stopLimitTimeInForce", TIMES_IN_FORCE, code=-1115),
    text("listClientOrderId"),
    text("limitClientOrderId"),
    text("stopClientOrderId"),
    amount("limitIcebergQty"),
    amount("stopIcebergQty"),
)
_OTO_COMMON = (
    *COMMON_PARAMETERS,
    text("listClientOrderId"),
    choice("workingType", ("LIMIT", "LIMIT_MAKER"), mandatory=True, code=-1116),
    choice("workingSide", SIDES, mandatory=True, code=-1117),
    amount("workingQuantity", mandatory=True),
    amount("workingPrice", mandatory=True),
    amount("workingIcebergQty"),
    choice("workingTimeInForce", TIMES_IN_FORCE, code=-1115),
    text("workingClientOrderId"),
    choice("pendingSide", SIDES, mandatory=True, code=-1117),
    amount("pendingQuantity", mandatory=True),
)
_OTO_PARAMETERS = (
    *_OTO_COMMON,
    choice("pendingType", ORDER_TYPES, mandatory=True, code=-1116),
    *_declare_leg("pending"),
)
_LEG_TYPES = ("LIMIT_MAKER", *STOP_TYPES)
_OTOCO_PARAMETERS = (
    *_OTO_COMMON,
    choice("pendingAboveType", _LEG_TYPES, mandatory=True, code=-1116),
    choice("pendingBelowType", _LEG_TYPES, mandatory=True, code=-1116),
    *_declare_leg("pendingAbove"),
    *_declare_leg("pendingBelow"),
)
_PATH = "/sapi/v1/margin/order"

ENDPOINTS = (
    Endpoint("POST", f"{_PATH}/oco", "TRADE", 6, "UID", _place_oco, _OCO_PARAMETERS, compute_order_cost, orders=2),
    Endpoint("POST", f"{_PATH}/oto", "TRADE", 6, "UID", _place_oto, _OTO_PARAMETERS, compute_order_cost, orders=2),
    Endpoint(
        "POST", f"{_PATH}/otoco", "TRADE", 6, "UID", _place_otoco, _OTOCO_PARAMETERS, compute_order_cost, orders=3
    ),
)
"""The calls for new order lists."""
