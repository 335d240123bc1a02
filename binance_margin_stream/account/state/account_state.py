"""All that is known of one account, kept up to date from events and reads.

Events are only appended when they come; they are worked in when something is asked, or when many wait.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

from binance_margin_stream.account.checkpoint import AccountProgress, HandledOrder
from binance_margin_stream.account.reads.rows import AccountRow
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.balances import BalanceTable
from binance_margin_stream.account.state.fills import FillLedger
from binance_margin_stream.account.state.order_sums import NO_TRADE, Amounts, OrderSums
from binance_margin_stream.account.state.orders import UNKNOWN, KnownOrder, OrderTable
from binance_margin_stream.account.state.reports import CompleteReport, is_complete
from binance_margin_stream.account.state.snapshot import AccountSnapshot, AccountTrade, InexactReason, Interval
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import Event
from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.events.models import MarginLevelStatusChange, OutboundAccountPosition

__all__ = ["AccountState"]

_LAST_TRADES: Final = 50
_JOURNAL_LIMIT: Final = 4_096
"""How many events may wait to be worked in."""


class AccountState:
    """One account. Not safe to share between threads, except for `on_event` beside anything else."""

    def __init__(self, account: Account, settings: Recovery) -> None:
        self.account = account
        self.fills = FillLedger()
        self.orders = OrderTable()
        self.balances = BalanceTable(settings.repeat_after, stale_for=settings.unproven_after)
        self.symbols: set[str] = {account.symbol} if account.symbol is not None else set(settings.symbols)
        """The symbols of which fills are asked for after a gap."""
        self.trades: deque[AccountTrade] = deque(maxlen=_LAST_TRADES)
        self.margin_level: Decimal | None = None
        self.margin_level_status: str | None = None
        self.debts_as_of: Interval | None = None
        self.version = 0
        """Grows with every change."""
        self._journal: deque[Event] = deque()

    @property
    def is_covered(self) -> bool:
        """Whether it is known since when orders and fills were followed."""
        return self.orders.covered_since != UNKNOWN

    def cover(self, since: int) -> None:
        """Orders and fills from this time on, in the exchange's milliseconds, were followed."""
        self.orders.covered_since = since

    def restore(self, progress: AccountProgress) -> None:
        """Know what the user handled in an earlier run."""
        self.cover(progress.followed_since)
        self.fills.horizon = progress.remembered_since
        for key, time in sorted(progress.fills.items(), key=lambda fill: fill[1]):
            self.fills.add(key, time)
            self.symbols.add(key[0])
        for order in progress.open_orders:
            self.symbols.add(order.symbol)
            self.orders.restore(_to_known_order(order))

    def on_event(self, event: Event) -> bool:
        """An event is being delivered; True if so many wait by now that `fold` has to be called."""
        journal = self._journal
        journal.append(event)
        return len(journal) >= _JOURNAL_LIMIT

    def fold(self, now: float) -> None:
        """Work in the events that wait."""
        for _ in range(len(self._journal)):
            event = self._journal.popleft()
            self.version += 1
            if isinstance(event, ExecutionReport):
                self._on_report(event)
            elif isinstance(event, OutboundAccountPosition):
                self.balances.on_position(event, now)
            elif isinstance(event, MarginLevelStatusChange):
                self.margin_level, self.margin_level_status = event.margin_level, event.status

    def _on_report(self, report: ExecutionReport) -> None:
        self.symbols.add(report.symbol)
        if report.trade_id is not None and report.trade_id != NO_TRADE:
            time = report.event_time if report.transaction_time is None else report.transaction_time
            self.fills.add(
                (report.symbol, report.trade_id, report.order_id), self.fills.latest if time is None else time
            )
        if is_complete(report):
            if report.trade_id != NO_TRADE:
                self.trades.append(_to_trade(report))
            self.orders.on_report(report)

    def on_account(self, row: AccountRow, sent_at: float, as_of: Interval) -> set[str]:
        """The account was read; the assets whose balance is certain to differ although no event said so."""
        if row.margin_level is not None:
            self.margin_level = row.margin_level
        if row.margin_level_status is not None:
            self.margin_level_status = row.margin_level_status
        self.debts_as_of = as_of
        self.version += 1
        return self.balances.on_read(row.balances, sent_at)

    def on_gap(self) -> None:
        """Events may have been missed."""
        self.balances.on_gap()
        self.orders.confirm_reads()

    def forget(self, before: int) -> None:
        """Forget what ended before a time."""
        self.fills.forget(before)
        self.orders.forget(before)

    def to_snapshot(self, as_of: Interval, reasons: tuple[InexactReason, ...]) -> AccountSnapshot:
        """The account as a value."""
        return AccountSnapshot(
            account=self.account,
            as_of=as_of,
            balances=self.balances.to_balances(),
            open_orders=self.orders.to_open_orders(),
            last_trades=tuple(self.trades),
            margin_level=self.margin_level,
            margin_level_status=self.margin_level_status,
            debts_as_of=self.debts_as_of,
            inexact_reasons=reasons,
        )


def _to_known_order(order: HandledOrder) -> KnownOrder:
    return KnownOrder(
        symbol=order.symbol,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        quantity=order.quantity,
        price=order.price,
        created=order.created,
        status=order.status,
        sums=OrderSums(Amounts(order.filled, order.quote), base_id=order.trade_id, last_fill_at=order.changed_at),
        reported_at=order.changed_at,
    )


def _to_trade(report: CompleteReport) -> AccountTrade:
    return AccountTrade(
        symbol=report.symbol,
        trade_id=report.trade_id,
        order_id=report.order_id,
        side=report.side,
        price=report.last_executed_price,
        quantity=report.last_executed_quantity,
        time=report.transaction_time,
        is_recovered=False,
    )
