"""The frontier rule, broken on purpose in one place at a time: a property has to notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

from binance_margin_stream.relay import account_frontier, frontier
from binance_margin_stream.relay.coverage import CoverageTracker
from binance_margin_stream.relay.frontier import AccountEntry, FrontierEntry, HoleTimer, TimeRange
from binance_margin_stream.relay.occurrences import OccurrenceCounter
from binance_margin_stream.stream.accounts import CROSS
from simulation.frontier import reader
from simulation.frontier.checks import FrontierViolation
from simulation.frontier.choices import RandomChoices
from simulation.frontier.reader import Reader
from simulation.frontier.run import play
from simulation.frontier.store import EntryState, Store
from simulation.frontier.stream import ModelStream, ModelSubscription

__all__ = ["FRONTIER_MUTATIONS", "FrontierMutation", "find_frontier_violation"]

STORED = "everything is stored or lies in a gap"
TWICE = "nothing is stored twice"
BACK = "the frontier never goes back"
FOREVER = "no hole waits for ever"
FALSE_GAP = "a new account begins without a gap"
FILLED = "no gap is written that was filled before"


@dataclass(frozen=True, slots=True)
class FrontierMutation:
    """A broken rule: what is put in the place of what, and the properties that may notice."""

    name: str
    target: object
    attribute: str
    replacement: object
    expected: frozenset[str]

    def __str__(self) -> str:
        return self.name


_original_create = frontier.create_entry
_original_observe = CoverageTracker.observe
_original_request = Reader._request


def _make_tracker(latency_error: int, clock_error: int) -> Callable[..., CoverageTracker]:
    def make(*, latency_bound_ms: int, clock_error_bound_ms: int) -> CoverageTracker:
        return CoverageTracker(
            latency_bound_ms=latency_bound_ms - latency_error, clock_error_bound_ms=clock_error_bound_ms - clock_error
        )

    return make


def _publish_gap_by_frontier(
    self: Reader, content: str, gap: TimeRange, on_acknowledged: Callable[[], None], now: int
) -> None:
    event_id = f"gap {gap.start}"
    self._request(now, lambda: self._store.publish(event_id, gap), lambda _: on_acknowledged())


def _write_without_acknowledgement(
    self: Reader, content: str, gap: TimeRange, on_acknowledged: Callable[[], None], now: int
) -> None:
    event_id = reader.make_gap_id(CROSS, content, gap)
    self._store.request(now, lambda: self._store.publish(event_id, gap), lambda _: None)
    on_acknowledged()


_original_count = OccurrenceCounter.count


def _count_across_connections(self: OccurrenceCounter, identity: str, subscription: int, *, is_covered: bool) -> int:
    return _original_count(self, identity, subscription, is_covered=True)


def _count_delivered_only(self: OccurrenceCounter, identity: str, subscription: int, *, is_covered: bool) -> int:
    return _original_count(self, identity, subscription, is_covered=False)


def _claim_at_once(self: CoverageTracker, position: int) -> None:
    for span in self._spans():
        if span.end is not None:
            span.claimable_end = span.end


def _join_connections(self: CoverageTracker, views: list[ModelSubscription], *rest: object) -> None:
    """Take every subscription for the first one."""
    latest = [replace_number(view) for view in views if view.is_open]
    _original_observe(self, latest[-1:], *rest)  # type: ignore[arg-type]


def replace_number(view: ModelSubscription) -> ModelSubscription:
    """The same view under the number of the first subscription."""
    return replace(view, subscription=1)


def _ignore_covered_until(self: CoverageTracker, views: object, covered: object, *rest: object) -> None:
    _original_observe(self, views, {CROSS: 10**9}, *rest)  # type: ignore[arg-type]


def _jump_over_hole(entry: FrontierEntry) -> FrontierEntry:
    """Publish nothing: the gap is forgotten."""
    return replace(entry, frontier=entry.islands[0].end, islands=entry.islands[1:])


def _restart_timer(self: HoleTimer, entry: FrontierEntry | None, now: float) -> HoleTimer:
    islands = entry.islands if entry is not None else ()
    return HoleTimer({island.start: now for island in islands})


def _write_blindly(self: Store, entry: AccountEntry, revision: int) -> bool:
    before = self.state.entry
    self._revision += 1
    self.state = EntryState(entry, self._revision)
    self.on_write(before, entry)
    return True


def _take_lost_entry_for_new(claim_start: int, *, is_lost: bool) -> FrontierEntry:
    return _original_create(claim_start, is_lost=False)


def _start_at_response(self: CoverageTracker, span: object, at: int, to_server_time: Callable[[int], int]) -> None:
    span.start = to_server_time(at)  # type: ignore[attr-defined]


def _use_pong_time(self: ModelStream, subscription: ModelSubscription, now: int) -> None:
    subscription.ping_sent_at, subscription.open_ping = now + self._skew, None


FRONTIER_MUTATIONS = (
    FrontierMutation("L - 1 in place of L", reader, "CoverageTracker", _make_tracker(1, 0), frozenset({STORED})),
    FrontierMutation("K - 1 in place of K", reader, "CoverageTracker", _make_tracker(0, 1), frozenset({STORED})),
    FrontierMutation(
        "a gap's identifier is made of its beginning alone", Reader, "publish_gap", _publish_gap_by_frontier,
        frozenset({STORED}),
    ),
    FrontierMutation(
        "equal events are counted across connections", OccurrenceCounter, "count", _count_across_connections,
        frozenset({TWICE}),
    ),
    FrontierMutation(
        "events that the stream removed are not counted", OccurrenceCounter, "count", _count_delivered_only,
        frozenset({STORED}),
    ),
    FrontierMutation(
        "an interval is claimed before its events are stored", CoverageTracker, "checkpoint", _claim_at_once,
        frozenset({STORED}),
    ),
    FrontierMutation(
        "intervals are joined across connections", CoverageTracker, "observe", _join_connections, frozenset({STORED})
    ),
    FrontierMutation(
        "the stream's held events are ignored", CoverageTracker, "observe", _ignore_covered_until, frozenset({STORED})
    ),
    FrontierMutation(
        "a gap within a subscription is ignored", CoverageTracker, "break_spans", lambda *_: None, frozenset({STORED})
    ),
    FrontierMutation(
        "a hole is passed without a gap", frontier, "move_hole_to_pending", _jump_over_hole, frozenset({STORED})
    ),
    FrontierMutation(
        "a pending gap is removed before it is acknowledged", Reader, "publish_gap", _write_without_acknowledgement,
        frozenset({STORED}),
    ),
    FrontierMutation("the hole wait starts again with every look", HoleTimer, "observe", _restart_timer,
                     frozenset({FOREVER})),
    FrontierMutation(
        "the entry is written without compare-and-set", Store, "compare_and_set", _write_blindly,
        frozenset({STORED, BACK, FILLED}),
    ),
    FrontierMutation(
        "a lost entry is taken for a new account", account_frontier, "create_entry", _take_lost_entry_for_new,
        frozenset({STORED}),
    ),
    FrontierMutation(
        "coverage starts at the response itself", CoverageTracker, "_set_start", _start_at_response,
        frozenset({STORED}),
    ),
    FrontierMutation(
        "coverage ends at the pong in place of the ping", ModelStream, "_on_pong", _use_pong_time, frozenset({STORED})
    ),
    FrontierMutation(
        "events are published before the entry exists", account_frontier.AccountFrontier, "is_ready",
        property(lambda _: True, lambda *_: None), frozenset({FALSE_GAP}),
    ),
)  # fmt: skip
"""The table of `docs/reliability.md`."""


@contextmanager
def frontier_mutated(mutation: FrontierMutation) -> Iterator[None]:
    """Break a rule for a while."""
    with patch.object(mutation.target, mutation.attribute, mutation.replacement, create=True):
        yield


def find_frontier_violation(mutation: FrontierMutation, seeds: int = 4000) -> tuple[int, FrontierViolation | None]:
    """Play schedules until a property notices: how many were played, and what was seen."""
    with frontier_mutated(mutation):
        for seed in range(seeds):
            violation = play(RandomChoices(seed), readers=1 + seed % 3).violation
            if violation is not None:
                return seed + 1, violation
    return seeds, None
