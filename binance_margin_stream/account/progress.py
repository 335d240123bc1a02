"""What the user has handled so far, kept up to date item by item: the content of the next checkpoint.

An item counts as handled when the user says so, which may be long after it was delivered. Only handled items are
known here. Where it is not certain that something was handled it is taken as not handled: it then comes again after a
restart, with the same identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, TypeAlias

from binance_margin_stream.account.checkpoint import AccountProgress, Checkpoint, HandledOrder
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.fills import FillKey
from binance_margin_stream.account.state.order_sums import NO_TRADE
from binance_margin_stream.account.state.orders import OrderKey, is_open_status
from binance_margin_stream.account.state.reports import CompleteReport, is_complete
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import Event
from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.events.models import OutboundAccountPosition
from binance_margin_stream.stream.events.recovered import GapClosed, RecoveredOrder, RecoveredTrade

__all__ = ["HandledGap", "HandledItem", "ProgressTracker"]

_SWEEP: Final = 4_096
"""Handled fills after which old ones are forgotten."""


@dataclass(frozen=True, slots=True)
class HandledGap:
    """A gap that was delivered to the user."""

    account: Account
    gap_id: int


HandledItem: TypeAlias = Event | HandledGap | GapClosed | RecoveredOrder | RecoveredTrade
"""What progress is made of; other items may be left out."""


@dataclass(slots=True)
class _OpenGap:
    since: int
    """Up to here everything was handled when the gap came."""
    late_until: int | None = None
    """Until when it may still bring something although it was closed."""


@dataclass(slots=True)
class _Account:
    followed_since: int
    handled_until: int
    remembered_since: int
    fills: dict[FillKey, int] = field(default_factory=dict)
    orders: dict[OrderKey, HandledOrder] = field(default_factory=dict)
    gaps: dict[int, _OpenGap] = field(default_factory=dict)
    sweep_at: int = _SWEEP

    @property
    def since(self) -> int:
        """Everything before was handled."""
        return min([gap.since for gap in self.gaps.values()], default=self.handled_until)


class ProgressTracker:
    """The progress of one stream. `exchange_speed` is that of a sandbox."""

    def __init__(self, settings: Recovery, exchange_speed: float = 1.0) -> None:
        self._overlap = round(settings.overlap * 1000 * exchange_speed)
        self._late_after = round(settings.late_after * 1000 * exchange_speed)
        self._accounts: dict[Account, _Account] = {}

    def begin(self, account: Account, followed_since: int) -> None:
        """The account is followed since a time, unless it was restored."""
        if account not in self._accounts:
            self._accounts[account] = _Account(followed_since, followed_since, followed_since)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint ends."""
        for account, progress in checkpoint.accounts.items():
            self._accounts[account] = _Account(
                followed_since=progress.followed_since,
                handled_until=progress.handled_until,
                remembered_since=progress.remembered_since,
                fills=dict(progress.fills),
                orders={(order.symbol, order.order_id): order for order in progress.open_orders},
            )

    def on_handled(self, item: HandledItem) -> None:
        """The user has handled an item, after all that were delivered before it."""
        account = None if item.account is None else self._accounts.get(item.account)
        if account is None:
            return
        if isinstance(item, ExecutionReport):
            if item.trade_id is not None and item.trade_id != NO_TRADE:
                known = (item.transaction_time, item.event_time, account.handled_until)
                time = next(each for each in known if each is not None)
                account.fills[item.symbol, item.trade_id, item.order_id] = time
            if is_complete(item):
                _on_report(account, item)
        elif isinstance(item, RecoveredTrade):
            account.fills[item.symbol, item.trade_id, item.order_id] = item.transaction_time
            _on_recovered_trade(account, item)
        elif isinstance(item, RecoveredOrder):
            _on_recovered_order(account, item)
        elif isinstance(item, HandledGap):
            account.gaps[item.gap_id] = _OpenGap(account.since if account.gaps else account.handled_until)
        elif isinstance(item, GapClosed):
            self._on_closed(account, item)
        if isinstance(item, ExecutionReport | OutboundAccountPosition) and item.event_time is not None:
            self._advance(account, item.event_time)

    def _on_closed(self, account: _Account, closed: GapClosed) -> None:
        for gap_id in closed.gap_ids:
            gap = account.gaps.get(gap_id)
            if gap is not None and closed.is_final:
                del account.gaps[gap_id]
            elif gap is not None:
                gap.late_until = account.handled_until + self._late_after

    def _advance(self, account: _Account, event_time: int) -> None:
        if event_time <= account.handled_until:
            return
        account.handled_until = event_time
        for gap_id, gap in list(account.gaps.items()):
            if gap.late_until is not None and gap.late_until < event_time:
                del account.gaps[gap_id]
        if len(account.fills) >= account.sweep_at:
            self._sweep(account)

    def _sweep(self, account: _Account) -> None:
        account.remembered_since = max(account.remembered_since, account.since - self._overlap)
        account.fills = {key: time for key, time in account.fills.items() if time >= account.remembered_since}
        account.sweep_at = 2 * len(account.fills) + _SWEEP

    def to_checkpoint(self, name: str) -> Checkpoint:
        """The progress as a value."""
        accounts = {}
        for key, account in self._accounts.items():
            self._sweep(account)
            accounts[key] = AccountProgress(
                followed_since=account.followed_since,
                handled_until=account.since,
                remembered_since=account.remembered_since,
                fills=dict(account.fills),
                open_orders=tuple(account.orders.values()),
            )
        return Checkpoint(name, accounts)


def _on_report(account: _Account, report: CompleteReport) -> None:
    key = report.symbol, report.order_id
    if not is_open_status(report.order_status):
        account.orders.pop(key, None)
        return
    known = account.orders.get(key)
    is_fill = report.trade_id != NO_TRADE
    account.orders[key] = HandledOrder(
        symbol=report.symbol,
        order_id=report.order_id,
        client_order_id=report.original_client_order_id or report.client_order_id,
        side=report.side,
        order_type=report.order_type,
        time_in_force=report.time_in_force,
        quantity=report.quantity,
        price=report.price,
        created=report.order_creation_time,
        status=report.order_status,
        filled=report.cumulative_filled_quantity,
        quote=report.cumulative_quote_quantity,
        trade_id=report.trade_id if is_fill else _last_trade_id(known, report.cumulative_filled_quantity),
        changed_at=report.transaction_time,
    )


def _on_recovered_trade(account: _Account, trade: RecoveredTrade) -> None:
    order = account.orders.get((trade.symbol, trade.order_id))
    filled = trade.cumulative_filled_quantity
    if order is not None and filled is not None and trade.trade_id > order.trade_id:
        account.orders[trade.symbol, trade.order_id] = replace(
            order,
            status=trade.order_status if trade.order_status == "PARTIALLY_FILLED" else order.status,
            filled=filled,
            quote=trade.cumulative_quote_quantity,
            trade_id=trade.trade_id,
            changed_at=trade.transaction_time,
        )


def _on_recovered_order(account: _Account, order: RecoveredOrder) -> None:
    key = order.symbol, order.order_id
    if not is_open_status(order.order_status):
        account.orders.pop(key, None)
        return
    known = account.orders.get(key)
    account.orders[key] = HandledOrder(
        symbol=order.symbol,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        quantity=order.quantity,
        price=order.price,
        created=order.order_creation_time,
        status=order.order_status,
        filled=order.cumulative_filled_quantity,
        quote=order.cumulative_quote_quantity,
        trade_id=_last_trade_id(known, order.cumulative_filled_quantity),
        changed_at=order.update_time,
    )


def _last_trade_id(known: HandledOrder | None, filled: Decimal) -> int:
    """The last fill that the quantity contains, where that is certain."""
    return NO_TRADE if known is None or known.filled != filled else known.trade_id
