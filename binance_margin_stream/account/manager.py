"""Recovery and account state of one stream: what the stream reports goes in, reads and items come out.

Events may be appended and snapshots taken from any thread; everything else belongs to the stream's own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from threading import RLock
from typing import Final

from binance_margin_stream.account.actions import AccountAction, ChangeSource, DisableRecovery, EmitGap
from binance_margin_stream.account.audit import OrderAudit
from binance_margin_stream.account.checkpoint import AccountProgress
from binance_margin_stream.account.clock import ExchangeClock
from binance_margin_stream.account.items import AccountChanged, RecoveredItem, UnresolvedGap
from binance_margin_stream.account.polls import Polls, WatchedAccount
from binance_margin_stream.account.reads.budget import ReadBudget
from binance_margin_stream.account.reads.queries import ClockReading, Queries
from binance_margin_stream.account.reads.queue import ReadQueue
from binance_margin_stream.account.reads.requests import Outcome, RawRows, ReadFailure, ReadResponse
from binance_margin_stream.account.reads.rows import OrderRow, ServerTimeRow
from binance_margin_stream.account.recovery import AccountRecovery, Gap
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.account_state import AccountState
from binance_margin_stream.account.state.orders import OrderKey
from binance_margin_stream.account.state.snapshot import AccountSnapshot, InexactReason, Interval
from binance_margin_stream.error_codes import ErrorKind
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import Event
from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.protocol.timing import Jitter, Timers

__all__ = ["AccountManager"]

_REPEATED_WITHIN: Final = 3600.0
"""Seconds within which a second audit gap of an account means that its source keeps back events."""
_FORGET_INTERVAL: Final = 60.0
_SHOW_INTERVAL: Final = 1.0


class _Task(Enum):
    CLOCK = "read the exchange's time"
    CHECK = "see whether reports add up"
    FORGET = "forget what is old"
    SHOW = "show changed accounts"


@dataclass(slots=True)
class _Entry:
    state: AccountState
    watched: WatchedAccount
    recovery: AccountRecovery
    covered_from: float | None = None
    """When the account was live for the first time."""
    restart_since: int | None = None
    """From when on events are missing that came before the stream began; the exchange's milliseconds."""
    gap_requested: bool = False
    looked_again_at: float = float("-inf")
    audit_gap_at: float = float("-inf")
    unsummed: dict[OrderKey, float] = field(default_factory=dict)
    """Orders whose reports do not add up, and since when."""
    shown_version: int = 0

    @property
    def unchecked_since(self) -> float | None:
        """Since when an event may be missing that no gap reports; None while the account is not live."""
        live_at = self.watched.live_at
        return live_at if live_at is None or self.watched.checked_at is None else self.watched.checked_at


class AccountManager:
    """All accounts of one stream. `emit` takes recovered items; `pop_actions` says what the stream has to do.

    `oldest_waiting_at` returns when the oldest event came that the consumer has not taken yet.
    """

    def __init__(
        self,
        settings: Recovery,
        budget: ReadBudget,
        jitter: Jitter,
        *,
        to_epoch_ms: Callable[[float], int],
        emit: Callable[[RecoveredItem], None],
        oldest_waiting_at: Callable[[], float | None] = lambda: None,
        exchange_speed: float = 1.0,
        shows_changes: bool = False,
    ) -> None:
        self._settings = settings
        self._jitter = jitter
        self._to_epoch_ms = to_epoch_ms
        self._emit = emit
        self._oldest_waiting_at = oldest_waiting_at
        self._shows_changes = shows_changes
        self._lock = RLock()
        self._actions: list[AccountAction] = []
        self._entries: dict[Account, _Entry] = {}
        self._clock = ExchangeClock(exchange_speed)
        self._is_reading_clock = False
        self._is_disabled = False
        self._queue = ReadQueue(settings, budget, jitter, self._actions.append)
        self._polls = Polls(
            settings, self._queue, jitter, to_epoch_ms, self._on_difference, self._on_failed, self._is_behind
        )
        self._timers: Timers[_Task | Account] = Timers()
        """Tasks, and the looks at accounts."""
        self._due_looks: set[Account] = set()
        self._tasks: dict[_Task, Callable[[float], None]] = {
            _Task.CLOCK: self._read_clock,
            _Task.CHECK: self._check_sums,
            _Task.FORGET: self._forget,
            _Task.SHOW: self._show_changes,
        }

    def add(self, account: Account, progress: AccountProgress | None = None) -> None:
        """Follow an account: from where an earlier run ended, from `Recovery.since` on, or from now on."""
        with self._lock:
            state = AccountState(account, self._settings)
            recovery = AccountRecovery(
                state,
                self._settings,
                self._queue,
                self._clock,
                self._jitter,
                emit=self._emit,
                on_failed=self._on_failed,
                on_listed=partial(self._on_listed, account),
                on_schedule=partial(self._schedule_look, account),
            )
            audit = OrderAudit(state, self._settings, self._clock)
            watched = WatchedAccount(state, audit, recovery.unproven_orders, lambda: recovery.is_unresolved)
            entry = self._entries[account] = _Entry(state, watched, recovery)
            if progress is not None:
                state.restore(progress)
                entry.restart_since = progress.handled_until
            elif self._settings.since is not None:
                state.cover(self._settings.since)
                entry.restart_since = self._settings.since
            self._polls.accounts[account] = watched

    def remove(self, account: Account) -> None:
        """Follow an account no longer."""
        with self._lock:
            self._entries.pop(account).recovery.stop()
            self._polls.remove(account)
            self._schedule_look(account, None)

    def on_event(self, account: Account, event: Event, now: float) -> None:
        """An event is being delivered. This is the hot path: it appends, and seldom does more."""
        state = self._entries[account].state
        if state.on_event(event):
            with self._lock:
                state.fold(now)

    def is_duplicate(self, account: Account, event: Event) -> bool:
        """Whether an event is a fill that was recovered before: it must not be delivered again."""
        recovered = self._entries[account].state.fills.recovered
        return (
            bool(recovered)
            and isinstance(event, ExecutionReport)
            and (event.symbol, event.trade_id, event.order_id) in recovered
        )

    def on_live(self, account: Account, now: float) -> None:
        """Events of the account arrive from now on."""
        with self._lock:
            entry = self._entries[account]
            if entry.covered_from is None:
                entry.covered_from = now
                self._cover(entry)
                if entry.restart_since is not None:
                    entry.gap_requested = True
                    self._actions.append(EmitGap(account, self._restart_at(entry.restart_since, now), "restart"))
            if self._is_disabled:
                return
            self._polls.on_live(account, now)
            entry.recovery.on_live(now)
            self._timers.set_earlier(_Task.CHECK, now + self._settings.repeat_after)
            self._timers.set_earlier(_Task.FORGET, now + _FORGET_INTERVAL)
            if self._shows_changes:
                self._timers.set_earlier(_Task.SHOW, now + _SHOW_INTERVAL)
            self._read_clock(now)

    def on_down(self, account: Account) -> None:
        """Events of the account may be missing from now on; a gap will say so once it is live again."""
        with self._lock:
            self._polls.on_down(account)
            self._entries[account].recovery.on_down()

    def on_gap(self, account: Account, gap: Gap, now: float) -> None:
        """A gap of the account was emitted: what stands before it in the stream was reported before."""
        with self._lock:
            entry = self._entries[account]
            entry.recovery.on_gap(gap, now, entry.restart_since)
            entry.gap_requested, entry.restart_since = False, None
            entry.unsummed.clear()
            self._polls.on_gap(account, now)

    def on_read(self, read_id: int, rows: RawRows, sent_at: float, received_at: float, now: float) -> None:
        """The response to a read came."""
        with self._lock:
            self._queue.on_read(read_id, rows, sent_at, received_at, now)
            self._start_looks(now)

    def on_read_failed(self, read_id: int, failure: ReadFailure, now: float) -> None:
        """A read failed, or was refused."""
        with self._lock:
            self._queue.on_read_failed(read_id, failure, now)
            self._start_looks(now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        with self._lock:
            self._queue.on_timer(now)
            self._polls.on_timer(now)
            while (due := self._timers.pop_due(now)) is not None:
                if isinstance(due, Account):
                    self._due_looks.add(due)
                else:
                    self._tasks[due](now)
            self._start_looks(now)

    def next_timer_at(self, now: float) -> float | None:
        """When `on_timer` is to be called, None if no time matters."""
        with self._lock:
            due = self._timers.peek()
            moments = self._queue.next_timer_at(now), self._polls.next_timer_at(), None if due is None else due[0]
            return min((at for at in moments if at is not None), default=None)

    def pop_actions(self) -> list[AccountAction]:
        """What the stream has to do, in this order; each is returned once."""
        with self._lock:
            actions = self._actions.copy()
            self._actions.clear()
            return actions

    def snapshot(self, account: Account, now: float, proven_at: float | None = None) -> AccountSnapshot:
        """The account as it is. `proven_at` is when the connection was last known to have delivered everything."""
        with self._lock:
            entry = self._entries[account]
            entry.state.fold(now)
            since = now if proven_at is None else proven_at
            as_of = Interval(self._to_epoch_ms(min(since, now)), self._to_epoch_ms(now))
            return entry.state.to_snapshot(as_of, self._inexact_reasons(entry))

    def close(self) -> list[UnresolvedGap]:
        """Stop; the gaps that are not closed."""
        with self._lock:
            gaps = [gap for entry in self._entries.values() for gap in entry.recovery.unresolved_gaps()]
            self._stop()
            return gaps

    def _stop(self) -> None:
        for entry in self._entries.values():
            entry.recovery.stop()
        self._queue.close()
        self._polls.stop()
        self._timers.clear()
        self._due_looks.clear()
        self._is_disabled = True

    def _inexact_reasons(self, entry: _Entry) -> tuple[InexactReason, ...]:
        reasons = {
            InexactReason.NOT_LIVE: entry.watched.live_at is None,
            InexactReason.GAP: entry.recovery.is_unresolved or bool(entry.recovery.unproven_orders()),
            InexactReason.BALANCES: not entry.state.balances.is_settled,
            InexactReason.ORDERS: not entry.watched.audit.is_exact,
            InexactReason.BEHIND: self._oldest_waiting_at() is not None,
            InexactReason.NO_READS: self._is_disabled,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)

    def _is_behind(self, at: float) -> bool:
        """Whether an event that came before a moment still waits for the consumer."""
        oldest = self._oldest_waiting_at()
        return oldest is not None and oldest < at

    def _schedule_look(self, account: Account, at: float | None) -> None:
        self._due_looks.discard(account)
        if at is None:
            self._timers.cancel(account)
        else:
            self._timers.set(account, at)

    def _start_looks(self, now: float) -> None:
        """Cross comes first; few looks at a time keep memory small when hundreds of accounts recover."""
        if not self._due_looks:
            return
        if not self._clock.is_fresh(now):
            self._read_clock(now)
            return
        free = self._settings.concurrent_looks - sum(entry.recovery.is_looking for entry in self._entries.values())
        due = sorted(self._due_looks, key=lambda account: (self._entries[account].recovery.priority, str(account)))
        for account in due[: max(0, free)]:
            self._due_looks.discard(account)
            self._entries[account].recovery.start_look(now)

    def _read_clock(self, now: float) -> None:
        if self._is_reading_clock or self._clock.is_fresh(now) or not self._entries:
            return
        self._is_reading_clock = True
        read = next(Queries(next(iter(self._entries)), self._settings.page_rows).clock())
        self._queue.submit([read], 0, self._on_clock, now)

    def _on_clock(self, result: tuple[Outcome, ...] | ReadFailure, now: float) -> None:
        self._is_reading_clock = False
        response = None if isinstance(result, ReadFailure) else result[0]
        if isinstance(response, ReadResponse):
            (row,) = response.of(ServerTimeRow)
            self._clock.on_reading(ClockReading(row.time, response.sent_at, response.received_at))
            for entry in self._entries.values():
                self._cover(entry)
            return
        self._timers.set(_Task.CLOCK, now + self._settings.repeat_after)
        if isinstance(result, ReadFailure):
            self._on_failed(result)

    def _restart_at(self, since: int, now: float) -> float:
        """About when that was on the stream's clock: this machine's clock may differ from the exchange's."""
        return now - max(0, self._to_epoch_ms(now) - since) / 1000 / self._clock.speed

    def followed_since(self, account: Account) -> int | None:
        """Since when the account is followed, in the exchange's milliseconds; None as long as that is not known."""
        with self._lock:
            state = self._entries[account].state
            return state.orders.covered_since if state.is_covered else None

    def _cover(self, entry: _Entry) -> None:
        """Orders and fills from here on were followed from their beginning."""
        if entry.covered_from is not None and self._clock.is_known and not entry.state.is_covered:
            entry.state.cover(self._clock.to_exchange(entry.covered_from) - self._clock.error)

    def _on_listed(self, account: Account, response: ReadResponse, now: float) -> None:
        self._polls.on_open_orders(self._entries[account].watched, response.of(OrderRow), response.sent_at, now)

    def _on_failed(self, failure: ReadFailure) -> None:
        if failure.kind is ErrorKind.KEY_REJECTED and not self._is_disabled:
            self._stop()
            self._actions.append(DisableRecovery(failure.message))

    def _on_difference(self, account: Account, now: float) -> None:
        """The exchange and the events differ for certain: it may be a row that appears late, or a lost event."""
        entry = self._entries[account]
        if entry.recovery.is_unresolved or entry.gap_requested or entry.watched.live_at is None:
            return
        if entry.recovery.is_open and now - entry.looked_again_at >= self._settings.unproven_after:
            entry.looked_again_at = now
            entry.recovery.look_again(now)
            return
        if entry.recovery.is_looking:
            return
        since = entry.unchecked_since
        if since is None:
            return
        entry.gap_requested = True
        remembered_since = now - self._settings.max_retention + self._settings.overlap
        self._actions.append(EmitGap(account, max(since, remembered_since), "audit"))
        if now - entry.audit_gap_at <= _REPEATED_WITHIN:
            self._actions.append(ChangeSource(account))
        entry.audit_gap_at = now

    def _check_sums(self, now: float) -> None:
        """A frame that was never sent shows when the order's next report does not add up."""
        self._timers.set(_Task.CHECK, now + self._settings.repeat_after)
        for account, entry in self._entries.items():
            entry.state.fold(now)
            keys = set(entry.state.orders.list_unsummed()) - entry.recovery.unproven_orders()
            entry.unsummed = {key: entry.unsummed.get(key, now) for key in keys}
            if any(now - since >= self._settings.lag_guard for since in entry.unsummed.values()):
                self._on_difference(account, now)

    def _forget(self, now: float) -> None:
        self._timers.set(_Task.FORGET, now + _FORGET_INTERVAL)
        if not self._clock.is_known:
            return
        settings = self._settings
        for entry in self._entries.values():
            unchecked_since = entry.unchecked_since
            if unchecked_since is None:
                continue
            entry.state.fold(now)
            since = min(now - settings.retention, unchecked_since - settings.overlap)
            since = max(since, now - settings.max_retention)
            before, asks_since = self._clock.to_exchange(since), entry.recovery.asks_since
            entry.state.forget(before if asks_since is None else min(before, asks_since))

    def _show_changes(self, now: float) -> None:
        self._timers.set(_Task.SHOW, now + _SHOW_INTERVAL)
        for account, entry in self._entries.items():
            entry.state.fold(now)
            if entry.state.version != entry.shown_version:
                entry.shown_version = entry.state.version
                self._emit(AccountChanged(account, self.snapshot(account, now)))
