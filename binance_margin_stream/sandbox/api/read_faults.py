"""Injected faults of the calls that read orders, trades and records."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.faults.trading import EmptyRows, MissingRows, NullCommission, OrderNotFound
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["apply_read_faults", "check_order_fault"]

_ORDER_PATH = "/sapi/v1/margin/order"
_TRADES_PATH = "/sapi/v1/margin/myTrades"
_ROW_PATHS = frozenset(
    f"/sapi/v1/margin/{name}"
    for name in (
        "openOrders",
        "allOrders",
        "myTrades",
        "openOrderList",
        "allOrderList",
        "borrow-repay",
        "interestHistory",
        "transfer",
        "forceLiquidationRec",
        "capital-flow",
    )
)


def check_order_fault(call: Call, endpoint: Endpoint) -> None:
    """Refuse the query or cancel of an order that a fault hides.

    Raises:
        RefusedError: -2013 query, -2011 cancel.

    """
    if endpoint.path != _ORDER_PATH or endpoint.method == "POST":
        return
    if call.state.pending_faults.take_matching((OrderNotFound,), endpoint.path, _get_account(call)) is not None:
        raise RefusedError(-2013 if endpoint.method == "GET" else -2011)


def apply_read_faults(call: Call, endpoint: Endpoint, result: object) -> object:
    """The result of a call, as far as a fault leaves it."""
    if endpoint.method != "GET" or endpoint.path not in _ROW_PATHS:
        return result
    kinds = (EmptyRows, MissingRows)
    fault = call.state.pending_faults.take_matching(kinds, endpoint.path, _get_account(call))
    if isinstance(fault, EmptyRows):
        result = _filter_rows(result, lambda: False)
    elif isinstance(fault, MissingRows):
        share = fault.share
        result = _filter_rows(result, lambda: not call.state.pending_faults.roll(share))
    if endpoint.path == _TRADES_PATH and isinstance(result, list) and result:
        null = call.state.pending_faults.take_matching((NullCommission,), endpoint.path, _get_account(call))
        if null is not None:
            return [{**row, "commission": None, "commissionAsset": None} for row in result]
    return result


def _filter_rows(result: object, keeps_row: Callable[[], bool]) -> object:
    if isinstance(result, list):
        return [row for row in result if keeps_row()]
    if isinstance(result, dict) and isinstance(result.get("rows"), list):
        rows = [row for row in result["rows"] if keeps_row()]
        return {**result, "rows": rows, "total": len(rows)}
    return result


def _get_account(call: Call) -> str:
    isolated = call.parameters.get("isolatedSymbol")
    if isolated is not None:
        return isolated
    return call.parameters.get("symbol", CROSS) if call.is_true("isIsolated") else CROSS
