"""Events without a known subscription."""

from __future__ import annotations

from dataclasses import replace

from fake_exchange import FakeEvent, FakeExchange

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.settings import StreamSettings, with_limits


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


def test_a_connection_whose_lists_are_unusable_is_asked_again_with_backoff_and_then_replaced():
    exchange = FakeExchange([CROSS]).start().run_until_live()
    send_response = exchange.send_response

    def spoil_lists(connection, response, method):
        is_list = method == "session.subscriptions"
        send_response(connection, replace(response, result={"subscriptionId": 0}) if is_list else response, method)

    exchange.send_response = spoil_lists
    exchange.lifecycle.on_malformed_frame(1, exchange.now)
    exchange.run_actions()
    exchange.run(30)
    asked_at = [at for at, message in exchange.sent_texts if message["method"] == "session.subscriptions"]
    assert len(asked_at) == 3
    assert asked_at[2] - asked_at[1] > 1.5 * (asked_at[1] - asked_at[0])
    assert exchange.lifecycle.health(exchange.now).rotations == 1
