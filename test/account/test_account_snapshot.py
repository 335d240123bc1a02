"""The account as it is: from reads and events, and honest about what is not certain."""

from __future__ import annotations

from decimal import Decimal

from account_world import AccountWorld

from binance_margin_stream.account.items import AccountChanged
from binance_margin_stream.account.state.snapshot import InexactReason
from binance_margin_stream.stream.accounts import CROSS, isolated

PAIR = isolated("BTCUSDT")


def test_a_snapshot_is_exact_after_two_equal_reads():
    world = AccountWorld(CROSS)
    world.transfer(CROSS, "USDT", 5_000)
    world.go_live(CROSS)
    assert set(world.snapshot(CROSS).inexact_reasons) == {InexactReason.BALANCES, InexactReason.ORDERS}
    world.run(90)
    snapshot = world.snapshot(CROSS)
    assert snapshot.is_exact
    usdt = snapshot.balances["USDT"]
    assert (usdt.free, usdt.borrowed, usdt.interest, usdt.net) == (5_000, 7, Decimal("0.1"), Decimal("4992.9"))
    assert snapshot.margin_level == Decimal("3.2")


def test_events_keep_a_snapshot_exact():
    world = AccountWorld(PAIR)
    world.go_live(PAIR)
    world.run(60)
    order = world.place(PAIR, "BTCUSDT", quantity=5)
    world.fill(order, 2)
    world.run(1)
    snapshot = world.snapshot(PAIR)
    assert snapshot.is_exact
    assert world.check_snapshot(PAIR)
    (open_order,) = snapshot.open_orders
    assert (open_order.order_id, open_order.cumulative_filled_quantity) == (order.order_id, 2)
    assert [trade.quantity for trade in snapshot.last_trades] == [2]
    assert snapshot.as_of.since <= snapshot.as_of.until


def test_a_snapshot_is_not_exact_from_the_gap_until_it_is_confirmed_again():
    world = AccountWorld(PAIR)
    world.go_live(PAIR)
    world.run(60)
    world.go_down(PAIR)
    assert InexactReason.NOT_LIVE in world.snapshot(PAIR).inexact_reasons
    world.transfer(PAIR, "USDT", 100)
    world.run(5)
    world.go_live(PAIR)
    assert InexactReason.GAP in world.snapshot(PAIR).inexact_reasons
    took = world.run_until(lambda: world.snapshot(PAIR).is_exact, 120)
    assert took > 10
    assert world.check_snapshot(PAIR)


def test_debts_of_an_isolated_account_are_read_again_and_again():
    world = AccountWorld(PAIR)
    world.transfer(PAIR, "USDT", 1)
    world.go_live(PAIR)
    world.run(60)
    first = world.snapshot(PAIR).debts_as_of
    world.run(120)
    second = world.snapshot(PAIR).debts_as_of
    assert first is not None
    assert second is not None
    assert second.since > first.until


def test_a_changed_account_is_shown_if_asked_for():
    world = AccountWorld(PAIR, shows_changes=True)
    world.go_live(PAIR)
    world.run(60)
    before = len(world.items(PAIR, AccountChanged))
    world.run(600)
    quiet = len(world.items(PAIR, AccountChanged))
    world.place(PAIR, "BTCUSDT")
    world.run(3)
    shown = world.items(PAIR, AccountChanged)
    assert len(shown) == quiet + 1
    assert quiet - before <= 12, "only reads of debts change a quiet account"
    assert len(shown[-1].snapshot.open_orders) == 1


def test_what_is_remembered_is_bounded_by_time():
    world = AccountWorld(PAIR)
    world.go_live(PAIR)
    sizes = []
    for _ in range(8):
        for _ in range(60):
            order = world.place(PAIR, "BTCUSDT", quantity=3)
            world.fill(order, 2)
            world.cancel(order)
            world.run(20)
        state = world.manager._entries[PAIR].state
        state.fold(world.now)
        sizes.append((len(state.fills), len(state.orders)))
    assert max(fills for fills, _ in sizes) < 120
    assert max(orders for _, orders in sizes) < 120
