"""Histories of loans, interest, transfers, forced liquidations and capital flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from binance_margin_stream.sandbox.amounts import ZERO, format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint, Security
from binance_margin_stream.sandbox.api.parameter_types import PAGE, TIME_RANGE, choice, integer, symbol
from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.config import DAY_MS
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.history.records import (
    CapitalFlow,
    InterestCharge,
    LiquidationRecord,
    LoanRecord,
    TransferRecord,
)
from binance_margin_stream.sandbox.model.users import CROSS, SPOT

__all__ = ["ENDPOINTS"]

_T = TypeVar("_T")

_MAX_PAGE_SIZE = 100
_DEFAULT_DAYS = 7
_MAX_DAYS = 30
_FLOW_DAYS = 7
_FLOW_KINDS = (
    "TRANSFER",
    "BORROW",
    "REPAY",
    "BUY_INCOME",
    "BUY_EXPENSE",
    "SELL_INCOME",
    "SELL_EXPENSE",
    "TRADING_COMMISSION",
    "BUY_LIQUIDATION",
    "SELL_LIQUIDATION",
    "REPAY_LIQUIDATION",
    "OTHER_LIQUIDATION",
    "LIQUIDATION_FEE",
    "SMALL_BALANCE_CONVERT",
    "COMMISSION_RETURN",
    "SMALL_CONVERT",
)


def _get_loans(call: Call) -> object:
    account = call.parse_record_account()
    series = call.state.records.loans if call.get_text("type") == "BORROW" else call.state.records.repayments
    since, until = _parse_range(call, _MAX_DAYS if "asset" in call.parameters else _DEFAULT_DAYS)
    asset, number = call.parameters.get("asset"), call.get_integer("txId", 0)
    found = [
        record
        for record in series.between((call.user.uid, account), since, until)
        if asset in (None, record.asset) and number in (0, record.record_id)
    ]
    return _build_page(call, found, _build_loan_row)


def _build_loan_row(record: LoanRecord) -> dict[str, object]:
    row: dict[str, object] = {
        "type": record.kind,
        "amount": format_amount(record.principal + record.interest),
        "asset": record.asset,
        "interest": format_amount(record.interest),
        "principal": format_amount(record.principal),
        "status": "CONFIRMED",
        "timestamp": record.time,
        "txId": record.record_id,
    }
    return _with_isolated_symbol(row, record.account)


def _get_interest(call: Call) -> object:
    account = call.parse_record_account()
    since, until = _parse_range(call, _DEFAULT_DAYS)
    asset = call.parameters.get("asset")
    charges = call.state.records.interest.between((call.user.uid, account), since, until)
    return _build_page(call, [each for each in charges if asset in (None, each.asset)], _build_interest_row)


def _build_interest_row(charge: InterestCharge) -> dict[str, object]:
    row: dict[str, object] = {
        "txId": charge.record_id,
        "interestAccuredTime": charge.time,
        "asset": charge.asset,
        "principal": format_amount(charge.principal),
        "interest": format_amount(charge.interest),
        "interestRate": format_amount(charge.rate),
        "type": charge.kind,
    }
    if charge.account == CROSS:
        row["rawAsset"] = charge.asset
    return _with_isolated_symbol(row, charge.account)


def _get_transfers(call: Call) -> object:
    account = call.parse_record_account()
    since, until = _parse_range(call, _DEFAULT_DAYS)
    asset, kind = call.parameters.get("asset"), call.parameters.get("type")
    found = [
        record
        for record in call.state.records.transfers.between(call.user.uid, since, until)
        if account in (record.source, record.target)
        and asset in (None, record.asset)
        and kind in (None, _get_direction(record, account))
    ]
    scale = 1000 if call.state.rules.transfer_time_unit == "s" else 1
    return _build_page(call, found, lambda record: _build_transfer_row(record, account, scale))


def _get_direction(record: TransferRecord, account: str) -> str:
    return "ROLL_IN" if record.target == account else "ROLL_OUT"


def _build_transfer_row(record: TransferRecord, account: str, scale: int) -> dict[str, object]:
    return {
        "amount": format_amount(record.amount),
        "asset": record.asset,
        "status": "CONFIRMED",
        "timestamp": record.time // scale,
        "txId": record.record_id,
        "type": _get_direction(record, account),
        "transFrom": _get_wallet(record.source),
        "transTo": _get_wallet(record.target),
        "fromSymbol": "" if record.source in (CROSS, SPOT) else record.source,
        "toSymbol": "" if record.target in (CROSS, SPOT) else record.target,
    }


def _get_wallet(account: str) -> str:
    return {CROSS: "CROSS_MARGIN", SPOT: "SPOT"}.get(account, "ISOLATED_MARGIN")


def _get_liquidations(call: Call) -> object:
    account = call.parse_record_account()
    since, until = _parse_range(call, _DEFAULT_DAYS)
    found = call.state.records.liquidations.between((call.user.uid, account), since, until)
    return _build_page(call, found, _build_liquidation_row)


def _build_liquidation_row(record: LiquidationRecord) -> dict[str, object]:
    order = record.order
    return {
        "avgPrice": format_amount(order.filled_quote / order.filled if order.filled else ZERO),
        "executedQty": format_amount(order.filled),
        "orderId": order.order_id,
        "price": format_amount(order.price),
        "qty": format_amount(order.quantity),
        "side": order.side,
        "symbol": order.symbol,
        "timeInForce": order.time_in_force,
        "isIsolated": order.account != CROSS,
        "updatedTime": record.time,
    }


def _get_capital_flow(call: Call) -> object:
    account = call.parse_symbol() if "symbol" in call.parameters else CROSS
    limit = call.get_integer("limit", 500, 1000)
    start, end = call.parameters.get("startTime"), call.parameters.get("endTime")
    until = call.now if end is None else int(end)
    since = until - _FLOW_DAYS * DAY_MS if start is None else int(start)
    until = since + _FLOW_DAYS * DAY_MS if start is not None and end is None else until
    if not 0 <= until - since <= _FLOW_DAYS * DAY_MS:
        raise RefusedError(-4047)
    asset, kind = call.parameters.get("asset"), call.parameters.get("type")
    from_id = call.get_integer("fromId", 0)
    found = [
        flow
        for flow in call.state.records.capital_flow.between((call.user.uid, account), since, until)
        if flow.record_id > from_id and asset in (None, flow.asset) and kind in (None, flow.kind)
    ]
    chosen = found[:limit] if "fromId" in call.parameters else found[-limit:]
    signed = call.state.rules.capital_flow_sign == "signed"
    return [_build_flow_row(flow, signed) for flow in chosen]


def _build_flow_row(flow: CapitalFlow, signed: bool) -> dict[str, object]:
    return {
        "id": flow.record_id,
        "tranId": flow.transaction_id,
        "timestamp": flow.time,
        "asset": flow.asset,
        "symbol": flow.symbol,
        "type": flow.kind,
        "amount": format_amount(flow.amount if signed else abs(flow.amount)),
    }


def _parse_range(call: Call, default_days: int) -> tuple[int, int]:
    """The time range of a history, at most 30 days."""
    start, end = call.parameters.get("startTime"), call.parameters.get("endTime")
    if start is None:
        until = call.now if end is None else min(int(end), MAX_TIME_MS)
        return max(0, until - default_days * DAY_MS), until
    since = int(start)
    until = max(since, call.now) if end is None else int(end)
    if end is None:
        until = min(until, since + _MAX_DAYS * DAY_MS)
    if not 0 <= until - since <= _MAX_DAYS * DAY_MS:
        raise RefusedError(-3025)
    return since, until


def _build_page(call: Call, records: Sequence[_T], build_row: Callable[[_T], dict[str, object]]) -> dict[str, object]:
    """A page of a history, newest first."""
    size, page = call.get_integer("size", 10, _MAX_PAGE_SIZE), call.get_integer("current", 1, MAX_TIME_MS)
    end = max(0, len(records) - (page - 1) * size)
    rows = [build_row(record) for record in reversed(records[max(0, end - size) : end])]
    return {"rows": rows, "total": len(records)}


def _with_isolated_symbol(row: dict[str, object], account: str) -> dict[str, object]:
    return row if account == CROSS else {**row, "isolatedSymbol": account}


_ISOLATED_SYMBOL = symbol("isolatedSymbol")
_ASSET = symbol("asset")
_LOANS = (
    choice("type", ("BORROW", "REPAY"), mandatory=True),
    _ASSET,
    _ISOLATED_SYMBOL,
    integer("txId"),
    *TIME_RANGE,
    *PAGE,
)
_TRANSFERS = (_ASSET, choice("type", ("ROLL_IN", "ROLL_OUT")), *TIME_RANGE, *PAGE, _ISOLATED_SYMBOL)
_FLOWS = (_ASSET, symbol(), choice("type", _FLOW_KINDS), *TIME_RANGE, integer("fromId"), integer("limit"))
_DATA: Security = "USER_DATA"

ENDPOINTS = (
    Endpoint("GET", "/sapi/v1/margin/borrow-repay", _DATA, 10, "IP", _get_loans, _LOANS),
    Endpoint(
        "GET",
        "/sapi/v1/margin/interestHistory",
        _DATA,
        1,
        "IP",
        _get_interest,
        (_ASSET, _ISOLATED_SYMBOL, *TIME_RANGE, *PAGE),
    ),
    Endpoint("GET", "/sapi/v1/margin/transfer", _DATA, 1, "IP", _get_transfers, _TRANSFERS),
    Endpoint(
        "GET",
        "/sapi/v1/margin/forceLiquidationRec",
        _DATA,
        1,
        "IP",
        _get_liquidations,
        (_ISOLATED_SYMBOL, *TIME_RANGE, *PAGE),
    ),
    Endpoint("GET", "/sapi/v1/margin/capital-flow", _DATA, 100, "IP", _get_capital_flow, _FLOWS),
)
"""The calls that read records."""
