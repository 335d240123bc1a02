"""The exchange's events as JSON objects with its field names."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.orders import Order, OrderFill

__all__ = [
    "build_account_position",
    "build_balance_update",
    "build_execution_report",
    "build_external_lock_update",
    "build_liability_change",
    "build_margin_level_change",
]

_STEP = Decimal("0.00000001")
_ZERO_TEXT = "0.00000000"


def build_execution_report(
    order: Order, execution: str, execution_id: int, now: int, fill: OrderFill | None = None
) -> dict[str, object]:
    """An ``executionReport`` with all mandatory fields, in the exchange's order."""
    cancelled = execution == "CANCELED"
    return {
        "e": "executionReport",
        "E": now,
        "s": order.symbol,
        "c": f"{order.client_order_id}-cancel" if cancelled else order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": _format_amount(order.quantity),
        "p": _ZERO_TEXT if order.is_market else _format_amount(order.price),
        "P": _format_amount(order.stop_price),
        "F": _ZERO_TEXT,
        "g": -1,
        "C": order.client_order_id if cancelled else "",
        "x": execution,
        "X": order.status,
        "r": order.reject_reason,
        "i": order.order_id,
        "l": _format_amount(fill.quantity) if fill else _ZERO_TEXT,
        "z": _format_amount(order.filled),
        "L": _format_amount(fill.price) if fill else _ZERO_TEXT,
        "n": _format_amount(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": now,
        "t": fill.trade_id if fill else -1,
        "I": execution_id,
        "w": order.is_on_book,
        "m": fill is not None and fill.is_maker,
        "M": False,
        "O": order.created_at,
        "Z": _format_amount(order.filled_quote),
        "Y": _format_amount(fill.quantity * fill.price) if fill else _ZERO_TEXT,
        "Q": _ZERO_TEXT,
        "V": "NONE",
    }


def build_account_position(balances: Iterable[tuple[str, Balance]], now: int) -> dict[str, object]:
    """An ``outboundAccountPosition`` with the assets that may have changed."""
    entries = [{"a": asset, "f": _format_amount(b.free), "l": _format_amount(b.locked)} for asset, b in balances]
    return {"e": "outboundAccountPosition", "E": now, "u": now, "B": entries}


def build_balance_update(asset: str, delta: Decimal, now: int) -> dict[str, object]:
    """A ``balanceUpdate``; the delta is signed."""
    return {"e": "balanceUpdate", "E": now, "a": asset, "d": _format_amount(delta), "T": now}


def build_external_lock_update(asset: str, delta: Decimal, now: int) -> dict[str, object]:
    """An ``externalLockUpdate``; the delta is signed."""
    return {"e": "externalLockUpdate", "E": now, "a": asset, "d": _format_amount(delta), "T": now}


def build_liability_change(
    asset: str, kind: str, principal: Decimal, interest: Decimal, name: str, now: int
) -> dict[str, object]:
    """A ``USER_LIABILITY_CHANGE``, of a kind such as ``BORROW``."""
    return {"e": name, "E": now, "a": asset, "t": kind, "p": _format_amount(principal), "i": _format_amount(interest)}


def build_margin_level_change(level: Decimal, status: str, name: str, now: int) -> dict[str, object]:
    """A ``MARGIN_LEVEL_STATUS_CHANGE``."""
    return {"e": name, "E": now, "l": format(level, "f"), "s": status}


def _format_amount(number: Decimal) -> str:
    """Eight decimals and no exponent, as the exchange formats amounts."""
    return format(number.quantize(_STEP), "f")
