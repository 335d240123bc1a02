"""The comparison with the exchange finds what no gap reports."""

from __future__ import annotations

from account_world import AccountWorld, ChangeSource, RecoveredTrade

from binance_margin_stream.account.actions import EmitGap
from binance_margin_stream.stream.accounts import CROSS, isolated

PAIR = isolated("BTCUSDT")


def make_world(account=PAIR):
    world = AccountWorld(account)
    world.go_live(account)
    world.run(90)
    return world


def audit_gaps(world):
    return [action for action in world.actions if isinstance(action, EmitGap)]


def test_a_healthy_stream_has_no_audit_gap():
    world = make_world()
    for _ in range(200):
        order = world.place(PAIR, "BTCUSDT", quantity=2)
        world.run(7)
        world.fill(order, 1)
        world.run(13)
        world.cancel(order)
    world.run(5)
    assert audit_gaps(world) == []
    world.check()


def test_a_fill_that_was_never_sent_shows_with_the_next_one_of_its_order():
    world = make_world()
    order = world.place(PAIR, "BTCUSDT")
    world.run(5)
    world.fill(order, 1, lose=True)
    world.run(5)
    world.fill(order, 1)
    world.run(60)
    (gap,) = audit_gaps(world)
    assert gap.reason == "audit"
    world.run(800)
    world.check()
    assert len(world.items(PAIR, RecoveredTrade)) == 1


def test_a_fill_that_was_never_sent_shows_in_the_audit():
    world = make_world()
    order = world.place(PAIR, "BTCUSDT")
    world.run(5)
    world.fill(order, 1, lose=True)
    world.run(1_500)
    assert len(audit_gaps(world)) == 1
    world.check()
    assert len(world.items(PAIR, RecoveredTrade)) == 1


def test_an_order_that_was_made_and_filled_without_a_frame_shows_by_the_balances():
    world = make_world()
    world.fill(world.place(PAIR, "BTCUSDT", quantity=2, lose=True), 2, lose=True)
    world.run(1_500)
    assert len(audit_gaps(world)) == 1
    assert len(world.items(PAIR, RecoveredTrade)) == 1


def test_a_source_that_is_silent_though_connected_is_left_when_it_happens_again():
    world = make_world(CROSS)
    world.silent.append((world.now, world.now + 4_000))
    for _ in range(20):
        world.fill(world.place(CROSS, "BTCUSDT", quantity=2), 2)
        world.run(150)
    assert len(audit_gaps(world)) >= 2
    assert ChangeSource(CROSS) in world.actions
    assert world.actions.index(ChangeSource(CROSS)) > world.actions.index(audit_gaps(world)[0])


def test_a_transfer_that_was_never_sent_corrects_the_balances():
    world = make_world()
    world.transfer(PAIR, "USDT", 500, lose=True)
    world.run(1_500)
    assert len(audit_gaps(world)) == 1
    assert world.check_snapshot(PAIR)
