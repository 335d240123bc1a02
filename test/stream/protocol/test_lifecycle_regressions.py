"""What the simulation found, each by itself: the seeds that showed it are in `make soak`."""

from __future__ import annotations

import pytest
from fake_exchange import Behaviour, World

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, State

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")
DAY = 86400.0


def test_after_a_refused_country_nothing_more_is_planned():
    world = World([CROSS]).start().live()
    world.be.refuse_connections = Failure(FailureKind.COUNTRY_BLOCKED, "HTTP 451")
    world.until(lambda: world.life.state is State.FAILED, DAY)
    assert world.life.state is State.FAILED
    assert world.life.next_timer_at() is None


def test_connections_on_which_nothing_can_be_subscribed_are_closed():
    world = World([BTC, ETH])
    busy = ResponseFrame(None, 400, None, -1000, "busy")

    def refuse(conn, number, token):
        world.reply(conn, ResponseFrame(number, busy.status, None, busy.error_code, busy.error_message), "subscribe")

    world.subscribe = refuse
    world.start().run(600)
    assert len(world.connects) > 3
    assert len(world.open_conns()) <= 2


def test_a_late_answer_does_not_bring_back_a_subscription_that_was_ended():
    world = World([BTC, ETH])
    world.be.lose_answer = lambda method: method == "subscribe" and not world.told("not subscribed")
    world.start().until(lambda: len(world.told("not subscribed")) == 2, 30)
    world.be.delay = lambda: 1.0
    feeds = world.life._coordinator.feeds
    world.until(lambda: any(feed.successor is not None and feed.successor.requested_at is None for feed in feeds), 30)
    assert any(feed.successor is not None and feed.successor.requested_at is None for feed in feeds)
    late = [text["id"] for _, text in world.sent_texts if "subscribe.listenToken" in text["method"]][:2]
    for route, number in enumerate(late):
        world.life.on_response(1, ResponseFrame(number, 200, {"subscriptionId": route}), world.now)
    world.run(60)
    assert world.life.state is State.LIVE
    for account in (BTC, ETH):
        world.emit(account)
    world.run(5)
    assert [item.account for item in world.items] == [BTC, ETH]


@pytest.mark.parametrize("seed", range(4))  # the order of the two renewals matters
def test_an_answer_that_was_lost_long_ago_makes_nobody_doubtful(seed):
    lost = []
    world = World([BTC, ETH], behaviour=Behaviour(renewal="new"), seed=seed)
    world.be.lose_answer = lambda method: method == "subscribe" and not lost and not lost.append(method)
    world.start().live()
    reply = world.reply

    def after_an_event(conn, answer, method):
        if method == "subscribe":
            world.emit(BTC)
            world.emit(ETH)
        reply(conn, answer, method)

    world.reply = after_an_event
    world.run(DAY + 3600)
    assert len(world.connects) == 2
    assert world.all_gaps() == []
