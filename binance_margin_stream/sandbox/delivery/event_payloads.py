"""The exchange's events as JSON objects with its field names."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import format_amount
from binance_margin_stream.sandbox.model.history.order_lists import OrderList
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.orders import Order, OrderFill

__all__ = [
    "build_account_position",
    "build_balance_update",
    "build_execution_report",
    "build_external_lock_update",
    "build_liability_change",
    "build_list_status",
    "build_margin_level_change",
]

_ZERO_TEXT = "0.00000000"


def build_execution_report(
    order: Order,
    execution: str,
    execution_id: int,
    now: int,
    fill: OrderFill | None = None,
    cancel_id: str | None = None,
) -> dict[str, object]:
    """An ``executionReport`` with all mandatory fields, in the exchange's order.

    `cancel_id` is the client order id of the cancel.
    """
    cancelled = execution == "CANCELED"
    report: dict[str, object] = {
        "e": "executionReport",
        "E": now,
        "s": order.symbol,
        "c": (cancel_id or f"{order.client_order_id}-cancel") if cancelled else order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": format_amount(order.quantity),
        "p": _ZERO_TEXT if order.is_market else format_amount(order.price),
        "P": format_amount(order.stop_price),
        "F": format_amount(order.iceberg_quantity),
        "g": order.order_list_id,
        "C": order.client_order_id if cancelled else "",
        "x": execution,
        "X": order.status,
        "r": order.reject_reason,
        "i": order.order_id,
        "l": format_amount(fill.quantity) if fill else _ZERO_TEXT,
        "z": format_amount(order.filled),
        "L": format_amount(fill.price) if fill else _ZERO_TEXT,
        "n": format_amount(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": now,
        "t": fill.trade_id if fill else -1,
        "I": execution_id,
        "w": order.is_on_book,
        "m": fill is not None and fill.is_maker,
        "M": False,
        "O": order.created_at,
        "Z": format_amount(order.filled_quote),
        "Y": format_amount(fill.quantity * fill.price) if fill else _ZERO_TEXT,
        "Q": format_amount(order.quote_quantity),
        "V": order.self_trade_prevention,
    }
    if order.trailing_delta:
        report["d"] = order.trailing_delta
    return report


def build_list_status(
    order_list: OrderList, status: str, order_status: str, orders: Iterable[Order], now: int
) -> dict[str, object]:
    """A ``listStatus`` of an order list, such as EXEC_STARTED and EXECUTING."""
    return {
        "e": "listStatus",
        "E": now,
        "s": order_list.symbol,
        "g": order_list.list_id,
        "c": order_list.shown_contingency,
        "l": status,
        "L": order_status,
        "r": "NONE",
        "C": order_list.client_id,
        "T": now,
        "O": [{"s": each.symbol, "i": each.order_id, "c": each.client_order_id} for each in orders],
    }


def build_account_position(balances: Iterable[tuple[str, Balance]], now: int) -> dict[str, object]:
    """An ``outboundAccountPosition`` with the assets that may have changed."""
    entries = [{"a": asset, "f": format_amount(b.free), "l": format_amount(b.locked)} for asset, b in balances]
    return {"e": "outboundAccountPosition", "E": now, "u": now, "B": entries}


def build_balance_update(asset: str, delta: Decimal, now: int) -> dict[str, object]:
    """A ``balanceUpdate``; the delta is signed."""
    return {"e": "balanceUpdate", "E": now, "a": asset, "d": format_amount(delta), "T": now}


def build_external_lock_update(asset: str, delta: Decimal, now: int) -> dict[str, object]:
    """An ``externalLockUpdate``; the delta is signed."""
    return {"e": "externalLockUpdate", "E": now, "a": asset, "d": format_amount(delta), "T": now}


def build_liability_change(
    asset: str, kind: str, principal: Decimal, interest: Decimal, name: str, now: int
) -> dict[str, object]:
    """A ``USER_LIABILITY_CHANGE``, of a kind such as ``BORROW``."""
    return {"e": name, "E": now, "a": asset, "t": kind, "p": format_amount(principal), "i": format_amount(interest)}


def build_margin_level_change(level: Decimal, status: str, name: str, now: int) -> dict[str, object]:
    """A ``MARGIN_LEVEL_STATUS_CHANGE``."""
    return {"e": name, "E": now, "l": format(level, "f"), "s": status}
