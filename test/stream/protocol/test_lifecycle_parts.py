"""The parts of the life cycle, each for itself: pace, timers, buffer, handover, refusals."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from fake_exchange import FakeEvent, FakeExchange
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream import exceptions
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import FailureKind, classify_error, classify_response, classify_status
from binance_margin_stream.stream.protocol.actions import RestRequest
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.timing import Backoff, RateLimiter, SlidingWindowLimit, Timers
from binance_margin_stream.stream.settings import StreamSettings, get_limits, with_limits


class TestBackoff:
    @given(seed=st.integers(), failures=st.integers(1, 200))
    def test_it_is_capped_and_fully_jittered(self, seed, failures):
        backoff = Backoff(0.5, 30.0, random.Random(seed).uniform)
        delays = [backoff.next_delay() for _ in range(failures)]
        assert all(0 <= delay <= min(30.0, 0.5 * 2**n) for n, delay in enumerate(delays))

    def test_it_uses_its_whole_range(self):
        low, high = Backoff(1.0, 8.0, lambda a, _: a), Backoff(1.0, 8.0, lambda _, b: b)
        assert [low.next_delay() for _ in range(5)] == [0.0] * 5
        assert [high.next_delay() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]

    def test_it_starts_again(self):
        backoff = Backoff(1.0, 8.0, lambda _, b: b)
        backoff.next_delay(), backoff.next_delay()
        backoff.reset()
        assert backoff.next_delay() == 1.0


class TestRateLimiter:
    @given(rate=st.floats(0.5, 100), burst=st.integers(1, 10), steps=st.lists(st.floats(0, 3), max_size=100))
    def test_no_second_has_more_than_its_share(self, rate, burst, steps):
        pace, now, taken = RateLimiter(rate, burst), 0.0, []
        for step in steps:
            now = max(now + step, pace.next_allowed_at(now + step))
            pace.acquire(now)
            taken.append(now)
        for at in taken:
            assert sum(1 for other in taken if at <= other < at + 1) <= rate + burst + 1e-6

    def test_a_window_never_holds_more_than_its_limit(self):
        window, now, made = SlidingWindowLimit(5, 60.0), 0.0, []
        for _ in range(50):
            now = window.next_allowed_at(now)
            window.acquire(now)
            made.append(now)
        assert max(sum(1 for other in made if at <= other < at + 60) for at in made) == 5


class TestTimers:
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20) | st.none()), max_size=200))
    def test_they_do_what_a_dictionary_would(self, steps):
        timers, model = Timers(), {}
        for key, at in steps:
            if at is None:
                timers.cancel(key)
                model.pop(key, None)
            else:
                timers.set(key, at)
                model[key] = at
            assert len(timers) == len(model)
        due = []
        while (key := timers.pop_due(10)) is not None:
            due.append(model.pop(key))
        assert due == sorted(due)
        assert all(at > 10 for at in model.values())
        assert (timers.peek() is None) == (not model)

    def test_moving_one_a_million_times_takes_no_room(self):
        timers = Timers()
        for at in range(10_000):
            timers.set("one", at)
        assert timers.heap_size < 100

    def test_it_is_only_moved_forward_when_asked_so(self):
        timers = Timers()
        timers.set("one", 5.0)
        timers.set_earlier("one", 7.0)
        assert timers.peek() == (5.0, "one")
        timers.set_earlier("one", 3.0)
        assert timers.peek() == (3.0, "one")


class TestBuffer:
    @given(st.lists(st.booleans(), max_size=200), st.integers(1, 10))
    def test_every_event_is_taken_or_counted(self, steps, limit):
        buffer, put, taken, dropped = EventBuffer(limit, lambda at: round(at * 1000)), 0, [], 0
        for step in [*steps, *[False] * (limit + 2)]:
            if step:
                buffer.put(float(put), FakeEvent(put, CROSS, put, 0.0, CROSS))
                put += 1
            elif isinstance(item := buffer.pop(), StreamGap):
                dropped += item.dropped
            elif item is not None:
                taken.append(item.serial)
            assert len(buffer) <= limit + 1
        assert len(taken) + dropped == put
        assert taken == sorted(taken)
        assert buffer.dropped == dropped


class TestDeduplicator:
    def test_what_is_held_is_bounded(self):
        exchange = (
            FakeExchange([CROSS], settings=with_limits(StreamSettings(), max_held_events=50)).start().run_until_live()
        )
        old = exchange.open_connections()[0]
        exchange.shut_down(old, grace=3600)
        exchange.run_until(
            lambda: len(exchange.open_connections()) == 2 and bool(exchange.open_connections()[1].subscriptions), 30
        )
        old.downlink_busy_until = exchange.now + 60
        for _ in range(200):
            exchange.send_event(CROSS)
        exchange.run(90)
        exchange.assert_complete()
        assert len(exchange.list_gaps()) == 1

    def test_what_waits_for_an_answer_is_bounded(self):
        exchange = FakeExchange([CROSS], settings=with_limits(StreamSettings(), max_unrouted_events=10)).start()
        exchange.run_until(lambda: any(connection.subscriptions for connection in exchange.connections.values()), 10)
        for number in range(100):
            exchange.lifecycle.on_event(1, 0, FakeEvent(10**6 + number, CROSS, number, exchange.now), exchange.now)
        assert exchange.lifecycle.connections.get(1).unrouted_count == 10
        exchange.run_until_live()

    def test_an_event_of_an_unknown_subscription_is_a_gap(self):
        exchange = FakeExchange([CROSS, isolated("BTCUSDT")]).start().run_until_live()
        exchange.lifecycle.on_event(1, 77, FakeEvent(1, CROSS, 1, exchange.now), exchange.now)
        exchange.run(5)
        assert {gap.reason for gap in exchange.list_gaps()} == {"malformed frame"}

    def test_an_event_without_a_route_belongs_to_the_only_subscription(self):
        exchange = FakeExchange([CROSS]).start().run_until_live()
        exchange.lifecycle.on_event(1, None, FakeEvent(1, CROSS, 1, exchange.now), exchange.now)
        assert [item.account for item in iter(exchange.lifecycle.next_item, None)] == [CROSS]


class TestClock:
    def test_a_corrected_clock_does_not_move_the_other_end_of_a_gap(self):
        exchange = FakeExchange([CROSS]).start().run_until_live().run(60)
        exchange.epoch += 3_600_000
        exchange.drop_connection(exchange.open_connections()[0])
        exchange.run(30)
        (gap,) = exchange.list_gaps()
        assert 0 < gap.until - gap.since < 60_000


class TestErrorMapping:
    @pytest.mark.parametrize(
        ("error", "trouble"),
        [
            (exceptions.ListenKeyUnknownError(400), FailureKind.UNKNOWN_CREDENTIAL),
            (exceptions.ListenTokenInvalidError(400), FailureKind.UNKNOWN_CREDENTIAL),
            (exceptions.BadParameterError(400), FailureKind.BAD_PARAMETER),
            (exceptions.ApiValueError("symbol"), FailureKind.BAD_PARAMETER),
            (exceptions.KeyRejectedError(401), FailureKind.KEY_REJECTED),
            (exceptions.EndpointRetiredError(410), FailureKind.RETIRED),
            (exceptions.EndpointRetiredError(404), FailureKind.NOT_FOUND),
            (exceptions.EndpointRetiredError(404, code=-1020), FailureKind.RETIRED),
            (exceptions.BlockedError(403), FailureKind.FIREWALL_BLOCKED),
            (exceptions.BlockedError(451), FailureKind.COUNTRY_BLOCKED),
            (exceptions.ServerError(503), FailureKind.SERVER_ERROR),
            (exceptions.ApiException(400), FailureKind.SERVER_ERROR),
            (exceptions.TransportError("dns", kind="dns"), FailureKind.TRANSPORT_ERROR),
            (exceptions.ResponseError("html"), FailureKind.TRANSPORT_ERROR),
            (RuntimeError("anything"), FailureKind.TRANSPORT_ERROR),
        ],
    )
    def test_each_error_of_the_client_has_its_meaning(self, error, trouble):
        assert classify_error(error).kind is trouble

    def test_waits_are_as_long_as_told(self):
        assert classify_error(exceptions.RateLimitError(429, retry_after=7.0)).retry_after == 7.0
        until = datetime.now(UTC) + timedelta(seconds=100)
        banned = classify_error(exceptions.BannedError(418, until=until))
        assert banned.kind is FailureKind.BANNED
        assert 98 < (banned.retry_after or 0) <= 100

    @pytest.mark.parametrize(
        ("status", "code", "trouble"),
        [
            (401, -2015, FailureKind.KEY_REJECTED),
            (400, -1209, FailureKind.UNKNOWN_CREDENTIAL),
            (400, -2035, FailureKind.ALREADY_SUBSCRIBED),
            (400, -2042, FailureKind.CONNECTION_FULL),
            (429, -1003, FailureKind.RATE_LIMITED),
            (418, -1003, FailureKind.BANNED),
            (400, -1102, FailureKind.BAD_PARAMETER),
            (400, -1020, FailureKind.RETIRED),
            (500, -1000, FailureKind.SERVER_ERROR),
            (400, -9999, FailureKind.SERVER_ERROR),
        ],
    )
    def test_each_answer_on_a_connection_has_its_meaning(self, status, code, trouble):
        assert classify_response(ResponseFrame(1, status, None, code, "m"), 0).kind is trouble

    def test_a_wait_on_a_connection_is_a_moment(self):
        answer = ResponseFrame(1, 429, None, -1003, "m", retry_after=61_000)
        assert classify_response(answer, 1_000).retry_after == 60.0

    @pytest.mark.parametrize("told", [10**400, 10**16, 10**14])
    def test_no_wait_is_longer_than_the_longest_ban(self, told):
        longest = 3 * 86_400
        assert (
            classify_response(ResponseFrame(1, 418, None, -1003, "m", retry_after=told), 1_000).retry_after == longest
        )
        assert classify_response(ResponseFrame(1, 418, None, -1003, "m", retry_after=-told), 1_000).retry_after == 0
        assert classify_status(418, float("inf")).retry_after == longest
        assert classify_status(418, float("nan")).retry_after == 0
        for_centuries = datetime(2286, 1, 1, tzinfo=UTC)
        assert classify_error(exceptions.BannedError(418, until=for_centuries)).retry_after == longest

    def test_a_refused_handshake_never_speaks_about_the_key(self):
        assert classify_status(401, None).kind is FailureKind.TRANSPORT_ERROR
        assert classify_status(429, 3.0).retry_after == 3.0
        assert classify_status(410, None).kind is FailureKind.RETIRED


class TestCredentials:
    @pytest.mark.parametrize("expires", [0, -(10**400), 10**400, 10**17, 1])
    def test_an_expiry_that_cannot_be_is_not_believed(self, expires):
        exchange = FakeExchange([CROSS])
        exchange.lifecycle.start(exchange.now)
        (request,) = [action for action in exchange.lifecycle.pop_actions() if isinstance(action, RestRequest)]
        exchange.lifecycle.on_credential(request.id, "a token", expires, exchange.now)
        credential = exchange.lifecycle.coordinator.feeds[0].credential
        assert credential.expires_at == exchange.now + exchange.settings.token_validity


class TestSettings:
    def test_faster_rules_shorten_times_and_raise_rates(self):
        rules = StreamSettings().scaled(10)
        assert (rules.idle_timeout, rules.rest_rate, get_limits(rules).renewal_fraction) == (4.5, 250.0, 0.5)
        assert rules.buffer_size == StreamSettings().buffer_size

    def test_faster_rules_leave_machine_and_network_the_time_that_they_need(self):
        rules = with_limits(StreamSettings(), overlap_window=0.5).scaled(1440)
        assert (rules.idle_timeout, rules.request_timeout, get_limits(rules).overlap_window) == (2.0, 2.0, 0.5)
        assert get_limits(rules.scaled(1 / 1440)).exchange_speed == pytest.approx(1)

    def test_a_token_lives_as_long_on_a_faster_exchange_by_its_own_time(self):
        rules = StreamSettings().scaled(1440)
        exchange = FakeExchange([CROSS], settings=rules)
        exchange.lifecycle.start(exchange.now)
        (request,) = [action for action in exchange.lifecycle.pop_actions() if isinstance(action, RestRequest)]
        assert request.call.arguments["validity"] == 86_400_000
        assert rules.token_validity == 60

    def test_they_stay_inside_the_exchanges_limits(self):
        rules = StreamSettings()
        assert rules.connect_limit < 300
        assert rules.connect_window == 300
        assert rules.connection_max_age < 86_400
        assert rules.accounts_per_connection <= 1000
        assert get_limits(rules).subscriptions_per_connection < 65_535
        assert rules.rest_rate * 60 < 12_000 / 4
        assert rules.token_validity <= 86_400
