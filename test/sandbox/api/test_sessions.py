"""Sessions of the WebSocket API, signed requests, and the unit of times."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from exchange_harness import CROSS_KEY_PATH, START_MS, SUBSCRIBE, ExchangeHarness, sign_query
from key_pairs import create_key_pair

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.messages import LoggedRequest

SIGNED_SUBSCRIBE = "userDataStream.subscribe.signature"
EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 5, "a": "BTC", "d": "1.0", "T": 4, "U": 3}


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


def build_signed_params(harness: ExchangeHarness, kind: Literal["HMAC", "Ed25519", "RSA"], **more: object) -> Any:
    pair = None if kind == "HMAC" else create_key_pair(kind)
    api_key = harness.user.api_key if pair is None else harness.exchange.add_key(harness.user, pair.public_pem)
    params = {"apiKey": api_key, "timestamp": harness.now, **more}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    signature = sign_query(payload, harness.user.api_secret) if pair is None else pair.sign(payload)
    return {**params, "signature": signature}


def log_on(harness: ExchangeHarness, connection: int) -> Any:
    return harness.request(connection, "session.logon", **build_signed_params(harness, "Ed25519", recvWindow=5000.5))


def test_an_ed25519_key_logs_on_and_off(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws-api/v3?returnRateLimits=false")
    anonymous = {
        "apiKey": None,
        "authorizedSince": None,
        "connectedSince": START_MS,
        "returnRateLimits": False,
        "serverTime": START_MS + 1000,
    }
    harness.advance_time(1)
    assert harness.request(connection, "session.status")["result"] == anonymous
    params = build_signed_params(harness, "Ed25519")
    logged_on = {**anonymous, "apiKey": params["apiKey"], "authorizedSince": harness.now}
    assert harness.request(connection, "session.logon", **params) == {"id": 1, "status": 200, "result": logged_on}
    harness.advance_time(1)
    status = harness.request(connection, "session.status")["result"]
    assert status == {**logged_on, "serverTime": harness.now}
    assert harness.request(connection, "session.logout")["result"] == {**anonymous, "serverTime": harness.now}


@pytest.mark.parametrize(("kind", "name"), [("HMAC", "HMAC_SHA256"), ("RSA", "RSA")])
def test_other_kinds_of_keys_cannot_log_on(harness: ExchangeHarness, kind: Literal["HMAC", "RSA"], name: str) -> None:
    connection = harness.open_connection()
    refused = harness.request(connection, "session.logon", **build_signed_params(harness, kind))
    assert (refused["status"], refused["error"]) == (
        400,
        {"code": -4056, "msg": f"{name} API key is not supported."},
    )
    assert harness.request(connection, "session.status")["result"]["apiKey"] is None


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"apiKey": None}, 400, -1102),
        ({"signature": None}, 400, -1102),
        ({"timestamp": None}, 400, -1102),
        ({"timestamp": True}, 400, -1102),
        ({"timestamp": -1}, 400, -1100),
        ({"apiKey": "short"}, 401, -2014),
        ({"apiKey": "x" * 64}, 401, -2015),
        ({"signature": "0" * 64}, 400, -1022),
        ({"timestamp": START_MS - 60_000}, 400, -1021),
        ({"recvWindow": 70_000}, 400, -1130),
        ({"symbol": "BTCUSDT"}, 400, -1101),
    ],
)
@pytest.mark.parametrize("method", ["session.logon", SIGNED_SUBSCRIBE])
def test_a_wrong_signed_request_is_refused(
    harness: ExchangeHarness, method: str, changes: dict[str, object], status: int, code: int
) -> None:
    params = {**build_signed_params(harness, "Ed25519"), **changes}
    given = {name: value for name, value in params.items() if value is not None}
    refused = harness.request(harness.open_connection(), method, **given)
    assert (refused["status"], refused["error"]["code"]) == (status, code)


@pytest.mark.parametrize("kind", ["HMAC", "RSA", "Ed25519"])
def test_a_signature_subscribes_to_the_spot_account(
    harness: ExchangeHarness, kind: Literal["HMAC", "Ed25519", "RSA"]
) -> None:
    connection = harness.open_connection()
    answer = harness.request(connection, SIGNED_SUBSCRIBE, **build_signed_params(harness, kind))
    assert (answer["status"], answer["result"]) == (200, {"subscriptionId": 0})
    assert harness.send_event(EVENT) == 0, "the cross margin account is another one"
    assert harness.send_event(EVENT, "spot") == 1
    assert harness.take_texts(connection) == [{"subscriptionId": 0, "event": EVENT}]
    again = harness.request(connection, SIGNED_SUBSCRIBE, **build_signed_params(harness, kind))
    assert again["error"]["code"] == -2035
    assert harness.request(connection, "session.subscriptions")["result"] == [{"subscriptionId": 0}]


def test_a_session_signs_its_requests(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    assert harness.request(connection, SIGNED_SUBSCRIBE, timestamp=harness.now)["error"]["code"] == -1102
    assert log_on(harness, connection)["status"] == 200
    assert harness.request(connection, SIGNED_SUBSCRIBE)["error"]["code"] == -1102, "a timestamp is still needed"
    assert harness.request(connection, SIGNED_SUBSCRIBE, timestamp=harness.now)["status"] == 200
    token = harness.create_listen_token()
    assert harness.request(connection, SUBSCRIBE, listenToken=token)["result"]["subscriptionId"] == 1


def test_revoking_the_key_ends_the_session(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    log_on(harness, connection)
    harness.exchange.revoke_api_key(harness.user.api_key, harness.now)
    (notice,) = harness.take_texts(connection)
    assert (notice["id"], notice["status"], notice["error"]["code"]) == (None, 401, -2015)
    assert harness.request(connection, "session.status")["result"]["apiKey"] is None


def test_times_are_in_microseconds_on_request(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws-api/v3?returnRateLimits=false&timeUnit=MICROSECOND")
    plain = harness.open_subscribed()
    assert harness.request(connection, "time")["result"] == {"serverTime": START_MS * 1000}
    assert log_on(harness, connection)["result"]["connectedSince"] == START_MS * 1000
    answer = harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token())
    assert answer["result"]["expirationTime"] == (START_MS + 86_400_000) * 1000
    harness.send_event(EVENT)
    assert harness.take_texts(connection) == [{"subscriptionId": 0, "event": {**EVENT, "E": 5000, "T": 4000}}]
    assert harness.take_texts(plain) == [{"subscriptionId": 0, "event": EVENT}]


def test_the_unit_of_the_expiry_follows_the_request_where_the_rules_say_milliseconds() -> None:
    harness = ExchangeHarness(ExchangeRules(expiration_time_unit="ms"))
    connection = harness.open_connection("/ws-api/v3?timeUnit=microsecond")
    answer = harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token())
    assert answer["result"]["expirationTime"] == (START_MS + 86_400_000) * 1000


def test_events_of_stream_hosts_have_times_in_microseconds_on_request(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    bare = harness.open_connection(f"/ws/{key}?timeUnit=MICROSECOND")
    combined = harness.open_connection(f"/stream?streams={key}&timeUnit=microsecond")
    plain = harness.open_connection(f"/ws/{key}?timeUnit=MILLISECOND")
    order = {"e": "executionReport", "E": 5, "T": 4, "O": 3, "W": 2, "i": 7, "u": 8, "I": 9}
    in_microseconds = {**order, "E": 5000, "T": 4000, "O": 3000, "W": 2000}
    harness.send_event(order)
    assert harness.take_texts(bare) == [in_microseconds]
    assert harness.take_texts(combined) == [{"stream": key, "data": in_microseconds}]
    assert harness.take_texts(plain) == [order]
    harness.exchange.inject_fault("shutdown-notice", harness.now)
    assert harness.take_texts(bare)[0]["E"] == START_MS * 1000
    harness.exchange.inject_fault("expire-credentials", harness.now)
    assert str(harness.take_texts(bare)[0]["E"]) == f"{START_MS}000"


def test_a_method_that_is_not_served_lists_those_that_are(harness: ExchangeHarness) -> None:
    refused = harness.request(harness.open_connection(), "order.place", symbol="BTCUSDT")
    assert (refused["status"], refused["error"]["code"]) == (400, -1020)
    assert {SUBSCRIBE, "session.logon", "ping"} <= set(refused["error"]["data"]["served"])


def test_messages_are_logged_without_their_parameters(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    token = harness.create_listen_token()
    harness.request(connection, SUBSCRIBE, listenToken=token)
    harness.request(connection, SUBSCRIBE, listenToken="nobodys")
    harness.request(connection, token)
    harness.send(connection, token)
    stream = harness.open_connection("/ws/" + harness.create_listen_key())
    harness.send(stream, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
    harness.send(stream, {"method": token, "id": 1})
    log = harness.exchange.request_log()
    assert [(each.method, each.target, each.status, each.code) for each in log] == [
        ("GET", "/ws-api/v3", 101, None),
        ("POST", "/sapi/v1/userListenToken", 200, None),
        ("WebSocket", SUBSCRIBE, 200, None),
        ("WebSocket", SUBSCRIBE, 400, -1209),
        ("WebSocket", "(unknown)", 400, -1020),
        ("WebSocket", "(unknown)", 400, -1135),
        ("POST", CROSS_KEY_PATH, 200, None),
        ("GET", "/ws", 101, None),
        ("WebSocket", "LIST_SUBSCRIPTIONS", 200, None),
        ("WebSocket", "(unknown)", 400, 2),
    ]


def test_the_request_log_is_bounded_and_announced(harness: ExchangeHarness) -> None:
    announced: list[LoggedRequest] = []
    harness.exchange.set_request_listener(announced.append)
    for _ in range(300):
        harness.call_rest("GET", "/api/v3/time")
    assert len(announced) == 300
    assert harness.exchange.request_log() == announced[-200:]
