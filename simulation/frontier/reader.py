"""A reader of the model: the decisions of the relay, driven over the model's stream and store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from binance_margin_stream.relay import account_frontier
from binance_margin_stream.relay.account_frontier import AccountFrontier
from binance_margin_stream.relay.coverage import CoverageTracker
from binance_margin_stream.relay.event_ids import make_gap_id
from binance_margin_stream.relay.frontier import AccountEntry, TimeRange
from binance_margin_stream.relay.occurrences import OccurrenceCounter
from binance_margin_stream.stream.accounts import CROSS
from simulation.frontier.choices import Choices
from simulation.frontier.exchange import LATENCY_BOUND, Exchange, ModelEvent
from simulation.frontier.store import STORE_TIMEOUT, EntryState, Store
from simulation.frontier.stream import ModelStream, StreamBreak, StreamedEvent

__all__ = ["CLOCK_ERROR_BOUND", "HOLE_WAIT", "Reader"]

CLOCK_ERROR_BOUND = 2
HOLE_WAIT = 60
_WINDOW = 3


@dataclass(slots=True)
class _Publish:
    position: int
    event_id: str
    event: ModelEvent
    sent_at: int | None = None
    is_acknowledged: bool = False


class Reader:
    """One process. `skew` is how wrong its clock is; its estimate of the exchange's clock errs within the bound."""

    def __init__(self, exchange: Exchange, store: Store, choices: Choices, skew: int) -> None:
        self._exchange = exchange
        self._store = store
        self._choices = choices
        self._skew = skew
        self.starts_at: int | None = 0
        self.frozen_until = 0
        self.stream: ModelStream | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or will."""
        return self.starts_at is not None

    def crash(self, restart_at: int | None) -> None:
        """Lose everything that is in memory."""
        if self.stream is not None:
            self.stream.close()
        self.stream = None
        self.starts_at = restart_at

    def step(self, now: int) -> None:
        """What the process does in this millisecond."""
        if self.starts_at is None or now < self.starts_at or now < self.frozen_until:
            return
        stream = self.stream if self.stream is not None else self._start()
        stream.step(now)
        self._take(stream, now)
        self._publish(now)
        self._step_frontier(now)

    def _start(self) -> ModelStream:
        self.stream = stream = ModelStream(self._exchange, self._choices, self._skew)
        self._tracker = CoverageTracker(latency_bound_ms=LATENCY_BOUND, clock_error_bound_ms=CLOCK_ERROR_BOUND)
        self._occurrences = OccurrenceCounter()
        self._frontier = AccountFrontier(CROSS, self._tracker, HOLE_WAIT)
        self._queue: deque[_Publish] = deque()
        self._position = 0
        self._request_sent_at: int | None = None
        self._request_number = 0
        self._state: EntryState | None = None
        self._next_read_at = 0
        return stream

    def _to_server_time(self, at: int) -> int:
        return at - self._skew + (0, CLOCK_ERROR_BOUND, -CLOCK_ERROR_BOUND)[self._choices.pick(3)]

    def _take(self, stream: ModelStream, now: int) -> None:
        self._tracker.register(stream.views, self._to_server_time)
        while stream.items:
            match stream.items.popleft():
                case StreamedEvent(event=event, subscription=subscription):
                    self._position += 1
                    event_id = self._make_id(event, subscription)
                    self._queue.append(_Publish(self._position, event_id, event))
                    self._tracker.on_item(subscription, CROSS, event.time)
                case StreamBreak():
                    self._tracker.break_spans(CROSS)
            if self._choices.pick(2, 0.9):
                return  # a slow consumer: what is left waits in the stream
        covered = {CROSS: stream.covered_until} if stream.covered_until is not None else {}
        self._tracker.observe(stream.views, covered, self._to_server_time, now + self._skew)
        stream.views = [view for view in stream.views if view.is_open]
        self._tracker.checkpoint(self._position)

    def _make_id(self, event: ModelEvent, subscription: int) -> str:
        if not event.is_repeatable:
            return event.identity
        is_covered = self._tracker.covers(subscription, event.time)
        return f"{event.identity} {self._occurrences.count(event.identity, subscription, is_covered=is_covered)}"

    def _publish(self, now: int) -> None:
        while self._queue and self._queue[0].is_acknowledged:
            self._tracker.on_acknowledged(self._queue.popleft().position)
        if not self._queue:
            self._tracker.on_acknowledged(self._position)
        if not self._frontier.is_ready:
            return
        for publish in list(self._queue)[:_WINDOW]:
            if publish.is_acknowledged or (publish.sent_at is not None and now < publish.sent_at + STORE_TIMEOUT):
                continue
            publish.sent_at = now
            self._send_event(publish, now)

    def _send_event(self, publish: _Publish, now: int) -> None:
        def on_response(_: object) -> None:
            publish.is_acknowledged = True

        self._store.request(now, lambda: self._store.publish(publish.event_id, publish.event), on_response)

    def _step_frontier(self, now: int) -> None:
        if self._request_sent_at is not None and now < self._request_sent_at + STORE_TIMEOUT:
            return
        self._request_sent_at = None
        if self._state is None and now >= self._next_read_at:
            self._next_read_at = now + 3
            self._request(now, self._store.read, self._on_read)
        elif self._state is not None:
            state, self._state = self._state, None
            self._act(state, now)

    def _request(self, now: int, execute: Callable[[], object], on_response: Callable[[object], None]) -> None:
        """Send a request; a response that comes after its timeout is ignored."""
        self._request_sent_at = now
        self._request_number += 1
        number, stream = self._request_number, self.stream

        def on_time(response: object) -> None:
            if number == self._request_number and stream is self.stream and self._request_sent_at is not None:
                self._request_sent_at = None
                on_response(response)

        self._store.request(now, execute, on_time)

    def _on_read(self, response: object) -> None:
        if isinstance(response, EntryState):
            self._state = response

    def _act(self, state: EntryState, now: int, has_stored_events: bool | None = None) -> None:
        decision = self._frontier.decide(state.entry, now, has_stored_events=has_stored_events)
        match decision:
            case account_frontier.CheckStoredEvents():
                self._request(
                    now,
                    self._store.has_stored_events,
                    lambda response: self._act(state, now, state.is_deleted or bool(response)),
                )
            case account_frontier.WriteAccountEntry(entry=entry):
                self._write(entry, state, now)
            case account_frontier.PublishAccountGap(content=content, gap=gap, entry=entry):
                self.publish_gap(content, gap, lambda: self._write(entry, state, now), now)
            case account_frontier.WaitForCoverage():
                pass

    def publish_gap(self, content: str, gap: TimeRange, on_acknowledged: Callable[[], None], now: int) -> None:
        """Store a gap, and go on when it is acknowledged."""
        event_id = make_gap_id(CROSS, content, gap)
        self._request(now, lambda: self._store.publish(event_id, gap), lambda _: on_acknowledged())

    def _write(self, entry: AccountEntry, state: EntryState, now: int) -> None:
        self._request(now, lambda: self._store.compare_and_set(entry, state.revision), lambda _: None)
