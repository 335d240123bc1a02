"""Details of the state machine in memory, each case by itself."""

from __future__ import annotations

import pytest
from fake_exchange import DROPPED, FakeEvent, FakeExchange, FakeExchangeOptions

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import Failure, FailureKind, classify_response
from binance_margin_stream.stream.io.rest_calls import CredentialGranted
from binance_margin_stream.stream.protocol.actions import RestRequest, SendPing, SendText
from binance_margin_stream.stream.settings import StreamSettings, with_limits
from binance_margin_stream.stream.sources import AUTO_SOURCES, LISTEN_KEY, LISTEN_TOKEN, RISK_LISTEN_KEY
from binance_margin_stream.stream.state import State, StatusChangeKind

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")
HOUR = 3600.0
RETIRED = Failure(FailureKind.RETIRED, "HTTP 410")
LIMITED = Failure(FailureKind.RATE_LIMITED, "HTTP 429", 60.0)


def start_rotation(*, twice_on_the_old: bool = True) -> FakeExchange:
    """A stream whose successor is live and holds its events; the pong of the old connection is still due.

    Its pings get lost, so that it does not prove anything.
    """
    exchange = FakeExchange([CROSS]).start().run_until_live().run(30)
    perform = exchange.execute
    exchange.execute = lambda action: None if isinstance(action, SendPing) else perform(action)
    exchange.shut_down(exchange.open_connections()[0], grace=HOUR)
    feed = exchange.lifecycle.coordinator.feeds[0]
    exchange.run_until(lambda: feed.successor is not None and feed.successor.live_at is not None, 60)
    assert feed.successor.live_at is not None
    return exchange


def deliver_event(exchange: FakeExchange, number: int, serial: int) -> None:
    """An event arrives on a connection."""
    connection = exchange.connections[number]
    event = FakeEvent(serial, CROSS, "equal", exchange.now, CROSS)
    exchange.lifecycle.on_event(number, next(iter(connection.subscriptions)), event, exchange.now)


class TestRotation:
    def test_the_gap_stands_before_what_the_successor_held(self):
        exchange = FakeExchange([CROSS]).start().run_until_live().run(30)
        old = exchange.open_connections()[0]
        exchange.shut_down(old, grace=HOUR)
        exchange.run_until(lambda: len(exchange.open_connections()) == 2, 60)
        exchange.freeze_connection(old)
        exchange.send_event(CROSS)  # before the successor is subscribed: lost
        feed = exchange.lifecycle.coordinator.feeds[0]
        exchange.run_until(lambda: feed.successor.live_at is not None, 5)
        exchange.send_event(CROSS)
        exchange.run_until(lambda: bool(feed.successor.held_events), 5)
        exchange.run(60).assert_complete()
        assert [type(item) for item in exchange.items] == [StreamGap, FakeEvent]

    def test_an_old_connection_that_was_good_beyond_the_successors_first_moment_leaves_no_gap(self):
        exchange = start_rotation()
        for _ in range(9):
            exchange.send_event(CROSS)
            exchange.run(1)
        exchange.drop_connection(exchange.connections[1])
        exchange.run(30).assert_complete()
        assert exchange.lifecycle.health(exchange.now).reconnects == 1
        assert exchange.list_gaps() == []
        assert exchange.delivered == 9

    @pytest.mark.parametrize(("by_the_old", "by_the_new"), [(2, 2), (1, 2), (3, 3), (2, 1)])
    def test_of_equal_events_as_many_come_as_one_connection_brought(self, by_the_old, by_the_new):
        exchange = start_rotation()
        exchange.consume = False
        for number, times in ((1, by_the_old), (2, by_the_new)):
            for _ in range(times):
                deliver_event(exchange, number, 1)
        exchange.run(7)
        deliver_event(exchange, 1, 2)  # activity, so that the old connection has delivered everything before it
        deliver_event(exchange, 2, 2)
        exchange.drop_connection(exchange.connections[1])
        exchange.run(1)
        items = list(iter(exchange.lifecycle.next_item, None))
        assert len(items) == max(by_the_old, by_the_new) + 1

    def test_connections_are_replaced_before_23_hours_and_not_all_at_once(self):
        ages = []
        for seed in range(30):
            exchange = FakeExchange([CROSS], seed=seed).start().run_until_live()
            exchange.run_until(lambda exchange=exchange: len(exchange.connect_times) == 2, 24 * HOUR)
            ages.append(exchange.connect_times[1] - exchange.connect_times[0])
        assert 22 * HOUR <= min(ages) < 22.4 * HOUR
        assert 22.6 * HOUR < max(ages) <= 23 * HOUR


class TestRenewal:
    def test_a_renewal_that_the_connection_refuses_is_retried_soon(self):
        exchange = FakeExchange([CROSS], settings=StreamSettings(token_validity=HOUR)).start().run_until_live()
        subscribe = exchange.subscribe
        exchange.subscribe = lambda connection, number, token: exchange.send_response(
            connection, ResponseFrame(number, 500, None, -1000, "unknown"), "subscribe"
        )
        exchange.run_until(lambda: bool(exchange.find_changes(StatusChangeKind.RENEWAL_FAILED)), HOUR)
        exchange.subscribe = subscribe
        exchange.run(5)
        assert exchange.lifecycle.health(exchange.now).renewals == 1
        assert (len(exchange.requests), len(exchange.connect_times)) == (3, 1)


class TestSources:
    def test_a_retired_source_is_not_used_again_when_the_next_is_retired_too(self):
        exchange = FakeExchange([CROSS], AUTO_SOURCES)
        exchange.options.rest_failure = lambda _: RETIRED
        exchange.start().run(60)
        assert exchange.failure == RETIRED
        assert [request.source.name for _, request in exchange.requests] == ["token", "listen-key-v2"]

    def test_no_other_account_asks_for_it_either(self):
        exchange = FakeExchange(
            [CROSS, BTC, ETH], (LISTEN_TOKEN, LISTEN_KEY), settings=with_limits(StreamSettings(), rest_concurrency=1)
        )
        exchange.options.rest_failure = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        exchange.start().run_until_live()
        assert [request.source.name for _, request in exchange.requests].count("token") == 1


class TestEnd:
    def test_a_key_is_deleted_once_however_often_the_stream_is_closed(self):
        exchange = FakeExchange([CROSS], (LISTEN_KEY,)).start().run_until_live()
        for _ in range(2):
            exchange.lifecycle.close(exchange.now, close_listen_keys=True)
        assert sum(isinstance(action, RestRequest) for action in exchange.lifecycle.pop_actions()) == 1

    def test_closing_after_a_failure_changes_nothing(self):
        exchange = FakeExchange([CROSS], (LISTEN_KEY,)).start().run_until_live()
        exchange.lifecycle.fail(Failure(FailureKind.INTERNAL_ERROR, "a mistake"), exchange.now)
        exchange.lifecycle.pop_actions()
        exchange.lifecycle.close(exchange.now, close_listen_keys=True)
        assert exchange.lifecycle.pop_actions() == []
        assert exchange.lifecycle.state is State.FAILED


class TestConsumer:
    def test_the_gap_of_a_slow_one_begins_before_the_oldest_left_the_exchange(self):
        rules = StreamSettings(buffer_size=10, latency_allowance=3.0)
        exchange = FakeExchange([CROSS], settings=rules, consume=False).start().run_until_live().run(30)
        exchange.options.delay = lambda: 2.0
        for _ in range(30):
            exchange.send_event(CROSS)
        exchange.run(5).assert_complete()
        (gap,) = exchange.list_gaps()
        assert gap.until - gap.since == 3000


class TestHealth:
    def test_it_counts_frames_that_cannot_be_read_and_connections(self):
        exchange = FakeExchange([CROSS], extra=((CROSS, (RISK_LISTEN_KEY,)),)).start().run_until_live()
        assert exchange.lifecycle.health(exchange.now).connections == 2
        exchange.lifecycle.on_malformed_frame(1, exchange.now)
        exchange.lifecycle.on_malformed_frame(1, exchange.now)
        assert exchange.lifecycle.health(exchange.now).malformed_frames == 2
        exchange.options.connect_failure = DROPPED
        for connection in exchange.open_connections():
            exchange.drop_connection(connection)
        exchange.run(1)
        assert exchange.lifecycle.health(exchange.now).connections == 0


class TestSecrets:
    def test_what_goes_to_the_exchange_and_comes_from_it_is_not_shown(self):
        assert "PLANTED" not in repr(SendText(1, "PLANTED"))
        assert "PLANTED" not in repr(CredentialGranted("PLANTED", 1))

    def test_an_error_that_echoes_the_token_does_not_show_it(self):
        token = "PLANTED" + "aB3" * 30
        told = classify_response(ResponseFrame(1, 400, None, -1, f"Invalid listenToken={token} given"), 0).detail
        assert "Invalid" in told
        assert "PLANTED" not in told


class TestUncertainSubscriptions:
    def test_a_malformed_end_before_the_subscribe_response(self):
        """The connection is lost before the exchange lists its subscriptions: everything since may be missing."""
        options = FakeExchangeOptions(lose_response=lambda method: method == "session.subscriptions")
        exchange = FakeExchange([BTC, CROSS], options=options).start()
        exchange.run_until(
            lambda: any(len(connection.subscriptions) == 2 for connection in exchange.open_connections()), 10
        )
        connection = exchange.open_connections()[0]
        connection.subscriptions = {route: sub for route, sub in connection.subscriptions.items() if sub[0] == BTC}
        exchange.lifecycle.on_malformed_frame(
            connection.number, exchange.now
        )  # the end of the subscription, malformed, before the response
        exchange.run_until_live()
        exchange.send_event(CROSS)
        for _ in range(7):
            exchange.run(1)
            exchange.send_event(BTC)
        exchange.drop_connection(connection)
        exchange.run_until_live().run(60).assert_complete()

    def test_an_end_that_could_not_be_read_while_the_subscription_was_renewed(self):
        """It may have been active, ended and started again before the response: the time between is a gap."""
        exchange = (
            FakeExchange(
                [CROSS], settings=StreamSettings(token_validity=600.0), options=FakeExchangeOptions(renewal="new")
            )
            .start()
            .run_until_live()
        )
        connection = exchange.open_connections()[0]
        exchange.run_until(
            lambda: any(text["method"].endswith("listenToken") for _, text in exchange.sent_texts[1:]), 600
        )
        exchange.run(0.001)
        connection.subscriptions.clear()
        exchange.lifecycle.on_malformed_frame(connection.number, exchange.now)
        exchange.run(10)
        assert [gap.reason for gap in exchange.list_gaps()] == ["malformed frame", "terminated"]
        first, second = exchange.list_gaps()
        assert second.since <= first.until
        assert exchange.lifecycle.state is State.LIVE
