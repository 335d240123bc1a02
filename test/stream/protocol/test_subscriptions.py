"""Events without a known subscription."""

from __future__ import annotations

from fake_exchange import FakeEvent, FakeExchange

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.settings import StreamSettings, with_limits
from binance_margin_stream.stream.state import State


def test_unrouted_events_are_bounded():
    exchange = FakeExchange([CROSS], settings=with_limits(StreamSettings(), max_unrouted_events=10)).start()
    exchange.run_until(lambda: any(connection.subscriptions for connection in exchange.connections.values()), 10)
    for number in range(100):
        exchange.lifecycle.on_event(1, 0, FakeEvent(10**6 + number, CROSS, number, exchange.now), exchange.now)
    assert exchange.lifecycle.connections.get(1).unrouted_count == 10
    exchange.run_until_live()


def test_an_event_of_an_unknown_subscription_is_a_gap():
    exchange = FakeExchange([CROSS, isolated("BTCUSDT")]).start().run_until_live()
    exchange.lifecycle.on_event(1, 77, FakeEvent(1, CROSS, 1, exchange.now), exchange.now)
    exchange.run(5)
    assert {gap.reason for gap in exchange.list_gaps()} == {"malformed frame"}


def test_an_event_without_an_id_belongs_to_the_only_subscription():
    exchange = FakeExchange([CROSS]).start().run_until_live()
    exchange.lifecycle.on_event(1, None, FakeEvent(1, CROSS, 1, exchange.now), exchange.now)
    assert [item.account for item in iter(exchange.lifecycle.next_item, None)] == [CROSS]


def test_a_response_that_is_no_list_is_requested_again():
    exchange = FakeExchange([CROSS]).start().run_until_live()
    exchange.options.lose_response = lambda method: method == "session.subscriptions"
    exchange.lifecycle.on_malformed_frame(1, exchange.now)
    exchange.run_actions()
    _, request = exchange.sent_texts[-1]
    exchange.lifecycle.on_response(1, ResponseFrame(request["id"], 200, {"subscriptionId": 0}), exchange.now)
    exchange.options.lose_response = lambda _: False
    exchange.run(10)
    requests = [text["id"] for _, text in exchange.sent_texts if text["method"] == "session.subscriptions"]
    assert len(requests) == 2
    assert exchange.lifecycle.state is State.LIVE
