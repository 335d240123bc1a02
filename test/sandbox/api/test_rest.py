"""The REST gateway: error pages, API keys, limits, bans, signatures and faults."""

from __future__ import annotations

from typing import Any

import pytest
from exchange_harness import (
    CROSS_KEY_PATH,
    ENDPOINTS,
    ISOLATED_KEY_PATH,
    LISTEN_KEY_V2_PATH,
    LISTEN_TOKEN_PATH,
    RISK_LISTEN_KEY_PATH,
    START_MS,
    SUBSCRIBE,
    ExchangeHarness,
    encode_query,
    sign_query,
)

from binance_margin_stream.sandbox import ExchangeRules, faults
from binance_margin_stream.sandbox.messages import LoggedRequest, Request, Response


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


@pytest.mark.parametrize(
    ("method", "path"), [call for call in ENDPOINTS if call[1] in (CROSS_KEY_PATH, ISOLATED_KEY_PATH)]
)
def test_retired_calls_respond_410_with_a_page(method: str, path: str) -> None:
    reply = ExchangeHarness(ExchangeRules()).call_rest(method, path)
    assert reply.status == 410
    assert reply.header("Content-Type") == "text/html"
    assert b"<h1>410 Gone</h1>" in reply.response.body


def test_any_call_can_be_retired_and_restored_while_running(harness: ExchangeHarness) -> None:
    harness.exchange.retire_endpoint(LISTEN_TOKEN_PATH)
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 410
    harness.exchange.restore_endpoint(LISTEN_TOKEN_PATH)
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 200


def test_calls_retired_by_the_rules_can_be_restored() -> None:
    harness = ExchangeHarness(ExchangeRules())
    assert harness.call_rest("POST", CROSS_KEY_PATH).status == 410
    harness.exchange.restore_endpoint(CROSS_KEY_PATH)
    assert harness.call_rest("POST", CROSS_KEY_PATH).status == 200


def test_calls_can_be_retired_from_the_start() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_paths=frozenset({LISTEN_KEY_V2_PATH, SUBSCRIBE})))
    assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 410
    assert harness.request(harness.open_connection(), SUBSCRIBE, listenToken="x")["error"]["code"] == -1020


@pytest.mark.parametrize("path", ["/", "/sapi/v1/userListenToken/", "/sapi/v1/nothing", "/%ff", "/%zz", "//"])
def test_a_call_that_is_not_served_lists_those_that_are(harness: ExchangeHarness, path: str) -> None:
    reply = harness.call_rest("POST", path)
    assert (reply.status, reply.code, reply.header("X-Sandbox")) == (404, -1020, "not-served")
    assert reply.json["msg"].startswith("The sandbox does not serve POST /")
    assert {f"{method} {served}" for method, served in ENDPOINTS} < set(reply.json["served"])


def test_the_answer_and_the_log_of_an_unknown_path_mask_what_may_be_a_credential(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key()
    reply = harness.call_rest("GET", f"/sapi/v1/margin/allOrders/{key}", "listenKey=secret")
    shown = "/sapi/v1/margin/allOrders/…"
    assert reply.json["msg"].startswith(f"The sandbox does not serve GET {shown};")
    assert harness.exchange.request_log()[-1] == LoggedRequest(START_MS, "127.0.0.1", "GET", shown, 404, -1020)


def test_a_percent_encoded_path_is_the_same_path(harness: ExchangeHarness) -> None:
    assert harness.call_rest("POST", "/sapi/v1/%75serListenToken").status == 200


def test_an_absolute_target_is_the_same_path(harness: ExchangeHarness) -> None:
    assert harness.call_rest("POST", f"http://proxied.example{LISTEN_TOKEN_PATH}").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "OPTIONS", "PUT", "DELETE", "BREW"])
def test_wrong_methods_get_the_allowed_ones(harness: ExchangeHarness, method: str) -> None:
    reply = harness.call_rest(method, LISTEN_TOKEN_PATH)
    assert (reply.status, reply.code, reply.header("Allow")) == (405, -1020, "POST")
    assert f"POST {LISTEN_TOKEN_PATH}" in reply.json["served"]


def test_a_body_that_is_too_long_gets_the_413_page(harness: ExchangeHarness) -> None:
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, form="x" * 65_537).status == 413


def test_a_body_that_is_not_a_form_gets_the_415_page(harness: ExchangeHarness) -> None:
    headers = (("X-MBX-APIKEY", harness.user.api_key), ("content-type", "application/json"))
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, form='{"validity":1}', headers=headers).status == 415
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, headers=headers).status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ((), -2014),
        ((("X-MBX-APIKEY", ""),), -2014),
        ((("X-MBX-APIKEY", "short"),), -2014),
        ((("X-MBX-APIKEY", "é" * 64),), -2014),
        ((("X-MBX-APIKEY", "x" * 64), ("X-MBX-APIKEY", "x" * 64)), -2014),
        ((("X-MBX-APIKEY", "x" * 64),), -2015),
    ],
)
def test_invalid_api_keys_are_refused(
    harness: ExchangeHarness, headers: tuple[tuple[str, str], ...], code: int
) -> None:
    reply = harness.call_rest("POST", LISTEN_TOKEN_PATH, headers=headers)
    assert (reply.status, reply.code) == (401, code)


def test_a_revoked_key_is_unknown(harness: ExchangeHarness) -> None:
    harness.exchange.revoke_api_key(harness.user.api_key, harness.now)
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH).code == -2015
    with pytest.raises(KeyError, match="no user has this API key"):
        harness.exchange.revoke_api_key("nobodys", harness.now)


class TestSignatures:
    def sign_query(self, harness: ExchangeHarness, offset_ms: int = 0, **more: object) -> str:
        query = encode_query({**more, "timestamp": harness.now + offset_ms})
        return f"{query}&signature={sign_query(query, harness.user.api_secret)}"

    @pytest.mark.parametrize("need", ["optional", "required"])
    def test_a_valid_signature_is_accepted(self, need: str) -> None:
        harness = ExchangeHarness(ExchangeRules(signature_policy=need))  # type: ignore[arg-type]  # parametrized literal
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, self.sign_query(harness, validity=1000)).status == 200

    def test_a_signature_may_be_in_any_position_and_case(self, harness: ExchangeHarness) -> None:
        query = f"timestamp={harness.now}&validity=1000"
        signature = sign_query(query, harness.user.api_secret).upper()
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, f"signature={signature}&{query}").status == 200

    def test_a_signature_covers_query_and_form(self, harness: ExchangeHarness) -> None:
        query, form = "validity=1000", f"timestamp={harness.now}"
        signature = sign_query(query + form, harness.user.api_secret)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, query, form=f"{form}&signature={signature}").status == 200

    def test_a_wrong_signature_is_refused_even_where_it_is_optional(self, harness: ExchangeHarness) -> None:
        assert (
            harness.call_rest("POST", LISTEN_TOKEN_PATH, f"timestamp={harness.now}&signature={'0' * 64}").code == -1022
        )
        assert (
            harness.call_rest("POST", LISTEN_KEY_V2_PATH, f"timestamp={harness.now}&signature={'0' * 64}").code == -1022
        )

    def test_another_accounts_secret_is_wrong(self, harness: ExchangeHarness) -> None:
        other = harness.exchange.add_user()
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, self.sign_query(harness), user=other).code == -1022

    @pytest.mark.parametrize(
        ("offset_ms", "more", "code"),
        [(-5001, {}, -1021), (1000, {}, -1021), (-5001, {"recvWindow": 6000}, None), (999, {}, None)],
    )
    def test_the_timestamp_has_to_be_inside_the_window(
        self, harness: ExchangeHarness, offset_ms: int, more: dict[str, object], code: int | None
    ) -> None:
        reply = harness.call_rest("POST", LISTEN_TOKEN_PATH, self.sign_query(harness, offset_ms, **more))
        assert (reply.status == 200) if code is None else (reply.code == code)

    @pytest.mark.parametrize("window", [0, 60_001])
    def test_the_window_has_a_range(self, harness: ExchangeHarness, window: int) -> None:
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, self.sign_query(harness, recvWindow=window)).code == -1130

    def test_a_required_signature_cannot_be_left_out(self) -> None:
        harness = ExchangeHarness(ExchangeRules(signature_policy="required"))
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).code == -1102
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, f"timestamp={harness.now}").code == -1102
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 200

    def test_a_signature_needs_a_timestamp(self, harness: ExchangeHarness) -> None:
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, f"signature={'0' * 64}").code == -1102


class TestLimits:
    def test_too_much_weight_is_refused_until_the_minute_ends(self) -> None:
        harness = ExchangeHarness(ExchangeRules(ip_weight_limit=2))
        assert [harness.call_rest("POST", LISTEN_KEY_V2_PATH).status for _ in range(3)] == [200, 200, 429]
        refused = harness.call_rest("POST", LISTEN_KEY_V2_PATH)
        assert refused.code == -1003
        assert refused.header("Retry-After") == "60"
        assert refused.header("X-SAPI-USED-IP-WEIGHT-1M") == "4"
        harness.advance_time(60)
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 200

    def test_each_call_and_each_ip_has_a_limit_of_its_own(self) -> None:
        harness = ExchangeHarness(ExchangeRules(ip_weight_limit=1))
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 200
        assert harness.call_rest("DELETE", LISTEN_KEY_V2_PATH).status == 200
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH, ip="127.0.0.2").status == 200
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 429

    def test_calls_counted_by_account_follow_the_account(self) -> None:
        harness = ExchangeHarness(ExchangeRules(uid_weight_limit=1))
        other = harness.exchange.add_user()
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 200
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, user=other).status == 200
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, ip="127.0.0.2").status == 429

    def test_60_deletes_of_the_risk_key_use_the_whole_weight(self, harness: ExchangeHarness) -> None:
        assert [harness.call_rest("DELETE", RISK_LISTEN_KEY_PATH).status for _ in range(61)] == [200] * 60 + [429]

    def test_ignoring_429_brings_bans_of_growing_length(self) -> None:
        harness = ExchangeHarness(ExchangeRules(ip_weight_limit=1, refusals_before_ban=2))
        assert [harness.call_rest("POST", LISTEN_KEY_V2_PATH).status for _ in range(5)] == [200, 429, 429, 418, 418]
        banned = harness.call_rest("POST", LISTEN_TOKEN_PATH)
        assert (banned.status, banned.code, banned.header("Retry-After")) == (418, -1003, "120")
        assert isinstance(harness.connect("/ws-api/v3"), Response)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, ip="127.0.0.2").status == 200
        harness.advance_time(120)
        assert [harness.call_rest("POST", LISTEN_KEY_V2_PATH).status for _ in range(4)] == [200, 429, 429, 418]
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).header("Retry-After") == "240"

    def test_a_ban_has_a_maximum_length(self) -> None:
        harness = ExchangeHarness(ExchangeRules(ip_weight_limit=1, refusals_before_ban=1, max_ban_ms=150_000))
        assert [harness.call_rest("POST", LISTEN_KEY_V2_PATH).header("Retry-After") for _ in range(3)] == [
            None,
            "60",
            "120",
        ]
        harness.advance_time(120)
        assert [harness.call_rest("POST", LISTEN_KEY_V2_PATH).header("Retry-After") for _ in range(3)] == [
            None,
            "60",
            "150",
        ]

    def test_calls_with_an_invalid_key_count_weight(self) -> None:
        harness = ExchangeHarness(ExchangeRules(ip_weight_limit=1))
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH, headers=()).status == 401
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 429


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            (faults.forbidden(), 403),
            (faults.server_error(), 503),
            (faults.server_error(599), 599),
            (faults.too_many_requests(7), 429),
            (faults.ip_banned(None), 418),
            (faults.StaticResponse(200, b"<html>"), 200),
        ],
    )
    def test_a_response_can_be_replaced_once(
        self, harness: ExchangeHarness, fault: faults.StaticResponse, status: int
    ) -> None:
        harness.exchange.inject_fault(fault, harness.now)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).response.status == status
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).json["token"]

    def test_a_fault_applies_to_its_path_the_given_number_of_times(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.server_error(), harness.now, path=LISTEN_KEY_V2_PATH, times=2)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 200
        assert [harness.call_rest("POST", LISTEN_KEY_V2_PATH).status for _ in range(3)] == [503, 503, 200]

    def test_a_fault_without_a_number_applies_until_cleared(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.server_error(), harness.now, times=None)
        assert {harness.call_rest("POST", LISTEN_KEY_V2_PATH).status for _ in range(9)} == {503}
        harness.exchange.clear_faults()
        assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).status == 200

    def test_zero_times_is_refused(self, harness: ExchangeHarness) -> None:
        with pytest.raises(ValueError, match="times takes"):
            harness.exchange.inject_fault(faults.server_error(), harness.now, times=0)

    @pytest.mark.parametrize(
        ("fault", "delivery"),
        [
            (faults.ResetConnection(), "reset"),
            (faults.NoResponse(), "never"),
            (faults.TruncatedResponse(), "truncated"),
            (faults.DelayedResponse(1.5), "complete"),
        ],
    )
    def test_a_call_takes_effect_although_its_response_is_lost(
        self, harness: ExchangeHarness, fault: faults.Fault, delivery: str
    ) -> None:
        harness.exchange.inject_fault(fault, harness.now)
        lost = harness.call_rest("POST", CROSS_KEY_PATH)
        assert lost.response.delivery == delivery
        assert harness.create_listen_key(CROSS_KEY_PATH) == lost.json["listenKey"]

    def test_a_reset_may_come_before_the_call_takes_effect(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.ResetConnection(takes_effect=False), harness.now)
        assert harness.call_rest("POST", CROSS_KEY_PATH).response == Response(0, delivery="reset")

    def test_a_call_can_fail_with_a_code_of_the_exchange(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault(faults.ApiError(-3003), harness.now)
        refused = harness.call_rest("POST", LISTEN_TOKEN_PATH)
        assert (refused.status, refused.json) == (400, {"code": -3003, "msg": "Margin account does not exist."})
        harness.exchange.inject_fault(faults.ApiError(-4999, 503), harness.now)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 503
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 200

    def test_a_fault_can_be_limited_to_an_account(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault("not-found", harness.now, account="BTCUSDT", times=None)
        isolated = {"isIsolated": "true", "symbol": "BTCUSDT"}
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 200
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, {**isolated, "symbol": "ETHUSDT"}).status == 200
        not_found = harness.call_rest("POST", LISTEN_TOKEN_PATH, isolated)
        assert (not_found.status, not_found.header("Content-Type")) == (404, "text/html")
        assert harness.call_rest("POST", ISOLATED_KEY_PATH, form="symbol=BTCUSDT").status == 404
        harness.exchange.clear_faults()
        harness.exchange.inject_fault("not-found", harness.now, account="cross")
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH, isolated).status == 200
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 404

    def test_a_fault_can_be_limited_in_time(self, harness: ExchangeHarness) -> None:
        harness.exchange.inject_fault("not-found", harness.now, times=None, duration_ms=60_000)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 404
        harness.advance_time(59)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 404
        harness.advance_time(1)
        assert harness.call_rest("POST", LISTEN_TOKEN_PATH).status == 200
        assert harness.exchange.snapshot(harness.now)["faults"] == []

    @pytest.mark.parametrize(
        ("fault", "scope", "error"),
        [
            ("drop", {"account": "BTCUSDT"}, "can be limited to an account"),
            ("refuse-handshake", {"account": "BTCUSDT"}, "can be limited to an account"),
            ("drop", {"duration_ms": 5}, "takes no duration"),
            ("429", {"at_ms": 10**16}, "at_ms takes"),
        ],
    )
    def test_a_scope_that_does_not_fit_is_refused(
        self, harness: ExchangeHarness, fault: str, scope: dict[str, Any], error: str
    ) -> None:
        with pytest.raises(ValueError, match=error):
            harness.exchange.inject_fault(fault, harness.now, **scope)


def test_error_codes_can_be_strings() -> None:
    harness = ExchangeHarness(ExchangeRules(error_code_type="string"))
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH, headers=()).json["code"] == "-2014"
    harness.exchange.inject_fault("api-error", harness.now)
    assert harness.call_rest("POST", LISTEN_TOKEN_PATH).json["code"] == "-3003"


def test_calls_for_a_disabled_account_are_refused(harness: ExchangeHarness) -> None:
    key = harness.create_listen_key(ISOLATED_KEY_PATH, symbol="BTCUSDT")
    harness.exchange.disable_account(harness.user.uid, "BTCUSDT")
    for method in ("POST", "PUT", "DELETE"):
        parameters = {"symbol": "BTCUSDT"} if method == "POST" else {"symbol": "BTCUSDT", "listenKey": key}
        assert harness.call_rest(method, ISOLATED_KEY_PATH, parameters).code == -11001
    assert harness.create_listen_token(harness.exchange.add_user(), isIsolated="true", symbol="BTCUSDT")
    harness.exchange.disable_account(harness.user.uid, "cross")
    assert harness.call_rest("POST", LISTEN_KEY_V2_PATH).code == -3003


def test_calls_are_counted_and_logged_without_parameters(harness: ExchangeHarness) -> None:
    harness.call_rest("POST", LISTEN_TOKEN_PATH, "validity=5")
    harness.call_rest("BREW", "/coffee?milk=yes")
    counts = harness.exchange.metrics()
    assert counts.count_rest_calls(LISTEN_TOKEN_PATH) == counts.count_rest_calls(LISTEN_TOKEN_PATH, "POST", 200) == 1
    assert counts.rest_call_counts[("(unknown)", "(unknown)", 404)] == 1
    assert counts.rest_calls == 2
    first, second = harness.exchange.rest_log()
    assert (first.time, first.path, first.status) == (harness.now, LISTEN_TOKEN_PATH, 200)
    assert "coffee" not in repr(second)


def test_the_log_has_a_maximum_length() -> None:
    harness = ExchangeHarness(ExchangeRules(max_log_entries=2))
    for _ in range(3):
        harness.call_rest("POST", LISTEN_KEY_V2_PATH)
    assert len(harness.exchange.rest_log()) == 2


def test_a_request_shows_neither_parameters_nor_headers() -> None:
    shown = repr(Request("PUT", "/x?listenKey=SECRET1", (("X-MBX-APIKEY", "SECRET2"),), b"SECRET3"))
    assert "SECRET" not in shown
