"""Events and gaps for unit tests that need no sandbox.

Each function makes one item of the cross account. Every field has a sensible default, and any field can be given by
its name. A name that the item does not have raises `ApiTypeError`, and a value that fits no field of that name raises
`ApiValueError`.

    report = execution_report(symbol="ETHUSDT", order_status="FILLED", quantity="2")
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.base import AccountLost
from binance_margin_stream.stream.events.enumerations import ExecutionType, OrderStatus
from binance_margin_stream.stream.events.models import (
    AccountPositionBalance,
    BalanceUpdate,
    ExecutionReport,
    ExternalLockUpdate,
    ListStatus,
    ListStatusOrder,
    MarginLevelStatusChange,
    OutboundAccountPosition,
    StreamGap,
    UserLiabilityChange,
)
from binance_margin_stream.stream.state import GapReason

__all__ = [
    "account_lost",
    "account_position",
    "balance_update",
    "execution_report",
    "external_lock_update",
    "gap",
    "list_status",
    "margin_level_status_change",
    "user_liability_change",
]

_NOW: Final = 1_790_000_000_000
_EVENT: Final[Mapping[str, object]] = {"account": CROSS, "event_time": _NOW}
_CHANGE: Final = {**_EVENT, "asset": "BTC", "delta": "1.5", "clear_time": _NOW}
_REPORT: Final = {
    **_EVENT,
    "symbol": "BTCUSDT",
    "client_order_id": "order-1",
    "side": "BUY",
    "order_type": "LIMIT",
    "time_in_force": "GTC",
    "quantity": "0.5",
    "price": "60000",
    "stop_price": "0",
    "iceberg_quantity": "0",
    "order_list_id": -1,
    "original_client_order_id": "",
    "reject_reason": "NONE",
    "order_id": 1,
    "last_executed_quantity": "0",
    "cumulative_filled_quantity": "0",
    "last_executed_price": "0",
    "commission_amount": "0",
    "commission_asset": None,
    "transaction_time": _NOW,
    "trade_id": -1,
    "execution_id": 1,
    "is_on_book": True,
    "is_maker": False,
    "ignored": True,
    "order_creation_time": _NOW,
    "cumulative_quote_quantity": "0",
    "last_quote_quantity": "0",
    "quote_order_quantity": "0",
    "working_time": _NOW,
    "self_trade_prevention_mode": "NONE",
}
_OPEN: Final = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})
_FILLED: Final = frozenset({OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED})
_STATUS_BY_EXECUTION: Final[Mapping[str, str]] = {
    ExecutionType.TRADE: OrderStatus.FILLED,
    ExecutionType.REPLACED: OrderStatus.CANCELED,
}


def execution_report(**fields: object) -> ExecutionReport:
    """An execution report: by default of a new order to buy 0.5 BTC at 60,000 USDT.

    What is left out follows from ``order_status`` or ``execution_type``: a report of a filled order is that of its
    only trade, and a partially filled order is filled by half.
    """
    report = ExecutionReport(**_combine(_REPORT, _derive_status(fields), fields))
    derived = {"is_on_book": report.order_status in _OPEN}
    if report.execution_type == ExecutionType.TRADE:
        derived |= _derive_trade(report, fields)
    return replace(report, **{name: value for name, value in derived.items() if name not in fields})


def balance_update(**fields: object) -> BalanceUpdate:
    """A balance update: by default 1.5 BTC came in."""
    return BalanceUpdate(**_combine(_CHANGE, fields))


def external_lock_update(**fields: object) -> ExternalLockUpdate:
    """An external lock update: by default 1.5 BTC were locked."""
    return ExternalLockUpdate(**_combine(_CHANGE, fields))


def account_position(**fields: object) -> OutboundAccountPosition:
    """The balances after a change: by default 1.5 BTC are free, and nothing is locked."""
    balances = [AccountPositionBalance(asset="BTC", free=Decimal("1.5"), locked=Decimal(0))]
    return OutboundAccountPosition(**_combine(_EVENT, {"last_account_update_time": _NOW, "balances": balances}, fields))


def list_status(**fields: object) -> ListStatus:
    """The status of an order list: by default an OCO of two orders has just been placed."""
    orders = [
        ListStatusOrder(symbol="BTCUSDT", order_id=number, client_order_id=f"order-{number}") for number in (1, 2)
    ]
    order_list = {
        "symbol": "BTCUSDT",
        "order_list_id": 1,
        "contingency_type": "OCO",
        "list_status_type": "EXEC_STARTED",
        "list_order_status": "EXECUTING",
        "list_reject_reason": "NONE",
        "list_client_order_id": "list-1",
        "transaction_time": _NOW,
        "orders": orders,
    }
    return ListStatus(**_combine(_EVENT, order_list, fields))


def margin_level_status_change(**fields: object) -> MarginLevelStatusChange:
    """A change of the margin level's range: by default a margin call at 1.2."""
    return MarginLevelStatusChange(**_combine(_EVENT, {"margin_level": "1.2", "status": "MARGIN_CALL"}, fields))


def user_liability_change(**fields: object) -> UserLiabilityChange:
    """A change of a debt: by default 1.5 BTC were borrowed."""
    debt = {"asset": "BTC", "liability_type": "BORROW", "principal": "1.5", "interest": "0"}
    return UserLiabilityChange(**_combine(_EVENT, debt, fields))


def gap(**fields: object) -> StreamGap:
    """A gap: by default of one second, because the connection was lost."""
    span = {"account": CROSS, "since": _NOW, "until": _NOW + 1000, "reason": GapReason.DISCONNECTED.value}
    return StreamGap(**_combine(span, fields))


def account_lost(**fields: object) -> AccountLost:
    """An account that the stream no longer follows: by default since its symbol was delisted."""
    lost = {
        "account": CROSS,
        "source": "token",
        "since": _NOW,
        "reason": "account unavailable",
        "error": "Invalid symbol.",
        "code": -1121,
    }
    return AccountLost(**_combine(lost, fields))


def _combine(*groups: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for group in groups for name, value in group.items()}


def _derive_status(fields: Mapping[str, object]) -> dict[str, object]:
    """The execution type that leads to a status, and the status that an execution type leads to."""
    if "order_status" in fields:
        status = fields["order_status"]
        return {"execution_type": ExecutionType.TRADE if status in _FILLED else status}
    execution = fields.get("execution_type", ExecutionType.NEW)
    status = _STATUS_BY_EXECUTION.get(execution, execution) if isinstance(execution, str) else execution
    return {"execution_type": execution, "order_status": status}


def _derive_trade(report: ExecutionReport, fields: Mapping[str, object]) -> dict[str, Any]:
    """The amounts of a trade that fills the order, or half of it."""
    share = Decimal("0.5") if report.order_status == OrderStatus.PARTIALLY_FILLED else Decimal(1)
    quantity, price = report.quantity or Decimal(0), report.price or Decimal(0)
    last = (report.last_executed_quantity if "last_executed_quantity" in fields else None) or quantity * share
    last_price = (report.last_executed_price if "last_executed_price" in fields else None) or price
    filled = (report.cumulative_filled_quantity if "cumulative_filled_quantity" in fields else None) or last
    return {
        "trade_id": 1,
        "last_executed_quantity": last,
        "last_executed_price": last_price,
        "last_quote_quantity": last * last_price,
        "cumulative_filled_quantity": filled,
        "cumulative_quote_quantity": filled * last_price,
        "commission_amount": Decimal("0.001"),
        "commission_asset": "BNB",
    }
