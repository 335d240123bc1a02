"""Rows of orders, trades and order lists in responses."""

from __future__ import annotations

from binance_margin_stream.sandbox.amounts import ZERO, format_amount
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.history.order_lists import OrderList
from binance_margin_stream.sandbox.model.history.trades import Trade
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["build_list_row", "build_order_row", "build_result", "build_trade_row"]


def build_order_row(order: Order, rules: ExchangeRules) -> dict[str, object]:
    """A row of ``order``, ``openOrders`` and ``allOrders``."""
    row: dict[str, object] = {
        "clientOrderId": order.client_order_id,
        "cummulativeQuoteQty": format_amount(order.filled_quote),
        "executedQty": format_amount(order.filled),
        "icebergQty": format_amount(order.iceberg_quantity),
        "isWorking": order.is_on_book or not order.is_open,
        "orderId": order.order_id,
        "origQty": format_amount(order.quantity),
        "price": format_amount(ZERO if order.is_market else order.price),
        "selfTradePreventionMode": order.self_trade_prevention,
        "side": order.side,
        "status": order.status,
        "stopPrice": format_amount(order.stop_price),
        "symbol": order.symbol,
        "isIsolated": order.account != CROSS,
        "time": order.created_at,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "updateTime": order.updated_at,
    }
    if rules.order_row_list_id == "present":
        row["orderListId"] = order.order_list_id
    return row


def build_result(order: Order) -> dict[str, object]:
    """The common fields of the responses to a new order, a cancel and an order list."""
    return {
        "price": format_amount(ZERO if order.is_market else order.price),
        "origQty": format_amount(order.quantity),
        "executedQty": format_amount(order.filled),
        "cummulativeQuoteQty": format_amount(order.filled_quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
    }


def build_trade_row(trade: Trade, rules: ExchangeRules) -> dict[str, object]:
    """A row of ``myTrades``."""
    has_commission = rules.trade_commission == "present"
    return {
        "commission": format_amount(trade.commission) if has_commission else None,
        "commissionAsset": trade.commission_asset if has_commission else None,
        "id": trade.trade_id,
        "isBestMatch": True,
        "isBuyer": trade.is_buyer,
        "isMaker": trade.is_maker,
        "orderId": trade.order_id,
        "price": format_amount(trade.price),
        "qty": format_amount(trade.quantity),
        "symbol": trade.symbol,
        "isIsolated": trade.account != CROSS,
        "time": trade.time,
    }


def build_list_row(state: ExchangeState, order_list: OrderList) -> dict[str, object]:
    """A row of ``orderList`` and ``allOrderList``."""
    orders = [state.orders.get(number) for number in order_list.order_ids]
    return {
        "orderListId": order_list.list_id,
        "contingencyType": order_list.shown_contingency,
        "listStatusType": "ALL_DONE" if order_list.is_done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if order_list.is_done else "EXECUTING",
        "listClientOrderId": order_list.client_id,
        "transactionTime": order_list.time,
        "symbol": order_list.symbol,
        "isIsolated": order_list.account != CROSS,
        "orders": [
            {"symbol": each.symbol, "orderId": each.order_id, "clientOrderId": each.client_order_id} for each in orders
        ],
    }
