"""Pings, the maximum lifetime of connections, and immediate faults; on the pure exchange."""

from __future__ import annotations

import json

import pytest
from exchange_harness import CROSS_KEY_PATH, START_MS, SUBSCRIBE, ExchangeHarness, find_close

from binance_margin_stream.sandbox import ExchangeRules, faults
from binance_margin_stream.sandbox.messages import Abort, Accepted, Binary, Close, Ping, Pong, Response, Text

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


@pytest.mark.parametrize("target", ["/ws-api/v3", "/ws", "/stream"])
def test_the_server_pings_every_20_seconds(harness: ExchangeHarness, target: str) -> None:
    connection = harness.open_connection(target)
    harness.advance_time(61)
    pings = [Ping(str(START_MS + seconds * 1000).encode()) for seconds in (20, 40, 60)]
    assert harness.take_frames(connection) == pings


def test_the_server_may_send_no_pings() -> None:
    harness = ExchangeHarness(ExchangeRules(ping_interval_ms=None))
    connection = harness.open_connection()
    harness.advance_time(3600)
    assert harness.take_frames(connection) == []
    assert harness.exchange.metrics().connections_open == 1


def test_a_client_without_pongs_is_dropped_after_a_minute(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    harness.advance_time(79, answer_pings=False)
    assert find_close(harness.take_frames(connection)) is None
    harness.advance_time(1, answer_pings=False)
    assert find_close(harness.take_frames(connection)) == Close(1008, "Pong timeout")


def test_an_unsolicited_pong_answers_no_ping(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    for _ in range(5):
        harness.advance_time(20, answer_pings=False)
        harness.exchange.receive(connection, Pong(b"hello"), harness.now)
    assert find_close(harness.take_frames(connection)) == Close(1008, "Pong timeout")


def test_a_pong_to_the_last_ping_answers_earlier_pings(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    harness.advance_time(60, answer_pings=False)
    assert harness.exchange.is_awaiting_pong()
    last = harness.take_frames(connection)[-1]
    assert isinstance(last, Ping)
    harness.exchange.receive(connection, Pong(last.data), harness.now)
    assert not harness.exchange.is_awaiting_pong()


@pytest.mark.parametrize("target", ["/ws-api/v3", "/ws"])
def test_a_connection_lives_24_hours(target: str) -> None:
    harness = ExchangeHarness(ExchangeRules(ping_interval_ms=3_600_000, pong_timeout_ms=7_200_000))
    connection = harness.open_connection(target)
    harness.advance_time(24 * 3600 - 1)
    assert find_close(harness.take_frames(connection)) is None
    harness.advance_time(1)
    assert find_close(harness.take_frames(connection)) == Close(1001, "")
    assert harness.exchange.metrics().connections_open == 0


def test_a_jump_of_the_clock_sends_one_ping(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    harness.now += 3_600_000
    harness.exchange.advance(harness.now)
    assert len(harness.take_frames(connection)) == 1


def test_a_month_leaves_no_timers_behind() -> None:
    harness = ExchangeHarness(ExchangeRules(ping_interval_ms=3_600_000, pong_timeout_ms=7_200_000))
    for _ in range(30):
        connection = harness.open_subscribed()
        harness.advance_time(86_400)
        assert find_close(harness.take_frames(connection)) is not None
    assert harness.exchange.next_deadline() is None
    assert harness.exchange.take_outputs() == []


def test_a_disconnected_client_is_removed(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    listener = harness.open_connection("/ws/" + harness.create_listen_key())
    for number in (connection, listener):
        harness.exchange.on_disconnected(number, harness.now)
        harness.exchange.on_disconnected(number, harness.now)
        harness.send(number, "{}")
    assert harness.send_event(EVENT) == 0
    assert harness.exchange.metrics().connections_open == 0


class TestHandshakes:
    @pytest.mark.parametrize("status", [403, 429, 503])
    def test_handshakes_can_be_refused(self, harness: ExchangeHarness, status: int) -> None:
        harness.exchange.inject_fault(faults.RefuseHandshake(status, (("Retry-After", "5"),)), harness.now)
        refused = harness.connect("/ws-api/v3")
        assert isinstance(refused, Response)
        assert (refused.status, dict(refused.headers)["Retry-After"]) == (status, "5")
        assert harness.open_connection("/ws-api/v3")

    def test_a_fault_can_be_limited_to_a_host(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.RefuseHandshake(403), harness.now, path="/ws")
        harness.open_connection("/ws-api/v3")
        harness.open_connection("/stream?streams=k")
        assert isinstance(harness.connect("/ws/anybodys"), Response)

    def test_handshakes_can_be_slow(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.SlowHandshake(2.5), harness.now)
        assert harness.connect("/ws") == Accepted(1, delay_ms=2500)

    def test_connections_can_be_silent_from_the_start(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.SilentConnection(), harness.now)
        connection = harness.open_connection()
        harness.send(connection, {"id": 1, "method": "ping"})
        harness.advance_time(600)
        assert harness.take_frames(connection) == []
        assert harness.exchange.is_silent(connection)


class TestSubscribes:
    def subscribe(self, harness: ExchangeHarness, fault: faults.Fault) -> int:
        harness.exchange.inject_fault(fault, harness.now)
        connection = harness.open_connection()
        harness.send(connection, {"id": 1, "method": "ping"})
        harness.take_texts(connection)
        harness.send(
            connection, {"id": 2, "method": SUBSCRIBE, "params": {"listenToken": harness.create_listen_token()}}
        )
        return connection

    def test_the_response_can_be_lost(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe(harness, faults.LostSubscribeResponse())
        harness.send_event(EVENT)
        assert harness.take_texts(connection) == [{"subscriptionId": 0, "event": EVENT}]

    def test_the_response_can_follow_an_event(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe(harness, faults.DelayedSubscribeResponse())
        assert harness.take_texts(connection) == []
        harness.send_event(EVENT)
        event, answer = harness.take_texts(connection)
        assert (event["subscriptionId"], answer["result"]["subscriptionId"]) == (0, 0)

    def test_the_response_can_be_duplicated(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe(harness, faults.DuplicateSubscribeResponse())
        first, second = harness.take_texts(connection)
        assert first == second

    def test_a_subscribe_can_be_refused(self, harness: ExchangeHarness) -> None:
        connection = self.subscribe(harness, faults.RefuseSubscribe(-1209))
        assert harness.take_texts(connection)[0]["error"]["code"] == -1209
        assert harness.send_event(EVENT) == 0


class TestOpenConnections:
    @pytest.mark.parametrize(
        ("fault", "end"),
        [
            (faults.DropConnections(), Close(1001)),
            (faults.DropConnections("close", 1011), Close(1011)),
            (faults.DropConnections("reset"), Abort("reset")),
            (faults.DropConnections("eof"), Abort("eof")),
        ],
    )
    def test_connections_can_be_dropped(
        self, harness: ExchangeHarness, fault: faults.Fault, end: Close | Abort
    ) -> None:
        connections = [harness.open_subscribed(), harness.open_connection("/ws")]
        harness.exchange.inject_fault(fault, harness.now)
        assert [find_close(harness.take_frames(number)) for number in connections] == [end, end]
        assert harness.send_event(EVENT) == 0

    def test_one_connection_can_be_selected(self, harness: ExchangeHarness) -> None:
        first, second = harness.open_connection(), harness.open_connection()
        harness.exchange.inject_fault(faults.DropConnections(), harness.now, connection=second)
        assert find_close(harness.take_frames(first)) is None
        assert find_close(harness.take_frames(second)) is not None

    def test_frozen_connections_lose_everything(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault(faults.FreezeConnections(), harness.now)
        assert harness.send_event(EVENT) == 0
        harness.send(connection, {"id": 1, "method": "ping"})
        harness.advance_time(90_000)
        assert harness.take_frames(connection) == []
        counts = harness.exchange.metrics()
        assert counts.connections_open == 1
        assert counts.frames_dropped == 2  # the event, and the notice of expiry
        harness.exchange.inject_fault(faults.DropConnections("close"), harness.now)
        assert harness.take_frames(connection) == []
        harness.exchange.inject_fault(faults.DropConnections("eof"), harness.now)
        assert find_close(harness.take_frames(connection)) == Abort("eof")

    def test_malformed_frames_can_be_sent(self, harness: ExchangeHarness) -> None:
        connection = harness.open_connection("/ws")
        harness.exchange.inject_fault(faults.MalformedFrame("{"), harness.now)
        harness.exchange.inject_fault(faults.BinaryFrame(b"\xff"), harness.now)
        assert harness.take_frames(connection) == [Text("{"), Binary(b"\xff")]

    def test_events_can_be_duplicated(self, harness: ExchangeHarness) -> None:
        connection = harness.open_subscribed()
        harness.exchange.inject_fault(faults.DuplicateEvent(), harness.now)
        assert (harness.send_event(EVENT), harness.send_event(EVENT)) == (2, 1)
        assert len(harness.take_texts(connection)) == 3


NOTICE: dict[str, object] = {"e": "serverShutdown", "E": START_MS}


class TestShutdown:
    @pytest.mark.parametrize(("target", "wrap"), [("/ws-api/v3", "event"), ("/ws", ""), ("/stream?streams=k", "data")])
    def test_the_shutdown_notice_has_the_hosts_envelope(self, harness: ExchangeHarness, target: str, wrap: str) -> None:
        connection = harness.open_connection(target)
        harness.exchange.inject_fault(faults.ShutdownNotice(), harness.now)
        (text,) = harness.take_texts(connection)
        assert (text[wrap] if wrap else text) == NOTICE

    @pytest.mark.parametrize("shape", ["event", "bare", "combined"])
    def test_the_shutdown_notice_can_have_any_envelope(self, harness: ExchangeHarness, shape: str) -> None:
        connection = harness.open_connection()
        harness.exchange.inject_fault(faults.ShutdownNotice(envelope=shape), harness.now)  # type: ignore[arg-type]  # literal
        assert json.dumps(NOTICE) in json.dumps(harness.take_texts(connection)[0])

    def test_the_connection_ends_later(self, harness: ExchangeHarness) -> None:
        connection = harness.open_connection()
        harness.exchange.inject_fault(faults.ShutdownNotice(close_after_seconds=5), harness.now)
        harness.advance_time(4.9)
        assert find_close(harness.take_frames(connection)) is None
        harness.advance_time(0.1)
        assert find_close(harness.take_frames(connection)) == Close(1001)


class TestExpiry:
    @pytest.mark.parametrize(
        ("which", "token_gone", "key_gone"),
        [("all", True, True), ("listen_tokens", True, False), ("listen_keys", False, True)],
    )
    def test_credentials_can_be_expired_now(
        self, harness: ExchangeHarness, which: str, token_gone: bool, key_gone: bool
    ) -> None:
        token = harness.create_listen_token()
        subscribed = harness.open_subscribed()
        key = harness.create_listen_key()
        listening = harness.open_connection("/ws/" + key)
        harness.exchange.inject_fault(faults.ExpireCredentials(which), harness.now)  # type: ignore[arg-type]  # literal
        assert harness.take_event_names(subscribed) == (["eventStreamTerminated"] if token_gone else [])
        assert harness.take_event_names(listening) == (["listenKeyExpired"] if key_gone else [])
        again = harness.request(harness.open_connection(), SUBSCRIBE, listenToken=token)
        assert (again["status"] == 400) is token_gone
        assert (harness.call_rest("PUT", CROSS_KEY_PATH, {"listenKey": key}).status == 400) is key_gone
