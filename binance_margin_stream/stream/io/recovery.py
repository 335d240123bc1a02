"""Connects recovery with a running stream: what the consumer takes goes in, reads are made, recovered items come out.

Recovery sees items when the consumer takes them. An event that was dropped from a full buffer is therefore never
counted as delivered, and a gap is looked at after the consumer has taken it.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from binance_margin_stream.account.actions import ChangeSource, DisableRecovery, EmitGap
from binance_margin_stream.account.checkpoint import Checkpoint
from binance_margin_stream.account.items import AccountChanged, RecoveredItem
from binance_margin_stream.account.manager import AccountManager
from binance_margin_stream.account.progress import HandledGap, ProgressTracker
from binance_margin_stream.account.reads.budget import ReadBudget
from binance_margin_stream.account.reads.requests import ReadFailure, SendRead
from binance_margin_stream.account.recovery import Gap
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import Event, StreamGap
from binance_margin_stream.stream.events.models import AccountEvent, AnyItem
from binance_margin_stream.stream.events.recovered import GapClosed, RecoveredOrder, RecoveredTrade
from binance_margin_stream.stream.io.account_reads import AccountReader, ReadResult
from binance_margin_stream.stream.io.checkpoint_file import read_checkpoint, write_checkpoint
from binance_margin_stream.stream.io.dispatcher import log
from binance_margin_stream.stream.io.rest_calls import monotonic, to_epoch_ms
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.state import GapReason, Severity, StatusChange, StatusChangeKind

__all__ = ["RecoveryConfig", "StreamRecovery", "TakenItem"]

TakenItem: TypeAlias = AnyItem | RecoveredItem
"""An item of a stream that recovers."""

_budgets: dict[tuple[str, float], ReadBudget] = {}
"""The budget of each REST host and share: one for all streams of the process."""
_budgets_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryConfig:
    """How a stream recovers, made from validated options."""

    settings: Recovery
    accounts: tuple[Account, ...]
    host: str
    make_reader: Callable[[], AccountReader]
    on_account: Callable[[AccountSnapshot], None] | None = None
    exchange_speed: float = 1.0


class StreamRecovery:
    """The recovery of one stream. Snapshots and commits are safe in any thread; the rest is the event loop's."""

    def __init__(
        self, config: RecoveryConfig, lifecycle: Lifecycle[AccountEvent], on_gap_taken: Callable[[], object]
    ) -> None:
        """Read the checkpoint, if there is one. Raises `CheckpointError` if it cannot be used."""
        self._on_gap_taken = on_gap_taken
        self._settings = settings = config.settings
        self._lifecycle = lifecycle
        self._on_account = config.on_account
        self._reader = config.make_reader()
        self._items: deque[RecoveredItem | StreamGap] = deque()
        self._gap_ids = count(1)
        with _budgets_lock:
            key = config.host, settings.weight_share
            budget = _budgets.setdefault(key, ReadBudget(settings.weight_share))
        self._budget = budget
        self._tracker = ProgressTracker(settings, config.exchange_speed)
        self._commit_lock = threading.Lock()
        self._is_closed = False
        self._taken: list[TakenItem] = []
        checkpoint = self._restore()
        self.manager = AccountManager(
            settings,
            budget,
            random.SystemRandom().uniform,
            to_epoch_ms=to_epoch_ms,
            emit=self._emit,
            oldest_waiting_at=lifecycle.buffer.oldest_at,
            exchange_speed=config.exchange_speed,
            shows_changes=settings.show_changes or config.on_account is not None,
        )
        for account in config.accounts:
            self.manager.add(account, None if checkpoint is None else checkpoint.accounts.get(account))
        self._accounts = frozenset(config.accounts)

    def _restore(self) -> Checkpoint | None:
        path = self._settings.checkpoint_path
        if path is None:
            return None
        checkpoint = read_checkpoint(path, self._settings.checkpoint_name)
        if checkpoint is not None:
            self._tracker.restore(checkpoint)
        return checkpoint

    def _emit(self, item: RecoveredItem) -> None:
        if not isinstance(item, AccountChanged):
            self._items.append(item)
            return
        if self._settings.show_changes:
            self._items.append(item)
        if self._on_account is not None:
            try:
                self._on_account(item.snapshot)
            except Exception:
                log.exception("the on_account callback raised an error")

    @property
    def keeps_progress(self) -> bool:
        """Whether there is a checkpoint file."""
        return self._settings.checkpoint is not None

    @property
    def pending_count(self) -> int:
        """The number of reads in flight."""
        return self._reader.pending_count

    def next_item(self) -> TakenItem | None:
        """Remove and return the next item, None if there is none."""
        if self._items:
            return self._items.popleft()
        pop = self._lifecycle.buffer.pop
        manager = self.manager
        while (item := pop()) is not None:
            if isinstance(item, StreamGap):
                return self._take_gap(item)
            if not isinstance(item, Event) or item.account not in self._accounts:
                return item
            if not manager.is_duplicate(item.account, item):
                manager.on_event(item.account, item, monotonic())
                return item
        return None

    def pop_recovered(self) -> list[RecoveredItem | StreamGap]:
        """Remove and return what was recovered and not taken yet."""
        items = list(self._items)
        self._items.clear()
        return items

    def _take_gap(self, gap: StreamGap) -> StreamGap:
        now, now_ms = monotonic(), to_epoch_ms(monotonic())
        gap = gap.with_id(next(self._gap_ids))
        if gap.account in self._accounts:
            since, until = (min(now, now - (now_ms - each) / 1000) for each in (gap.since, gap.until))
            self.manager.on_gap(gap.account, Gap(gap.id, since, until, gap.since, gap.until, str(gap.reason)), now)
            self._on_gap_taken()
        return gap

    def on_change(self, change: StatusChange, now: float) -> None:
        """The stream reported a status change."""
        if change.account not in self._accounts or change.account is None:
            return
        if change.kind in (StatusChangeKind.SUBSCRIBED, StatusChangeKind.RECOVERED):
            self.manager.on_live(change.account, now)
        elif change.kind is StatusChangeKind.SUBSCRIPTION_LOST:
            self.manager.on_down(change.account)

    def run_actions(self, on_result: Callable[[SendRead, ReadResult], None], now: float) -> None:
        """Do what recovery wants."""
        for action in self.manager.pop_actions():
            match action:
                case SendRead():
                    self._reader.submit(action, on_result)
                case EmitGap(account=account, since=since, reason=reason):
                    self._lifecycle.report_gap(account, since, GapReason(reason), now)
                case ChangeSource(account=account):
                    self._lifecycle.change_source(account, now)
                case DisableRecovery(message=message):
                    change = StatusChange(StatusChangeKind.RECOVERY_DISABLED, Severity.WARNING, detail=message)
                    self._lifecycle.context.emit(change)

    def on_result(self, action: SendRead, result: ReadResult, now: float) -> None:
        """A read ended."""
        if isinstance(result, ReadFailure):
            self.manager.on_read_failed(action.id, result, now)
            return
        if result.used_weight is not None:
            self._budget.on_used_weight(action.read.kind, result.used_weight, now)
        self.manager.on_read(action.id, result.rows, result.sent_at, result.received_at, now)

    def on_taken(self, item: TakenItem) -> None:
        """The user has taken an item. Only called if there is a checkpoint file."""
        if self._settings.commit == "next" and self._taken:
            self._handle(self._taken)
            self._taken = []
        self._taken.append(item)

    def commit(self) -> None:
        """The user has handled all items that were taken: write the checkpoint. Raises `CheckpointError`."""
        path = self._settings.checkpoint_path
        if path is None:
            return
        with self._commit_lock:
            taken, self._taken = self._taken, []
            self._handle(taken)
            write_checkpoint(path, self._tracker.to_checkpoint(self._settings.checkpoint_name))

    def _handle(self, items: Iterable[TakenItem]) -> None:
        for account in self._accounts:
            since = self.manager.followed_since(account)
            if since is not None:
                self._tracker.begin(account, since)
        for item in items:
            if isinstance(item, StreamGap):
                self._tracker.on_handled(HandledGap(item.account, item.id))
            elif isinstance(item, Event | GapClosed | RecoveredOrder | RecoveredTrade):
                self._tracker.on_handled(item)

    def snapshot(self, account: Account) -> AccountSnapshot:
        """The account as it is. Raises `KeyError` for an account that the stream does not follow."""
        now = monotonic()
        return self.manager.snapshot(account, now, self._lifecycle.proven_at(account, now))

    def close(self) -> None:
        """Stop reading, and emit the gaps that are still open."""
        if self._is_closed:
            return
        self._is_closed = True
        for gap in self.manager.close():
            for gap_id in gap.gap_ids:
                self._items.append(
                    StreamGap(account=gap.account, since=gap.since, until=gap.until, reason=gap.reason, id=gap_id)
                )
        self._reader.close()
