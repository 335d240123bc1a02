"""What happens by itself (pings, the cut after 24 hours), and faults of connections; on the pure exchange."""

from __future__ import annotations

import json

import pytest
from exchange_harness import CROSS, START, SUBSCRIBE, Desk, ended

from binance_margin_stream.sandbox import Rules, faults
from binance_margin_stream.sandbox.messages import Answer, Binary, Close, Cut, Opened, Ping, Pong, Text

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("target", ["/ws-api/v3", "/ws", "/stream"])
def test_the_server_pings_every_20_seconds(desk: Desk, target: str) -> None:
    connection = desk.open(target)
    desk.pass_time(61)
    pings = [Ping(str(START + seconds * 1000).encode()) for seconds in (20, 40, 60)]
    assert desk.frames(connection) == pings


def test_who_does_not_answer_for_a_minute_is_dropped(desk: Desk) -> None:
    connection = desk.open()
    desk.pass_time(79, answering=False)
    assert ended(desk.frames(connection)) is None
    desk.pass_time(1, answering=False)
    assert ended(desk.frames(connection)) == Close(1008, "Pong timeout")


def test_a_pong_for_no_ping_is_no_answer(desk: Desk) -> None:
    connection = desk.open()
    for _ in range(5):
        desk.pass_time(20, answering=False)
        desk.exchange.receive(connection, Pong(b"hello"), desk.now)
    assert ended(desk.frames(connection)) == Close(1008, "Pong timeout")


def test_a_late_answer_to_the_last_ping_answers_those_before(desk: Desk) -> None:
    connection = desk.open()
    desk.pass_time(60, answering=False)
    assert desk.exchange.awaits_pong()
    last = desk.frames(connection)[-1]
    assert isinstance(last, Ping)
    desk.exchange.receive(connection, Pong(last.data), desk.now)
    assert not desk.exchange.awaits_pong()


@pytest.mark.parametrize("target", ["/ws-api/v3", "/ws"])
def test_a_connection_lives_24_hours(target: str) -> None:
    desk = Desk(Rules(ping_interval_ms=3_600_000, pong_timeout_ms=7_200_000))
    connection = desk.open(target)
    desk.pass_time(24 * 3600 - 1)
    assert ended(desk.frames(connection)) is None
    desk.pass_time(1)
    assert ended(desk.frames(connection)) == Close(1001, "")
    assert desk.exchange.counts().connections_open == 0


def test_a_jump_of_the_clock_sends_one_ping(desk: Desk) -> None:
    connection = desk.open()
    desk.now += 3_600_000
    desk.exchange.advance(desk.now)
    assert len(desk.frames(connection)) == 1


def test_a_month_leaves_no_timers_behind() -> None:
    desk = Desk(Rules(ping_interval_ms=3_600_000, pong_timeout_ms=7_200_000))
    for _ in range(30):
        connection = desk.subscribed()
        desk.pass_time(86_400)
        assert ended(desk.frames(connection)) is not None
    assert desk.exchange.next_deadline() is None
    assert desk.exchange.take_outputs() == []


def test_a_client_that_left_is_forgotten(desk: Desk) -> None:
    connection = desk.subscribed()
    listener = desk.open("/ws/" + desk.listen_key())
    for number in (connection, listener):
        desk.exchange.disconnected(number, desk.now)
        desk.exchange.disconnected(number, desk.now)
        desk.send(number, "{}")
    assert desk.emit(EVENT) == 0
    assert desk.exchange.counts().connections_open == 0


class TestHandshakes:
    @pytest.mark.parametrize("status", [403, 429, 503])
    def test_they_can_be_refused(self, desk: Desk, status: int) -> None:
        desk.exchange.fail(faults.RefuseHandshake(status, (("Retry-After", "5"),)), desk.now)
        refused = desk.connect("/ws-api/v3")
        assert isinstance(refused, Answer)
        assert (refused.status, dict(refused.headers)["Retry-After"]) == (status, "5")
        assert desk.open("/ws-api/v3")

    def test_faults_can_name_the_host_that_they_strike(self, desk: Desk) -> None:
        desk.exchange.fail(faults.RefuseHandshake(403), desk.now, path="/ws")
        desk.open("/ws-api/v3")
        desk.open("/stream?streams=k")
        assert isinstance(desk.connect("/ws/anybodys"), Answer)

    def test_they_can_be_slow(self, desk: Desk) -> None:
        desk.exchange.fail(faults.SlowHandshake(2.5), desk.now)
        assert desk.connect("/ws") == Opened(1, delay_ms=2500)

    def test_nothing_may_follow_them(self, desk: Desk) -> None:
        desk.exchange.fail(faults.AcceptThenNothing(), desk.now)
        connection = desk.open()
        desk.send(connection, {"id": 1, "method": "ping"})
        desk.pass_time(600)
        assert desk.frames(connection) == []
        assert desk.exchange.is_frozen(connection)


class TestSubscribes:
    def subscribe(self, desk: Desk, fault: faults.Fault) -> int:
        desk.exchange.fail(fault, desk.now)
        connection = desk.open()
        desk.send(connection, {"id": 1, "method": "ping"})
        desk.texts(connection)
        desk.send(connection, {"id": 2, "method": SUBSCRIBE, "params": {"listenToken": desk.token()}})
        return connection

    def test_the_answer_can_be_lost(self, desk: Desk) -> None:
        connection = self.subscribe(desk, faults.LoseSubscribeAnswer())
        desk.emit(EVENT)
        assert desk.texts(connection) == [{"subscriptionId": 0, "event": EVENT}]

    def test_the_answer_can_come_after_an_event(self, desk: Desk) -> None:
        connection = self.subscribe(desk, faults.DelaySubscribeAnswer())
        assert desk.texts(connection) == []
        desk.emit(EVENT)
        event, answer = desk.texts(connection)
        assert (event["subscriptionId"], answer["result"]["subscriptionId"]) == (0, 0)

    def test_the_answer_can_come_twice(self, desk: Desk) -> None:
        connection = self.subscribe(desk, faults.RepeatSubscribeAnswer())
        first, second = desk.texts(connection)
        assert first == second

    def test_it_can_be_refused(self, desk: Desk) -> None:
        connection = self.subscribe(desk, faults.RefuseSubscribe(-1209))
        assert desk.texts(connection)[0]["error"]["code"] == -1209
        assert desk.emit(EVENT) == 0


class TestOpenConnections:
    @pytest.mark.parametrize(
        ("fault", "end"),
        [
            (faults.DropConnections(), Close(1001)),
            (faults.DropConnections("close", 1011), Close(1011)),
            (faults.DropConnections("reset"), Cut("reset")),
            (faults.DropConnections("eof"), Cut("eof")),
        ],
    )
    def test_they_can_be_dropped(self, desk: Desk, fault: faults.Fault, end: Close | Cut) -> None:
        connections = [desk.subscribed(), desk.open("/ws")]
        desk.exchange.fail(fault, desk.now)
        assert [ended(desk.frames(number)) for number in connections] == [end, end]
        assert desk.emit(EVENT) == 0

    def test_one_of_them_can_be_meant(self, desk: Desk) -> None:
        first, second = desk.open(), desk.open()
        desk.exchange.fail(faults.DropConnections(), desk.now, connection=second)
        assert ended(desk.frames(first)) is None
        assert ended(desk.frames(second)) is not None

    def test_they_can_freeze_with_everything_lost(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail(faults.FreezeConnections(), desk.now)
        assert desk.emit(EVENT) == 0
        desk.send(connection, {"id": 1, "method": "ping"})
        desk.pass_time(90_000)
        assert desk.frames(connection) == []
        counts = desk.exchange.counts()
        assert counts.connections_open == 1
        assert counts.frames_lost == 2  # the event, and the notice of expiry
        desk.exchange.fail(faults.DropConnections("close"), desk.now)
        assert desk.frames(connection) == []
        desk.exchange.fail(faults.DropConnections("eof"), desk.now)
        assert ended(desk.frames(connection)) == Cut("eof")

    def test_they_can_get_frames_that_make_no_sense(self, desk: Desk) -> None:
        connection = desk.open("/ws")
        desk.exchange.fail(faults.MalformedFrame("{"), desk.now)
        desk.exchange.fail(faults.BinaryFrame(b"\xff"), desk.now)
        assert desk.frames(connection) == [Text("{"), Binary(b"\xff")]

    def test_events_can_come_twice(self, desk: Desk) -> None:
        connection = desk.subscribed()
        desk.exchange.fail(faults.RepeatEvent(), desk.now)
        assert (desk.emit(EVENT), desk.emit(EVENT)) == (2, 1)
        assert len(desk.texts(connection)) == 3


NOTICE: dict[str, object] = {"e": "serverShutdown", "E": START}


class TestShutdown:
    @pytest.mark.parametrize(("target", "wrap"), [("/ws-api/v3", "event"), ("/ws", ""), ("/stream?streams=k", "data")])
    def test_it_is_announced_as_the_host_would(self, desk: Desk, target: str, wrap: str) -> None:
        connection = desk.open(target)
        desk.exchange.fail(faults.ServerShutdown(), desk.now)
        (text,) = desk.texts(connection)
        assert (text[wrap] if wrap else text) == NOTICE

    @pytest.mark.parametrize("shape", ["event", "bare", "combined"])
    def test_it_can_be_announced_in_any_shape(self, desk: Desk, shape: str) -> None:
        connection = desk.open()
        desk.exchange.fail(faults.ServerShutdown(shape=shape), desk.now)  # type: ignore[arg-type]  # literal
        assert json.dumps(NOTICE) in json.dumps(desk.texts(connection)[0])

    def test_the_connection_ends_later(self, desk: Desk) -> None:
        connection = desk.open()
        desk.exchange.fail(faults.ServerShutdown(close_after_seconds=5), desk.now)
        desk.pass_time(4.9)
        assert ended(desk.frames(connection)) is None
        desk.pass_time(0.1)
        assert ended(desk.frames(connection)) == Close(1001)


class TestExpiry:
    @pytest.mark.parametrize(
        ("which", "token_gone", "key_gone"),
        [("all", True, True), ("listen_tokens", True, False), ("listen_keys", False, True)],
    )
    def test_credentials_can_expire_at_once(self, desk: Desk, which: str, token_gone: bool, key_gone: bool) -> None:
        token = desk.token()
        subscribed = desk.subscribed()
        key = desk.listen_key()
        listening = desk.open("/ws/" + key)
        desk.exchange.fail(faults.ExpireCredentials(which), desk.now)  # type: ignore[arg-type]  # literal
        assert desk.events(subscribed) == (["eventStreamTerminated"] if token_gone else [])
        assert desk.events(listening) == (["listenKeyExpired"] if key_gone else [])
        again = desk.ask(desk.open(), SUBSCRIBE, listenToken=token)
        assert (again["status"] == 400) is token_gone
        assert (desk.call("PUT", CROSS, {"listenKey": key}).status == 400) is key_gone
