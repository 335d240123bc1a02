"""Faults by name, scheduled, with a probability and at random."""

from __future__ import annotations

import http.client
import itertools
import json

import pytest
from exchange_harness import (
    CROSS_KEY_PATH,
    LISTEN_KEY_V2_PATH,
    LISTEN_TOKEN_PATH,
    RISK_LISTEN_KEY_PATH,
    START_MS,
    SUBSCRIBE,
    ExchangeHarness,
    find_close,
)

from binance_margin_stream.sandbox import NAMED_FAULTS, ExchangeRules, Sandbox, create_fault, faults
from binance_margin_stream.sandbox.faults import Fault
from binance_margin_stream.sandbox.faults.random import RECOVERABLE_FAULTS, random_faults
from binance_margin_stream.sandbox.messages import Abort, Close, Frame, Text

EXPECTED_NAMES = """drop reset freeze half-open delay-frames truncate-event malformed-frame binary-frame duplicate-event
reorder-events expire-credentials delete-listen-keys revoke-api-key refuse-handshake server-error
forbidden 429 418 slow-handshake wrong-certificate shutdown-notice lost-subscribe-response api-error not-found"""


def make_event(number: int) -> dict[str, object]:
    return {"e": "balanceUpdate", "E": number, "a": "BTC", "d": "1.0", "T": number}


def event_numbers(harness: ExchangeHarness, connection: int) -> list[int]:
    """The numbers of the events that were sent on a connection."""
    return [text["event"]["E"] for text in harness.take_texts(connection) if "event" in text]


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


class TestNames:
    def test_the_expected_names_exist(self) -> None:
        assert set(EXPECTED_NAMES.split()) <= NAMED_FAULTS.keys()

    def test_every_kind_of_fault_has_a_name(self) -> None:
        kinds = {type(make()) for make in NAMED_FAULTS.values()}
        assert kinds == set(Fault.__args__)

    @pytest.mark.parametrize("name", NAMED_FAULTS)
    def test_every_name_creates_a_fault(self, harness: ExchangeHarness, name: str) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault(name, harness.now)
        harness.send_event(make_event(1))
        harness.call_rest("POST", LISTEN_TOKEN_PATH)
        harness.connect("/ws-api/v3")
        harness.send(connection, {"id": 1, "method": SUBSCRIBE, "params": {"listenToken": "x"}})
        harness.advance_time(5)

    @pytest.mark.parametrize("name", NAMED_FAULTS)
    def test_every_parameter_can_be_given_as_a_string(self, name: str) -> None:
        fault = NAMED_FAULTS[name]
        texts = {parameter.name: str(parameter.default) for parameter in fault.parameters}
        assert fault(**texts) == fault()
        assert fault.summary.endswith(".")
        assert "\n" not in fault.summary

    def test_parameters_reach_the_fault(self) -> None:
        assert create_fault("drop", code="1011") == faults.DropConnections("close", 1011)
        assert create_fault("delayed-response", seconds=0.5) == faults.DelayedResponse(0.5)
        assert create_fault("delete-listen-keys", kind="listen_key_v2") == faults.DeleteListenKeys("listen_key_v2")
        assert create_fault("refuse-subscribe", code=-1209) == faults.RefuseSubscribe(-1209)
        (parameter,) = NAMED_FAULTS["expire-credentials"].parameters
        assert (parameter.default, parameter.choices) == ("all", ("all", "listen_tokens", "listen_keys"))

    @pytest.mark.parametrize(
        ("name", "parameters", "words"),
        [
            ("quake", {}, "no fault is called quake; there are drop, "),
            ("drop", {"cod": 1}, "the fault drop takes code, not cod"),
            ("reset", {"code": 1}, "takes no parameter, not code"),
            ("drop", {"code": "many"}, "code takes a whole number"),
            ("drop", {"code": 1.5}, "code takes a whole number"),
            ("drop", {"code": True}, "code takes a whole number"),
            ("delay-frames", {"seconds": "-1"}, "seconds takes a number from 0"),
            ("delay-frames", {"seconds": "nan"}, "seconds takes a number from 0"),
            ("expire-credentials", {"credentials": "some"}, "credentials takes one of all, listen_tokens, listen_keys"),
            ("refuse-handshake", {"status": 200}, "status takes an HTTP status from 400 to 599"),
            ("server-error", {"status": 99}, "status takes an HTTP status"),
        ],
    )
    def test_an_invalid_value_is_named(self, name: str, parameters: dict[str, str], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            create_fault(name, **parameters)


class TestConnections:
    def test_half_open_connections_are_dropped_without_notice(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault("half-open", harness.now)
        assert harness.exchange.metrics().connections_open == 0
        assert harness.exchange.is_silent(connection)
        assert harness.send_event(make_event(1)) == 0
        harness.send(connection, {"id": 1, "method": "ping"})
        harness.advance_time(90_000)
        harness.exchange.inject_fault("drop", harness.now)
        assert harness.take_frames(connection) == []
        harness.exchange.on_disconnected(connection, harness.now)
        assert not harness.exchange.is_silent(connection)

    def test_delayed_frames_keep_their_order(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault(faults.DelayFrames(1.5), harness.now)
        harness.send_event(make_event(1))
        harness.send(connection, {"id": 7, "method": "ping"})
        harness.advance_time(1.4)
        harness.send_event(make_event(2))
        assert harness.take_texts(connection) == []
        harness.advance_time(0.1)
        first, answer = harness.take_texts(connection)
        assert (first["event"]["E"], answer["id"]) == (1, 7)
        harness.advance_time(1.4)
        assert event_numbers(harness, connection) == [2]

    def test_delayed_frames_are_lost_with_their_connection(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault(faults.DelayFrames(1.5), harness.now)
        harness.send_event(make_event(1))
        harness.exchange.inject_fault("reset", harness.now)
        harness.advance_time(2)
        assert harness.take_frames(connection) == [Abort("reset")]
        assert harness.exchange.metrics().frames_dropped == 1


class TestEvents:
    def test_an_event_can_be_truncated(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault("truncate-event", harness.now)
        harness.send_event(make_event(1))
        harness.send_event(make_event(2))
        half, whole = [frame.text for frame in harness.take_frames(connection) if isinstance(frame, Text)]
        assert json.dumps({"subscriptionId": 0, "event": make_event(1)}, separators=(",", ":")).startswith(half)
        with pytest.raises(ValueError, match=r"."):
            json.loads(half)
        assert json.loads(whole)["event"] == make_event(2)

    def subscribe_two_accounts(self, harness: ExchangeHarness) -> int:
        connection = harness.open_subscribed()
        harness.request(
            connection, SUBSCRIBE, listenToken=harness.create_listen_token(isIsolated="true", symbol="BTCUSDT")
        )
        return connection

    def test_events_of_two_accounts_can_be_reordered(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe_two_accounts(harness)
        harness.exchange.inject_fault("reorder-events", harness.now)
        harness.send_event(make_event(1))
        harness.send_event(make_event(2), "BTCUSDT")
        harness.send_event(make_event(3))
        assert event_numbers(harness, connection) == [2, 1, 3]

    def test_events_of_one_account_keep_their_order(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe_two_accounts(harness)
        harness.exchange.inject_fault("reorder-events", harness.now, times=2)
        harness.send_event(make_event(1))
        harness.send_event(make_event(2))
        harness.send_event(make_event(3), "BTCUSDT")
        assert event_numbers(harness, connection) == [1, 3, 2]

    def test_a_held_event_is_sent_after_a_second(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe_two_accounts(harness)
        harness.exchange.inject_fault("reorder-events", harness.now)
        harness.send_event(make_event(1))
        harness.advance_time(0.9)
        assert event_numbers(harness, connection) == []
        harness.advance_time(0.1)
        assert event_numbers(harness, connection) == [1]

    @pytest.mark.parametrize("renewal", ["same_id", "new_id"])
    def test_a_held_event_is_sent_before_a_response(self, renewal: str) -> None:
        harness = ExchangeHarness(ExchangeRules(resubscribe_response=renewal))  # type: ignore[arg-type]  # literal
        connection = harness.open_subscribed()
        harness.exchange.inject_fault("reorder-events", harness.now)
        harness.exchange.inject_fault("lost-subscribe-response", harness.now)
        harness.send_event(make_event(1))
        harness.send(
            connection, {"id": 2, "method": SUBSCRIBE, "params": {"listenToken": harness.create_listen_token()}}
        )
        harness.send_event(make_event(2))
        assert event_numbers(harness, connection) == [1, 2]

    def test_a_fault_can_be_limited_to_the_events_of_an_account(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe_two_accounts(harness)
        harness.exchange.inject_fault("duplicate-event", harness.now, account="BTCUSDT")
        harness.send_event(make_event(1))
        harness.send_event(make_event(2), "BTCUSDT")
        assert event_numbers(harness, connection) == [1, 2, 2]

    def test_a_fault_can_be_limited_to_the_subscribe_of_an_account(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault("refuse-subscribe", harness.now, account="BTCUSDT")
        connection = harness.open_subscribed()
        token = harness.create_listen_token(isIsolated="true", symbol="BTCUSDT")
        assert harness.request(connection, SUBSCRIBE, listenToken=token)["error"]["code"] == -1000
        assert harness.request(connection, SUBSCRIBE, listenToken=token)["status"] == 200

    def test_an_event_without_subscribers_consumes_no_fault(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault("duplicate-event", harness.now)
        harness.send_event(make_event(1), "BTCUSDT")
        harness.send_event(make_event(2))
        assert event_numbers(harness, connection) == [2, 2]


class TestCredentials:
    def test_listen_keys_can_be_deleted_for_all_clients(self, harness: ExchangeHarness) -> None:
        keys = {
            path: harness.create_listen_key(path) for path in (CROSS_KEY_PATH, LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH)
        }
        listener = harness.open_connection("/ws/" + keys[LISTEN_KEY_V2_PATH])
        harness.exchange.inject_fault(create_fault("delete-listen-keys", kind="risk_listen_key"), harness.now)
        assert [harness.call_rest("PUT", path, {"listenKey": key}).status for path, key in keys.items()] == [
            200,
            200,
            400,
        ]
        harness.exchange.inject_fault("delete-listen-keys", harness.now)
        assert harness.call_rest("PUT", LISTEN_KEY_V2_PATH, {"listenKey": keys[LISTEN_KEY_V2_PATH]}).code == -1125
        harness.send_event(make_event(1))
        assert harness.take_frames(listener) == []

    def test_an_api_key_can_be_revoked(self, harness: ExchangeHarness) -> None:
        other = harness.exchange.add_user()
        connection, token = harness.open_subscribed(), harness.create_listen_token(other)
        harness.exchange.inject_fault("revoke-api-key", harness.now)
        assert harness.take_texts(connection)[0]["error"]["code"] == -2015
        assert harness.request(connection, SUBSCRIBE, listenToken=token)["status"] == 200
        assert (
            harness.call_rest("POST", LISTEN_KEY_V2_PATH).code,
            harness.call_rest("POST", LISTEN_KEY_V2_PATH, user=other).status,
        ) == (-2015, 200)
        harness.exchange.inject_fault(create_fault("revoke-api-key", uid=other.uid), harness.now)
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH, user=other).code == -2015


class TestTime:
    def test_a_fault_can_be_scheduled(self, harness: ExchangeHarness) -> None:
        connection = harness.open_connection()
        harness.exchange.inject_fault("drop", harness.now, at_ms=START_MS + 5000)
        harness.exchange.inject_fault(faults.server_error(502), harness.now, at_ms=START_MS + 5000)
        harness.advance_time(4.999)
        assert find_close(harness.take_frames(connection)) is None
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 200
        harness.advance_time(0.001)
        assert find_close(harness.take_frames(connection)) == Close(1001)
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 502

    def test_a_time_in_the_past_means_now(self, harness: ExchangeHarness) -> None:
        connection = harness.open_connection()
        harness.exchange.inject_fault("reset", harness.now, at_ms=START_MS - 1)
        assert find_close(harness.take_frames(connection)) == Abort("reset")

    def test_a_scheduled_fault_can_be_cancelled(self, harness: ExchangeHarness) -> None:
        connection = harness.open_connection()
        harness.exchange.inject_fault("drop", harness.now, at_ms=START_MS + 5000)
        harness.exchange.clear_faults()
        harness.advance_time(10)
        assert find_close(harness.take_frames(connection)) is None


class TestProbability:
    def test_a_probability_applies_to_each_request(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault("server-error", harness.now, times=None, probability=0.25)
        struck = sum(harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 503 for _ in range(400))
        assert 60 < struck < 140
        assert harness.exchange.metrics().fault_counts == {"StaticResponse": struck}

    def test_a_probability_applies_to_a_connection_fault_as_a_whole(self, harness: ExchangeHarness) -> None:
        ends = []
        for _ in range(100):
            connection = harness.open_connection("/ws")
            harness.exchange.inject_fault("drop", harness.now, connection=connection, probability=0.5)
            ends.append(find_close(harness.take_frames(connection)) is not None)
        assert 25 < sum(ends) < 75

    @pytest.mark.parametrize("probability", [0, -1, 1.1, float("nan")])
    def test_a_probability_is_above_0_and_at_most_1(self, harness: ExchangeHarness, probability: float) -> None:
        with pytest.raises(ValueError, match="probability takes"):
            harness.exchange.inject_fault("drop", harness.now, probability=probability)


class TestRandomFaults:
    def run_random_faults(self, seed: int) -> list[tuple[int, Frame]]:
        """The frames of two connections in ten minutes of random faults, with an event every second."""
        harness = ExchangeHarness(seed=5)
        harness.exchange.start_random_faults(
            seed, 10, harness.now, ["drop", "duplicate-event", "truncate-event", "malformed-frame"]
        )
        for number in range(600):
            if harness.exchange.metrics().connections_open < 2:
                harness.open_subscribed()
            harness.send_event(make_event(number))
            harness.advance_time(1)
        return [(number, frame) for number in range(1, 80) for frame in harness.take_frames(number)]

    def test_the_same_seed_gives_the_same_faults(self) -> None:
        assert self.run_random_faults(1) == self.run_random_faults(1) != self.run_random_faults(2)

    def test_the_average_interval_is_as_configured(self) -> None:
        plan = list(itertools.islice(random_faults(7, 30), 2000))
        assert 28_000 < sum(strike.delay_ms for strike in plan) / len(plan) < 32_000
        assert {strike.name for strike in plan} == set(RECOVERABLE_FAULTS)

    def test_unrecoverable_faults_are_excluded_by_default(self) -> None:
        assert set(NAMED_FAULTS) - set(RECOVERABLE_FAULTS) == {
            "revoke-api-key",
            "wrong-certificate",
            "api-error",
            "not-found",
            "order-limit",
            "archived-order",
            "unexpected-trade",
        }

    def test_an_unused_random_fault_is_not_added_again(self, harness: ExchangeHarness) -> None:
        harness.exchange.start_random_faults(1, 1, harness.now, ["refuse-handshake"])
        harness.advance_time(600)
        harness.exchange.stop_random_faults()
        harness.connect("/ws")
        harness.open_connection("/ws")

    @pytest.mark.parametrize("how", ["stop_random_faults", "clear_faults"])
    def test_random_faults_can_be_stopped(self, harness: ExchangeHarness, how: str) -> None:
        harness.exchange.start_random_faults(1, 1, harness.now, ["malformed-frame"])
        connection = harness.open_connection()
        harness.advance_time(10)
        assert len(harness.take_frames(connection)) > 2
        getattr(harness.exchange, how)()
        harness.advance_time(15)
        assert harness.take_texts(connection) == []

    def test_new_random_faults_replace_the_old(self, harness: ExchangeHarness) -> None:
        harness.exchange.start_random_faults(1, 1, harness.now, ["malformed-frame"])
        harness.exchange.start_random_faults(1, 1, harness.now, ["binary-frame"])
        harness.advance_time(10)
        assert harness.exchange.metrics().fault_counts.keys() == {"BinaryFrame"}

    def test_pending_faults_are_limited(self, harness: ExchangeHarness) -> None:
        for _ in range(10_000):
            harness.exchange.inject_fault("forbidden", harness.now)
        with pytest.raises(ValueError, match="10000 faults are pending already"):
            harness.exchange.inject_fault("forbidden", harness.now)
        harness.exchange.inject_fault("forbidden", harness.now, at_ms=harness.now + 1)
        harness.advance_time(1)
        harness.exchange.clear_faults()
        harness.exchange.inject_fault("forbidden", harness.now)

    @pytest.mark.parametrize(
        ("every", "only", "words"), [(0, None, "every_seconds"), (1, ["quake"], "names of faults"), (1, [], "names")]
    )
    def test_an_invalid_value_is_named(
        self, harness: ExchangeHarness, every: float, only: list[str] | None, words: str
    ) -> None:
        with pytest.raises(ValueError, match=words):
            harness.exchange.start_random_faults(1, every, harness.now, only)


def test_a_running_sandbox_takes_names_times_and_random_faults() -> None:
    with Sandbox(speed=0) as exchange:
        exchange.inject_fault("server-error", after_seconds=10)
        exchange.inject_fault(create_fault("429", retry_after=3), at_ms=exchange.now + 20_000)
        exchange.start_random_faults(1, every_seconds=1, faults=["forbidden"])
        exchange.stop_random_faults()
        assert exchange.metrics.fault_counts == {}
        exchange.advance_time(10)
        status = {}
        for _ in range(2):
            call = http.client.HTTPConnection(*exchange.url.removeprefix("http://").split(":"), timeout=5)
            call.request("POST", LISTEN_KEY_V2_PATH, headers={"X-MBX-APIKEY": exchange.api_key})
            status[call.getresponse().status] = None
            call.close()
            exchange.advance_time(10)
        assert list(status) == [503, 429]
