"""The thirteen REST calls: validity, sharing, ownership, parameters."""

from __future__ import annotations

import json

import pytest
from exchange_harness import (
    CROSS_KEY_PATH,
    ENDPOINTS,
    ISOLATED_KEY_PATH,
    LISTEN_KEY_V2_PATH,
    LISTEN_TOKEN_PATH,
    RISK_LISTEN_KEY_PATH,
    START_MS,
    ExchangeHarness,
)

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.config import EmptyBody
from binance_margin_stream.sandbox.model.orders import OrderRequest

HOUR = 3_600
DAY_MS = 86_400_000


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


@pytest.mark.parametrize("path", [CROSS_KEY_PATH, LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH])
def test_an_account_with_a_live_key_gets_that_key_back(harness: ExchangeHarness, path: str) -> None:
    assert harness.create_listen_key(path) == harness.create_listen_key(path)


def test_each_isolated_symbol_has_a_key_of_its_own(harness: ExchangeHarness) -> None:
    keys = {harness.create_listen_key(ISOLATED_KEY_PATH, symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT")}
    assert len(keys | {harness.create_listen_key(CROSS_KEY_PATH)}) == 3


def test_other_accounts_have_other_keys(harness: ExchangeHarness) -> None:
    other = harness.exchange.add_user()
    assert harness.call_rest("POST", CROSS_KEY_PATH, user=other).json["listenKey"] != harness.create_listen_key(
        CROSS_KEY_PATH
    )


@pytest.mark.parametrize(
    ("path", "body"), [(CROSS_KEY_PATH, b"{}"), (LISTEN_KEY_V2_PATH, b""), (RISK_LISTEN_KEY_PATH, b"")]
)
def test_keepalive_extends_a_key_by_an_hour(harness: ExchangeHarness, path: str, body: bytes) -> None:
    key = harness.create_listen_key(path)
    harness.advance_time(0.75 * HOUR)
    extended = harness.call_rest("PUT", path, {"listenKey": key})
    assert (extended.status, extended.response.body) == (200, body)
    harness.advance_time(0.75 * HOUR)
    assert harness.create_listen_key(path) == key


def test_creating_again_extends_too(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    harness.advance_time(0.75 * HOUR)
    harness.create_listen_key()
    harness.advance_time(0.75 * HOUR)
    assert harness.call_rest("PUT", CROSS_KEY_PATH, {"listenKey": key}).status == 200


@pytest.mark.parametrize("path", [CROSS_KEY_PATH, LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH])
def test_a_key_without_keepalive_expires(harness: ExchangeHarness, path: str) -> None:
    key = harness.create_listen_key(path)
    harness.advance_time(HOUR)
    assert harness.call_rest("PUT", path, {"listenKey": key}).code == -1125
    assert harness.create_listen_key(path) != key


@pytest.mark.parametrize(("validity_ms", "code"), [(HOUR * 1000, -1125), (24 * HOUR * 1000, None)])
def test_the_risk_key_is_valid_for_an_hour_or_a_day(validity_ms: int, code: int | None) -> None:
    harness = ExchangeHarness(ExchangeRules(risk_listen_key_validity_ms=validity_ms))
    key = harness.create_listen_key(RISK_LISTEN_KEY_PATH)
    harness.advance_time(2 * HOUR)
    reply = harness.call_rest("PUT", RISK_LISTEN_KEY_PATH, {"listenKey": key})
    assert (reply.status == 200) if code is None else (reply.code == code)


def test_a_closed_key_is_gone_for_every_client(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    assert harness.call_rest("DELETE", CROSS_KEY_PATH, {"listenKey": key}).json == {}
    assert harness.call_rest("PUT", CROSS_KEY_PATH, {"listenKey": key}).code == -1125
    assert harness.call_rest("DELETE", CROSS_KEY_PATH, {"listenKey": key}).code == -1125


@pytest.mark.parametrize("path", [LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH])
def test_closing_without_naming_the_key_closes_the_accounts_key(harness: ExchangeHarness, path: str) -> None:
    key = harness.create_listen_key(path)
    assert harness.call_rest("DELETE", path).response.body == b""
    assert harness.call_rest("PUT", path, {"listenKey": key}).code == -1125
    assert harness.call_rest("DELETE", path).status == 200


def test_a_key_belongs_to_its_account_kind_and_symbol(harness: ExchangeHarness) -> None:
    other = harness.exchange.add_user()
    key = harness.create_listen_key(ISOLATED_KEY_PATH, symbol="BTCUSDT")
    named = {"symbol": "BTCUSDT", "listenKey": key}
    assert harness.call_rest("PUT", ISOLATED_KEY_PATH, named | {"symbol": "ETHUSDT"}).code == -1125
    assert harness.call_rest("PUT", CROSS_KEY_PATH, {"listenKey": key}).code == -1125
    assert harness.call_rest("PUT", LISTEN_KEY_V2_PATH, {"listenKey": key}).code == -1125
    assert harness.call_rest("PUT", ISOLATED_KEY_PATH, named, user=other).code == -1125
    assert harness.call_rest("PUT", ISOLATED_KEY_PATH, named).json == {}


def test_parameters_may_come_in_the_form(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key(ISOLATED_KEY_PATH, symbol="BTCUSDT")
    form = f"symbol=BTCUSDT&listenKey={key.replace('+', '%2B').replace('/', '%2F')}"
    assert harness.call_rest("PUT", ISOLATED_KEY_PATH, form=form).status == 200
    assert harness.call_rest("PUT", ISOLATED_KEY_PATH, "symbol=BTCUSDT", form=form.partition("&")[2]).status == 200


def test_the_query_takes_precedence_over_the_form(harness: ExchangeHarness) -> None:
    reply = harness.call_rest("POST", ISOLATED_KEY_PATH, "symbol=BTCUSDT", form="symbol=NOSUCH")
    assert reply.status == 200


@pytest.mark.parametrize("path", [CROSS_KEY_PATH, LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH])
def test_listen_keys_are_alphanumeric(harness: ExchangeHarness, path: str) -> None:
    assert harness.create_listen_key(path).isalnum()


def test_a_key_that_is_not_percent_encoded_is_another_key() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", listen_key_characters="base64"))
    key = harness.create_listen_key()
    assert "+" in key
    assert "/" in key
    assert harness.call_rest("PUT", CROSS_KEY_PATH, {"listenKey": key}).status == 200
    assert harness.call_rest("PUT", CROSS_KEY_PATH, f"listenKey={key}").code == -1100


@pytest.mark.parametrize(
    ("method", "path", "query", "code"),
    [
        ("PUT", CROSS_KEY_PATH, "", -1102),
        ("DELETE", CROSS_KEY_PATH, "", -1102),
        ("PUT", LISTEN_KEY_V2_PATH, "", -1102),
        ("PUT", RISK_LISTEN_KEY_PATH, "", -1102),
        ("POST", ISOLATED_KEY_PATH, "", -1102),
        ("PUT", ISOLATED_KEY_PATH, "symbol=BTCUSDT", -1102),
        ("PUT", ISOLATED_KEY_PATH, "listenKey=x", -1102),
        ("PUT", CROSS_KEY_PATH, "listenKey=", -1105),
        ("PUT", CROSS_KEY_PATH, "listenKey=nobodys", -1125),
        ("PUT", CROSS_KEY_PATH, "listenKey=a&listenKey=a", -1101),
        ("PUT", CROSS_KEY_PATH, "listenKey=a%20b", -1100),
        ("PUT", CROSS_KEY_PATH, "listenKey=%zz", -1100),
        ("PUT", CROSS_KEY_PATH, "listenKey=%ff", -1100),
        ("PUT", CROSS_KEY_PATH, "listenKey=" + "x" * 513, -1100),
        ("PUT", CROSS_KEY_PATH, "listenKey=a&colour=red", -1104),
        ("POST", CROSS_KEY_PATH, "colour=red", -1104),
        ("POST", ISOLATED_KEY_PATH, "symbol=btcusdt", -1100),
        ("POST", ISOLATED_KEY_PATH, "symbol=BTC-USDT", -1100),
        ("POST", ISOLATED_KEY_PATH, "symbol=NOSUCH", -1121),
        ("POST", ISOLATED_KEY_PATH, "symbol=USDT", -1121),
        ("POST", ISOLATED_KEY_PATH, "symbol=%E5%B8%81", -1121),
        ("POST", LISTEN_TOKEN_PATH, "isIsolated=true", -1102),
        ("POST", LISTEN_TOKEN_PATH, "isIsolated=1", -1100),
        ("POST", LISTEN_TOKEN_PATH, "isIsolated=", -1105),
        ("POST", LISTEN_TOKEN_PATH, "isIsolated=true&symbol=NOSUCH", -1121),
        ("POST", LISTEN_TOKEN_PATH, "validity=0", -1130),
        ("POST", LISTEN_TOKEN_PATH, "validity=86400001", -1130),
        ("POST", LISTEN_TOKEN_PATH, "validity=-1", -1100),
        ("POST", LISTEN_TOKEN_PATH, "validity=1.5", -1100),
        ("POST", LISTEN_TOKEN_PATH, "validity=soon", -1100),
        ("POST", LISTEN_TOKEN_PATH, "validity=" + "9" * 40, -1100),
    ],
)
def test_wrong_parameters_have_their_codes(
    harness: ExchangeHarness, method: str, path: str, query: str, code: int
) -> None:
    reply = harness.call_rest(method, path, query)
    assert (reply.status, reply.code) == (400, code)
    assert reply.json["msg"]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000SATSUSDT", "币安人生USDT"])
def test_symbols_may_have_letters_of_any_script(harness: ExchangeHarness, symbol: str) -> None:
    key = harness.create_listen_key(ISOLATED_KEY_PATH, symbol=symbol)
    assert harness.call_rest("PUT", ISOLATED_KEY_PATH, {"symbol": symbol, "listenKey": key}).status == 200
    connection = harness.open_subscribed(isIsolated="true", symbol=symbol)
    request = OrderRequest(symbol, account=symbol)
    harness.exchange.trading.place_order(harness.user.uid, request, harness.now)
    assert harness.take_texts(connection)[0]["event"]["s"] == symbol


def test_symbols_can_be_listed() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", symbols=frozenset({"BTCUSDT"})))
    assert harness.call_rest("POST", ISOLATED_KEY_PATH, "symbol=BTCUSDT").status == 200
    assert harness.call_rest("POST", ISOLATED_KEY_PATH, "symbol=ETHUSDT").code == -1121


def test_a_token_is_valid_for_a_day_by_default(harness: ExchangeHarness) -> None:
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH).json["expirationTime"] == START_MS + DAY_MS
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, "validity=60000").json["expirationTime"] == START_MS + 60_000


@pytest.mark.parametrize("query", ["isIsolated=true&symbol=BTCUSDT", "isIsolated=TRUE&symbol=BTCUSDT"])
def test_a_token_may_be_for_an_isolated_account(harness: ExchangeHarness, query: str) -> None:
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, query).status == 200


def test_every_token_is_a_new_one(harness: ExchangeHarness) -> None:
    assert harness.create_listen_token() != harness.create_listen_token()


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_the_same_seed_gives_the_same_responses(method: str, path: str) -> None:
    first, second = ExchangeHarness(seed=3), ExchangeHarness(seed=3)
    assert first.user.api_key == second.user.api_key
    assert first.call_rest(method, path) == second.call_rest(method, path)


def test_the_weight_header_has_the_scope_of_the_call(harness: ExchangeHarness) -> None:
    assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).header("X-SAPI-USED-IP-WEIGHT-1M") == "1"
    assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).header("X-SAPI-USED-IP-WEIGHT-1M") == "2"
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH).header("X-SAPI-USED-UID-WEIGHT-1M") == "1"
    assert harness.call_rest("DELETE", RISK_LISTEN_KEY_PATH).header("X-SAPI-USED-UID-WEIGHT-1M") == "3000"


@pytest.mark.parametrize(("done_answer", "body"), [("nothing", b""), ("object", b"{}")])
@pytest.mark.parametrize("path", [LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH])
def test_the_empty_body_follows_the_rules(path: str, done_answer: EmptyBody, body: bytes) -> None:
    harness = ExchangeHarness(ExchangeRules(empty_body=done_answer))
    key = harness.call_rest("POST", path).json["listenKey"]
    done = [
        harness.call_rest("PUT", path, {"listenKey": key}),
        harness.call_rest("DELETE", path),
        harness.call_rest("DELETE", path),
    ]
    assert [(reply.status, reply.response.body) for reply in done] == [(200, body)] * 3


def test_two_calls_need_no_key(harness: ExchangeHarness) -> None:
    ping, time = (harness.call_rest("GET", f"/api/v3/{name}", headers=()) for name in ("ping", "time"))
    assert (ping.status, ping.json, ping.header("X-MBX-USED-WEIGHT-1M")) == (200, {}, "1")
    assert (time.status, time.json, time.header("X-MBX-USED-WEIGHT-1M")) == (200, {"serverTime": START_MS}, "2")


def test_public_calls_are_as_strict_as_the_others(harness: ExchangeHarness) -> None:
    assert harness.call_rest("POST", "/api/v3/ping").header("Allow") == "GET"
    assert harness.call_rest("GET", "/api/v3/ping", "symbol=BTCUSDT").code == -1104
    few = ExchangeHarness(ExchangeRules(websocket_api_weight_limit=1, refusals_before_ban=1))
    assert [few.call_rest("GET", "/api/v3/time").status for _ in range(4)] == [200, 429, 418, 418]


def test_nothing_secret_is_in_a_repr(harness: ExchangeHarness) -> None:
    reply = harness.call_rest("POST", CROSS_KEY_PATH)
    key = reply.json["listenKey"]
    shown = repr((reply, harness.user, harness.exchange.rest_log(), harness.exchange.metrics()))
    for secret in (key, harness.user.api_key, harness.user.api_secret):
        assert secret not in shown
        assert json.dumps(secret) not in shown
