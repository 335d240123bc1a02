"""The stream hosts: old listen keys, V2 keys and risk keys."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from exchange_harness import (
    CROSS_KEY_PATH,
    ISOLATED_KEY_PATH,
    LISTEN_KEY_V2_PATH,
    RISK_LISTEN_KEY_PATH,
    START_MS,
    ExchangeHarness,
    find_close,
)

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.messages import Binary, Close, Frame, Ping, Pong, Response, Text

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}
RISKY: dict[str, object] = {"e": "MARGIN_LEVEL_STATUS_CHANGE", "E": 1, "l": "1.1", "s": "MARGIN_CALL"}
NEW: dict[str, object] = {"e": "somethingNew", "E": 1}


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


def test_a_key_in_the_path_gives_bare_events(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws/" + quote(harness.create_listen_key(), safe=""))
    assert harness.send_event(EVENT) == 1
    assert harness.take_texts(connection) == [EVENT]


def test_a_key_that_is_not_encoded_in_the_path_works_too() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", listen_key_characters="base64"))
    key = harness.create_listen_key()
    assert "/" in key
    connection = harness.open_connection("/ws/" + key)
    harness.send_event(EVENT)
    assert harness.take_event_names(connection) == ["balanceUpdate"]


def test_keys_in_the_query_give_events_in_the_combined_envelope(harness: ExchangeHarness) -> None:
    cross, isolated = harness.create_listen_key(), harness.create_listen_key(ISOLATED_KEY_PATH, symbol="BTCUSDT")
    connection = harness.open_connection(f"/stream?streams={quote(cross, safe='')}/{quote(isolated, safe='')}")
    harness.send_event(EVENT)
    harness.send_event(NEW, "BTCUSDT")
    assert harness.take_texts(connection) == [{"stream": cross, "data": EVENT}, {"stream": isolated, "data": NEW}]


def test_subscribing_by_message_keeps_the_key_out_of_the_address(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    connection = harness.open_connection("/stream")
    harness.send(connection, {"method": "SUBSCRIBE", "params": [key], "id": 1})
    harness.send_event(EVENT)
    harness.send(connection, {"method": "LIST_SUBSCRIPTIONS", "id": 2})
    harness.send(connection, {"method": "UNSUBSCRIBE", "params": [key], "id": 3})
    assert harness.send_event(EVENT) == 0
    assert harness.take_texts(connection) == [
        {"result": None, "id": 1},
        {"stream": key, "data": EVENT},
        {"result": [key], "id": 2},
        {"result": None, "id": 3},
    ]


def test_subscribing_on_the_bare_path_gives_bare_events(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws")
    harness.send(connection, {"method": "SUBSCRIBE", "params": [harness.create_listen_key()], "id": "a"})
    harness.send_event(EVENT)
    assert harness.take_texts(connection) == [{"result": None, "id": "a"}, EVENT]


@pytest.mark.parametrize(
    ("path", "events"),
    [
        (CROSS_KEY_PATH, ["balanceUpdate", "somethingNew"]),
        (RISK_LISTEN_KEY_PATH, ["MARGIN_LEVEL_STATUS_CHANGE"]),
        (LISTEN_KEY_V2_PATH, ["balanceUpdate", "MARGIN_LEVEL_STATUS_CHANGE", "somethingNew"]),
    ],
)
def test_each_kind_of_key_carries_its_own_events(harness: ExchangeHarness, path: str, events: list[str]) -> None:
    connection = harness.open_connection("/ws/" + harness.create_listen_key(path))
    for event in (EVENT, RISKY, NEW):
        harness.send_event(event)
    assert harness.take_event_names(connection) == events


def test_events_of_other_accounts_stay_away(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws/" + harness.create_listen_key())
    harness.send_event(EVENT, "BTCUSDT")
    harness.send_event(EVENT, user=harness.exchange.add_user())
    assert harness.take_texts(connection) == []


@pytest.mark.parametrize("target", ["/ws/nobodys", "/stream?streams=nobodys", "/stream?colour=red", "/ws"])
def test_an_unknown_key_is_accepted_and_silent(harness: ExchangeHarness, target: str) -> None:
    connection = harness.open_connection(target)
    harness.send_event(EVENT)
    assert harness.take_texts(connection) == []


@pytest.mark.parametrize(("target", "status"), [("/ws/%zz", 400), ("/ws/%ff", 400), ("/stream/x", 404)])
def test_unknown_addresses_are_refused(harness: ExchangeHarness, target: str, status: int) -> None:
    refused = harness.connect(target)
    assert isinstance(refused, Response)
    assert refused.status == status


@pytest.mark.parametrize(("style", "time"), [("string", str(START_MS + 3_600_000)), ("integer", START_MS + 3_600_000)])
def test_an_expired_key_sends_a_notice_and_then_nothing(style: str, time: object) -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", listen_key_expired_time_type=style))  # type: ignore[arg-type]  # literal
    key = harness.create_listen_key()
    connection = harness.open_connection("/ws/" + key)
    harness.advance_time(3700)
    assert harness.take_texts(connection) == [{"e": "listenKeyExpired", "E": time, "listenKey": key}]
    harness.create_listen_key()
    harness.send_event(EVENT)
    assert harness.take_texts(connection) == []
    assert find_close(harness.take_frames(connection)) is None


def test_a_jump_of_the_clock_keeps_the_time_of_expiry(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws/" + harness.create_listen_key())
    harness.now += 10_000_000
    harness.exchange.advance(harness.now)
    assert harness.take_texts(connection)[0]["E"] == str(START_MS + 3_600_000)


def test_a_key_that_is_kept_alive_does_not_expire(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    connection = harness.open_connection("/ws/" + key)
    for _ in range(6):
        harness.advance_time(1800)
        harness.call_rest("PUT", CROSS_KEY_PATH, {"listenKey": key})
    assert harness.take_texts(connection) == []
    assert harness.send_event(EVENT) == 1


def test_a_deleted_key_goes_silent_without_notice(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    connection = harness.open_connection("/ws/" + key)
    harness.call_rest("DELETE", CROSS_KEY_PATH, {"listenKey": key})
    assert harness.send_event(EVENT) == 0
    assert harness.take_frames(connection) == []


def test_a_listen_key_can_be_deleted_by_value_or_by_account(harness: ExchangeHarness) -> None:
    cross, v2 = harness.create_listen_key(), harness.create_listen_key(LISTEN_KEY_V2_PATH)
    exchange, uid = harness.exchange, harness.user.uid
    assert exchange.delete_named_listen_key(cross, harness.now)
    assert not exchange.delete_named_listen_key(cross, harness.now)
    assert not exchange.delete_listen_key(uid, "cross", "listen_key", harness.now)
    assert exchange.delete_listen_key(uid, "cross", None, harness.now)
    assert harness.create_listen_key(LISTEN_KEY_V2_PATH) != v2


def test_a_revoked_api_key_silences_its_listen_keys(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws/" + harness.create_listen_key())
    harness.exchange.revoke_api_key(harness.user.api_key, harness.now)
    assert harness.send_event(EVENT) == 0
    assert harness.take_frames(connection) == []


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
def test_malformed_requests_get_an_error(harness: ExchangeHarness, message: str, code: int) -> None:
    connection = harness.open_connection("/ws")
    harness.send(connection, message)
    assert harness.take_texts(connection)[0]["error"]["code"] == code


def test_a_connection_takes_1024_streams(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws")
    harness.send(connection, {"method": "SUBSCRIBE", "params": [str(n) for n in range(1025)]})
    assert harness.take_texts(connection)[0]["error"]["code"] == 2


def test_more_than_five_messages_in_a_second_end_the_connection(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws")
    frames: list[Frame] = [Text("{}"), Ping(b"a"), Pong(b"b")]
    for frame in frames + frames[:2]:
        harness.exchange.receive(connection, frame, harness.now)
    assert find_close(harness.take_frames(connection)) is None
    harness.now += 999
    harness.exchange.receive(connection, Ping(), harness.now)
    assert find_close(harness.take_frames(connection)) == Close(1008, "Too many requests")


def test_five_messages_per_second_are_allowed(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws")
    for _ in range(20):
        for _ in range(5):
            harness.exchange.receive(connection, Ping(b"x"), harness.now)
        harness.now += 1000
    assert harness.take_frames(connection) == [Pong(b"x")] * 100


def test_a_binary_frame_from_a_client_ends_the_connection(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws")
    harness.exchange.receive(connection, Binary(b"{}"), harness.now)
    assert find_close(harness.take_frames(connection)) == Close(1003, "Text frames only")


@pytest.mark.parametrize(
    ("host", "heard"),
    [("either", {"/ws/"}), ("stream", {"/ws/"}), ("margin_stream", {"/margin-stream/ws/"})],
)
def test_a_v2_key_works_on_the_host_of_the_rules(host: str, heard: set[str]) -> None:
    harness = ExchangeHarness(ExchangeRules(listen_key_v2_host=host))  # type: ignore[arg-type]  # parametrized literal
    key = harness.create_listen_key(LISTEN_KEY_V2_PATH)
    prefixes = {"/ws/"} if host == "either" else {"/ws/", "/margin-stream/ws/"}
    connections = {prefix: harness.open_connection(prefix + key) for prefix in prefixes}
    harness.send_event(EVENT)
    assert {prefix for prefix, number in connections.items() if harness.take_texts(number)} == heard


def test_with_two_hosts_each_serves_its_own_keys() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", listen_key_v2_host="stream"))
    old, risk = harness.create_listen_key(), harness.create_listen_key(RISK_LISTEN_KEY_PATH)
    right = [harness.open_connection("/ws/" + old), harness.open_connection("/margin-stream/ws/" + risk)]
    wrong = [harness.open_connection("/margin-stream/ws/" + old), harness.open_connection("/ws/" + risk)]
    harness.send_event(EVENT)
    harness.send_event(RISKY)
    assert [len(harness.take_texts(number)) for number in right + wrong] == [1, 1, 0, 0]


def test_300_attempts_in_five_minutes_are_the_limit() -> None:
    harness = ExchangeHarness(ExchangeRules(connection_attempt_limit=3))
    for _ in range(3):
        harness.open_connection("/ws")
        harness.now += 1000
    refused = harness.connect("/ws")
    assert isinstance(refused, Response)
    assert (refused.status, json.loads(refused.body)["code"]) == (429, -1034)
    assert dict(refused.headers)["Retry-After"] == "297"
    harness.open_connection("/ws-api/v3")
    harness.open_connection("/ws", ip="127.0.0.2")
    harness.advance_time(297)
    harness.open_connection("/ws")
    assert harness.exchange.metrics().handshakes_refused == 1


def test_the_property_combined_is_read_and_set(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws/" + harness.create_listen_key())
    for number, (method, params) in enumerate(
        [
            ("GET_PROPERTY", ["combined"]),
            ("SET_PROPERTY", ["combined", True]),
            ("GET_PROPERTY", ["combined"]),
        ]
    ):
        harness.send(connection, {"method": method, "params": params, "id": number})
    harness.send_event(EVENT)
    read, changed, read_again, event = harness.take_texts(connection)
    assert [read, changed, read_again] == [
        {"result": False, "id": 0},
        {"result": None, "id": 1},
        {"result": True, "id": 2},
    ]
    assert event["data"] == EVENT


@pytest.mark.parametrize(
    ("method", "params", "code", "message"),
    [
        ("SET_PROPERTY", ["combined"], 1, "Invalid value type: expected Boolean"),
        ("SET_PROPERTY", ["combined", 1], 1, "Invalid value type: expected Boolean"),
        ("SET_PROPERTY", ["speed", True], 0, "Unknown property"),
        ("GET_PROPERTY", ["speed"], 0, "Unknown property"),
        ("GET_PROPERTY", [], 2, "Invalid request: property name must be a string"),
        ("GET_PROPERTY", [1], 2, "Invalid request: property name must be a string"),
        ("GET_PROPERTY", ["combined", True], 2, "Invalid request: too many parameters"),
        ("SET_PROPERTY", ["combined", True, 1], 2, "Invalid request: too many parameters"),
    ],
)
def test_a_wrong_property_is_refused(
    harness: ExchangeHarness, method: str, params: list[object], code: int, message: str
) -> None:
    connection = harness.open_connection("/ws")
    harness.send(connection, {"method": method, "params": params, "id": 1})
    assert harness.take_texts(connection) == [{"error": {"code": code, "msg": message}, "id": 1}]
