"""Batches of reads on their way: budget, retries and deadlines.

A batch ends when every read of it has an outcome, or when one has failed for good; its owner then hears of it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeAlias

from binance_margin_stream.account.reads.budget import ReadBudget
from binance_margin_stream.account.reads.requests import (
    Outcome,
    RawRows,
    Read,
    ReadFailure,
    ReadResponse,
    Refusal,
    SendRead,
    parse_rows,
)
from binance_margin_stream.account.reads.rows import MalformedRowError
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.error_codes import ErrorKind
from binance_margin_stream.stream.protocol.timing import Backoff, Jitter, Timers

__all__ = ["Batch", "OnDone", "ReadQueue"]

OnDone: TypeAlias = "Callable[[tuple[Outcome, ...] | ReadFailure, float], None]"
"""Hears the outcomes in the order of the reads, or the failure that ended the batch, and the time."""

_REFUSALS: Final = frozenset(
    {
        ErrorKind.ORDER_UNKNOWN,
        ErrorKind.ORDER_ARCHIVED,
        ErrorKind.SYMBOL_UNKNOWN,
        ErrorKind.ACCOUNT_UNAVAILABLE,
        ErrorKind.BAD_PARAMETER,
        ErrorKind.BAD_REQUEST,
    }
)
"""What the exchange does not have or will not tell: facts, not failures."""


class Batch:
    """Reads that belong together."""

    __slots__ = ("is_over", "on_done", "outcomes", "unanswered")

    def __init__(self, size: int, on_done: OnDone) -> None:
        self.on_done = on_done
        self.outcomes: dict[int, Outcome] = {}
        self.unanswered = size
        self.is_over = False


@dataclass(slots=True)
class _Pending:
    read: Read
    priority: int
    batch: Batch
    position: int
    backoff: Backoff
    sent_at: float | None = None


class ReadQueue:
    """Sends reads as the budget allows. `actions` takes what is to be sent."""

    def __init__(
        self, settings: Recovery, budget: ReadBudget, jitter: Jitter, actions: Callable[[SendRead], None]
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._jitter = jitter
        self._emit_action = actions
        self._ids = count(1)
        self._pending: dict[int, _Pending] = {}
        self._in_flight = 0
        self._timers: Timers[int] = Timers()

    def __len__(self) -> int:
        return len(self._pending)

    def can_send(self, read: Read, now: float) -> bool:
        """Whether the budget allows a read at once."""
        return self._budget.can_send(read, now)

    def submit(self, reads: Sequence[Read], priority: int, on_done: OnDone, now: float) -> Batch:
        """Send these reads as soon as the budget allows; `on_done` hears how they ended, never from within here."""
        batch = Batch(len(reads), on_done)
        for position, read in enumerate(reads):
            read_id = next(self._ids)
            backoff = Backoff(self._settings.backoff_initial, self._settings.backoff_max, self._jitter)
            self._pending[read_id] = _Pending(read, priority, batch, position, backoff)
            self._budget.enqueue(self, read_id, read, priority)
        self.send(now)
        return batch

    def cancel(self, batch: Batch) -> None:
        """End a batch; nobody hears of it, and responses that still come are ignored."""
        batch.is_over = True
        for read_id in [read_id for read_id, pending in self._pending.items() if pending.batch is batch]:
            self._remove(read_id)

    def close(self) -> None:
        """End everything."""
        self._pending.clear()
        self._timers.clear()
        self._budget.cancel(self)

    def send(self, now: float) -> None:
        """Send what the budget allows now."""
        for read_id in self._budget.grant(self, now, self._settings.concurrent_reads - self._in_flight):
            pending = self._pending[read_id]
            pending.sent_at = now
            self._in_flight += 1
            self._timers.set(read_id, now + self._settings.read_timeout)
            self._emit_action(SendRead(read_id, pending.read))

    def on_read(self, read_id: int, rows: RawRows, sent_at: float, received_at: float, now: float) -> None:
        """The response to a read came."""
        pending = self._pending.get(read_id)
        if pending is None:
            return
        try:
            outcome = ReadResponse(parse_rows(pending.read, rows), sent_at, received_at)
        except MalformedRowError as error:
            self.on_read_failed(read_id, ReadFailure(None, f"{pending.read.kind.value}: {error}"), now)
        else:
            self._complete(read_id, outcome, now)

    def on_read_failed(self, read_id: int, failure: ReadFailure, now: float) -> None:
        """A read was refused, or brought no response."""
        pending = self._pending.get(read_id)
        if pending is None:
            return
        if failure.kind in _REFUSALS:
            self._complete(read_id, Refusal(failure.kind), now)
        elif failure.kind in (ErrorKind.RATE_LIMITED, ErrorKind.BANNED):
            kind = pending.read.kind if failure.kind is ErrorKind.RATE_LIMITED else None
            self._budget.on_rate_limited(kind, failure.retry_after, now)
            self._retry(read_id, now)
        elif failure.kind is ErrorKind.KEY_REJECTED or pending.backoff.failures + 1 >= self._settings.read_attempts:
            self._fail(pending.batch, failure, now)
        else:
            self._leave_flight(pending)
            self._timers.set(read_id, now + pending.backoff.next_delay())
        self.send(now)

    def on_timer(self, now: float) -> None:
        """Retry what is due, and give up what was never answered."""
        while (read_id := self._timers.pop_due(now)) is not None:
            if self._pending[read_id].sent_at is None:
                self._retry(read_id, now)
            else:
                self.on_read_failed(read_id, ReadFailure(None, "no response came in time"), now)
        self.send(now)

    def next_timer_at(self, now: float) -> float | None:
        """When `on_timer` is to be called, None if no time matters."""
        due = self._timers.peek()
        moments = [] if due is None else [due[0]]
        if self._in_flight < self._settings.concurrent_reads:
            granted_at = self._budget.next_at(self, now)
            moments += [] if granted_at is None else [granted_at]
        return min(moments, default=None)

    def _complete(self, read_id: int, outcome: Outcome, now: float) -> None:
        pending = self._pending[read_id]
        self._remove(read_id)
        batch = pending.batch
        batch.outcomes[pending.position] = outcome
        batch.unanswered -= 1
        if not batch.unanswered:
            batch.is_over = True
            batch.on_done(tuple(batch.outcomes[position] for position in range(len(batch.outcomes))), now)
        self.send(now)

    def _fail(self, batch: Batch, failure: ReadFailure, now: float) -> None:
        self.cancel(batch)
        batch.on_done(failure, now)

    def _retry(self, read_id: int, now: float) -> None:
        pending = self._pending[read_id]
        self._leave_flight(pending)
        self._timers.cancel(read_id)
        self._budget.enqueue(self, read_id, pending.read, pending.priority)

    def _leave_flight(self, pending: _Pending) -> None:
        if pending.sent_at is not None:
            pending.sent_at = None
            self._in_flight -= 1

    def _remove(self, read_id: int) -> None:
        self._leave_flight(self._pending.pop(read_id))
        self._timers.cancel(read_id)
        self._budget.cancel(self, read_id)
