"""What stands in front of the calls: pages, keys, limits, bans, signatures."""

from __future__ import annotations

import pytest
from exchange_harness import CALLS, CROSS, ISOLATED, RISK, SUBSCRIBE, TOKEN, V2, Desk, encode, sign

from binance_margin_stream.sandbox import Rules, faults
from binance_margin_stream.sandbox.messages import Answer, Request


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call[1] in (CROSS, ISOLATED)])
def test_retired_calls_answer_410_with_a_page(method: str, path: str) -> None:
    reply = Desk(Rules()).call(method, path)
    assert reply.status == 410
    assert reply.header("Content-Type") == "text/html"
    assert b"<h1>410 Gone</h1>" in reply.answer.body


def test_any_call_can_be_retired_and_reinstated_while_running(desk: Desk) -> None:
    desk.exchange.retire(TOKEN)
    assert desk.call("POST", TOKEN).status == 410
    desk.exchange.reinstate(TOKEN)
    assert desk.call("POST", TOKEN).status == 200


def test_what_the_rules_retired_can_be_reinstated_too() -> None:
    desk = Desk(Rules())
    assert desk.call("POST", CROSS).status == 410
    desk.exchange.reinstate(CROSS)
    assert desk.call("POST", CROSS).status == 200


def test_calls_can_be_retired_from_the_start() -> None:
    desk = Desk(Rules(retired_paths=frozenset({V2, SUBSCRIBE})))
    assert desk.call("POST", V2).status == 410
    assert desk.ask(desk.open(), SUBSCRIBE, listenToken="x")["error"]["code"] == -1020


@pytest.mark.parametrize("path", ["/", "/sapi/v1/userListenToken/", "/sapi/v1/nothing", "/%ff", "/%zz", "//"])
def test_unknown_paths_get_the_404_page(desk: Desk, path: str) -> None:
    reply = desk.call("POST", path)
    assert (reply.status, reply.header("Content-Type")) == (404, "text/html")


def test_a_percent_encoded_path_is_the_same_path(desk: Desk) -> None:
    assert desk.call("POST", "/sapi/v1/%75serListenToken").status == 200


def test_an_absolute_target_is_the_same_path(desk: Desk) -> None:
    assert desk.call("POST", f"http://proxied.example{TOKEN}").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "OPTIONS", "PUT", "DELETE", "BREW"])
def test_wrong_methods_get_the_405_page_with_the_right_ones(desk: Desk, method: str) -> None:
    reply = desk.call(method, TOKEN)
    assert (reply.status, reply.header("Allow")) == (405, "POST")


def test_a_body_that_is_too_long_gets_the_413_page(desk: Desk) -> None:
    assert desk.call("POST", TOKEN, form="x" * 65_537).status == 413


def test_a_body_that_is_not_a_form_gets_the_415_page(desk: Desk) -> None:
    headers = (("X-MBX-APIKEY", desk.user.api_key), ("content-type", "application/json"))
    assert desk.call("POST", TOKEN, form='{"validity":1}', headers=headers).status == 415
    assert desk.call("POST", TOKEN, headers=headers).status == 200


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
def test_keys_that_do_not_open_an_account_are_refused(
    desk: Desk, headers: tuple[tuple[str, str], ...], code: int
) -> None:
    reply = desk.call("POST", TOKEN, headers=headers)
    assert (reply.status, reply.code) == (401, code)


def test_a_revoked_key_is_unknown(desk: Desk) -> None:
    desk.exchange.revoke_api_key(desk.user.api_key, desk.now)
    assert desk.call("POST", TOKEN).code == -2015
    with pytest.raises(KeyError, match="no account has this API key"):
        desk.exchange.revoke_api_key("nobodys", desk.now)


class TestSignatures:
    def signed(self, desk: Desk, offset_ms: int = 0, **more: object) -> str:
        query = encode({**more, "timestamp": desk.now + offset_ms})
        return f"{query}&signature={sign(query, desk.user.api_secret)}"

    @pytest.mark.parametrize("need", ["optional", "required"])
    def test_a_good_signature_is_taken(self, need: str) -> None:
        desk = Desk(Rules(signing=need))  # type: ignore[arg-type]  # parametrized literal
        assert desk.call("POST", TOKEN, self.signed(desk, validity=1000)).status == 200

    def test_it_may_stand_anywhere_and_in_any_case(self, desk: Desk) -> None:
        query = f"timestamp={desk.now}&validity=1000"
        signature = sign(query, desk.user.api_secret).upper()
        assert desk.call("POST", TOKEN, f"signature={signature}&{query}").status == 200

    def test_it_covers_query_and_form(self, desk: Desk) -> None:
        query, form = "validity=1000", f"timestamp={desk.now}"
        signature = sign(query + form, desk.user.api_secret)
        assert desk.call("POST", TOKEN, query, form=f"{form}&signature={signature}").status == 200

    def test_a_wrong_one_is_refused_even_where_none_is_needed(self, desk: Desk) -> None:
        assert desk.call("POST", TOKEN, f"timestamp={desk.now}&signature={'0' * 64}").code == -1022
        assert desk.call("POST", V2, f"timestamp={desk.now}&signature={'0' * 64}").code == -1022

    def test_another_accounts_secret_is_wrong(self, desk: Desk) -> None:
        other = desk.exchange.add_account()
        assert desk.call("POST", TOKEN, self.signed(desk), user=other).code == -1022

    @pytest.mark.parametrize(
        ("offset_ms", "more", "code"),
        [(-5001, {}, -1021), (1000, {}, -1021), (-5001, {"recvWindow": 6000}, None), (999, {}, None)],
    )
    def test_the_time_has_to_be_within_the_window(
        self, desk: Desk, offset_ms: int, more: dict[str, object], code: int | None
    ) -> None:
        reply = desk.call("POST", TOKEN, self.signed(desk, offset_ms, **more))
        assert (reply.status == 200) if code is None else (reply.code == code)

    @pytest.mark.parametrize("window", [0, 60_001])
    def test_the_window_has_its_range(self, desk: Desk, window: int) -> None:
        assert desk.call("POST", TOKEN, self.signed(desk, recvWindow=window)).code == -1130

    def test_where_it_is_required_nothing_goes_without(self) -> None:
        desk = Desk(Rules(signing="required"))
        assert desk.call("POST", TOKEN).code == -1102
        assert desk.call("POST", TOKEN, f"timestamp={desk.now}").code == -1102
        assert desk.call("POST", V2).status == 200

    def test_without_a_time_it_is_incomplete(self, desk: Desk) -> None:
        assert desk.call("POST", TOKEN, f"signature={'0' * 64}").code == -1102


class TestLimits:
    def test_too_much_weight_is_refused_until_the_minute_ends(self) -> None:
        desk = Desk(Rules(ip_weight_limit=2))
        assert [desk.call("POST", V2).status for _ in range(3)] == [200, 200, 429]
        refused = desk.call("POST", V2)
        assert refused.code == -1003
        assert refused.header("Retry-After") == "60"
        assert refused.header("X-SAPI-USED-IP-WEIGHT-1M") == "4"
        desk.pass_time(60)
        assert desk.call("POST", V2).status == 200

    def test_each_call_and_each_ip_has_a_limit_of_its_own(self) -> None:
        desk = Desk(Rules(ip_weight_limit=1))
        assert desk.call("POST", V2).status == 200
        assert desk.call("DELETE", V2).status == 200
        assert desk.call("POST", V2, ip="127.0.0.2").status == 200
        assert desk.call("POST", V2).status == 429

    def test_calls_counted_by_account_follow_the_account(self) -> None:
        desk = Desk(Rules(uid_weight_limit=1))
        other = desk.exchange.add_account()
        assert desk.call("POST", TOKEN).status == 200
        assert desk.call("POST", TOKEN, user=other).status == 200
        assert desk.call("POST", TOKEN, ip="127.0.0.2").status == 429

    def test_closing_the_risk_key_by_habit_uses_the_weight_up(self, desk: Desk) -> None:
        assert [desk.call("DELETE", RISK).status for _ in range(61)] == [200] * 60 + [429]

    def test_who_ignores_429_is_banned_and_longer_each_time(self) -> None:
        desk = Desk(Rules(ip_weight_limit=1, refusals_before_ban=2))
        assert [desk.call("POST", V2).status for _ in range(5)] == [200, 429, 429, 418, 418]
        banned = desk.call("POST", TOKEN)
        assert (banned.status, banned.code, banned.header("Retry-After")) == (418, -1003, "120")
        assert isinstance(desk.connect("/ws-api/v3"), Answer)
        assert desk.call("POST", TOKEN, ip="127.0.0.2").status == 200
        desk.pass_time(120)
        assert [desk.call("POST", V2).status for _ in range(4)] == [200, 429, 429, 418]
        assert desk.call("POST", V2).header("Retry-After") == "240"

    def test_a_ban_has_a_longest_length(self) -> None:
        desk = Desk(Rules(ip_weight_limit=1, refusals_before_ban=1, longest_ban_ms=150_000))
        assert [desk.call("POST", V2).header("Retry-After") for _ in range(3)] == [None, "60", "120"]
        desk.pass_time(120)
        assert [desk.call("POST", V2).header("Retry-After") for _ in range(3)] == [None, "60", "150"]

    def test_answers_to_a_wrong_key_cost_weight_too(self) -> None:
        desk = Desk(Rules(ip_weight_limit=1))
        assert desk.call("POST", V2, headers=()).status == 401
        assert desk.call("POST", V2).status == 429


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            (faults.forbidden(), 403),
            (faults.server_error(), 503),
            (faults.server_error(599), 599),
            (faults.too_many_requests(7), 429),
            (faults.banned(None), 418),
            (faults.AnswerWith(200, b"<html>"), 200),
        ],
    )
    def test_an_answer_can_be_dictated_once(self, desk: Desk, fault: faults.AnswerWith, status: int) -> None:
        desk.exchange.fail(fault, desk.now)
        assert desk.call("POST", TOKEN).answer.status == status
        assert desk.call("POST", TOKEN).json["token"]

    def test_it_strikes_its_path_as_often_as_told(self, desk: Desk) -> None:
        desk.exchange.fail(faults.server_error(), desk.now, path=V2, times=2)
        assert desk.call("POST", TOKEN).status == 200
        assert [desk.call("POST", V2).status for _ in range(3)] == [503, 503, 200]

    def test_it_strikes_until_cleared(self, desk: Desk) -> None:
        desk.exchange.fail(faults.server_error(), desk.now, times=None)
        assert {desk.call("POST", V2).status for _ in range(9)} == {503}
        desk.exchange.clear_faults()
        assert desk.call("POST", V2).status == 200

    def test_zero_times_is_a_mistake(self, desk: Desk) -> None:
        with pytest.raises(ValueError, match="times takes"):
            desk.exchange.fail(faults.server_error(), desk.now, times=0)

    @pytest.mark.parametrize(
        ("fault", "delivery"),
        [
            (faults.ResetConnection(), "reset"),
            (faults.Hang(), "hang"),
            (faults.HalfAnswer(), "half"),
            (faults.DelayAnswer(1.5), "whole"),
        ],
    )
    def test_a_lost_answer_belongs_to_a_call_that_took_effect(
        self, desk: Desk, fault: faults.Fault, delivery: str
    ) -> None:
        desk.exchange.fail(fault, desk.now)
        lost = desk.call("POST", CROSS)
        assert lost.answer.delivery == delivery
        assert desk.listen_key(CROSS) == lost.json["listenKey"]

    def test_a_reset_may_come_before_the_call_took_effect(self, desk: Desk) -> None:
        desk.exchange.fail(faults.ResetConnection(takes_effect=False), desk.now)
        assert desk.call("POST", CROSS).answer == Answer(0, delivery="reset")


def test_what_was_asked_is_counted_and_logged_without_parameters(desk: Desk) -> None:
    desk.call("POST", TOKEN, "validity=5")
    desk.call("BREW", "/coffee?milk=yes")
    counts = desk.exchange.counts()
    assert counts.calls(TOKEN) == counts.calls(TOKEN, "POST", 200) == 1
    assert counts.rest[("(unknown)", "(unknown)", 404)] == 1
    assert counts.rest_calls == 2
    first, second = desk.exchange.rest_log()
    assert (first.time, first.path, first.status) == (desk.now, TOKEN, 200)
    assert "coffee" not in repr(second)


def test_the_log_keeps_the_last_calls_only() -> None:
    desk = Desk(Rules(log_size=2))
    for _ in range(3):
        desk.call("POST", V2)
    assert len(desk.exchange.rest_log()) == 2


def test_a_request_shows_neither_parameters_nor_headers() -> None:
    shown = repr(Request("PUT", "/x?listenKey=SECRET1", (("X-MBX-APIKEY", "SECRET2"),), b"SECRET3"))
    assert "SECRET" not in shown
