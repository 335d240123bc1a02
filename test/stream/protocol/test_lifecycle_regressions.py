"""Defects that the simulation found, each by itself; `make soak` contains their seeds."""

from __future__ import annotations

import pytest
from fake_exchange import FakeExchange, FakeExchangeOptions

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.state import State, StatusChangeKind

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")
DAY = 86400.0


def test_after_a_refused_country_nothing_more_is_planned():
    exchange = FakeExchange([CROSS]).start().run_until_live()
    exchange.options.connect_failure = Failure(FailureKind.COUNTRY_BLOCKED, "HTTP 451")
    exchange.run_until(lambda: exchange.lifecycle.state is State.FAILED, DAY)
    assert exchange.lifecycle.state is State.FAILED
    assert exchange.lifecycle.next_timer_at() is None


def test_connections_on_which_nothing_can_be_subscribed_are_closed():
    exchange = FakeExchange([BTC, ETH])
    busy = ResponseFrame(None, 400, None, -1000, "busy")

    def refuse(connection, number, token):
        exchange.send_response(
            connection, ResponseFrame(number, busy.status, None, busy.error_code, busy.error_message), "subscribe"
        )

    exchange.subscribe = refuse
    exchange.start().run(600)
    assert len(exchange.connect_times) > 3
    assert len(exchange.open_connections()) <= 2


def test_a_late_response_does_not_bring_back_a_subscription_that_was_ended():
    exchange = FakeExchange([BTC, ETH])
    exchange.options.lose_response = lambda method: (
        method == "subscribe" and not exchange.find_changes(StatusChangeKind.SUBSCRIBE_FAILED)
    )
    exchange.start().run_until(lambda: len(exchange.find_changes(StatusChangeKind.SUBSCRIBE_FAILED)) == 2, 30)
    exchange.options.delay = lambda: 1.0
    feeds = exchange.lifecycle.coordinator.feeds
    exchange.run_until(
        lambda: any(feed.successor is not None and feed.successor.requested_at is None for feed in feeds), 30
    )
    assert any(feed.successor is not None and feed.successor.requested_at is None for feed in feeds)
    late = [text["id"] for _, text in exchange.sent_texts if "subscribe.listenToken" in text["method"]][:2]
    for route, number in enumerate(late):
        exchange.lifecycle.on_response(1, ResponseFrame(number, 200, {"subscriptionId": route}), exchange.now)
    exchange.run(60)
    assert exchange.lifecycle.state is State.LIVE
    for account in (BTC, ETH):
        exchange.send_event(account)
    exchange.run(5)
    assert [item.account for item in exchange.items] == [BTC, ETH]


@pytest.mark.parametrize("seed", range(4))  # the order of the two renewals matters
def test_a_response_lost_long_ago_makes_no_subscription_uncertain(seed):
    lost = []
    exchange = FakeExchange([BTC, ETH], options=FakeExchangeOptions(renewal="new"), seed=seed)
    exchange.options.lose_response = lambda method: method == "subscribe" and not lost and not lost.append(method)
    exchange.start().run_until_live()
    reply = exchange.send_response

    def after_an_event(connection, response, method):
        if method == "subscribe":
            exchange.send_event(BTC)
            exchange.send_event(ETH)
        reply(connection, response, method)

    exchange.send_response = after_an_event
    exchange.run(DAY + 3600)
    assert len(exchange.connect_times) == 2
    assert exchange.list_gaps() == []
