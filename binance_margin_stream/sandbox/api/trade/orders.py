"""New orders."""

from __future__ import annotations

from binance_margin_stream.sandbox.amounts import format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Cost, Endpoint, Parameters
from binance_margin_stream.sandbox.api.margin.rows import build_result
from binance_margin_stream.sandbox.api.parameter_types import amount, choice, flag, integer, symbol, text
from binance_margin_stream.sandbox.api.trade.order_forms import OrderForm, build_draft, check_draft
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.orders import (
    BORROWING_SIDE_EFFECTS,
    ORDER_TYPES,
    SIDE_EFFECTS,
    SIDES,
    TIMES_IN_FORCE,
    Order,
)
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.follow_up import check_account
from binance_margin_stream.sandbox.trading.matching import place_order

__all__ = ["COMMON_PARAMETERS", "ENDPOINTS", "compute_order_cost", "describe_loan"]

_WEIGHT = 6
_LOAN_WEIGHT = 1500

COMMON_PARAMETERS = (
    symbol(mandatory=True),
    flag("isIsolated"),
    choice("newOrderRespType", ("ACK", "RESULT", "FULL")),
    choice("sideEffectType", SIDE_EFFECTS),
    choice("selfTradePreventionMode", ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")),
    flag("autoRepayAtCancel"),
)
"""The parameters of new orders and order lists."""


def compute_order_cost(rules: ExchangeRules, parameters: Parameters) -> Cost:
    """An order that may take a loan costs more."""
    return (_LOAN_WEIGHT if parameters.get("sideEffectType") in BORROWING_SIDE_EFFECTS else _WEIGHT), "UID"


def describe_loan(order: Order, is_number: bool, asset: str) -> dict[str, object]:
    """The loan that an order took, or nothing."""
    if not order.borrowed:
        return {}
    borrowed = format_amount(order.borrowed)
    return {"marginBuyBorrowAmount": float(borrowed) if is_number else borrowed, "marginBuyBorrowAsset": asset}


def _place_order(call: Call) -> object:
    account = call.parse_account()
    draft = build_draft(call, account, call.get_text("side"), call.get_text("type"), OrderForm())
    check_draft(call, draft)
    order = place_order(call.state, draft, call.now)
    check_account(call.state, call.user.uid, account, call.now)
    return _build_response(call, order)


def _build_response(call: Call, order: Order) -> dict[str, object]:
    default = "FULL" if order.type in ("LIMIT", "MARKET") else "ACK"
    kind = call.parameters.get("newOrderRespType", default)
    response: dict[str, object] = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "clientOrderId": order.client_order_id,
        "transactTime": call.now,
        "isIsolated": order.account != CROSS,
    }
    if kind == "ACK":
        return response
    response |= build_result(order) | {"selfTradePreventionMode": order.self_trade_prevention}
    if kind == "RESULT":
        return response
    asset, _ = call.state.orders.required_funds(order, order.quantity)
    loan = describe_loan(order, call.state.rules.borrow_amount_type == "number", asset)
    return response | loan | {"fills": _build_fills(call, order)}


def _build_fills(call: Call, order: Order) -> list[dict[str, object]]:
    fills = []
    for trade in call.state.trades.of_order(order.order_id):
        fill: dict[str, object] = {
            "price": format_amount(trade.price),
            "qty": format_amount(trade.quantity),
            "commission": format_amount(trade.commission),
            "commissionAsset": trade.commission_asset,
        }
        if call.state.rules.fill_trade_id == "present":
            fill["tradeId"] = trade.trade_id
        fills.append(fill)
    return fills


_PARAMETERS = (
    *COMMON_PARAMETERS,
    choice("side", SIDES, mandatory=True, code=-1117),
    choice("type", ORDER_TYPES, mandatory=True, code=-1116),
    choice("timeInForce", TIMES_IN_FORCE, code=-1115),
    amount("quantity"),
    amount("quoteOrderQty"),
    amount("price"),
    amount("stopPrice"),
    amount("icebergQty"),
    integer("trailingDelta"),
    text("newClientOrderId"),
)

ENDPOINTS = (
    Endpoint(
        "POST", "/sapi/v1/margin/order", "TRADE", 6, "UID", _place_order, _PARAMETERS, compute_order_cost, orders=1
    ),
)
"""The call for a new order."""
