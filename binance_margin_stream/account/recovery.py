"""When to look at what a gap may have lost, and when a gap is closed.

A gap is looked at twice at least, the second time some seconds later, and once more ten minutes later: the exchange's
read side lags behind. Between its closing and its last look a gap is remembered: a row that appears late is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from binance_margin_stream.account.clock import ExchangeClock
from binance_margin_stream.account.items import RecoveredItem, UnresolvedGap
from binance_margin_stream.account.look import LookPlan, run_look
from binance_margin_stream.account.reads.queries import BatchQuery, Queries
from binance_margin_stream.account.reads.queue import Batch, ReadQueue
from binance_margin_stream.account.reads.requests import Outcome, ReadFailure, ReadResponse
from binance_margin_stream.account.reconcile import Findings, Reconciler, Window
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.account_state import AccountState
from binance_margin_stream.account.state.orders import OrderKey
from binance_margin_stream.stream.events.recovered import GapClosed, Unproven, UnprovenKind
from binance_margin_stream.stream.protocol.timing import Backoff, Jitter

__all__ = ["AccountRecovery", "Gap"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap that was emitted. `since` and `until` are in seconds of the stream's clock, the others as in the item."""

    id: int
    since: float
    until: float
    since_ms: int
    until_ms: int
    reason: str


@dataclass(slots=True)
class _Span:
    """One gap, or several that came before the first of them was closed."""

    gap_ids: list[int]
    since: float
    until: float
    since_ms: int
    until_ms: int
    reason: str
    live_at: float
    open_before: frozenset[OrderKey]
    exchange_since: int | None = None
    """The beginning in the exchange's milliseconds, where that is known: for what happened before the stream began."""
    looks: int = 0
    is_listed: bool = False
    """Whether all open orders were listed since it ended."""
    trades: int = 0
    orders: int = 0
    unproven: tuple[Unproven, ...] = ()
    is_closed: bool = False
    has_news: bool = False
    """Something was recovered since it was closed."""

    def merge(self, gap: Gap, live_at: float, open_before: frozenset[OrderKey]) -> None:
        """Another gap came."""
        self.gap_ids.append(gap.id)
        self.since, self.since_ms = min(self.since, gap.since), min(self.since_ms, gap.since_ms)
        self.until, self.until_ms = max(self.until, gap.until), max(self.until_ms, gap.until_ms)
        self.live_at, self.looks, self.is_listed, self.open_before = live_at, 0, False, open_before

    def count_trade(self) -> None:
        """A fill was recovered."""
        self.trades, self.has_news = self.trades + 1, True

    def count_order(self) -> None:
        """An order was recovered."""
        self.orders, self.has_news = self.orders + 1, True

    def to_closed(self, state: AccountState, *, is_final: bool) -> GapClosed:
        """The item that says so."""
        return GapClosed(
            account=state.account,
            gap_ids=tuple(self.gap_ids),
            since=self.since_ms,
            until=self.until_ms,
            trades=self.trades,
            orders=self.orders,
            unproven=self.unproven,
            is_final=is_final,
        )


@dataclass(slots=True)
class _Look:
    plan: LookPlan
    started_at: float
    steps: BatchQuery[ReadResponse | None]
    batch: Batch | None = None


class AccountRecovery:
    """The gaps of one account.

    `emit` takes what is handed over, `on_failed` hears of reads that failed for good, and `on_listed` of the list of
    all open orders that a look has read, when the look is over. `on_schedule` hears when the next look is to start.
    """

    def __init__(
        self,
        state: AccountState,
        settings: Recovery,
        queue: ReadQueue,
        clock: ExchangeClock,
        jitter: Jitter,
        *,
        emit: Callable[[RecoveredItem], None],
        on_failed: Callable[[ReadFailure], None],
        on_listed: Callable[[ReadResponse, float], None],
        on_schedule: Callable[[float | None], None],
    ) -> None:
        self._state = state
        self._settings = settings
        self._queue = queue
        self._clock = clock
        self._emit = emit
        self._on_failed = on_failed
        self._on_listed = on_listed
        self._on_schedule = on_schedule
        self._queries = Queries(state.account, settings.page_rows)
        self._reconciler = Reconciler(state)
        self._spans: list[_Span] = []
        self._look: _Look | None = None
        self._next_look_at = float("inf")
        self._not_before = float("-inf")
        self._backoff = Backoff(settings.repeat_after, settings.backoff_max, jitter)
        self._repeats = 0
        self.is_live = False
        self.priority = 0 if state.account.symbol is None else 1

    @property
    def is_looking(self) -> bool:
        """Whether a look is under way."""
        return self._look is not None

    @property
    def is_unresolved(self) -> bool:
        """Whether some gap is not closed."""
        return any(not span.is_closed for span in self._spans)

    @property
    def is_open(self) -> bool:
        """Whether some gap may still bring something."""
        return bool(self._spans)

    @property
    def asks_since(self) -> int | None:
        """From when on the next look asks for fills, in the exchange's milliseconds; None if no gap is open."""
        return min((self._asks_since(span) for span in self._spans), default=None)

    def _asks_since(self, span: _Span) -> int:
        since = self._clock.to_exchange(span.since - self._settings.overlap)
        if span.exchange_since is None:
            return since
        overlap = self._clock.to_exchange(span.since) - since
        return min(since, span.exchange_since - overlap) if len(span.gap_ids) > 1 else span.exchange_since - overlap

    def unproven_orders(self) -> set[OrderKey]:
        """The orders that a closed gap names as unproven."""
        return {
            (each.symbol, each.order_id)
            for span in self._spans
            for each in span.unproven
            if each.symbol is not None and each.order_id is not None
        }

    def _reschedule(self) -> None:
        if not self.is_live or self._look is not None or not self._spans:
            self._on_schedule(None)
        else:
            late = min(span.live_at for span in self._spans) + self._settings.late_after
            self._on_schedule(max(self._not_before, min(late, self._next_look_at)))

    def on_gap(self, gap: Gap, now: float, exchange_since: int | None = None) -> None:
        """A gap was emitted; the account is live again, or will be soon."""
        self._state.fold(now)
        self._state.on_gap()
        open_before = frozenset(self._state.orders.list_open())
        unresolved = next((span for span in self._spans if not span.is_closed), None)
        if unresolved is not None:
            unresolved.merge(gap, now, open_before)
        else:
            times = gap.since, gap.until, gap.since_ms, gap.until_ms
            self._spans.append(_Span([gap.id], *times, gap.reason, now, open_before, exchange_since))
        self._schedule_first(now)

    def on_live(self, now: float) -> None:
        """Events of the account arrive from now on."""
        self.is_live = True
        for span in self._spans:
            if not span.is_closed:
                span.live_at = now
        if self.is_unresolved:
            self._schedule_first(now)
        self._reschedule()

    def on_down(self) -> None:
        """Events may be missing from now on: what is asked now would have to be asked again."""
        self.is_live = False
        self.stop()
        self._reschedule()

    def look_again(self, now: float) -> None:
        """Something does not fit: look now instead of later."""
        if self._spans:
            self._next_look_at = min(self._next_look_at, now)
            self._reschedule()

    def stop(self) -> None:
        """End a look that is under way."""
        look, self._look = self._look, None
        if look is not None:
            look.steps.close()
            if look.batch is not None:
                self._queue.cancel(look.batch)

    def unresolved_gaps(self) -> list[UnresolvedGap]:
        """The gaps that are not closed."""
        return [
            UnresolvedGap(
                account=self._state.account,
                gap_ids=tuple(span.gap_ids),
                since=span.since_ms,
                until=span.until_ms,
                reason=span.reason,
            )
            for span in self._spans
            if not span.is_closed
        ]

    def _schedule_first(self, now: float) -> None:
        self._next_look_at = now + self._settings.lag_guard
        self._repeats = 0
        self._backoff.reset()
        self._reschedule()

    def start_look(self, now: float) -> None:
        """Start the look that is due."""
        settings, spans = self._settings, self._spans
        since = min(self._asks_since(span) for span in spans)
        live_since = self._clock.to_exchange(max(span.until for span in spans)) + self._clock.error
        plan = LookPlan(
            window=Window(
                since=max(since, self._state.orders.covered_since, self._state.fills.horizon),
                asked_at=self._clock.to_exchange(now) - self._clock.error,
                live_since=live_since,
            ),
            until=self._clock.to_exchange(now) + self._clock.error + 1000,
            lists_orders=self._lists_orders(now),
            reads_all_orders=settings.orders == "all" and any(span.looks > 0 for span in spans),
            open_before=frozenset().union(*(span.open_before for span in spans)),
        )
        self._next_look_at = float("inf")
        self._look = _Look(plan, now, run_look(plan, self._queries, self._reconciler))
        self._advance(self._look, None, now)

    def _lists_orders(self, now: float) -> bool:
        """Whether the look lists all open orders.

        Those of all symbols can be listed once a minute only: the first look at a gap does not wait for that.
        """
        symbol = self._state.account.symbol
        if symbol is not None or self._queue.can_send(next(self._queries.open_orders(symbol)), now):
            return any(not span.is_listed or self._is_late(span, now) for span in self._spans)
        return any(not span.is_listed and span.looks > 0 for span in self._spans)

    def _is_late(self, span: _Span, at: float) -> bool:
        return at >= span.live_at + self._settings.late_after

    def _advance(self, look: _Look, outcomes: tuple[Outcome, ...] | None, now: float) -> None:
        self._state.fold(now)
        try:
            reads = next(look.steps) if outcomes is None else look.steps.send(outcomes)
        except StopIteration as end:
            self._look = None
            self._on_complete(look, now)
            if end.value is not None:
                self._on_listed(end.value, now)
        else:
            look.batch = self._queue.submit(reads, self.priority, self._on_batch, now)

    def _on_batch(self, result: tuple[Outcome, ...] | ReadFailure, now: float) -> None:
        look = self._look
        if look is None:
            return
        if isinstance(result, ReadFailure):
            self.stop()
            self._next_look_at = self._not_before = now + self._backoff.next_delay()
            self._reschedule()
            self._on_failed(result)
        else:
            self._advance(look, result, now)

    def _on_complete(self, look: _Look, now: float) -> None:
        self._backoff.reset()
        findings = self._reconciler.finish()
        for trade in findings.trades:
            self._span_at(trade.transaction_time).count_trade()
            self._emit(trade)
        for order in findings.orders:
            self._span_at(order.update_time).count_order()
            self._emit(order)
        for span in list(self._spans):
            if look.started_at >= span.live_at + self._settings.lag_guard:
                self._judge(span, look, findings, now)
        self._schedule_next(findings, now)
        self._reschedule()

    def _span_at(self, time: int) -> _Span:
        """The last gap that began before a time, else the first one."""
        before = [span for span in self._spans if self._asks_since(span) <= time]
        return max(before, key=lambda span: span.since) if before else self._spans[0]

    def _judge(self, span: _Span, look: _Look, findings: Findings, now: float) -> None:
        span.looks += 1
        span.is_listed |= look.plan.lists_orders
        if findings.is_pending:
            return
        if self._is_late(span, look.started_at):
            self._spans.remove(span)
            had_unproven, span.unproven = bool(span.unproven), findings.unproven
            if not span.is_closed or had_unproven or span.unproven or span.has_news:
                self._emit(span.to_closed(self._state, is_final=True))
            if not self._spans:
                self._reconciler.give_up(findings.unproven)
        elif not span.is_closed and self._may_close(span, findings, now):
            span.is_closed, span.has_news = True, False
            span.unproven = self._unproven_now(findings)
            self._emit(span.to_closed(self._state, is_final=False))

    def _may_close(self, span: _Span, findings: Findings, now: float) -> bool:
        has_waited = now >= span.live_at + self._settings.unproven_after
        return span.looks >= 2 and span.is_listed and (findings.is_settled or has_waited)

    def _unproven_now(self, findings: Findings) -> tuple[Unproven, ...]:
        """The ledger of the cross account may lag behind by an unknown time, until the last look."""
        delay = Unproven(kind=UnprovenKind.LEDGER_DELAY)
        is_complete = self._state.account.symbol is not None or delay in findings.unproven
        return findings.unproven if is_complete else (*findings.unproven, delay)

    def _schedule_next(self, findings: Findings, now: float) -> None:
        if self.is_unresolved or (self._spans and not findings.is_settled):
            delay = self._settings.repeat_after * 2.0 ** min(self._repeats // 2, 16)
            self._next_look_at = min(self._next_look_at, now + min(delay, self._settings.backoff_max))
            self._repeats += 1
