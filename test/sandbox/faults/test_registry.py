"""Faults by name, at a time, with a probability and at random; and what those without a test elsewhere do."""

from __future__ import annotations

import http.client
import itertools
import json

import pytest
from exchange_harness import CROSS, RISK, START, SUBSCRIBE, TOKEN, V2, Desk, ended

from binance_margin_stream.sandbox import NAMED, Rules, Sandbox, faults, named
from binance_margin_stream.sandbox.faults import Fault
from binance_margin_stream.sandbox.faults.random import RECOVERABLE, strikes
from binance_margin_stream.sandbox.messages import Close, Cut, Frame, Text

# The list of the issue that asked for them, in its words.
ASKED_FOR = """drop reset freeze half-open delay truncate malformed binary duplicate reorder expire delete-key
revoke-api-key refuse server-error html-403 429 418 slow-handshake wrong-certificate shutdown-notice lost-answer"""


def event(number: int) -> dict[str, object]:
    return {"e": "balanceUpdate", "E": number, "a": "BTC", "d": "1.0", "T": number}


def numbers(desk: Desk, connection: int) -> list[int]:
    """The numbers of the events that were sent on a connection."""
    return [text["event"]["E"] for text in desk.texts(connection) if "event" in text]


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestNames:
    def test_every_fault_that_was_asked_for_has_a_name(self) -> None:
        assert set(ASKED_FOR.split()) <= NAMED.keys()

    def test_every_kind_of_fault_has_a_name(self) -> None:
        kinds = {type(make()) for make in NAMED.values()}
        assert kinds == set(Fault.__args__)

    @pytest.mark.parametrize("name", NAMED)
    def test_a_name_is_enough(self, desk: Desk, name: str) -> None:
        connection = desk.subscribed()
        desk.exchange.fail(name, desk.now)
        desk.emit(event(1))
        desk.call("POST", TOKEN)
        desk.connect("/ws-api/v3")
        desk.send(connection, {"id": 1, "method": SUBSCRIBE, "params": {"listenToken": "x"}})
        desk.pass_time(5)

    @pytest.mark.parametrize("name", NAMED)
    def test_every_parameter_can_be_given_as_a_text(self, name: str) -> None:
        fault = NAMED[name]
        texts = {parameter.name: str(parameter.default) for parameter in fault.parameters}
        assert fault(**texts) == fault()
        assert fault.summary.endswith(".")
        assert "\n" not in fault.summary

    def test_parameters_reach_the_fault(self) -> None:
        assert named("drop", code="1011") == faults.DropConnections("close", 1011)
        assert named("slow-answer", seconds=0.5) == faults.DelayAnswer(0.5)
        assert named("delete-key", kind="listen_key_v2") == faults.DeleteListenKeys("listen_key_v2")
        assert named("refuse-subscribe", code=-1209) == faults.RefuseSubscribe(-1209)
        (parameter,) = NAMED["expire"].parameters
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
            ("delay", {"seconds": "-1"}, "seconds takes a number from 0"),
            ("delay", {"seconds": "nan"}, "seconds takes a number from 0"),
            ("expire", {"which": "some"}, "which takes one of all, listen_tokens, listen_keys"),
            ("refuse", {"status": 200}, "status takes an HTTP status from 400 to 599"),
            ("server-error", {"status": 99}, "status takes an HTTP status"),
        ],
    )
    def test_a_mistake_is_told_in_words(self, name: str, parameters: dict[str, str], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            named(name, **parameters)


class TestConnections:
    def test_half_open_ones_are_forgotten_and_not_told(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail("half-open", desk.now)
        assert desk.exchange.counts().connections_open == 0
        assert desk.exchange.is_frozen(connection)
        assert desk.emit(event(1)) == 0
        desk.send(connection, {"id": 1, "method": "ping"})
        desk.pass_time(90_000)
        desk.exchange.fail("drop", desk.now)
        assert desk.frames(connection) == []
        desk.exchange.disconnected(connection, desk.now)
        assert not desk.exchange.is_frozen(connection)

    def test_slow_ones_get_every_frame_late_and_in_order(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail(faults.DelayFrames(1.5), desk.now)
        desk.emit(event(1))
        desk.send(connection, {"id": 7, "method": "ping"})
        desk.pass_time(1.4)
        desk.emit(event(2))
        assert desk.texts(connection) == []
        desk.pass_time(0.1)
        first, answer = desk.texts(connection)
        assert (first["event"]["E"], answer["id"]) == (1, 7)
        desk.pass_time(1.4)
        assert numbers(desk, connection) == [2]

    def test_what_is_under_way_when_a_slow_one_ends_is_lost(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail(faults.DelayFrames(1.5), desk.now)
        desk.emit(event(1))
        desk.exchange.fail("reset", desk.now)
        desk.pass_time(2)
        assert desk.frames(connection) == [Cut("reset")]
        assert desk.exchange.counts().frames_lost == 1


class TestEvents:
    def test_one_can_be_cut_in_half(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail("truncate", desk.now)
        desk.emit(event(1))
        desk.emit(event(2))
        half, whole = [frame.text for frame in desk.frames(connection) if isinstance(frame, Text)]
        assert json.dumps({"subscriptionId": 0, "event": event(1)}, separators=(",", ":")).startswith(half)
        with pytest.raises(ValueError, match=r"."):
            json.loads(half)
        assert json.loads(whole)["event"] == event(2)

    def two_accounts(self, desk: Desk) -> int:
        connection = desk.subscribed()
        desk.ask(connection, SUBSCRIBE, listenToken=desk.token(isIsolated="true", symbol="BTCUSDT"))
        return connection

    def test_two_accounts_can_change_places(self, desk: Desk) -> None:
        connection = self.two_accounts(desk)
        desk.exchange.fail("reorder", desk.now)
        desk.emit(event(1))
        desk.emit(event(2), "BTCUSDT")
        desk.emit(event(3))
        assert numbers(desk, connection) == [2, 1, 3]

    def test_one_account_keeps_its_order(self, desk: Desk) -> None:
        connection = self.two_accounts(desk)
        desk.exchange.fail("reorder", desk.now, times=2)
        desk.emit(event(1))
        desk.emit(event(2))
        desk.emit(event(3), "BTCUSDT")
        assert numbers(desk, connection) == [1, 3, 2]

    def test_one_that_nothing_follows_comes_after_a_second(self, desk: Desk) -> None:
        connection = self.two_accounts(desk)
        desk.exchange.fail("reorder", desk.now)
        desk.emit(event(1))
        desk.pass_time(0.9)
        assert numbers(desk, connection) == []
        desk.pass_time(0.1)
        assert numbers(desk, connection) == [1]

    @pytest.mark.parametrize("renewal", ["same_id", "new_id"])
    def test_one_does_not_wait_for_what_is_said_in_answer(self, renewal: str) -> None:
        desk = Desk(Rules(renewal=renewal))  # type: ignore[arg-type]  # literal
        connection = desk.subscribed()
        desk.exchange.fail("reorder", desk.now)
        desk.exchange.fail("lost-answer", desk.now)
        desk.emit(event(1))
        desk.send(connection, {"id": 2, "method": SUBSCRIBE, "params": {"listenToken": desk.token()}})
        desk.emit(event(2))
        assert numbers(desk, connection) == [1, 2]

    def test_one_that_nobody_hears_uses_up_no_fault(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail("duplicate", desk.now)
        desk.emit(event(1), "BTCUSDT")
        desk.emit(event(2))
        assert numbers(desk, connection) == [2, 2]


class TestCredentials:
    def test_listen_keys_can_be_deleted_for_everybody(self, desk: Desk) -> None:
        keys = {path: desk.listen_key(path) for path in (CROSS, V2, RISK)}
        listener = desk.open("/ws/" + keys[V2])
        desk.exchange.fail(named("delete-key", kind="risk_listen_key"), desk.now)
        assert [desk.call("PUT", path, {"listenKey": key}).status for path, key in keys.items()] == [200, 200, 400]
        desk.exchange.fail("delete-key", desk.now)
        assert desk.call("PUT", V2, {"listenKey": keys[V2]}).code == -1125
        desk.emit(event(1))
        assert desk.frames(listener) == []

    def test_an_api_key_can_be_revoked(self, desk: Desk) -> None:
        other = desk.exchange.add_account()
        connection, token = desk.subscribed(), desk.token(other)
        desk.exchange.fail("revoke-api-key", desk.now)
        assert desk.texts(connection)[0]["error"]["code"] == -2015
        assert desk.ask(connection, SUBSCRIBE, listenToken=token)["status"] == 200
        assert (desk.call("POST", V2).code, desk.call("POST", V2, user=other).status) == (-2015, 200)
        desk.exchange.fail(named("revoke-api-key", uid=other.uid), desk.now)
        assert desk.call("POST", V2, user=other).code == -2015


class TestTime:
    def test_a_fault_can_wait_for_its_time(self, desk: Desk) -> None:
        connection = desk.open()
        desk.exchange.fail("drop", desk.now, at=START + 5000)
        desk.exchange.fail(faults.server_error(502), desk.now, at=START + 5000)
        desk.pass_time(4.999)
        assert ended(desk.frames(connection)) is None
        assert desk.call("POST", V2).status == 200
        desk.pass_time(0.001)
        assert ended(desk.frames(connection)) == Close(1001)
        assert desk.call("POST", V2).status == 502

    def test_a_time_that_has_passed_is_now(self, desk: Desk) -> None:
        connection = desk.open()
        desk.exchange.fail("reset", desk.now, at=START - 1)
        assert ended(desk.frames(connection)) == Cut("reset")

    def test_what_waits_can_be_called_off(self, desk: Desk) -> None:
        connection = desk.open()
        desk.exchange.fail("drop", desk.now, at=START + 5000)
        desk.exchange.clear_faults()
        desk.pass_time(10)
        assert ended(desk.frames(connection)) is None


class TestProbability:
    def test_an_occasion_may_pass(self, desk: Desk) -> None:
        desk.exchange.fail("server-error", desk.now, times=None, probability=0.25)
        struck = sum(desk.call("POST", V2).status == 503 for _ in range(400))
        assert 60 < struck < 140
        assert desk.exchange.counts().faults == {"AnswerWith": struck}

    def test_a_fault_of_open_connections_may_pass_as_a_whole(self, desk: Desk) -> None:
        ends = []
        for _ in range(100):
            connection = desk.open("/ws")
            desk.exchange.fail("drop", desk.now, connection=connection, probability=0.5)
            ends.append(ended(desk.frames(connection)) is not None)
        assert 25 < sum(ends) < 75

    @pytest.mark.parametrize("probability", [0, -1, 1.1, float("nan")])
    def test_it_lies_between_never_and_always(self, desk: Desk, probability: float) -> None:
        with pytest.raises(ValueError, match="probability takes"):
            desk.exchange.fail("drop", desk.now, probability=probability)


class TestTrouble:
    def outcome(self, seed: int) -> list[tuple[int, Frame]]:
        """What two connections and an event every second see of ten minutes of trouble."""
        desk = Desk(seed=5)
        desk.exchange.trouble(seed, 10, desk.now, ["drop", "duplicate", "truncate", "malformed"])
        for number in range(600):
            if desk.exchange.counts().connections_open < 2:
                desk.subscribed()
            desk.emit(event(number))
            desk.pass_time(1)
        return [(number, frame) for number in range(1, 80) for frame in desk.frames(number)]

    def test_the_same_seed_gives_the_same_trouble(self) -> None:
        assert self.outcome(1) == self.outcome(1) != self.outcome(2)

    def test_it_comes_as_often_as_told(self) -> None:
        plan = list(itertools.islice(strikes(7, 30), 2000))
        assert 28_000 < sum(strike.after_ms for strike in plan) / len(plan) < 32_000
        assert {strike.name for strike in plan} == set(RECOVERABLE)

    def test_it_spares_what_nothing_recovers_from(self) -> None:
        assert set(NAMED) - set(RECOVERABLE) == {"revoke-api-key", "wrong-certificate"}

    def test_what_finds_no_occasion_does_not_pile_up(self, desk: Desk) -> None:
        desk.exchange.trouble(1, 1, desk.now, ["refuse"])
        desk.pass_time(600)
        desk.exchange.stop_trouble()
        desk.connect("/ws")
        desk.open("/ws")

    @pytest.mark.parametrize("how", ["stop_trouble", "clear_faults"])
    def test_it_can_be_stopped(self, desk: Desk, how: str) -> None:
        desk.exchange.trouble(1, 1, desk.now, ["malformed"])
        connection = desk.open()
        desk.pass_time(10)
        assert len(desk.frames(connection)) > 2
        getattr(desk.exchange, how)()
        desk.pass_time(15)
        assert desk.texts(connection) == []

    def test_new_trouble_takes_the_place_of_the_old(self, desk: Desk) -> None:
        desk.exchange.trouble(1, 1, desk.now, ["malformed"])
        desk.exchange.trouble(1, 1, desk.now, ["binary"])
        desk.pass_time(10)
        assert desk.exchange.counts().faults.keys() == {"BinaryFrame"}

    @pytest.mark.parametrize(
        ("every", "only", "words"), [(0, None, "every_seconds"), (1, ["quake"], "names of faults"), (1, [], "names")]
    )
    def test_a_mistake_is_told_in_words(self, desk: Desk, every: float, only: list[str] | None, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            desk.exchange.trouble(1, every, desk.now, only)


def test_the_handle_of_a_running_one_takes_names_times_and_trouble() -> None:
    with Sandbox(speed=0) as exchange:
        exchange.fail("server-error", in_seconds=10)
        exchange.fail(named("429", retry_after=3), at_ms=exchange.now + 20_000)
        exchange.trouble(1, every_seconds=1, only=["html-403"])
        exchange.stop_trouble()
        assert exchange.counts.faults == {}
        exchange.advance(10)
        status = {}
        for _ in range(2):
            call = http.client.HTTPConnection(*exchange.url.removeprefix("http://").split(":"), timeout=5)
            call.request("POST", V2, headers={"X-MBX-APIKEY": exchange.api_key})
            status[call.getresponse().status] = None
            call.close()
            exchange.advance(10)
        assert list(status) == [503, 429]
