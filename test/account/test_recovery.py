"""How a gap is looked at, what comes of it, and when it is closed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from account_world import (
    AccountWorld,
    DisableRecovery,
    ErrorKind,
    Lag,
    ReadFailure,
    RecoveredOrder,
    RecoveredTrade,
    Recovery,
    UnprovenKind,
)

from binance_margin_stream.account.reads.requests import ReadKind
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.recovered import Unproven

PAIR = isolated("BTCUSDT")


@pytest.fixture
def world():
    world = AccountWorld(PAIR)
    world.go_live(PAIR)
    world.run(30)
    return world


def cut(world, account=PAIR, seconds=10.0):
    """The connection is lost for some seconds; the caller says what happens meanwhile."""
    world.go_down(account)
    world.at(world.now + seconds, lambda: world.go_live(account))


def test_a_fill_of_a_gap_is_recovered_with_its_sums(world):
    order = world.place(PAIR, "BTCUSDT", quantity=10)
    world.fill(order, 3)
    world.run(1)
    cut(world)
    lost = world.fill(order, 2)
    world.run(60)
    (trade,) = world.items(PAIR, RecoveredTrade)
    assert trade.trade_id == lost.trade_id
    assert trade.cumulative_filled_quantity == Decimal(5)
    assert trade.cumulative_quote_quantity == Decimal(500)
    assert trade.order_status == "PARTIALLY_FILLED"
    assert trade.client_order_id == f"c{order.order_id}"
    assert trade.identity == ("Fill", "isolated:BTCUSDT", "BTCUSDT", lost.trade_id, order.order_id)
    (closed,) = world.closed(PAIR)
    assert (closed.trades, closed.unproven, closed.is_final) == (1, (), False)


def test_an_order_that_ended_in_a_gap_gets_its_end_after_its_fills(world):
    order = world.place(PAIR, "BTCUSDT", quantity=4)
    world.run(1)
    cut(world)
    world.fill(order, 1)
    world.run(1)
    world.cancel(order)
    world.run(60)
    trade, end = [item for item in world.channels[PAIR].items if isinstance(item, RecoveredTrade | RecoveredOrder)]
    assert (trade.cumulative_filled_quantity, trade.order_status) == (1, "PARTIALLY_FILLED")
    assert (end.order_id, end.order_status, end.cumulative_filled_quantity) == (order.order_id, "CANCELED", 1)


def test_an_order_that_was_made_in_a_gap_and_is_open_is_found(world):
    cut(world)
    order = world.place(PAIR, "BTCUSDT")
    world.run(60)
    (found,) = world.items(PAIR, RecoveredOrder)
    assert (found.order_id, found.order_status) == (order.order_id, "NEW")


@pytest.mark.parametrize(("orders", "number"), [("known", 0), ("all", 1)])
def test_an_order_that_came_and_went_without_a_fill_is_found_when_all_are_asked_for(orders, number):
    world = AccountWorld(PAIR, settings=Recovery(orders=orders))
    world.go_live(PAIR)
    world.run(30)
    cut(world)
    world.cancel(world.place(PAIR, "BTCUSDT"))
    world.run(60)
    assert len(world.items(PAIR, RecoveredOrder)) == number


def test_a_symbol_that_nobody_watches_is_found_by_the_capital_flow():
    world = AccountWorld(CROSS)
    world.go_live(CROSS)
    world.run(30)
    cut(world, CROSS)
    world.fill(world.place(CROSS, "NEWUSDT", quantity=1), 1)
    world.run(120)
    assert [trade.symbol for trade in world.items(CROSS, RecoveredTrade)] == ["NEWUSDT"]


def test_the_ledger_of_cross_may_be_late_until_the_last_look():
    world = AccountWorld(CROSS)
    world.go_live(CROSS)
    world.run(30)
    cut(world, CROSS)
    world.run(200)
    (closed,) = world.closed(CROSS)
    assert closed.unproven == (Unproven(kind=UnprovenKind.LEDGER_DELAY),)
    world.run(700)
    final = world.closed(CROSS)[-1]
    assert (final.is_final, final.unproven) == (True, ())


def test_a_row_that_appears_after_minutes_is_still_handed_over(world):
    order = world.place(PAIR, "BTCUSDT", quantity=4)
    world.run(1)
    cut(world)
    world.exchange.lag = Lag(late_share=1.0)
    late = world.fill(order, 4)
    world.run(120)
    closed = world.closed(PAIR)[0]
    assert closed.unproven == (Unproven(kind=UnprovenKind.FILLS, symbol="BTCUSDT", order_id=order.order_id),)
    world.run(900)
    assert [trade.trade_id for trade in world.items(PAIR, RecoveredTrade)] == [late.trade_id]
    assert world.closed(PAIR)[-1].is_final
    assert world.closed(PAIR)[-1].unproven == ()


def test_a_fill_that_arrives_after_it_was_recovered_is_a_duplicate(world):
    order = world.place(PAIR, "BTCUSDT")
    world.run(1)
    cut(world)
    _, events = world.exchange.fill(order, 2, world.exchange_now)
    world.run(60)
    assert len(world.items(PAIR, RecoveredTrade)) == 1
    world.send(events)
    world.run(5)
    assert world.delivered_fills(PAIR).total() == 1


def test_gaps_that_come_before_the_first_is_closed_are_closed_together(world):
    for _ in range(3):
        cut(world, seconds=3)
        world.run(5)
    world.run(60)
    assert [closed.gap_ids for closed in world.closed(PAIR)] == [(1, 2, 3)]


def test_a_gap_that_is_not_closed_is_named_at_the_end(world):
    world.fail_read = lambda read, now: ReadFailure(ErrorKind.SERVER_FAULT, "503")
    cut(world)
    world.run(60)
    (gap,) = world.manager.close()
    assert (gap.gap_ids, gap.reason) == ((1,), "disconnected")
    assert world.manager.next_timer_at(world.now) is None


def test_failing_reads_are_tried_again_until_the_gap_is_closed(world):
    fails_until = world.now + 240
    world.fail_read = lambda read, now: ReadFailure(ErrorKind.SERVER_FAULT, "503") if now < fails_until else None
    cut(world)
    world.fill(world.place(PAIR, "BTCUSDT"), 1)
    world.run(230)
    asked = len(world.reads)
    assert asked < 100, "backoff"
    world.run(400)
    assert len(world.closed(PAIR)) == 1
    world.check()


def test_a_rejected_key_turns_recovery_off_with_one_warning(world):
    world.fail_read = lambda read, now: ReadFailure(ErrorKind.KEY_REJECTED, "-2015")
    cut(world)
    world.run(100)
    assert [action.message for action in world.actions if isinstance(action, DisableRecovery)] == ["-2015"]
    asked = len(world.reads)
    cut(world)
    world.run(3_000)
    assert len(world.reads) == asked
    assert not world.snapshot(PAIR).is_exact


def test_an_unknown_order_is_named_after_a_minute_and_not_before(world):
    order = world.place(PAIR, "BTCUSDT")
    world.run(1)
    cut(world)
    del world.exchange.orders[PAIR, "BTCUSDT", order.order_id]
    world.run(50)
    assert world.closed(PAIR) == []
    world.run(60)
    assert world.closed(PAIR)[0].unproven == (
        Unproven(kind=UnprovenKind.ORDER_END, symbol="BTCUSDT", order_id=order.order_id),
    )
    assert world.items(PAIR, RecoveredOrder) == []


def test_an_archived_order_is_named(world):
    order = world.place(PAIR, "BTCUSDT")
    world.run(1)
    archived = ReadFailure(ErrorKind.ORDER_ARCHIVED, "-2026")
    world.fail_read = lambda read, now: archived if read.kind is ReadKind.ORDER else None
    cut(world)
    world.cancel(order)
    world.run(120)
    assert world.closed(PAIR)[0].unproven == (
        Unproven(kind=UnprovenKind.ORDER_ARCHIVED, symbol="BTCUSDT", order_id=order.order_id),
    )


def test_a_symbol_that_the_exchange_refuses_is_named_and_holds_up_nothing_else():
    world = AccountWorld(CROSS, settings=Recovery(symbols=frozenset({"GONEUSDT", "BTCUSDT"})))
    world.go_live(CROSS)
    world.run(30)
    world.exchange.refused_symbols.add("GONEUSDT")
    cut(world, CROSS)
    world.fill(world.place(CROSS, "BTCUSDT"), 1)
    world.run(200)
    assert Unproven(kind=UnprovenKind.SYMBOL, symbol="GONEUSDT") in world.closed(CROSS)[0].unproven
    assert len(world.items(CROSS, RecoveredTrade)) == 1


def test_a_malformed_row_is_asked_for_again_and_nothing_is_guessed(world):
    serve, spoiled = world.exchange.serve, []

    def spoil(read, now):
        rows = serve(read, now)
        if read.kind is ReadKind.MY_TRADES and rows and len(spoiled) < 2:
            spoiled.append(read)
            return [{**rows[0], "qty": "much"}]
        return rows

    world.exchange.serve = spoil
    cut(world)
    world.fill(world.place(PAIR, "BTCUSDT"), 1)
    world.run(120)
    assert len(spoiled) == 2
    world.check()
    assert len(world.items(PAIR, RecoveredTrade)) == 1


def test_the_clock_of_the_exchange_may_differ_by_hours():
    world = AccountWorld(PAIR, clock_offset=-7_200_000)
    world.go_live(PAIR)
    world.run(30)
    cut(world)
    world.fill(world.place(PAIR, "BTCUSDT"), 1)
    world.run(120)
    world.check()
    assert len(world.items(PAIR, RecoveredTrade)) == 1


def test_hundreds_of_accounts_recover_in_turn_with_cross_first():
    accounts = (*(isolated(f"A{number}USDT") for number in range(150)), CROSS)
    world = AccountWorld(*accounts)
    for account in accounts:
        world.go_live(account)
    world.run(60)
    for account in accounts:
        world.go_down(account)
        world.fill(world.place(account, account.symbol or "BTCUSDT"), 1)
    world.run(5)
    most = 0
    for account in accounts:
        world.go_live(account)
    started, order = world.now, []
    while any(not world.closed(account) for account in accounts):
        world.run(1)
        order += [account for account in accounts if world.closed(account) and account not in order]
        most = max(most, len(world.manager._queue))
        assert world.now < started + 600
    assert most < 600
    assert order.index(CROSS) < 10
    world.check_budget()
    for account in accounts:
        world.check_fills(account)


def test_nothing_is_concluded_before_the_time_of_the_exchange_is_known():
    world = AccountWorld(PAIR)
    world.place(PAIR, "BTCUSDT")
    fails_until = world.now + 100

    def fail(read, now):
        is_clock = read.kind is ReadKind.SERVER_TIME
        return ReadFailure(ErrorKind.SERVER_FAULT, "503") if is_clock and now < fails_until else None

    world.fail_read = fail
    world.go_live(PAIR)
    cut(world)
    world.fill(world.place(PAIR, "BTCUSDT"), 1)
    world.run(95)
    assert not world.snapshot(PAIR).is_exact
    assert world.closed(PAIR) == []
    world.run(200)
    assert len(world.closed(PAIR)) == 1
    assert world.check_snapshot(PAIR)
