"""The state machine keeps every account subscribed, through one kind of fault at a time."""

from __future__ import annotations

import pytest
from fake_exchange import DROPPED, FakeEvent, FakeExchange, FakeExchangeOptions

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import CloseConnection, OpenConnection, RestRequest
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import (
    AUTO_SOURCES,
    LISTEN_KEY,
    LISTEN_KEY_V2,
    LISTEN_TOKEN,
    RISK_LISTEN_KEY,
    CallKind,
)
from binance_margin_stream.stream.state import ScheduledAction, State, StatusChangeKind

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")
HOUR, DAY = 3600.0, 86400.0
RETIRED = Failure(FailureKind.RETIRED, "HTTP 410")
NOT_FOUND = Failure(FailureKind.NOT_FOUND, "HTTP 404")
SERVER = Failure(FailureKind.SERVER_ERROR, "HTTP 503")


def send_regularly(exchange: FakeExchange, interval: float = 1.0) -> FakeExchange:
    """Send an event to every account at regular intervals."""

    def tick() -> None:
        for account in exchange.accounts:
            exchange.send_event(account)
        exchange.call_later(interval, tick)

    exchange.call_later(interval, tick)
    return exchange


def run_without_events(exchange: FakeExchange) -> FakeExchange:
    """Run without further events, so that everything in flight arrives."""
    exchange.heap = [entry for entry in exchange.heap if "send_regularly.<locals>.tick" not in repr(entry[2])]
    return exchange.run(30)


class TestSubscribing:
    def test_all_accounts_share_one_connection(self):
        exchange = FakeExchange([CROSS, BTC, ETH]).start().run_until_live()
        assert len(exchange.connect_times) == 1

    def test_nothing_is_missing_at_first(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC])).start().run_until_live().run(60)
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []

    def test_every_event_is_under_its_account(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC, ETH], seed=3)).start().run_until_live().run(60)
        assert {item.account for item in exchange.items} == {CROSS, BTC, ETH}
        run_without_events(exchange).assert_complete()

    def test_more_than_a_thousand_accounts_open_a_second_connection(self):
        accounts = [isolated(f"S{number}") for number in range(1001)]
        exchange = FakeExchange(accounts).start().run_until_live(120)
        assert len(exchange.open_connections()) == 2
        assert max(len(connection.subscriptions) for connection in exchange.open_connections()) == 1000

    def test_a_thousand_accounts_are_live_within_a_minute_and_inside_the_limits(self):
        exchange = FakeExchange([isolated(f"S{number}") for number in range(1000)]).start().run_until_live(60)
        assert len(exchange.requests) == 1000
        busiest = max(sum(1 for t, _ in exchange.requests if at <= t < at + 1) for at, _ in exchange.requests[::50])
        assert busiest <= exchange.settings.rest_rate + exchange.lifecycle.context.limits.rest_concurrency

    def test_an_event_before_the_response_waits_for_it(self):
        exchange = FakeExchange([CROSS, BTC]).start()
        exchange.run_until(lambda: any(connection.subscriptions for connection in exchange.connections.values()), 10)
        connection = exchange.open_connections()[0]
        route, (account, _) = next(iter(connection.subscriptions.items()))
        exchange.lifecycle.on_event(
            connection.number, route, FakeEvent(10**6, account, "early", exchange.now), exchange.now
        )
        assert exchange.items == []
        exchange.run_until_live().consume_items()
        assert [(item.account, item.identity) for item in exchange.items] == [(account, "early")]

    def test_a_response_without_an_id_is_never_guessed(self):
        options = FakeExchangeOptions(ids_in_responses=False, shuffle_responses=True)
        exchange = (
            send_regularly(FakeExchange([CROSS, BTC, ETH], options=options, seed=5)).start().run_until_live(120).run(60)
        )
        run_without_events(exchange).assert_complete()
        assert "session.subscriptions" in {text["method"] for _, text in exchange.sent_texts}

    def test_a_lost_response_is_found_out(self):
        lost = iter([True])
        options = FakeExchangeOptions(lose_response=lambda method: method == "subscribe" and next(lost, False))
        exchange = send_regularly(FakeExchange([CROSS, BTC], options=options)).start().run_until_live(60).run(30)
        run_without_events(exchange).assert_complete()

    def test_a_token_that_the_exchange_no_longer_takes_is_replaced(self):
        exchange = FakeExchange([CROSS])
        exchange.start()
        exchange.run_until(lambda: bool(exchange.tokens), 5)
        exchange.tokens.clear()
        exchange.run_until_live(30)
        assert len(exchange.requests) == 2

    def test_the_listen_key_goes_into_no_address(self):
        exchange = FakeExchange([CROSS, BTC], (LISTEN_KEY,)).start().run_until_live()
        assert [text["method"] for _, text in exchange.sent_texts] == ["SUBSCRIBE"] * len(exchange.sent_texts)


class TestRenewal:
    @pytest.mark.parametrize("reading", ["same", "new", "-2035"])
    @pytest.mark.parametrize("ids", [True, False])
    def test_for_a_week_nothing_is_missing_whatever_the_response_to_a_renewal(self, reading, ids):
        options = FakeExchangeOptions(renewal=reading, ids_in_responses=ids)
        rules = StreamSettings(token_validity=2 * HOUR)
        exchange = (
            send_regularly(FakeExchange([CROSS, BTC], settings=rules, options=options), 7.0)
            .start()
            .run_until_live(120)
            .run(3 * DAY)
        )
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []
        assert exchange.lifecycle.state is State.LIVE

    def test_it_happens_on_the_same_connection_about_half_way(self):
        exchange = FakeExchange([CROSS]).start().run_until_live().run(10 * HOUR)
        assert len(exchange.requests) == 1
        exchange.run(5 * HOUR)
        assert (len(exchange.requests), len(exchange.connect_times)) == (2, 1)

    def test_a_thousand_accounts_never_renew_at_once(self):
        exchange = (
            FakeExchange([isolated(f"S{number}") for number in range(1000)]).start().run_until_live(60).run(15 * HOUR)
        )
        renewals = [at for at, _ in exchange.requests[1000:]]
        assert len(renewals) == 1000
        assert max(sum(1 for each in renewals if at <= each < at + 60) for at in renewals) < 60

    def test_a_failing_renewal_is_retried_and_reported_until_it_succeeds(self):
        exchange = FakeExchange([CROSS], settings=StreamSettings(token_validity=HOUR)).start().run_until_live()
        exchange.options.rest_failure = lambda _: SERVER
        exchange.run(0.61 * HOUR)
        assert len(exchange.find_changes(StatusChangeKind.RENEWAL_FAILED)) > 3
        assert exchange.lifecycle.health(exchange.now).failures > 3
        exchange.options.rest_failure = lambda _: None
        send_regularly(exchange).run(HOUR)
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []

    def test_an_expiry_in_spite_of_it_is_a_gap_and_is_recovered_from(self):
        exchange = (
            send_regularly(FakeExchange([CROSS], settings=StreamSettings(token_validity=HOUR))).start().run_until_live()
        )
        exchange.options.rest_failure = lambda _: SERVER
        exchange.run(1.1 * HOUR)
        assert exchange.lifecycle.state is State.RECOVERING
        exchange.options.rest_failure = lambda _: None
        exchange.run_until_live(60).run(60)
        run_without_events(exchange).assert_complete()
        assert [gap.reason for gap in exchange.list_gaps()] == ["terminated"]

    def test_a_renewal_that_the_exchange_loses_is_retried(self):
        exchange = FakeExchange([CROSS, BTC], settings=StreamSettings(token_validity=HOUR)).start().run_until_live()
        exchange.options.lose_response = lambda method: method == "subscribe"
        send_regularly(exchange).run(0.7 * HOUR)
        exchange.options.lose_response = lambda _: False
        exchange.run(2 * HOUR)
        run_without_events(exchange).assert_complete()

    @pytest.mark.parametrize("digits", [1, 1000])
    def test_an_expiry_is_read_in_milliseconds_and_in_microseconds(self, digits):
        exchange = FakeExchange([CROSS])
        exchange.lifecycle.start(exchange.now)
        request = exchange.lifecycle.pop_actions()[0]
        exchange.lifecycle.on_credential(
            request.id, "t", exchange.to_epoch_ms(exchange.now + HOUR) * digits, exchange.now
        )
        at = exchange.lifecycle.context.timers.due_at((ScheduledAction.RENEW, exchange.lifecycle.coordinator.feeds[0]))
        assert 0.4 * HOUR <= at - exchange.now <= 0.6 * HOUR

    def test_a_wrong_clock_does_not_make_a_token_look_expired(self):
        exchange = FakeExchange([CROSS])
        exchange.epoch += 10 * int(DAY) * 1000
        true_wall = exchange.to_epoch_ms
        exchange.to_epoch_ms = lambda at: true_wall(at) - 20 * int(DAY) * 1000
        exchange.start().run_until_live().run(HOUR)
        assert len(exchange.requests) == 1


class TestRotation:
    def test_before_the_cut_nothing_is_lost_or_doubled(self):
        rules = StreamSettings(connection_max_age=HOUR, connection_age_jitter=60.0)
        exchange = (
            send_regularly(FakeExchange([CROSS, BTC], settings=rules), 0.2).start().run_until_live().run(4.5 * HOUR)
        )
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []
        assert exchange.lifecycle.health(exchange.now).rotations == 4

    def test_on_a_shutdown_notice_nothing_is_lost_or_delivered_twice_under_load(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC, ETH]), 0.01).start().run_until_live().run(5)
        exchange.shut_down(exchange.open_connections()[0], grace=10)
        run_without_events(exchange.run(30)).assert_complete()
        assert exchange.list_gaps() == []

    def test_a_slow_old_connection_is_waited_for(self):
        exchange = send_regularly(FakeExchange([CROSS]), 0.05).start().run_until_live().run(1)
        old = exchange.open_connections()[0]
        old.downlink_busy_until = exchange.now + 3
        exchange.shut_down(old, grace=60)
        run_without_events(exchange.run(60)).assert_complete()
        assert exchange.list_gaps() == []

    def test_two_equal_events_that_the_exchange_really_sent_stay_two(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()

        def send_equal_events() -> None:
            for _ in range(2):
                exchange.send_event(CROSS, identity=("twin", round(exchange.now, 2)))
            exchange.call_later(0.02, send_equal_events)

        send_equal_events()
        exchange.run(1)
        exchange.shut_down(exchange.open_connections()[0])
        exchange.run(20)
        sent = next(exchange.ids)
        assert exchange.delivered > 1500
        assert sent - exchange.delivered < 10
        assert exchange.list_gaps() == []

    def test_the_old_one_is_closed_only_when_the_new_one_serves(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.options.connect_failure = DROPPED
        exchange.shut_down(exchange.open_connections()[0], grace=HOUR)
        send_regularly(exchange).run(600)
        assert exchange.lifecycle.state is State.LIVE
        exchange.options.connect_failure = None
        run_without_events(exchange.run(120)).assert_complete()
        assert exchange.list_gaps() == []

    def test_an_old_connection_that_dies_before_it_is_complete_leaves_a_gap(self):
        exchange = send_regularly(FakeExchange([CROSS]), 0.1).start().run_until_live().run(30)
        old = exchange.open_connections()[0]
        exchange.shut_down(old, grace=HOUR)
        exchange.run_until(lambda: len(exchange.open_connections()) == 2, 60)
        exchange.freeze_connection(old)
        exchange.run(120)
        run_without_events(exchange).assert_complete()
        assert len(exchange.list_gaps()) == 1

    def test_a_successor_that_dies_is_replaced_without_a_gap(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC]), 0.1).start().run_until_live().run(30)
        old = exchange.open_connections()[0]
        exchange.shut_down(old, grace=HOUR)
        exchange.run_until(lambda: len(exchange.open_connections()) == 2, 60)
        exchange.drop_connection(
            next(connection for connection in exchange.open_connections() if connection is not old)
        )
        exchange.run(120)
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []

    def test_a_subscription_that_cannot_be_extended_moves_before_it_expires(self):
        rules = StreamSettings(token_validity=HOUR)
        exchange = (
            send_regularly(FakeExchange([CROSS], settings=rules, options=FakeExchangeOptions(renewal="-2035")))
            .start()
            .run_until_live()
            .run(DAY)
        )
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []
        assert len(exchange.connect_times) > 20


class TestRecovery:
    @pytest.mark.parametrize("source", [LISTEN_TOKEN, LISTEN_KEY], ids=lambda source: source.name)
    def test_after_a_drop_a_gap_stands_before_what_comes_next(self, source):
        exchange = send_regularly(FakeExchange([CROSS, BTC], (source,))).start().run_until_live().run(60)
        at = exchange.to_epoch_ms(exchange.now)
        exchange.drop_connection(exchange.open_connections()[0])
        run_without_events(exchange.run(60)).assert_complete()
        gaps = exchange.list_gaps()
        assert sorted(map(str, (gap.account for gap in gaps))) == ["cross", "isolated:BTCUSDT"]
        assert all(gap.since <= at <= gap.until and gap.reason == "disconnected" for gap in gaps)

    def test_a_frozen_peer_is_found_by_its_missing_pings(self):
        exchange = send_regularly(FakeExchange([CROSS])).start().run_until_live().run(60)
        exchange.freeze_connection(exchange.open_connections()[0])
        exchange.run(exchange.settings.idle_timeout + 20)
        run_without_events(exchange).assert_complete()
        assert [gap.reason for gap in exchange.list_gaps()] == ["frozen"]
        assert exchange.lifecycle.state is State.LIVE

    def test_a_quiet_account_is_healthy(self):
        exchange = FakeExchange([CROSS]).start().run_until_live().run(HOUR)
        assert len(exchange.connect_times) == 1

    def test_a_connection_that_never_responds_is_closed(self):
        exchange = FakeExchange([CROSS]).start()
        exchange.run_until(lambda: bool(exchange.connections), 5)
        exchange.freeze_connection(exchange.connections[1])
        exchange.run_until_live(120)
        assert len(exchange.connect_times) == 2

    def test_an_opening_that_never_ends_times_out(self):
        exchange = FakeExchange([CROSS])
        exchange.accept = lambda connection: None
        exchange.start().run(300)
        assert 3 < len(exchange.connect_times) < 20

    def test_refused_connections_are_retried_ever_more_slowly_without_an_end(self):
        exchange = FakeExchange([CROSS], options=FakeExchangeOptions(connect_failure=DROPPED)).start().run(HOUR)
        assert 100 < len(exchange.connect_times) < 400
        assert max(b - a for a, b in zip(exchange.connect_times, exchange.connect_times[1:], strict=False)) < 60
        exchange.options.connect_failure = None
        exchange.run_until_live(60)

    def test_connections_that_die_at_once_stay_inside_the_limit(self):
        exchange = FakeExchange([CROSS], seed=9).start()

        def die() -> None:
            for connection in exchange.open_connections():
                exchange.drop_connection(connection)
            exchange.call_later(0.05, die)

        die()
        exchange.run(HOUR)
        exchange.assert_complete()
        assert len(exchange.connect_times) < 400

    def test_a_success_that_lasted_ends_the_backoff(self):
        exchange = FakeExchange([CROSS], options=FakeExchangeOptions(connect_failure=DROPPED)).start().run(HOUR)
        exchange.options.connect_failure = None
        exchange.run_until_live(60).run(120)
        exchange.drop_connection(exchange.open_connections()[0])
        at = exchange.now
        exchange.run(0.1).run_until_live(2)
        assert exchange.now - at < 2

    def test_tokens_outlive_a_connection(self):
        exchange = FakeExchange([CROSS, BTC]).start().run_until_live()
        exchange.options.rest_failure = lambda _: SERVER
        exchange.drop_connection(exchange.open_connections()[0])
        exchange.run(1).run_until_live(10)
        assert len(exchange.requests) == 2

    def test_an_ended_subscription_is_made_again(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC])).start().run_until_live().run(10)
        exchange.terminate_account(BTC)
        run_without_events(exchange.run(10)).assert_complete()
        assert [(gap.account, gap.reason) for gap in exchange.list_gaps()] == [(BTC, "terminated")]

    def test_an_own_unsubscribe_is_no_reason_to_recover(self):
        exchange = FakeExchange([CROSS, BTC]).start().run_until_live()
        link = exchange.lifecycle.connections.get(1)
        exchange.lifecycle.coordinator.subscriptions.unsubscribe(link, 99, exchange.now)
        exchange.lifecycle.on_subscription_terminated(1, 99, exchange.now)
        exchange.run(10)
        assert exchange.lifecycle.state is State.LIVE
        assert exchange.list_gaps() == []

    def test_an_expired_listen_key_is_replaced(self):
        exchange = send_regularly(FakeExchange([CROSS], (LISTEN_KEY,))).start().run_until_live().run(10)
        key = exchange.keys[LISTEN_KEY.name, CROSS]
        exchange.delete_key(LISTEN_KEY, CROSS)
        exchange.lifecycle.on_listen_key_expired(1, key, exchange.now)
        exchange.run(1).run_until_live(10)
        run_without_events(exchange.run(10)).assert_complete()
        assert [gap.reason for gap in exchange.list_gaps()] == ["expired"]

    def test_a_deleted_key_that_went_quiet_is_found_within_two_minutes(self):
        exchange = send_regularly(FakeExchange([CROSS], (LISTEN_KEY_V2,))).start().run_until_live().run(200)
        exchange.delete_key(LISTEN_KEY_V2, CROSS)
        exchange.run(120)
        assert exchange.lifecycle.state is State.LIVE
        run_without_events(exchange).assert_complete()
        assert [gap.reason for gap in exchange.list_gaps()] == ["credential gone"]

    def test_a_malformed_frame_is_a_gap_and_the_stream_goes_on(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC])).start().run_until_live().run(10)
        exchange.send_event(CROSS, malformed=True)
        run_without_events(exchange.run(10)).assert_complete()
        assert {(gap.account, gap.reason) for gap in exchange.list_gaps()} == {
            (CROSS, "malformed frame"),
            (BTC, "malformed frame"),
        }
        assert len(exchange.connect_times) == 1

    def test_a_malformed_frame_of_a_known_account_concerns_no_other(self):
        exchange = FakeExchange([CROSS, BTC]).start().run_until_live().run(10)
        route = next(each for each, (owner, _) in exchange.open_connections()[0].subscriptions.items() if owner == BTC)
        exchange.lifecycle.on_malformed_frame(1, exchange.now, route)
        exchange.run(10)
        assert [gap.account for gap in exchange.list_gaps()] == [BTC]

    def test_an_end_that_came_malformed_is_found_out(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC])).start().run_until_live().run(10)
        connection = exchange.open_connections()[0]
        connection.subscriptions = {route: sub for route, sub in connection.subscriptions.items() if sub[0] != BTC}
        exchange.lifecycle.on_malformed_frame(connection.number, exchange.now)
        exchange.run(10)
        assert exchange.lifecycle.state is State.LIVE
        run_without_events(exchange).assert_complete()


class TestWaiting:
    @pytest.mark.parametrize("trouble", [FailureKind.RATE_LIMITED, FailureKind.BANNED])
    def test_nothing_at_all_is_sent_until_the_stated_time(self, trouble):
        accounts = [isolated(f"S{number}") for number in range(20)]
        exchange = FakeExchange(accounts)
        limited = iter([Failure(trouble, "wait", 60.0)])
        exchange.options.rest_failure = lambda _: next(limited, None)
        exchange.start().run_until_live(180)
        exchange.assert_complete()
        assert exchange.now > 1060
        assert sum(1 for at, _ in exchange.requests if at < 1060) <= exchange.lifecycle.context.limits.rest_concurrency

    def test_a_ban_holds_connections_back_too(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.lifecycle.context.pause_sending(Failure(FailureKind.BANNED, "418", 300.0), exchange.now)
        exchange.forbidden_until = exchange.now + 300
        exchange.drop_connection(exchange.open_connections()[0])
        exchange.run(310).run_until_live(60)
        exchange.assert_complete()

    def test_one_call_at_a_time_while_the_exchange_fails(self):
        exchange = FakeExchange([isolated(f"S{number}") for number in range(50)])
        exchange.options.rest_failure = lambda _: SERVER
        exchange.start().run(60)
        assert len(exchange.requests) < 600
        exchange.options.rest_failure = lambda _: None
        exchange.run_until_live(60)


class TestSources:
    def test_the_next_takes_over_when_one_is_retired_at_first(self):
        exchange = FakeExchange([CROSS], AUTO_SOURCES)
        exchange.options.rest_failure = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        exchange.start().run_until_live()
        assert exchange.lifecycle.health(exchange.now).sources == {CROSS: "listen-key-v2"}

    def test_and_when_it_is_retired_while_running_without_a_gap(self):
        exchange = (
            send_regularly(FakeExchange([CROSS], AUTO_SOURCES, settings=StreamSettings(token_validity=HOUR)), 0.2)
            .start()
            .run_until_live()
        )
        exchange.options.rest_failure = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        exchange.run(2 * HOUR)
        run_without_events(exchange).assert_complete()
        assert exchange.list_gaps() == []
        assert [change.detail for change in exchange.find_changes(StatusChangeKind.SOURCE_RETIRED)] == [
            "token is retired, switching to listen-key-v2"
        ]

    def test_a_connection_that_was_only_planned_is_not_closed(self):
        exchange = FakeExchange([CROSS], AUTO_SOURCES)
        exchange.lifecycle.start(exchange.now)
        (request,) = [action for action in exchange.lifecycle.pop_actions() if isinstance(action, RestRequest)]
        exchange.lifecycle.on_request_failed(request.id, RETIRED, exchange.now)
        assert not [action for action in exchange.lifecycle.pop_actions() if isinstance(action, CloseConnection)]

    def test_a_retired_source_is_not_tried_again(self):
        exchange = FakeExchange([CROSS], AUTO_SOURCES)
        exchange.options.rest_failure = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        exchange.start().run_until_live()
        for _ in range(3):
            exchange.drop_connection(exchange.open_connections()[0])
            exchange.run(30).run_until_live(60)
        assert [request.source.name for _, request in exchange.requests].count("token") == 1

    def test_when_all_are_retired_the_stream_ends_with_the_cause(self):
        exchange = FakeExchange([CROSS, BTC], AUTO_SOURCES)
        exchange.options.rest_failure = lambda _: RETIRED
        exchange.start().run(60)
        assert exchange.failure == RETIRED.of_account(BTC)  # which no other source has
        assert exchange.lifecycle.state is State.FAILED

    def test_a_stray_404_retires_nothing(self):
        answers = iter([None, NOT_FOUND, NOT_FOUND])
        exchange = FakeExchange([BTC], AUTO_SOURCES)
        exchange.options.rest_failure = lambda _: next(answers, None)
        exchange.start().run_until_live().run(DAY)
        assert exchange.failure is None
        assert exchange.lifecycle.health(exchange.now).failures == 2
        assert exchange.list_gaps() == []

    def test_an_address_that_stays_away_is_retired(self):
        exchange = FakeExchange([CROSS], AUTO_SOURCES)
        exchange.options.rest_failure = lambda request: NOT_FOUND if request.source.name == "token" else None
        exchange.start().run(60)
        assert {request.source.name for _, request in exchange.requests} == {"token", "listen-key-v2"}

    def test_an_isolated_account_cannot_switch_to_a_source_for_cross_alone(self):
        exchange = FakeExchange([BTC], AUTO_SOURCES).start().run_until_live()
        exchange.options.rest_failure = lambda _: RETIRED
        exchange.run(DAY)
        assert exchange.failure == RETIRED

    def test_an_account_that_no_source_has_is_refused(self):
        with pytest.raises(ValueError, match="no source"):
            FakeExchange([BTC], (LISTEN_KEY_V2,))

    def test_risk_events_run_beside_the_accounts_own(self):
        exchange = FakeExchange([CROSS, BTC], extra=((CROSS, (RISK_LISTEN_KEY,)),)).start().run_until_live()
        assert {connection.source.name for connection in exchange.open_connections()} == {"token", "risk"}

    def test_a_risk_event_of_two_sources_is_delivered_once_and_two_equal_ones_twice(self):
        exchange = (
            FakeExchange([CROSS], (LISTEN_KEY_V2,), extra=((CROSS, (RISK_LISTEN_KEY,)),), consume=False)
            .start()
            .run_until_live()
        )
        notice = FakeEvent(1, CROSS, "notice", exchange.now, CROSS, "USER_LIABILITY_CHANGE")
        ways = [
            (connection.number, route)
            for connection in exchange.open_connections()
            for route in connection.subscriptions
        ]
        for _ in range(2):
            for number, route in ways:
                exchange.lifecycle.on_event(number, route, notice, exchange.now)
        assert len(ways) == 2
        assert list(iter(exchange.lifecycle.next_item, None)) == [notice, notice]

    def test_a_risk_event_of_only_one_source_is_delivered(self):
        exchange = (
            FakeExchange([CROSS], (LISTEN_KEY_V2,), extra=((CROSS, (RISK_LISTEN_KEY,)),), consume=False)
            .start()
            .run_until_live()
        )
        for connection in exchange.open_connections():
            for route in connection.subscriptions:
                own = FakeEvent(1, CROSS, ("of", route), exchange.now, CROSS, "MARGIN_LEVEL_STATUS_CHANGE")
                exchange.lifecycle.on_event(connection.number, route, own, exchange.now)
        assert len(list(iter(exchange.lifecycle.next_item, None))) == 2


class TestFatal:
    @pytest.mark.parametrize(
        "trouble", [FailureKind.KEY_REJECTED, FailureKind.BAD_PARAMETER, FailureKind.COUNTRY_BLOCKED]
    )
    def test_it_surfaces_at_once_and_stops_everything(self, trouble):
        exchange = FakeExchange([CROSS, BTC]).start().run_until_live().run(60)
        failure = Failure(trouble, "code -2015")
        exchange.options.rest_failure = lambda _: failure
        exchange.run(DAY)
        assert exchange.failure == failure
        assert exchange.open_connections() == []
        assert exchange.lifecycle.next_timer_at() is None
        exchange.assert_complete()

    def test_a_revoked_key_that_a_connection_reports_is_fatal(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.lifecycle.on_response(1, ResponseFrame(None, 401, None, -2015, "Invalid API-key"), exchange.now)
        exchange.run(1)
        assert exchange.failure is not None
        assert exchange.failure.kind is FailureKind.KEY_REJECTED
        assert exchange.lifecycle.state is State.FAILED


class TestConsumer:
    def test_a_slow_one_gets_one_gap_with_the_number_of_what_had_to_go(self):
        exchange = (
            FakeExchange([CROSS], settings=StreamSettings(buffer_size=100), consume=False).start().run_until_live()
        )
        for _ in range(250):
            exchange.send_event(CROSS)
        exchange.run(1).consume_items()
        (gap,) = exchange.list_gaps()
        assert (gap.dropped, gap.reason, exchange.items[0]) == (150, "slow consumer", gap)
        assert len(exchange.items) == 101
        exchange.assert_complete()

    def test_each_account_has_its_own(self):
        exchange = (
            FakeExchange([CROSS, BTC], settings=StreamSettings(buffer_size=10), consume=False).start().run_until_live()
        )
        for _ in range(10):
            exchange.send_event(CROSS)
            exchange.send_event(BTC)
        exchange.run(1).consume_items()
        assert {(gap.account, gap.dropped) for gap in exchange.list_gaps()} == {(CROSS, 5), (BTC, 5)}

    def test_a_gap_that_had_to_go_is_not_forgotten(self):
        exchange = (
            FakeExchange([CROSS], settings=StreamSettings(buffer_size=10), consume=False)
            .start()
            .run_until_live()
            .run(30)
        )
        exchange.drop_connection(exchange.open_connections()[0])
        exchange.send_event(CROSS)
        exchange.run(30)
        for _ in range(30):
            exchange.send_event(CROSS)
        exchange.run(1).assert_complete()
        assert len(exchange.list_gaps()) == 1


class TestEnd:
    def test_closing_closes_every_connection_and_leaves_nothing_to_do(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.lifecycle.close(exchange.now)
        exchange.run_actions()
        assert (exchange.lifecycle.state, exchange.lifecycle.next_timer_at()) == (State.CLOSED, None)
        exchange.run(DAY)
        assert exchange.open_connections() == []
        assert len(exchange.connect_times) == 1

    def test_closing_twice_is_closing_once(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.lifecycle.close(exchange.now)
        assert any(isinstance(action, CloseConnection) for action in exchange.lifecycle.pop_actions())
        exchange.lifecycle.close(exchange.now)
        assert exchange.lifecycle.pop_actions() == []

    def test_a_key_is_deleted_only_on_request(self):
        for give_up, calls in ((False, 0), (True, 1)):
            exchange = FakeExchange([CROSS], (LISTEN_KEY,)).start().run_until_live()
            exchange.lifecycle.close(exchange.now, close_listen_keys=give_up)
            operations = [getattr(action, "call", None) for action in exchange.lifecycle.pop_actions()]
            assert sum(1 for call in operations if call and call.kind is CallKind.DELETE) == calls

    def test_nothing_that_comes_afterwards_does_anything(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.lifecycle.close(exchange.now)
        exchange.lifecycle.pop_actions()
        exchange.lifecycle.on_open(1, exchange.now)
        exchange.lifecycle.on_close(1, DROPPED, exchange.now)
        exchange.lifecycle.on_malformed_frame(1, exchange.now)
        exchange.lifecycle.on_timer(exchange.now + DAY)
        exchange.lifecycle.on_request_failed(1, SERVER, exchange.now)
        assert not any(isinstance(action, OpenConnection) for action in exchange.lifecycle.pop_actions())
        assert exchange.lifecycle.next_timer_at() is None


class TestHealth:
    def test_health_describes_the_stream(self):
        exchange = send_regularly(FakeExchange([CROSS, BTC])).start().run_until_live().run(70)
        health = exchange.lifecycle.health(exchange.now)
        assert health.state is State.LIVE
        assert health.accounts == {CROSS: True, BTC: True}
        assert 60 < health.connection_age < 71
        assert health.frame_age < 2
        assert health.ping_age < 21
        assert health.events["FakeEvent"] >= 138
        assert (health.gaps, health.reconnects, health.dropped) == (0, 0, 0)
        assert health.next_action == "send a ping"
        assert exchange.lifecycle.timer_handlers.keys() == set(ScheduledAction)
        assert health.next_action_in > 0

    def test_health_names_the_account_that_is_down(self):
        exchange = FakeExchange([CROSS, BTC]).start().run_until_live()
        exchange.options.rest_failure = lambda _: SERVER
        exchange.terminate_account(BTC)
        exchange.run(5)
        assert exchange.lifecycle.health(exchange.now).accounts == {CROSS: True, BTC: False}

    def test_no_status_change_contains_a_secret(self):
        exchange = FakeExchange([CROSS, BTC], (LISTEN_KEY,)).start().run_until_live()
        exchange.delete_key(LISTEN_KEY, CROSS)
        exchange.drop_connection(exchange.open_connections()[0])
        exchange.run(200)
        everything = repr(exchange.changes) + repr(exchange.requests) + repr(exchange.lifecycle.health(exchange.now))
        assert not any(key in everything for key in [*exchange.keys.values(), "key-0"])
