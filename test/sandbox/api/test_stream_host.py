"""The stream hosts: old listen keys, V2 keys and risk keys."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from exchange_harness import CROSS, ISOLATED, RISK, START, V2, Desk, ended

from binance_margin_stream.sandbox import Rules
from binance_margin_stream.sandbox.messages import Answer, Binary, Close, Frame, Ping, Pong, Text

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}
RISKY: dict[str, object] = {"e": "MARGIN_LEVEL_STATUS_CHANGE", "E": 1, "l": "1.1", "s": "MARGIN_CALL"}
NEW: dict[str, object] = {"e": "somethingNew", "E": 1}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_key_in_the_path_gives_bare_events(desk: Desk) -> None:
    connection = desk.open("/ws/" + quote(desk.listen_key(), safe=""))
    assert desk.emit(EVENT) == 1
    assert desk.texts(connection) == [EVENT]


def test_a_key_that_is_not_encoded_in_the_path_works_too(desk: Desk) -> None:
    key = desk.listen_key()
    assert "/" in key
    connection = desk.open("/ws/" + key)
    desk.emit(EVENT)
    assert desk.events(connection) == ["balanceUpdate"]


def test_keys_in_the_query_give_events_in_the_combined_envelope(desk: Desk) -> None:
    cross, isolated = desk.listen_key(), desk.listen_key(ISOLATED, symbol="BTCUSDT")
    connection = desk.open(f"/stream?streams={quote(cross, safe='')}/{quote(isolated, safe='')}")
    desk.emit(EVENT)
    desk.emit(NEW, "BTCUSDT")
    assert desk.texts(connection) == [{"stream": cross, "data": EVENT}, {"stream": isolated, "data": NEW}]


def test_subscribing_by_message_keeps_the_key_out_of_the_address(desk: Desk) -> None:
    key = desk.listen_key()
    connection = desk.open("/stream")
    desk.send(connection, {"method": "SUBSCRIBE", "params": [key], "id": 1})
    desk.emit(EVENT)
    desk.send(connection, {"method": "LIST_SUBSCRIPTIONS", "id": 2})
    desk.send(connection, {"method": "UNSUBSCRIBE", "params": [key], "id": 3})
    assert desk.emit(EVENT) == 0
    assert desk.texts(connection) == [
        {"result": None, "id": 1},
        {"stream": key, "data": EVENT},
        {"result": [key], "id": 2},
        {"result": None, "id": 3},
    ]


def test_subscribing_on_the_bare_path_gives_bare_events(desk: Desk) -> None:
    connection = desk.open("/ws")
    desk.send(connection, {"method": "SUBSCRIBE", "params": [desk.listen_key()], "id": "a"})
    desk.emit(EVENT)
    assert desk.texts(connection) == [{"result": None, "id": "a"}, EVENT]


@pytest.mark.parametrize(
    ("path", "events"),
    [
        (CROSS, ["balanceUpdate", "somethingNew"]),
        (RISK, ["MARGIN_LEVEL_STATUS_CHANGE"]),
        (V2, ["balanceUpdate", "MARGIN_LEVEL_STATUS_CHANGE", "somethingNew"]),
    ],
)
def test_each_kind_of_key_carries_its_own_events(desk: Desk, path: str, events: list[str]) -> None:
    connection = desk.open("/ws/" + desk.listen_key(path))
    for event in (EVENT, RISKY, NEW):
        desk.emit(event)
    assert desk.events(connection) == events


def test_events_of_other_accounts_stay_away(desk: Desk) -> None:
    connection = desk.open("/ws/" + desk.listen_key())
    desk.emit(EVENT, "BTCUSDT")
    desk.emit(EVENT, user=desk.exchange.add_account())
    assert desk.texts(connection) == []


@pytest.mark.parametrize("target", ["/ws/nobodys", "/stream?streams=nobodys", "/stream?colour=red", "/ws"])
def test_an_unknown_key_is_accepted_and_silent(desk: Desk, target: str) -> None:
    connection = desk.open(target)
    desk.emit(EVENT)
    assert desk.texts(connection) == []


@pytest.mark.parametrize(("target", "status"), [("/ws/%zz", 400), ("/ws/%ff", 400), ("/stream/x", 404)])
def test_addresses_that_make_no_sense_are_refused(desk: Desk, target: str, status: int) -> None:
    refused = desk.connect(target)
    assert isinstance(refused, Answer)
    assert refused.status == status


@pytest.mark.parametrize(("style", "time"), [("string", str(START + 3_600_000)), ("integer", START + 3_600_000)])
def test_an_expired_key_says_so_and_then_nothing(style: str, time: object) -> None:
    desk = Desk(Rules(retired_calls="served", listen_key_expired_time=style))  # type: ignore[arg-type]  # literal
    key = desk.listen_key()
    connection = desk.open("/ws/" + key)
    desk.pass_time(3700)
    assert desk.texts(connection) == [{"e": "listenKeyExpired", "E": time, "listenKey": key}]
    desk.listen_key()
    desk.emit(EVENT)
    assert desk.texts(connection) == []
    assert ended(desk.frames(connection)) is None


def test_a_jump_of_the_clock_keeps_the_time_of_expiry(desk: Desk) -> None:
    connection = desk.open("/ws/" + desk.listen_key())
    desk.now += 10_000_000
    desk.exchange.advance(desk.now)
    assert desk.texts(connection)[0]["E"] == str(START + 3_600_000)


def test_a_key_that_is_kept_alive_does_not_expire(desk: Desk) -> None:
    key = desk.listen_key()
    connection = desk.open("/ws/" + key)
    for _ in range(6):
        desk.pass_time(1800)
        desk.call("PUT", CROSS, {"listenKey": key})
    assert desk.texts(connection) == []
    assert desk.emit(EVENT) == 1


def test_a_deleted_key_goes_quiet_without_a_word(desk: Desk) -> None:
    key = desk.listen_key()
    connection = desk.open("/ws/" + key)
    desk.call("DELETE", CROSS, {"listenKey": key})
    assert desk.emit(EVENT) == 0
    assert desk.frames(connection) == []


def test_deleting_from_outside_takes_a_key_or_an_accounts_keys(desk: Desk) -> None:
    cross, v2 = desk.listen_key(), desk.listen_key(V2)
    exchange, uid = desk.exchange, desk.user.uid
    assert exchange.delete_named_listen_key(cross, desk.now)
    assert not exchange.delete_named_listen_key(cross, desk.now)
    assert not exchange.delete_listen_key(uid, "cross", "listen_key", desk.now)
    assert exchange.delete_listen_key(uid, "cross", None, desk.now)
    assert desk.listen_key(V2) != v2


def test_a_revoked_api_key_silences_its_listen_keys(desk: Desk) -> None:
    connection = desk.open("/ws/" + desk.listen_key())
    desk.exchange.revoke_api_key(desk.user.api_key, desk.now)
    assert desk.emit(EVENT) == 0
    assert desk.frames(connection) == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", 3),
        ("[" * 100_000, 3),
        ("[]", 2),
        ("{}", 2),
        ('{"method":"SUBSCRIBE"}', 2),
        ('{"method":"SUBSCRIBE","params":[]}', 2),
        ('{"method":"SUBSCRIBE","params":[1]}', 2),
        ('{"method":"SING","params":["x"],"id":1}', 2),
        ('{"method":{},"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["x"],"id":-1}', 2),
        ('{"method":"SUBSCRIBE","params":["x"],"id":true}', 2),
    ],
)
def test_requests_that_make_no_sense_get_an_error(desk: Desk, message: str, code: int) -> None:
    connection = desk.open("/ws")
    desk.send(connection, message)
    assert desk.texts(connection)[0]["error"]["code"] == code


def test_a_connection_takes_1024_streams(desk: Desk) -> None:
    connection = desk.open("/ws")
    desk.send(connection, {"method": "SUBSCRIBE", "params": [str(n) for n in range(1025)]})
    assert desk.texts(connection)[0]["error"]["code"] == 2


def test_more_than_five_messages_in_a_second_end_the_connection(desk: Desk) -> None:
    connection = desk.open("/ws")
    frames: list[Frame] = [Text("{}"), Ping(b"a"), Pong(b"b")]
    for frame in frames + frames[:2]:
        desk.exchange.receive(connection, frame, desk.now)
    assert ended(desk.frames(connection)) is None
    desk.now += 999
    desk.exchange.receive(connection, Ping(), desk.now)
    assert ended(desk.frames(connection)) == Close(1008, "Too many requests")


def test_five_messages_in_each_second_are_fine(desk: Desk) -> None:
    connection = desk.open("/ws")
    for _ in range(20):
        for _ in range(5):
            desk.exchange.receive(connection, Ping(b"x"), desk.now)
        desk.now += 1000
    assert desk.frames(connection) == [Pong(b"x")] * 100


def test_a_binary_frame_from_a_client_ends_the_connection(desk: Desk) -> None:
    connection = desk.open("/ws")
    desk.exchange.receive(connection, Binary(b"{}"), desk.now)
    assert ended(desk.frames(connection)) == Close(1003, "Text frames only")


@pytest.mark.parametrize(
    ("host", "heard"),
    [("either", {"/ws/"}), ("stream", {"/ws/"}), ("margin_stream", {"/margin-stream/ws/"})],
)
def test_a_v2_key_is_heard_on_the_host_that_the_rules_say(host: str, heard: set[str]) -> None:
    desk = Desk(Rules(listen_key_v2_host=host))  # type: ignore[arg-type]  # parametrized literal
    key = desk.listen_key(V2)
    prefixes = {"/ws/"} if host == "either" else {"/ws/", "/margin-stream/ws/"}
    connections = {prefix: desk.open(prefix + key) for prefix in prefixes}
    desk.emit(EVENT)
    assert {prefix for prefix, number in connections.items() if desk.texts(number)} == heard


def test_with_two_hosts_each_serves_its_own_keys() -> None:
    desk = Desk(Rules(retired_calls="served", listen_key_v2_host="stream"))
    old, risk = desk.listen_key(), desk.listen_key(RISK)
    right = [desk.open("/ws/" + old), desk.open("/margin-stream/ws/" + risk)]
    wrong = [desk.open("/margin-stream/ws/" + old), desk.open("/ws/" + risk)]
    desk.emit(EVENT)
    desk.emit(RISKY)
    assert [len(desk.texts(number)) for number in right + wrong] == [1, 1, 0, 0]


def test_300_attempts_in_five_minutes_are_the_limit() -> None:
    desk = Desk(Rules(connection_attempts=3))
    for _ in range(3):
        desk.open("/ws")
        desk.now += 1000
    refused = desk.connect("/ws")
    assert isinstance(refused, Answer)
    assert (refused.status, json.loads(refused.body)["code"]) == (429, -1034)
    assert dict(refused.headers)["Retry-After"] == "297"
    desk.open("/ws-api/v3")
    desk.open("/ws", ip="127.0.0.2")
    desk.pass_time(297)
    desk.open("/ws")
    assert desk.exchange.counts().handshakes_refused == 1
