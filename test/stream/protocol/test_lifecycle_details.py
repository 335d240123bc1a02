"""What the other tests of the life cycle would not notice: each handling by itself, in memory."""

from __future__ import annotations

import pytest
from fake_exchange import DROPPED, Behaviour, Ev, World

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.io.rest_calls import CredentialGranted
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, RestRequest, SendPing, SendText, State
from binance_margin_stream.stream.protocol.error_mapping import classify_response
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import AUTO_SOURCES, LISTEN_KEY, LISTEN_TOKEN, RISK_LISTEN_KEY

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")
HOUR = 3600.0
RETIRED = Failure(FailureKind.RETIRED, "HTTP 410")
LIMITED = Failure(FailureKind.RATE_LIMITED, "HTTP 429", 60.0)


def rotating(*, twice_on_the_old: bool = True) -> World:
    """A stream whose successor is live and holds what comes; the old connection has yet to prove that it is complete.

    Its pings get lost, so that it does not prove anything.
    """
    world = World([CROSS]).start().live().run(30)
    perform = world.perform
    world.perform = lambda action: None if isinstance(action, SendPing) else perform(action)
    world.shut_down(world.open_conns()[0], grace=HOUR)
    feed = world.life._coordinator.feeds[0]
    world.until(lambda: feed.successor is not None and feed.successor.live_at is not None, 60)
    assert feed.successor.live_at is not None
    return world


def heard(world: World, number: int, serial: int) -> None:
    """An event comes by a connection."""
    conn = world.conns[number]
    event = Ev(serial, CROSS, "equal", world.now, CROSS)
    world.life.on_event(number, next(iter(conn.subs)), event, world.now)


class TestRotation:
    def test_the_gap_stands_before_what_the_successor_held(self):
        world = World([CROSS]).start().live().run(30)
        old = world.open_conns()[0]
        world.shut_down(old, grace=HOUR)
        world.until(lambda: len(world.open_conns()) == 2, 60)
        world.freeze(old)
        world.emit(CROSS)  # before the successor is subscribed: lost
        feed = world.life._coordinator.feeds[0]
        world.until(lambda: feed.successor.live_at is not None, 5)
        world.emit(CROSS)
        world.until(lambda: bool(feed.successor.held_events), 5)
        world.run(60).verdict()
        assert [type(item) for item in world.items] == [StreamGap, Ev]

    def test_an_old_connection_that_was_good_beyond_the_successors_first_moment_leaves_no_gap(self):
        world = rotating()
        for _ in range(9):
            world.emit(CROSS)
            world.run(1)
        world.drop(world.conns[1])
        world.run(30).verdict()
        assert world.life.health(world.now).reconnects == 1
        assert world.all_gaps() == []
        assert world.delivered == 9

    @pytest.mark.parametrize(("by_the_old", "by_the_new"), [(2, 2), (1, 2), (3, 3), (2, 1)])
    def test_of_equal_events_as_many_come_as_one_connection_brought(self, by_the_old, by_the_new):
        world = rotating()
        world.consume = False
        for number, times in ((1, by_the_old), (2, by_the_new)):
            for _ in range(times):
                heard(world, number, 1)
        world.run(7)
        heard(world, 1, 2)  # a sign of life, so that the old connection was good for long enough
        heard(world, 2, 2)
        world.drop(world.conns[1])
        world.run(1)
        items = list(iter(world.life.next_item, None))
        assert len(items) == max(by_the_old, by_the_new) + 1

    def test_connections_are_replaced_before_23_hours_and_not_all_at_once(self):
        ages = []
        for seed in range(30):
            world = World([CROSS], seed=seed).start().live()
            world.until(lambda world=world: len(world.connects) == 2, 24 * HOUR)
            ages.append(world.connects[1] - world.connects[0])
        assert 22 * HOUR <= min(ages) < 22.4 * HOUR
        assert 22.6 * HOUR < max(ages) <= 23 * HOUR


class TestRenewal:
    def test_one_that_the_connection_refuses_is_repeated_soon(self):
        world = World([CROSS], rules=StreamSettings(token_validity=HOUR)).start().live()
        subscribe = world.subscribe
        world.subscribe = lambda conn, number, token: world.reply(
            conn, ResponseFrame(number, 500, None, -1000, "unknown"), "subscribe"
        )
        world.until(lambda: bool(world.told("renewal failed")), HOUR)
        world.subscribe = subscribe
        world.run(5)
        assert world.life.health(world.now).renewals == 1
        assert (len(world.requests), len(world.connects)) == (3, 1)


class TestSources:
    def test_a_way_in_that_was_retired_is_not_gone_back_to_when_the_next_is_retired_too(self):
        world = World([CROSS], AUTO_SOURCES)
        world.be.rest = lambda _: RETIRED
        world.start().run(60)
        assert world.failed == RETIRED
        assert [request.source.name for _, request in world.requests] == ["token", "listen-key-v2"]

    def test_no_other_account_asks_for_it_either(self):
        world = World([CROSS, BTC, ETH], (LISTEN_TOKEN, LISTEN_KEY), rules=StreamSettings(rest_concurrency=1))
        world.be.rest = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        world.start().live()
        assert [request.source.name for _, request in world.requests].count("token") == 1


class TestEnd:
    def test_a_key_is_given_up_once_however_often_the_stream_is_closed(self):
        world = World([CROSS], (LISTEN_KEY,)).start().live()
        for _ in range(2):
            world.life.close(world.now, close_listen_keys=True)
        assert sum(isinstance(action, RestRequest) for action in world.life.pop_actions()) == 1

    def test_closing_after_a_failure_changes_nothing(self):
        world = World([CROSS], (LISTEN_KEY,)).start().live()
        world.life.fail(Failure(FailureKind.INTERNAL_ERROR, "a mistake"))
        world.life.pop_actions()
        world.life.close(world.now, close_listen_keys=True)
        assert world.life.pop_actions() == []
        assert world.life.state is State.FAILED


class TestConsumer:
    def test_the_gap_of_a_slow_one_begins_before_the_oldest_left_the_exchange(self):
        rules = StreamSettings(buffer_size=10, latency_allowance=3.0)
        world = World([CROSS], rules=rules, consume=False).start().live().run(30)
        world.be.delay = lambda: 2.0
        for _ in range(30):
            world.emit(CROSS)
        world.run(5).verdict()
        (gap,) = world.all_gaps()
        assert gap.until - gap.since == 3000


class TestHealth:
    def test_it_counts_frames_that_cannot_be_read_and_connections(self):
        world = World([CROSS], extra=((CROSS, (RISK_LISTEN_KEY,)),)).start().live()
        assert world.life.health(world.now).connections == 2
        world.life.on_malformed_frame(1, world.now)
        world.life.on_malformed_frame(1, world.now)
        assert world.life.health(world.now).malformed_frames == 2
        world.be.refuse_connections = DROPPED
        for conn in world.open_conns():
            world.drop(conn)
        world.run(1)
        assert world.life.health(world.now).connections == 0


class TestSecrets:
    def test_what_goes_to_the_exchange_and_comes_from_it_is_not_shown(self):
        assert "PLANTED" not in repr(SendText(1, "PLANTED"))
        assert "PLANTED" not in repr(CredentialGranted("PLANTED", 1))

    def test_a_refusal_that_repeats_the_token_does_not_tell_it(self):
        token = "PLANTED" + "aB3" * 30
        told = classify_response(ResponseFrame(1, 400, None, -1, f"Invalid listenToken={token} given"), 0).detail
        assert "Invalid" in told
        assert "PLANTED" not in told


class TestDoubt:
    def test_an_end_that_could_not_be_read_before_the_subscribe_was_answered(self):
        """The connection is lost before the exchange has listed what is active: all since then may be missing."""
        behaviour = Behaviour(lose_answer=lambda method: method == "session.subscriptions")
        world = World([BTC, CROSS], behaviour=behaviour).start()
        world.until(lambda: any(len(conn.subs) == 2 for conn in world.open_conns()), 10)
        conn = world.open_conns()[0]
        conn.subs = {route: sub for route, sub in conn.subs.items() if sub[0] == BTC}
        world.life.on_malformed_frame(conn.number, world.now)  # the notice of the end, illegible, before the answer
        world.live()
        world.emit(CROSS)
        for _ in range(7):
            world.run(1)
            world.emit(BTC)
        world.drop(conn)
        world.live().run(60).verdict()

    def test_an_end_that_could_not_be_read_while_the_subscription_was_renewed(self):
        """It may have been active, ended and begun anew before the answer: the time between is reported."""
        world = (
            World([CROSS], rules=StreamSettings(token_validity=600.0), behaviour=Behaviour(renewal="new"))
            .start()
            .live()
        )
        conn = world.open_conns()[0]
        world.until(lambda: any(text["method"].endswith("listenToken") for _, text in world.sent_texts[1:]), 600)
        world.run(0.001)
        conn.subs.clear()
        world.life.on_malformed_frame(conn.number, world.now)
        world.run(10)
        assert [gap.reason for gap in world.all_gaps()] == ["malformed frame", "terminated"]
        first, second = world.all_gaps()
        assert second.since <= first.until
        assert world.life.state is State.LIVE
