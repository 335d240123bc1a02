"""The life cycle keeps every account alive: statements, each with one kind of trouble."""

from __future__ import annotations

import pytest
from fake_exchange import DROPPED, Behaviour, Ev, World

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.health import TIMER_DESCRIPTIONS
from binance_margin_stream.stream.protocol.actions import (
    CloseConnection,
    Failure,
    FailureKind,
    OpenConnection,
    RestRequest,
    State,
)
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import (
    AUTO_SOURCES,
    LISTEN_KEY,
    LISTEN_KEY_V2,
    LISTEN_TOKEN,
    RISK_LISTEN_KEY,
)

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")
HOUR, DAY = 3600.0, 86400.0
RETIRED = Failure(FailureKind.RETIRED, "HTTP 410")
NOT_FOUND = Failure(FailureKind.NOT_FOUND, "HTTP 404")
SERVER = Failure(FailureKind.SERVER_ERROR, "HTTP 503")


def busy(world: World, every: float = 1.0) -> World:
    """Lets every account have an event every so many seconds."""

    def tick() -> None:
        for account in world.accounts:
            world.emit(account)
        world.later(every, tick)

    world.later(every, tick)
    return world


def settled(world: World) -> World:
    """Lets what is under way arrive, without further events."""
    world.heap = [entry for entry in world.heap if "busy.<locals>.tick" not in repr(entry[2])]
    return world.run(30)


class TestAttaching:
    def test_all_accounts_share_one_connection(self):
        world = World([CROSS, BTC, ETH]).start().live()
        assert len(world.connects) == 1

    def test_nothing_is_missing_at_first(self):
        world = busy(World([CROSS, BTC])).start().live().run(60)
        settled(world).verdict()
        assert world.all_gaps() == []

    def test_every_event_is_under_its_account(self):
        world = busy(World([CROSS, BTC, ETH], seed=3)).start().live().run(60)
        assert {item.account for item in world.items} == {CROSS, BTC, ETH}
        settled(world).verdict()

    def test_more_than_a_thousand_accounts_open_a_second_connection(self):
        accounts = [isolated(f"S{number}") for number in range(1001)]
        world = World(accounts).start().live(120)
        assert len(world.open_conns()) == 2
        assert max(len(conn.subs) for conn in world.open_conns()) == 1000

    def test_a_thousand_accounts_are_live_within_a_minute_and_inside_the_limits(self):
        world = World([isolated(f"S{number}") for number in range(1000)]).start().live(60)
        assert len(world.requests) == 1000
        busiest = max(sum(1 for t, _ in world.requests if at <= t < at + 1) for at, _ in world.requests[::50])
        assert busiest <= world.rules.rest_rate + world.rules.rest_concurrency

    def test_an_event_before_the_answer_waits_for_it(self):
        world = World([CROSS, BTC]).start()
        world.until(lambda: any(conn.subs for conn in world.conns.values()), 10)
        conn = world.open_conns()[0]
        route, (account, _) = next(iter(conn.subs.items()))
        world.life.on_event(conn.number, route, Ev(10**6, account, "early", world.now), world.now)
        assert world.items == []
        world.live().drain()
        assert [(item.account, item.identity) for item in world.items] == [(account, "early")]

    def test_an_answer_without_an_id_is_never_guessed(self):
        behaviour = Behaviour(ids_in_answers=False, shuffle_answers=True)
        world = busy(World([CROSS, BTC, ETH], behaviour=behaviour, seed=5)).start().live(120).run(60)
        settled(world).verdict()
        assert "session.subscriptions" in {text["method"] for _, text in world.sent_texts}

    def test_a_lost_answer_is_found_out(self):
        lost = iter([True])
        behaviour = Behaviour(lose_answer=lambda method: method == "subscribe" and next(lost, False))
        world = busy(World([CROSS, BTC], behaviour=behaviour)).start().live(60).run(30)
        settled(world).verdict()

    def test_a_token_that_the_exchange_no_longer_takes_is_replaced(self):
        world = World([CROSS])
        world.start()
        world.until(lambda: bool(world.tokens), 5)
        world.tokens.clear()
        world.live(30)
        assert len(world.requests) == 2

    def test_the_listen_key_goes_into_no_address(self):
        world = World([CROSS, BTC], (LISTEN_KEY,)).start().live()
        assert [text["method"] for _, text in world.sent_texts] == ["SUBSCRIBE"] * len(world.sent_texts)


class TestRenewal:
    @pytest.mark.parametrize("reading", ["same", "new", "-2035"])
    @pytest.mark.parametrize("ids", [True, False])
    def test_for_a_week_nothing_is_missing_whatever_a_renewal_answers(self, reading, ids):
        behaviour = Behaviour(renewal=reading, ids_in_answers=ids)
        rules = StreamSettings(token_validity=2 * HOUR)
        world = busy(World([CROSS, BTC], rules=rules, behaviour=behaviour), 7.0).start().live(120).run(3 * DAY)
        settled(world).verdict()
        assert world.all_gaps() == []
        assert world.life.state is State.LIVE

    def test_it_happens_on_the_same_connection_about_half_way(self):
        world = World([CROSS]).start().live().run(10 * HOUR)
        assert len(world.requests) == 1
        world.run(5 * HOUR)
        assert (len(world.requests), len(world.connects)) == (2, 1)

    def test_a_thousand_accounts_never_renew_at_once(self):
        world = World([isolated(f"S{number}") for number in range(1000)]).start().live(60).run(15 * HOUR)
        renewals = [at for at, _ in world.requests[1000:]]
        assert len(renewals) == 1000
        assert max(sum(1 for each in renewals if at <= each < at + 60) for at in renewals) < 60

    def test_a_failing_renewal_is_repeated_and_told_until_it_succeeds(self):
        world = World([CROSS], rules=StreamSettings(token_validity=HOUR)).start().live()
        world.be.rest = lambda _: SERVER
        world.run(0.61 * HOUR)
        assert len(world.told("renewal failed")) > 3
        assert world.life.health(world.now).failures > 3
        world.be.rest = lambda _: None
        busy(world).run(HOUR)
        settled(world).verdict()
        assert world.all_gaps() == []

    def test_an_expiry_in_spite_of_it_is_a_gap_and_is_recovered_from(self):
        world = busy(World([CROSS], rules=StreamSettings(token_validity=HOUR))).start().live()
        world.be.rest = lambda _: SERVER
        world.run(1.1 * HOUR)
        assert world.life.state is State.RECOVERING
        world.be.rest = lambda _: None
        world.live(60).run(60)
        settled(world).verdict()
        assert [gap.reason for gap in world.all_gaps()] == ["terminated"]

    def test_a_renewal_that_the_exchange_loses_is_repeated(self):
        world = World([CROSS, BTC], rules=StreamSettings(token_validity=HOUR)).start().live()
        world.be.lose_answer = lambda method: method == "subscribe"
        busy(world).run(0.7 * HOUR)
        world.be.lose_answer = lambda _: False
        world.run(2 * HOUR)
        settled(world).verdict()

    @pytest.mark.parametrize("digits", [1, 1000])
    def test_an_expiry_is_read_in_milliseconds_and_in_microseconds(self, digits):
        world = World([CROSS])
        world.life.start(world.now)
        request = world.life.pop_actions()[0]
        world.life.on_credential(request.id, "t", world.wall(world.now + HOUR) * digits, world.now)
        at, _ = world.life._context.timers._scheduled["renew", world.life._coordinator.feeds[0]]
        assert 0.4 * HOUR <= at - world.now <= 0.6 * HOUR

    def test_a_wrong_clock_does_not_make_a_token_look_expired(self):
        world = World([CROSS])
        world.epoch += 10 * int(DAY) * 1000
        true_wall = world.wall
        world.wall = lambda at: true_wall(at) - 20 * int(DAY) * 1000
        world.start().live().run(HOUR)
        assert len(world.requests) == 1


class TestRotation:
    def test_before_the_cut_nothing_is_lost_or_doubled(self):
        rules = StreamSettings(connection_max_age=HOUR, connection_age_jitter=60.0)
        world = busy(World([CROSS, BTC], rules=rules), 0.2).start().live().run(4.5 * HOUR)
        settled(world).verdict()
        assert world.all_gaps() == []
        assert world.life.health(world.now).rotations == 4

    def test_on_a_shutdown_notice_nothing_is_lost_or_doubled_under_load(self):
        world = busy(World([CROSS, BTC, ETH]), 0.01).start().live().run(5)
        world.shut_down(world.open_conns()[0], grace=10)
        settled(world.run(30)).verdict()
        assert world.all_gaps() == []

    def test_a_slow_old_connection_is_waited_for(self):
        world = busy(World([CROSS]), 0.05).start().live().run(1)
        old = world.open_conns()[0]
        old.down = world.now + 3
        world.shut_down(old, grace=60)
        settled(world.run(60)).verdict()
        assert world.all_gaps() == []

    def test_two_equal_events_that_the_exchange_really_sent_stay_two(self):
        world = World([CROSS]).start().live()

        def twins() -> None:
            for _ in range(2):
                world.emit(CROSS, identity=("twin", round(world.now, 2)))
            world.later(0.02, twins)

        twins()
        world.run(1)
        world.shut_down(world.open_conns()[0])
        world.run(20)
        sent = next(world.serial)
        assert world.delivered > 1500
        assert sent - world.delivered < 10
        assert world.all_gaps() == []

    def test_the_old_one_is_closed_only_when_the_new_one_serves(self):
        world = World([CROSS]).start().live()
        world.be.refuse_connections = DROPPED
        world.shut_down(world.open_conns()[0], grace=HOUR)
        busy(world).run(600)
        assert world.life.state is State.LIVE
        world.be.refuse_connections = None
        settled(world.run(120)).verdict()
        assert world.all_gaps() == []

    def test_an_old_connection_that_dies_before_it_is_complete_leaves_a_gap(self):
        world = busy(World([CROSS]), 0.1).start().live().run(30)
        old = world.open_conns()[0]
        world.shut_down(old, grace=HOUR)
        world.until(lambda: len(world.open_conns()) == 2, 60)
        world.freeze(old)
        world.run(120)
        settled(world).verdict()
        assert len(world.all_gaps()) == 1

    def test_a_successor_that_dies_is_replaced_without_a_gap(self):
        world = busy(World([CROSS, BTC]), 0.1).start().live().run(30)
        old = world.open_conns()[0]
        world.shut_down(old, grace=HOUR)
        world.until(lambda: len(world.open_conns()) == 2, 60)
        world.drop(next(conn for conn in world.open_conns() if conn is not old))
        world.run(120)
        settled(world).verdict()
        assert world.all_gaps() == []

    def test_a_subscription_that_cannot_be_extended_moves_before_it_expires(self):
        rules = StreamSettings(token_validity=HOUR)
        world = busy(World([CROSS], rules=rules, behaviour=Behaviour(renewal="-2035"))).start().live().run(DAY)
        settled(world).verdict()
        assert world.all_gaps() == []
        assert len(world.connects) > 20


class TestRecovery:
    @pytest.mark.parametrize("source", [LISTEN_TOKEN, LISTEN_KEY], ids=lambda source: source.name)
    def test_after_a_drop_a_gap_stands_before_what_comes_next(self, source):
        world = busy(World([CROSS, BTC], (source,))).start().live().run(60)
        at = world.wall(world.now)
        world.drop(world.open_conns()[0])
        settled(world.run(60)).verdict()
        gaps = world.all_gaps()
        assert sorted(map(str, (gap.account for gap in gaps))) == ["cross", "isolated:BTCUSDT"]
        assert all(gap.since <= at <= gap.until and gap.reason == "disconnected" for gap in gaps)

    def test_a_frozen_peer_is_found_by_its_missing_pings(self):
        world = busy(World([CROSS])).start().live().run(60)
        world.freeze(world.open_conns()[0])
        world.run(world.rules.idle_timeout + 20)
        settled(world).verdict()
        assert [gap.reason for gap in world.all_gaps()] == ["frozen"]
        assert world.life.state is State.LIVE

    def test_a_quiet_account_is_healthy(self):
        world = World([CROSS]).start().live().run(HOUR)
        assert len(world.connects) == 1

    def test_a_connection_that_never_answers_is_given_up(self):
        world = World([CROSS]).start()
        world.until(lambda: bool(world.conns), 5)
        world.freeze(world.conns[1])
        world.live(120)
        assert len(world.connects) == 2

    def test_an_opening_that_never_ends_is_given_up(self):
        world = World([CROSS])
        world.accepted = lambda conn: None
        world.start().run(300)
        assert 3 < len(world.connects) < 20

    def test_refused_connections_are_repeated_ever_more_slowly_but_for_ever(self):
        world = World([CROSS], behaviour=Behaviour(refuse_connections=DROPPED)).start().run(HOUR)
        assert 100 < len(world.connects) < 400
        assert max(b - a for a, b in zip(world.connects, world.connects[1:], strict=False)) < 60
        world.be.refuse_connections = None
        world.live(60)

    def test_connections_that_die_at_once_stay_inside_the_limit(self):
        world = World([CROSS], seed=9).start()

        def die() -> None:
            for conn in world.open_conns():
                world.drop(conn)
            world.later(0.05, die)

        die()
        world.run(HOUR)
        world.verdict()
        assert len(world.connects) < 400

    def test_a_success_that_lasted_ends_the_backoff(self):
        world = World([CROSS], behaviour=Behaviour(refuse_connections=DROPPED)).start().run(HOUR)
        world.be.refuse_connections = None
        world.live(60).run(120)
        world.drop(world.open_conns()[0])
        at = world.now
        world.run(0.1).live(2)
        assert world.now - at < 2

    def test_tokens_outlive_a_connection(self):
        world = World([CROSS, BTC]).start().live()
        world.be.rest = lambda _: SERVER
        world.drop(world.open_conns()[0])
        world.run(1).live(10)
        assert len(world.requests) == 2

    def test_an_ended_subscription_is_made_again(self):
        world = busy(World([CROSS, BTC])).start().live().run(10)
        world.kill_token(BTC)
        settled(world.run(10)).verdict()
        assert [(gap.account, gap.reason) for gap in world.all_gaps()] == [(BTC, "terminated")]

    def test_an_own_unsubscribe_is_no_reason_to_recover(self):
        world = World([CROSS, BTC]).start().live()
        link = world.life._get_connection(1)
        world.life._subscriptions.unsubscribe(link, 99, world.now)
        world.life.on_subscription_terminated(1, 99, world.now)
        world.run(10)
        assert world.life.state is State.LIVE
        assert world.all_gaps() == []

    def test_an_expired_listen_key_is_replaced(self):
        world = busy(World([CROSS], (LISTEN_KEY,))).start().live().run(10)
        key = world.keys[LISTEN_KEY.name, CROSS]
        world.delete_key(LISTEN_KEY, CROSS)
        world.life.on_listen_key_expired(1, key, world.now)
        world.run(1).live(10)
        settled(world.run(10)).verdict()
        assert [gap.reason for gap in world.all_gaps()] == ["expired"]

    def test_a_deleted_key_that_went_quiet_is_found_within_two_minutes(self):
        world = busy(World([CROSS], (LISTEN_KEY_V2,))).start().live().run(200)
        world.delete_key(LISTEN_KEY_V2, CROSS)
        world.run(120)
        assert world.life.state is State.LIVE
        settled(world).verdict()
        assert [gap.reason for gap in world.all_gaps()] == ["credential gone"]

    def test_a_malformed_frame_is_a_gap_and_the_stream_goes_on(self):
        world = busy(World([CROSS, BTC])).start().live().run(10)
        world.emit(CROSS, malformed=True)
        settled(world.run(10)).verdict()
        assert {(gap.account, gap.reason) for gap in world.all_gaps()} == {
            (CROSS, "malformed frame"),
            (BTC, "malformed frame"),
        }
        assert len(world.connects) == 1

    def test_a_malformed_frame_of_a_known_account_concerns_no_other(self):
        world = World([CROSS, BTC]).start().live().run(10)
        route = next(each for each, (owner, _) in world.open_conns()[0].subs.items() if owner == BTC)
        world.life.on_malformed_frame(1, world.now, route)
        world.run(10)
        assert [gap.account for gap in world.all_gaps()] == [BTC]

    def test_an_end_that_came_malformed_is_found_out(self):
        world = busy(World([CROSS, BTC])).start().live().run(10)
        conn = world.open_conns()[0]
        conn.subs = {route: sub for route, sub in conn.subs.items() if sub[0] != BTC}
        world.life.on_malformed_frame(conn.number, world.now)
        world.run(10)
        assert world.life.state is State.LIVE
        settled(world).verdict()


class TestWaiting:
    @pytest.mark.parametrize("trouble", [FailureKind.RATE_LIMITED, FailureKind.BANNED])
    def test_nothing_at_all_is_sent_until_the_time_that_was_told(self, trouble):
        accounts = [isolated(f"S{number}") for number in range(20)]
        world = World(accounts)
        limited = iter([Failure(trouble, "wait", 60.0)])
        world.be.rest = lambda _: next(limited, None)
        world.start().live(180)
        world.verdict()
        assert world.now > 1060
        assert sum(1 for at, _ in world.requests if at < 1060) <= world.rules.rest_concurrency

    def test_a_ban_holds_connections_back_too(self):
        world = World([CROSS]).start().live()
        world.life._context.pause_sending(Failure(FailureKind.BANNED, "418", 300.0), world.now)
        world.forbidden_until = world.now + 300
        world.drop(world.open_conns()[0])
        world.run(310).live(60)
        world.verdict()

    def test_one_call_at_a_time_while_the_exchange_fails(self):
        world = World([isolated(f"S{number}") for number in range(50)])
        world.be.rest = lambda _: SERVER
        world.start().run(60)
        assert len(world.requests) < 600
        world.be.rest = lambda _: None
        world.live(60)


class TestSources:
    def test_the_next_takes_over_when_one_is_retired_at_first(self):
        world = World([CROSS], AUTO_SOURCES)
        world.be.rest = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        world.start().live()
        assert world.life.health(world.now).sources == {CROSS: "listen-key-v2"}

    def test_and_when_it_is_retired_while_running_without_a_gap(self):
        world = busy(World([CROSS], AUTO_SOURCES, rules=StreamSettings(token_validity=HOUR)), 0.2).start().live()
        world.be.rest = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        world.run(2 * HOUR)
        settled(world).verdict()
        assert world.all_gaps() == []
        assert [change.detail for change in world.told("source retired")] == [
            "token is retired, listen-key-v2 takes over"
        ]

    def test_a_connection_that_was_only_planned_is_not_closed(self):
        world = World([CROSS], AUTO_SOURCES)
        world.life.start(world.now)
        (request,) = [action for action in world.life.pop_actions() if isinstance(action, RestRequest)]
        world.life.on_request_failed(request.id, RETIRED, world.now)
        assert not [action for action in world.life.pop_actions() if isinstance(action, CloseConnection)]

    def test_a_retired_way_in_is_not_tried_again(self):
        world = World([CROSS], AUTO_SOURCES)
        world.be.rest = lambda request: RETIRED if request.source is LISTEN_TOKEN else None
        world.start().live()
        for _ in range(3):
            world.drop(world.open_conns()[0])
            world.run(30).live(60)
        assert [request.source.name for _, request in world.requests].count("token") == 1

    def test_when_all_are_retired_the_stream_ends_with_the_cause(self):
        world = World([CROSS, BTC], AUTO_SOURCES)
        world.be.rest = lambda _: RETIRED
        world.start().run(60)
        assert world.failed == RETIRED
        assert world.life.state is State.FAILED

    def test_a_stray_404_retires_nothing(self):
        answers = iter([None, NOT_FOUND, NOT_FOUND])
        world = World([BTC], AUTO_SOURCES)
        world.be.rest = lambda _: next(answers, None)
        world.start().live().run(DAY)
        assert world.failed is None
        assert world.life.health(world.now).failures == 2
        assert world.all_gaps() == []

    def test_an_address_that_stays_away_is_retired(self):
        world = World([CROSS], AUTO_SOURCES)
        world.be.rest = lambda request: NOT_FOUND if request.source.name == "token" else None
        world.start().run(60)
        assert {request.source.name for _, request in world.requests} == {"token", "listen-key-v2"}

    def test_an_isolated_account_cannot_follow_to_a_way_in_for_cross_alone(self):
        world = World([BTC], AUTO_SOURCES).start().live()
        world.be.rest = lambda _: RETIRED
        world.run(DAY)
        assert world.failed == RETIRED

    def test_an_account_that_no_source_has_is_refused(self):
        with pytest.raises(ValueError, match="no way in"):
            World([BTC], (LISTEN_KEY_V2,))

    def test_risk_events_run_beside_the_accounts_own(self):
        world = World([CROSS, BTC], extra=((CROSS, (RISK_LISTEN_KEY,)),)).start().live()
        assert {conn.source.name for conn in world.open_conns()} == {"token", "risk"}

    def test_a_notice_that_two_ways_in_bring_comes_once_and_two_equal_ones_come_twice(self):
        world = World([CROSS], (LISTEN_KEY_V2,), extra=((CROSS, (RISK_LISTEN_KEY,)),), consume=False).start().live()
        notice = Ev(1, CROSS, "notice", world.now, CROSS, "USER_LIABILITY_CHANGE")
        ways = [(conn.number, route) for conn in world.open_conns() for route in conn.subs]
        for _ in range(2):
            for number, route in ways:
                world.life.on_event(number, route, notice, world.now)
        assert len(ways) == 2
        assert list(iter(world.life.next_item, None)) == [notice, notice]

    def test_a_notice_that_only_one_of_them_brings_comes(self):
        world = World([CROSS], (LISTEN_KEY_V2,), extra=((CROSS, (RISK_LISTEN_KEY,)),), consume=False).start().live()
        for conn in world.open_conns():
            for route in conn.subs:
                own = Ev(1, CROSS, ("of", route), world.now, CROSS, "MARGIN_LEVEL_STATUS_CHANGE")
                world.life.on_event(conn.number, route, own, world.now)
        assert len(list(iter(world.life.next_item, None))) == 2


class TestFatal:
    @pytest.mark.parametrize(
        "trouble", [FailureKind.KEY_REJECTED, FailureKind.BAD_PARAMETER, FailureKind.COUNTRY_BLOCKED]
    )
    def test_it_surfaces_at_once_and_stops_everything(self, trouble):
        world = World([CROSS, BTC]).start().live().run(60)
        failure = Failure(trouble, "code -2015")
        world.be.rest = lambda _: failure
        world.run(DAY)
        assert world.failed == failure
        assert world.open_conns() == []
        assert world.life.next_timer_at() is None
        world.verdict()

    def test_a_revoked_key_that_a_connection_reports_is_fatal(self):
        world = World([CROSS]).start().live()
        world.life.on_response(1, ResponseFrame(None, 401, None, -2015, "Invalid API-key"), world.now)
        world.run(1)
        assert world.failed is not None
        assert world.failed.kind is FailureKind.KEY_REJECTED
        assert world.life.state is State.FAILED


class TestConsumer:
    def test_a_slow_one_gets_one_gap_with_the_number_of_what_had_to_go(self):
        world = World([CROSS], rules=StreamSettings(buffer_size=100), consume=False).start().live()
        for _ in range(250):
            world.emit(CROSS)
        world.run(1).drain()
        (gap,) = world.all_gaps()
        assert (gap.dropped, gap.reason, world.items[0]) == (150, "slow consumer", gap)
        assert len(world.items) == 101
        world.verdict()

    def test_each_account_has_its_own(self):
        world = World([CROSS, BTC], rules=StreamSettings(buffer_size=10), consume=False).start().live()
        for _ in range(10):
            world.emit(CROSS)
            world.emit(BTC)
        world.run(1).drain()
        assert {(gap.account, gap.dropped) for gap in world.all_gaps()} == {(CROSS, 5), (BTC, 5)}

    def test_a_gap_that_had_to_go_is_not_forgotten(self):
        world = World([CROSS], rules=StreamSettings(buffer_size=10), consume=False).start().live().run(30)
        world.drop(world.open_conns()[0])
        world.emit(CROSS)
        world.run(30)
        for _ in range(30):
            world.emit(CROSS)
        world.run(1).verdict()
        assert len(world.all_gaps()) == 1


class TestEnd:
    def test_closing_closes_every_connection_and_leaves_nothing_to_do(self):
        world = World([CROSS]).start().live()
        world.life.close(world.now)
        world.obey()
        assert (world.life.state, world.life.next_timer_at()) == (State.CLOSED, None)
        world.run(DAY)
        assert world.open_conns() == []
        assert len(world.connects) == 1

    def test_closing_twice_is_closing_once(self):
        world = World([CROSS]).start().live()
        world.life.close(world.now)
        assert any(isinstance(action, CloseConnection) for action in world.life.pop_actions())
        world.life.close(world.now)
        assert world.life.pop_actions() == []

    def test_a_key_is_given_up_only_on_request(self):
        for give_up, calls in ((False, 0), (True, 1)):
            world = World([CROSS], (LISTEN_KEY,)).start().live()
            world.life.close(world.now, close_listen_keys=give_up)
            operations = [getattr(action, "call", None) for action in world.life.pop_actions()]
            assert sum(1 for call in operations if call and call.operation.endswith("_delete")) == calls

    def test_nothing_that_comes_afterwards_does_anything(self):
        world = World([CROSS]).start().live()
        world.life.close(world.now)
        world.life.pop_actions()
        world.life.on_open(1, world.now)
        world.life.on_close(1, DROPPED, world.now)
        world.life.on_malformed_frame(1, world.now)
        world.life.on_timer(world.now + DAY)
        world.life.on_request_failed(1, SERVER, world.now)
        assert not any(isinstance(action, OpenConnection) for action in world.life.pop_actions())
        assert world.life.next_timer_at() is None


class TestHealth:
    def test_it_says_how_the_stream_is_doing(self):
        world = busy(World([CROSS, BTC])).start().live().run(70)
        health = world.life.health(world.now)
        assert health.state is State.LIVE
        assert health.accounts == {CROSS: True, BTC: True}
        assert 60 < health.connection_age < 71
        assert health.frame_age < 2
        assert health.ping_age < 21
        assert health.events["Ev"] >= 138
        assert (health.gaps, health.reconnects, health.dropped) == (0, 0, 0)
        assert health.next_action == "look for pings"
        assert world.life._timer_handlers.keys() == TIMER_DESCRIPTIONS.keys()
        assert health.next_action_in > 0

    def test_it_says_which_account_is_down(self):
        world = World([CROSS, BTC]).start().live()
        world.be.rest = lambda _: SERVER
        world.kill_token(BTC)
        world.run(5)
        assert world.life.health(world.now).accounts == {CROSS: True, BTC: False}

    def test_no_change_tells_a_secret(self):
        world = World([CROSS, BTC], (LISTEN_KEY,)).start().live()
        world.delete_key(LISTEN_KEY, CROSS)
        world.drop(world.open_conns()[0])
        world.run(200)
        everything = repr(world.log) + repr(world.requests) + repr(world.life.health(world.now))
        assert not any(key in everything for key in [*world.keys.values(), "key-0"])
