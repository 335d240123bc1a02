"""The frontier rule itself, as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.relay.account_frontier import (
    AccountFrontier,
    CheckStoredEvents,
    PublishAccountGap,
    WaitForCoverage,
    WriteAccountEntry,
)
from binance_margin_stream.relay.coverage import CoverageTracker
from binance_margin_stream.relay.entry_codec import entry_from_json, entry_to_json
from binance_margin_stream.relay.errors import StoredFormError
from binance_margin_stream.relay.frontier import (
    AccountEntry,
    FrontierEntry,
    HoleTimer,
    PublishGap,
    TimeRange,
    Wait,
    WriteEntry,
    add_claims,
    create_entry,
    decide,
    is_recorded,
    move_hole_to_pending,
)
from binance_margin_stream.stream.accounts import CROSS

INTERVALS = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda each: TimeRange(each[0], each[0] + each[1]))


@st.composite
def entries(draw: st.DrawFn) -> FrontierEntry:
    entry = create_entry(draw(st.integers(1, 30)), is_lost=draw(st.booleans()))
    entry = add_claims(entry, draw(st.lists(INTERVALS, max_size=6)))
    for _ in range(draw(st.integers(0, len(entry.islands)))):
        entry = move_hole_to_pending(entry)
    return entry


def milliseconds(*intervals: TimeRange) -> set[int]:
    return {at for each in intervals for at in range(each.start, each.end + 1)}


@given(entries(), st.lists(INTERVALS, max_size=6))
def test_claims_add_exactly_their_own_milliseconds(entry: FrontierEntry, claims: list[TimeRange]) -> None:
    after = add_claims(entry, claims)
    known = set(range(entry.frontier + 1)) | milliseconds(*entry.islands)
    assert set(range(after.frontier + 1)) | milliseconds(*after.islands) == known | milliseconds(*claims)
    assert after.frontier >= entry.frontier
    assert after.pending == entry.pending


@given(entries(), st.lists(INTERVALS, max_size=4))
def test_the_order_of_claims_does_not_matter(entry: FrontierEntry, claims: list[TimeRange]) -> None:
    together = add_claims(entry, claims)
    for claim in reversed(claims):
        entry = add_claims(entry, [claim])
    assert entry == together


@given(entries(), st.lists(INTERVALS, max_size=4))
def test_recorded_claims_change_nothing(entry: FrontierEntry, claims: list[TimeRange]) -> None:
    after = add_claims(entry, claims)
    assert all(is_recorded(after, claim) for claim in claims)
    assert add_claims(after, claims) == after


@given(entries())
def test_a_hole_becomes_a_gap_in_the_change_that_passes_it(entry: FrontierEntry) -> None:
    hole = entry.hole
    if hole is None:
        with pytest.raises(ValueError, match="no hole"):
            move_hole_to_pending(entry)
        return
    after = move_hole_to_pending(entry)
    assert hole in after.pending
    assert after.frontier == entry.islands[0].end
    assert after.covered_until < hole.start


@given(entries(), st.lists(INTERVALS, max_size=3), st.integers(0, 200), st.booleans())
def test_a_decision_ends_in_waiting(entry: FrontierEntry, claims: list[TimeRange], now: int, seen: bool) -> None:
    timer = HoleTimer().observe(entry, now - 100 if seen else now)
    for _ in range(20):
        match decide(entry, claims, timer, now, hole_wait=60):
            case PublishGap(gap=gap, entry=changed):
                assert gap in entry.pending
                assert gap not in changed.pending
                entry = changed
            case WriteEntry(entry=changed):
                entry = changed
            case Wait(until=until):
                assert until is None or until > now
                return
        timer = timer.observe(entry, now)
    raise AssertionError("it goes on for ever")


def test_a_hole_that_is_old_enough_is_passed_while_new_claims_come() -> None:
    entry = FrontierEntry(frontier=10, origin=1, islands=(TimeRange(20, 30),))
    timer = HoleTimer().observe(entry, 0)
    match decide(entry, [TimeRange(20, 35)], timer, 60, hole_wait=60):
        case WriteEntry(entry=changed):
            assert changed == FrontierEntry(frontier=35, origin=1, pending=(TimeRange(11, 19),))
        case other:
            raise AssertionError(other)


def test_the_hole_wait_runs_on_while_the_frontier_moves() -> None:
    entry = FrontierEntry(frontier=10, origin=1, islands=(TimeRange(20, 30),))
    timer = HoleTimer().observe(entry, 0)
    moved = add_claims(entry, [TimeRange(11, 15)])
    assert timer.observe(moved, 50).expires_at(moved, 60) == 60


@given(st.dictionaries(st.sampled_from(["orders", "notices", "risk"]), entries()), st.booleans())
def test_an_entry_is_read_back_exactly(contents: dict[str, FrontierEntry], is_recreated: bool) -> None:
    entry = AccountEntry(contents, is_recreated)
    assert entry_from_json(entry_to_json(entry)) == entry


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2,"is_recreated":false,"contents":{}}',
        b'{"version":1,"is_recreated":0,"contents":{}}',
        b'{"version":1,"is_recreated":false,"contents":{"orders":{"frontier":1}}}',
        b'{"version":1,"is_recreated":false,"contents":{"orders":'
        b'{"frontier":9,"origin":1,"islands":[[10,12]],"pending":[]}}}',
        b'{"version":1,"is_recreated":false,"contents":{"orders":'
        b'{"frontier":9.0,"origin":1,"islands":[],"pending":[]}}}',
        b'{"version": 1,"is_recreated":false,"contents":{}}',
    ],
)
def test_a_foreign_entry_is_refused(data: bytes) -> None:
    with pytest.raises(StoredFormError, match="purge the key"):
        entry_from_json(data)


class View:
    def __init__(self, subscription: int, source: str = "token", ping: int | None = None, is_open: bool = True) -> None:
        self.subscription, self.source, self.account = subscription, source, CROSS
        self.live_at, self.ping_sent_at, self.is_open = 1000 * subscription, ping, is_open


def make_tracker() -> CoverageTracker:
    return CoverageTracker(latency_bound_ms=10, clock_error_bound_ms=5)


def observe(tracker: CoverageTracker, *views: View, covered: int = 10**6, now: int = 0) -> None:
    tracker.observe(views, {CROSS: covered}, lambda at: at, now)
    tracker.checkpoint(0)
    tracker.on_acknowledged(0)


def test_a_claim_lies_between_the_response_and_the_ping() -> None:
    tracker = make_tracker()
    observe(tracker, View(1, ping=2000))
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 1984),)
    assert tracker.claims(CROSS, "risk") == ()


def test_an_event_extends_a_claim_without_a_clock() -> None:
    tracker = make_tracker()
    observe(tracker, View(1))
    tracker.on_item(1, CROSS, 3000)
    observe(tracker, View(1))
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 2989),)


def test_nothing_is_claimed_before_it_is_stored() -> None:
    tracker = make_tracker()
    tracker.observe([View(1, ping=2000)], {CROSS: 10**6}, lambda at: at, 0)
    tracker.checkpoint(7)
    tracker.on_acknowledged(6)
    assert tracker.claims(CROSS, "orders") == ()
    tracker.on_acknowledged(7)
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 1984),)


def test_connections_are_not_joined() -> None:
    tracker = make_tracker()
    observe(tracker, View(1, ping=1900, is_open=False), View(2, ping=3000))
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 1884), TimeRange(2006, 2984))


def test_a_gap_within_a_subscription_divides_it() -> None:
    tracker = make_tracker()
    observe(tracker, View(1, ping=2000))
    tracker.break_spans(CROSS)
    observe(tracker, View(1, ping=4000), now=3000)
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 1984), TimeRange(3006, 3984))


def test_a_ping_proves_nothing_beyond_what_the_stream_covered() -> None:
    tracker = make_tracker()
    observe(tracker, View(1, ping=3000), covered=2000)
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 1984),)


def test_nothing_is_claimed_while_the_clock_is_unknown() -> None:
    tracker = make_tracker()
    tracker.observe([View(1, ping=3000)], {CROSS: 10**6}, lambda at: None, 0)
    tracker.checkpoint(0)
    tracker.on_acknowledged(0)
    assert tracker.claims(CROSS, "orders") == ()
    assert tracker.first_start(CROSS, "orders") is None


def test_a_closed_span_is_kept_until_the_entry_holds_it() -> None:
    tracker = make_tracker()
    observe(tracker, View(1, ping=2000, is_open=False))
    tracker.forget_recorded(CROSS, {"orders": FrontierEntry(frontier=1500, origin=1)})
    assert tracker.claims(CROSS, "orders") == (TimeRange(1006, 1984),)
    tracker.forget_recorded(CROSS, {"orders": FrontierEntry(frontier=1984, origin=1)})
    assert tracker.claims(CROSS, "orders") == ()


def make_reader(*views: View) -> AccountFrontier:
    tracker = make_tracker()
    observe(tracker, *views)
    return AccountFrontier(CROSS, tracker, hole_wait=60)


def test_a_new_account_begins_without_a_gap() -> None:
    reader = make_reader(View(1))
    assert reader.decide(None, 0) == CheckStoredEvents()
    decision = reader.decide(None, 0, has_stored_events=False)
    assert decision == WriteAccountEntry(AccountEntry({"orders": FrontierEntry(frontier=1005, origin=1006)}))
    assert not reader.is_ready


def test_a_lost_entry_begins_with_a_gap_of_the_whole_past() -> None:
    reader = make_reader(View(1))
    match reader.decide(None, 0, has_stored_events=True):
        case WriteAccountEntry(entry=entry):
            assert entry.is_recreated
            assert entry.contents["orders"].pending == (TimeRange(0, 1005),)
        case other:
            raise AssertionError(other)


def test_content_that_joins_an_entry_begins_without_a_gap() -> None:
    reader = make_reader(View(1), View(2, source="risk"))
    entry = AccountEntry({"orders": FrontierEntry(frontier=1005, origin=1006)})
    match reader.decide(entry, 0):
        case WriteAccountEntry(entry=changed):
            assert changed.contents["risk"] == FrontierEntry(frontier=2005, origin=2006)
        case other:
            raise AssertionError(other)
    assert reader.is_ready


def test_any_reader_publishes_a_pending_gap() -> None:
    reader = make_reader(View(1))
    gap = TimeRange(5, 9)
    entry = AccountEntry({"orders": FrontierEntry(frontier=20, origin=1, pending=(gap,))})
    match reader.decide(entry, 0):
        case PublishAccountGap(content="orders", gap=found, entry=changed):
            assert found == gap
            assert changed.contents["orders"].pending == ()
        case other:
            raise AssertionError(other)


def test_a_reader_waits_for_the_end_of_the_hole_wait() -> None:
    reader = make_reader(View(1))
    entry = AccountEntry({"orders": FrontierEntry(frontier=20, origin=1, islands=(TimeRange(30, 40),))})
    assert reader.decide(entry, 5) == WaitForCoverage(65)
