"""Execution reports with all that recovery needs: a field that did not come, or could not be read, is None."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol, TypeGuard

from binance_margin_stream.stream.events.execution_report import ExecutionReport

__all__ = ["CompleteReport", "is_complete"]


class CompleteReport(Protocol):
    """An execution report of which everything that recovery needs was read."""

    @property
    def symbol(self) -> str: ...
    @property
    def order_id(self) -> int: ...
    @property
    def client_order_id(self) -> str: ...
    @property
    def original_client_order_id(self) -> str | None: ...
    @property
    def side(self) -> str: ...
    @property
    def order_type(self) -> str: ...
    @property
    def time_in_force(self) -> str: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def order_status(self) -> str: ...
    @property
    def trade_id(self) -> int: ...
    @property
    def last_executed_quantity(self) -> Decimal: ...
    @property
    def last_executed_price(self) -> Decimal: ...
    @property
    def last_quote_quantity(self) -> Decimal | None: ...
    @property
    def cumulative_filled_quantity(self) -> Decimal: ...
    @property
    def cumulative_quote_quantity(self) -> Decimal | None: ...
    @property
    def order_creation_time(self) -> int: ...
    @property
    def transaction_time(self) -> int: ...
    @property
    def event_time(self) -> int: ...


def is_complete(report: ExecutionReport) -> TypeGuard[CompleteReport]:
    """Whether everything that recovery needs was read. Else the report is delivered, and reads tell the rest."""
    return None not in (
        report.client_order_id,
        report.side,
        report.order_type,
        report.time_in_force,
        report.quantity,
        report.price,
        report.order_status,
        report.trade_id,
        report.last_executed_quantity,
        report.last_executed_price,
        report.cumulative_filled_quantity,
        report.order_creation_time,
        report.transaction_time,
        report.event_time,
    )
