"""No endpoint is asked more than its share in any minute, and what waits is served in turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.account.reads.budget import ReadBudget, compute_charge
from binance_margin_stream.account.reads.requests import MINUTE_LIMIT, Read, ReadKind
from binance_margin_stream.stream.accounts import CROSS


class Owner:
    """Somebody who reads."""


TRADES = Read(ReadKind.MY_TRADES, CROSS, {"symbol": "BTCUSDT"})
FLOW = Read(ReadKind.CAPITAL_FLOW, CROSS)
ALL_OPEN = Read(ReadKind.OPEN_ORDERS, CROSS)
KINDS = [TRADES, FLOW, ALL_OPEN, Read(ReadKind.ALL_ORDERS, CROSS, {"symbol": "BTCUSDT"})]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 20)), max_size=300), st.floats(0.01, 1))
def test_no_minute_uses_more_than_the_share(reads, share):
    budget, owner, now, sent = ReadBudget(share), Owner(), 0.0, []
    waiting = dict(enumerate(reads))
    for read_id, (read, pause) in waiting.items():
        budget.enqueue(owner, read_id, read, 0)
        now += pause
        sent += [(now, waiting[granted][0]) for granted in budget.grant(owner, now, 1000)]
    while (at := budget.next_at(owner, now)) is not None:
        now = max(at, now)
        granted = budget.grant(owner, now, 1000)
        assert granted, "what next_at promises is granted"
        sent += [(now, waiting[each][0]) for each in granted]
    assert len(sent) == len(reads)
    limit = max(1, int(MINUTE_LIMIT * share))
    for kind in ReadKind:
        charges = [(at, compute_charge(read, limit)) for at, read in sent if read.kind is kind]
        for start, _ in charges:
            assert sum(weight for at, weight in charges if start <= at < start + 60) <= limit


def test_the_lowest_priority_is_served_first_whoever_asks():
    budget, cross, pair = ReadBudget(100 / MINUTE_LIMIT), Owner(), Owner()
    for read_id in range(12):
        budget.enqueue(pair, read_id, TRADES, 1)
    budget.enqueue(cross, 100, TRADES, 0)
    assert len(budget.grant(pair, 0.0, 50)) == 9
    assert budget.grant(cross, 0.0, 50) == [100]
    assert budget.grant(pair, 60.0, 50) == []
    assert len(budget.grant(pair, 61.5, 50)) == 3


def test_all_open_orders_are_listed_once_a_minute_and_leave_room_for_those_of_a_symbol():
    budget, owner = ReadBudget(), Owner()
    for read_id, read in enumerate([ALL_OPEN, ALL_OPEN, Read(ReadKind.OPEN_ORDERS, CROSS, {"symbol": "BTCUSDT"})]):
        budget.enqueue(owner, read_id, read, read_id % 2)
    assert budget.grant(owner, 0.0, 5) == [0, 2]
    assert budget.next_at(owner, 0.0) == 61.0


def test_an_owner_that_is_gone_holds_up_nobody():
    budget, gone, owner = ReadBudget(10 / MINUTE_LIMIT), Owner(), Owner()
    budget.enqueue(gone, 1, TRADES, 0)
    budget.enqueue(owner, 2, TRADES, 1)
    assert budget.grant(owner, 0.0, 5) == []
    del gone
    assert budget.grant(owner, 0.0, 5) == [2]


def test_a_rate_limit_quiets_its_endpoint_and_a_ban_quiets_all():
    budget, owner = ReadBudget(), Owner()
    budget.on_rate_limited(ReadKind.MY_TRADES, 30.0, 0.0)
    budget.enqueue(owner, 1, TRADES, 0)
    budget.enqueue(owner, 2, FLOW, 0)
    assert budget.grant(owner, 29.0, 5) == [2]
    assert budget.next_at(owner, 29.0) == 30.0
    budget.on_rate_limited(None, None, 29.0)
    assert budget.grant(owner, 88.0, 5) == []
    assert budget.grant(owner, 89.0, 5) == [1]


def test_other_programs_of_the_address_are_made_room_for():
    budget, owner = ReadBudget(1 / 3), Owner()
    budget.enqueue(owner, 1, TRADES, 0)
    budget.on_used_weight(ReadKind.MY_TRADES, 7_000, 0.0)
    assert budget.grant(owner, 0.0, 5) == [1]
    budget.enqueue(owner, 2, TRADES, 0)
    budget.on_used_weight(ReadKind.MY_TRADES, 9_000, 0.0)
    assert budget.grant(owner, 59.0, 5) == []
    assert budget.grant(owner, 60.0, 5) == [2]


def test_a_read_that_is_cancelled_is_not_sent():
    budget, owner = ReadBudget(), Owner()
    budget.enqueue(owner, 1, TRADES, 0)
    budget.enqueue(owner, 2, TRADES, 0)
    budget.cancel(owner, 1)
    assert budget.grant(owner, 0.0, 5) == [2]
