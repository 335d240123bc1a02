"""The thirteen REST calls: validity, sharing, ownership, parameters."""

from __future__ import annotations

import json

import pytest
from exchange_harness import CALLS, CROSS, ISOLATED, RISK, START, TOKEN, V2, Desk

from binance_margin_stream.sandbox import Rules
from binance_margin_stream.sandbox.config import DoneAnswer

HOUR = 3_600
DAY_MS = 86_400_000


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("path", [CROSS, V2, RISK])
def test_an_account_with_a_live_key_gets_that_key_back(desk: Desk, path: str) -> None:
    assert desk.listen_key(path) == desk.listen_key(path)


def test_each_isolated_symbol_has_a_key_of_its_own(desk: Desk) -> None:
    keys = {desk.listen_key(ISOLATED, symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT")}
    assert len(keys | {desk.listen_key(CROSS)}) == 3


def test_other_accounts_have_other_keys(desk: Desk) -> None:
    other = desk.exchange.add_account()
    assert desk.call("POST", CROSS, user=other).json["listenKey"] != desk.listen_key(CROSS)


@pytest.mark.parametrize(("path", "body"), [(CROSS, b"{}"), (V2, b""), (RISK, b"")])
def test_keepalive_extends_a_key_by_an_hour(desk: Desk, path: str, body: bytes) -> None:
    key = desk.listen_key(path)
    desk.pass_time(0.75 * HOUR)
    extended = desk.call("PUT", path, {"listenKey": key})
    assert (extended.status, extended.answer.body) == (200, body)
    desk.pass_time(0.75 * HOUR)
    assert desk.listen_key(path) == key


def test_creating_again_extends_too(desk: Desk) -> None:
    key = desk.listen_key()
    desk.pass_time(0.75 * HOUR)
    desk.listen_key()
    desk.pass_time(0.75 * HOUR)
    assert desk.call("PUT", CROSS, {"listenKey": key}).status == 200


@pytest.mark.parametrize("path", [CROSS, V2, RISK])
def test_a_key_that_nobody_extends_expires(desk: Desk, path: str) -> None:
    key = desk.listen_key(path)
    desk.pass_time(HOUR)
    assert desk.call("PUT", path, {"listenKey": key}).code == -1125
    assert desk.listen_key(path) != key


@pytest.mark.parametrize(("validity_ms", "code"), [(HOUR * 1000, -1125), (24 * HOUR * 1000, None)])
def test_the_risk_key_lives_an_hour_or_a_day(validity_ms: int, code: int | None) -> None:
    desk = Desk(Rules(risk_listen_key_validity_ms=validity_ms))
    key = desk.listen_key(RISK)
    desk.pass_time(2 * HOUR)
    reply = desk.call("PUT", RISK, {"listenKey": key})
    assert (reply.status == 200) if code is None else (reply.code == code)


def test_a_closed_key_is_gone_for_every_client(desk: Desk) -> None:
    key = desk.listen_key()
    assert desk.call("DELETE", CROSS, {"listenKey": key}).json == {}
    assert desk.call("PUT", CROSS, {"listenKey": key}).code == -1125
    assert desk.call("DELETE", CROSS, {"listenKey": key}).code == -1125


@pytest.mark.parametrize("path", [V2, RISK])
def test_closing_without_naming_the_key_closes_the_accounts_key(desk: Desk, path: str) -> None:
    key = desk.listen_key(path)
    assert desk.call("DELETE", path).answer.body == b""
    assert desk.call("PUT", path, {"listenKey": key}).code == -1125
    assert desk.call("DELETE", path).status == 200


def test_a_key_belongs_to_its_account_kind_and_symbol(desk: Desk) -> None:
    other = desk.exchange.add_account()
    key = desk.listen_key(ISOLATED, symbol="BTCUSDT")
    named = {"symbol": "BTCUSDT", "listenKey": key}
    assert desk.call("PUT", ISOLATED, named | {"symbol": "ETHUSDT"}).code == -1125
    assert desk.call("PUT", CROSS, {"listenKey": key}).code == -1125
    assert desk.call("PUT", V2, {"listenKey": key}).code == -1125
    assert desk.call("PUT", ISOLATED, named, user=other).code == -1125
    assert desk.call("PUT", ISOLATED, named).json == {}


def test_parameters_may_come_in_the_form(desk: Desk) -> None:
    key = desk.listen_key(ISOLATED, symbol="BTCUSDT")
    form = f"symbol=BTCUSDT&listenKey={key.replace('+', '%2B').replace('/', '%2F')}"
    assert desk.call("PUT", ISOLATED, form=form).status == 200
    assert desk.call("PUT", ISOLATED, "symbol=BTCUSDT", form=form.partition("&")[2]).status == 200


def test_where_query_and_form_disagree_the_query_counts(desk: Desk) -> None:
    reply = desk.call("POST", ISOLATED, "symbol=BTCUSDT", form="symbol=NOSUCH")
    assert reply.status == 200


def test_a_key_that_is_not_percent_encoded_is_another_key(desk: Desk) -> None:
    key = desk.listen_key()
    assert "+" in key
    assert "/" in key
    assert desk.call("PUT", CROSS, f"listenKey={key}").code == -1100


@pytest.mark.parametrize(
    ("method", "path", "query", "code"),
    [
        ("PUT", CROSS, "", -1102),
        ("DELETE", CROSS, "", -1102),
        ("PUT", V2, "", -1102),
        ("PUT", RISK, "", -1102),
        ("POST", ISOLATED, "", -1102),
        ("PUT", ISOLATED, "symbol=BTCUSDT", -1102),
        ("PUT", ISOLATED, "listenKey=x", -1102),
        ("PUT", CROSS, "listenKey=", -1105),
        ("PUT", CROSS, "listenKey=nobodys", -1125),
        ("PUT", CROSS, "listenKey=a&listenKey=a", -1101),
        ("PUT", CROSS, "listenKey=a%20b", -1100),
        ("PUT", CROSS, "listenKey=%zz", -1100),
        ("PUT", CROSS, "listenKey=%ff", -1100),
        ("PUT", CROSS, "listenKey=" + "x" * 513, -1100),
        ("PUT", CROSS, "listenKey=a&colour=red", -1104),
        ("POST", CROSS, "colour=red", -1104),
        ("POST", ISOLATED, "symbol=btcusdt", -1100),
        ("POST", ISOLATED, "symbol=BTC-USDT", -1100),
        ("POST", ISOLATED, "symbol=NOSUCH", -1121),
        ("POST", ISOLATED, "symbol=USDT", -1121),
        ("POST", TOKEN, "isIsolated=true", -1102),
        ("POST", TOKEN, "isIsolated=1", -1100),
        ("POST", TOKEN, "isIsolated=", -1105),
        ("POST", TOKEN, "isIsolated=true&symbol=NOSUCH", -1121),
        ("POST", TOKEN, "validity=0", -1130),
        ("POST", TOKEN, "validity=86400001", -1130),
        ("POST", TOKEN, "validity=-1", -1100),
        ("POST", TOKEN, "validity=1.5", -1100),
        ("POST", TOKEN, "validity=soon", -1100),
        ("POST", TOKEN, "validity=" + "9" * 40, -1100),
    ],
)
def test_wrong_parameters_have_their_codes(desk: Desk, method: str, path: str, query: str, code: int) -> None:
    reply = desk.call(method, path, query)
    assert (reply.status, reply.code) == (400, code)
    assert reply.json["msg"]


def test_symbols_can_be_listed() -> None:
    desk = Desk(Rules(retired_calls="served", symbols=frozenset({"BTCUSDT"})))
    assert desk.call("POST", ISOLATED, "symbol=BTCUSDT").status == 200
    assert desk.call("POST", ISOLATED, "symbol=ETHUSDT").code == -1121


def test_a_token_lives_a_day_unless_told_otherwise(desk: Desk) -> None:
    assert desk.call("POST", TOKEN).json["expirationTime"] == START + DAY_MS
    assert desk.call("POST", TOKEN, "validity=60000").json["expirationTime"] == START + 60_000


@pytest.mark.parametrize("query", ["isIsolated=true&symbol=BTCUSDT", "isIsolated=TRUE&symbol=BTCUSDT"])
def test_a_token_may_be_for_an_isolated_account(desk: Desk, query: str) -> None:
    assert desk.call("POST", TOKEN, query).status == 200


def test_every_token_is_a_new_one(desk: Desk) -> None:
    assert desk.token() != desk.token()


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_the_same_seed_gives_the_same_answers(method: str, path: str) -> None:
    first, second = Desk(seed=3), Desk(seed=3)
    assert first.user.api_key == second.user.api_key
    assert first.call(method, path) == second.call(method, path)


def test_weights_are_told_in_the_scope_that_they_count_in(desk: Desk) -> None:
    assert desk.call("POST", V2).header("X-SAPI-USED-IP-WEIGHT-1M") == "1"
    assert desk.call("POST", V2).header("X-SAPI-USED-IP-WEIGHT-1M") == "2"
    assert desk.call("POST", TOKEN).header("X-SAPI-USED-UID-WEIGHT-1M") == "1"
    assert desk.call("DELETE", RISK).header("X-SAPI-USED-UID-WEIGHT-1M") == "3000"


@pytest.mark.parametrize(("done_answer", "body"), [("nothing", b""), ("object", b"{}")])
@pytest.mark.parametrize("path", [V2, RISK])
def test_a_call_that_is_done_answers_as_the_rules_say(path: str, done_answer: DoneAnswer, body: bytes) -> None:
    desk = Desk(Rules(done_answer=done_answer))
    key = desk.call("POST", path).json["listenKey"]
    done = [desk.call("PUT", path, {"listenKey": key}), desk.call("DELETE", path), desk.call("DELETE", path)]
    assert [(reply.status, reply.answer.body) for reply in done] == [(200, body)] * 3


def test_two_calls_need_no_key(desk: Desk) -> None:
    ping, time = (desk.call("GET", f"/api/v3/{name}", headers=()) for name in ("ping", "time"))
    assert (ping.status, ping.json, ping.header("X-MBX-USED-WEIGHT-1M")) == (200, {}, "1")
    assert (time.status, time.json, time.header("X-MBX-USED-WEIGHT-1M")) == (200, {"serverTime": START}, "2")


def test_calls_that_need_no_key_are_as_strict_as_the_others(desk: Desk) -> None:
    assert desk.call("POST", "/api/v3/ping").header("Allow") == "GET"
    assert desk.call("GET", "/api/v3/ping", "symbol=BTCUSDT").code == -1104
    few = Desk(Rules(websocket_api_weight_limit=1, refusals_before_ban=1))
    assert [few.call("GET", "/api/v3/time").status for _ in range(4)] == [200, 429, 418, 418]


def test_nothing_secret_is_in_a_repr(desk: Desk) -> None:
    reply = desk.call("POST", CROSS)
    key = reply.json["listenKey"]
    shown = repr((reply, desk.user, desk.exchange.rest_log(), desk.exchange.counts()))
    for secret in (key, desk.user.api_key, desk.user.api_secret):
        assert secret not in shown
        assert json.dumps(secret) not in shown
