"""The WebSocket API: subscriptions, renewals, limits, errors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from exchange_harness import START, SUBSCRIBE, UNSUBSCRIBE, Desk, ended

from binance_margin_stream.sandbox import Rules
from binance_margin_stream.sandbox.config import Renewal
from binance_margin_stream.sandbox.messages import Answer, Binary, Close

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}
RISKY: dict[str, object] = {"e": "USER_LIABILITY_CHANGE", "E": 1}
DAY_MS = 86_400_000


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_subscribe_answers_id_expiry_and_weight(desk: Desk) -> None:
    connection = desk.open()
    token = desk.token()
    desk.send(connection, {"id": "a-1", "method": SUBSCRIBE, "params": {"listenToken": token}})
    assert desk.texts(connection) == [
        {
            "id": "a-1",
            "status": 200,
            "result": {"subscriptionId": 0, "expirationTime": (START + DAY_MS) * 1000},
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 6000,
                    "count": 4,
                }
            ],
        }
    ]


def test_the_weight_can_be_left_out(desk: Desk) -> None:
    connection = desk.open("/ws-api/v3?returnRateLimits=false")
    assert desk.ask(connection, "ping") == {"id": 1, "status": 200, "result": {}}


def test_both_readings_of_the_answer_can_be_had() -> None:
    desk = Desk(Rules(websocket_expiration="ms", subscription_id="missing"))
    answer = desk.ask(desk.open(), SUBSCRIBE, listenToken=desk.token())
    assert answer["result"] == {"expirationTime": START + DAY_MS}


def test_events_carry_the_id_of_their_subscription(desk: Desk) -> None:
    connection = desk.open()
    tokens = [desk.token(), desk.token(isIsolated="true", symbol="BTCUSDT")]
    for number, token in enumerate(tokens):
        answer = desk.ask(connection, SUBSCRIBE, listenToken=token)
        assert answer["result"]["subscriptionId"] == number
    desk.emit(EVENT, "BTCUSDT")
    desk.emit(EVENT, "ETHUSDT")
    desk.emit(RISKY)
    desk.emit(EVENT)
    assert desk.texts(connection) == [
        {"subscriptionId": 1, "event": EVENT},
        {"subscriptionId": 0, "event": EVENT},
    ]
    assert desk.exchange.counts().events == {(connection, 1): 1, (connection, 0): 1}


def test_ids_count_from_zero_on_each_connection(desk: Desk) -> None:
    token = desk.token()
    for _ in range(2):
        assert desk.ask(desk.open(), SUBSCRIBE, listenToken=token)["result"]["subscriptionId"] == 0
    assert desk.emit(EVENT) == 2


@pytest.mark.parametrize("wrong", ["nobodys", "x" * 500])
def test_an_unknown_token_is_refused(desk: Desk, wrong: str) -> None:
    answer = desk.ask(desk.open(), SUBSCRIBE, listenToken=wrong)
    assert (answer["status"], answer["error"]["code"]) == (400, -1209)


def test_an_expired_token_is_refused(desk: Desk) -> None:
    token = desk.token(validity=1000)
    desk.pass_time(1)
    assert desk.ask(desk.open(), SUBSCRIBE, listenToken=token)["error"]["code"] == -1209


def test_an_expired_subscription_is_terminated_with_a_notice(desk: Desk) -> None:
    connection = desk.subscribed(validity=10_000)
    desk.pass_time(11)
    notice = {"e": "eventStreamTerminated", "E": START + 10_000}
    assert desk.texts(connection) == [{"subscriptionId": 0, "event": notice}]
    assert desk.emit(EVENT) == 0
    assert desk.ask(connection, "session.subscriptions")["result"] == []


def renew(desk: Desk, connection: int) -> dict[str, Any]:
    desk.pass_time(5)
    answer: dict[str, Any] = desk.ask(connection, SUBSCRIBE, listenToken=desk.token(validity=10_000))
    return answer


@pytest.mark.parametrize(
    ("renewal", "code", "number", "outlives"),
    [
        ("same_id", None, 0, True),
        ("new_id", None, 1, True),
        ("refused", -2035, 0, False),
        ("refused_but_extended", -2035, 0, True),
    ],
)
def test_renewal_has_all_its_readings(renewal: Renewal, code: int | None, number: int, outlives: bool) -> None:
    desk = Desk(Rules(renewal=renewal))
    connection = desk.subscribed(validity=10_000)
    answer = renew(desk, connection)
    if code is None:
        assert answer["result"] == {"subscriptionId": number, "expirationTime": (START + 15_000) * 1000}
    else:
        assert answer["error"]["code"] == code
    desk.emit(EVENT)
    assert desk.texts(connection) == [{"subscriptionId": number, "event": EVENT}]
    desk.pass_time(6)
    assert (desk.emit(EVENT) == 1) is outlives
    desk.pass_time(6)
    assert desk.events(connection)[-1] == "eventStreamTerminated"


def test_a_renewal_never_shortens(desk: Desk) -> None:
    connection = desk.subscribed()
    answer = desk.ask(connection, SUBSCRIBE, listenToken=desk.token(validity=1))
    assert answer["result"]["expirationTime"] == (START + DAY_MS) * 1000


def test_unsubscribing_is_answered_and_then_noted(desk: Desk) -> None:
    connection = desk.subscribed()
    desk.send(connection, {"id": 2, "method": UNSUBSCRIBE, "params": {"subscriptionId": 0}})
    answer, notice = desk.texts(connection)
    assert (answer["status"], answer["result"]) == (200, {})
    assert notice == {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": START}}
    assert desk.emit(EVENT) == 0


def test_unsubscribing_without_an_id_ends_all(desk: Desk) -> None:
    connection = desk.subscribed()
    desk.ask(connection, SUBSCRIBE, listenToken=desk.token(isIsolated="true", symbol="BTCUSDT"))
    desk.send(connection, {"id": 2, "method": UNSUBSCRIBE})
    assert [text.get("subscriptionId") for text in desk.texts(connection)] == [None, 0, 1]
    assert desk.ask(connection, UNSUBSCRIBE)["error"]["code"] == -2036


def test_an_unsubscribed_account_can_be_subscribed_again_under_a_new_id(desk: Desk) -> None:
    connection = desk.subscribed()
    desk.ask(connection, UNSUBSCRIBE)
    assert desk.ask(connection, SUBSCRIBE, listenToken=desk.token())["result"]["subscriptionId"] == 1


@pytest.mark.parametrize(("number", "code"), [(7, -2036), ("0", -1102), (True, -1102), (None, -1102), (0.0, -1102)])
def test_unsubscribing_what_is_not_there_is_refused(desk: Desk, number: object, code: int) -> None:
    assert desk.ask(desk.subscribed(), UNSUBSCRIBE, subscriptionId=number)["error"]["code"] == code


def test_session_subscriptions_lists_ids(desk: Desk) -> None:
    connection = desk.subscribed()
    assert desk.ask(connection, "session.subscriptions")["result"] == [{"subscriptionId": 0}]


def test_time_is_the_exchanges(desk: Desk) -> None:
    assert desk.ask(desk.open(), "time")["result"] == {"serverTime": START}


def test_one_active_subscription_too_many_is_refused() -> None:
    desk = Desk(Rules(active_subscriptions=2))
    connection = desk.open()
    answers = [desk.ask(connection, SUBSCRIBE, listenToken=desk.token(desk.exchange.add_account())) for _ in range(3)]
    assert [answer["status"] for answer in answers] == [200, 200, 400]
    assert answers[2]["error"]["code"] == -1034
    assert answers[2]["error"]["msg"] == "Too many active subscriptions."


def test_a_connection_takes_a_thousand_accounts() -> None:
    desk = Desk(Rules(websocket_api_weight_limit=10_000))
    connection = desk.open()
    tokens = [desk.token(isIsolated="true", symbol=f"A{number}USDT") for number in range(1001)]
    codes = Counter(desk.ask(connection, SUBSCRIBE, listenToken=token)["status"] for token in tokens)
    assert codes == {200: 1000, 400: 1}
    assert len(desk.ask(connection, "session.subscriptions")["result"]) == 1000


def test_a_connection_has_65535_ids() -> None:
    assert Rules().total_subscriptions == 65_535


def test_ids_of_a_connection_are_used_up_at_last() -> None:
    desk = Desk(Rules(total_subscriptions=2, renewal="new_id"))
    connection = desk.subscribed()
    assert desk.ask(connection, SUBSCRIBE, listenToken=desk.token())["status"] == 200
    assert desk.ask(connection, SUBSCRIBE, listenToken=desk.token())["error"]["code"] == -2042
    assert desk.emit(EVENT) == 1


def test_weight_is_counted_per_ip_and_minute() -> None:
    desk = Desk(Rules(websocket_api_weight_limit=6, refusals_before_ban=2))
    connection = desk.subscribed()
    assert desk.ask(connection, "session.subscriptions")["status"] == 200
    refused = desk.ask(connection, "ping")
    assert (refused["status"], refused["error"]["code"]) == (429, -1003)
    assert refused["error"]["data"] == {"serverTime": START, "retryAfter": START + 60_000}
    assert desk.ask(connection, "ping")["status"] == 429
    banned = desk.ask(connection, "ping")
    assert (banned["status"], banned["error"]["data"]["retryAfter"]) == (418, START + 120_000)
    assert desk.emit(EVENT) == 1
    desk.pass_time(120)
    assert desk.ask(connection, "ping")["status"] == 200


def test_a_handshake_weighs_too() -> None:
    desk = Desk(Rules(websocket_api_weight_limit=5))
    desk.open()
    desk.open()
    refused = desk.connect("/ws-api/v3")
    assert isinstance(refused, Answer)
    assert refused.status == 429


def test_a_revoked_key_is_told_unasked(desk: Desk) -> None:
    other = desk.exchange.add_account()
    connection, elsewhere = desk.subscribed(), desk.subscribed(other)
    token = desk.token()
    desk.exchange.revoke_api_key(desk.user.api_key, desk.now)
    (told,) = desk.texts(connection)
    assert (told["id"], told["status"], told["error"]["code"]) == (None, 401, -2015)
    assert desk.texts(elsewhere) == []
    assert desk.emit(EVENT) == 0
    assert desk.ask(connection, SUBSCRIBE, listenToken=token)["error"]["code"] == -1209


def test_a_revoked_key_may_go_untold() -> None:
    desk = Desk(Rules(revocation="missing"))
    connection = desk.subscribed()
    desk.exchange.revoke_api_key(desk.user.api_key, desk.now)
    assert desk.texts(connection) == []
    assert desk.emit(EVENT) == 0


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", -1135),
        ("[" * 100_000, -1135),
        ("[]", -1135),
        ("{}", -1135),
        ('{"id":NaN}', -1135),
        ('{"id":' + "1" * 5000 + "}", -1135),
        ('{"id":true,"method":"ping"}', -1135),
        ('{"id":{},"method":"ping"}', -1135),
        ('{"id":1,"method":"ping","params":[]}', -1135),
        ('{"id":1,"method":null}', -1135),
        ('{"id":1,"method":"sing"}', -1020),
        ('{"id":1,"method":"ping","params":{"x":1}}', -1101),
        (f'{{"id":1,"method":"{SUBSCRIBE}"}}', -1102),
        (f'{{"id":1,"method":"{SUBSCRIBE}","params":{{"listenToken":7}}}}', -1102),
        (f'{{"id":1,"method":"{SUBSCRIBE}","params":{{"listenToken":""}}}}', -1102),
    ],
)
def test_requests_that_make_no_sense_have_their_codes(desk: Desk, message: str, code: int) -> None:
    connection = desk.open()
    desk.send(connection, message)
    (answer,) = desk.texts(connection)
    assert (answer["status"], answer["error"]["code"]) == (400, code)


def test_nonsense_weighs_as_well() -> None:
    desk = Desk(Rules(websocket_api_weight_limit=3))
    connection = desk.open()
    desk.send(connection, "no json")
    desk.send(connection, "no json")
    assert [answer["status"] for answer in desk.texts(connection)] == [400, 429]


def test_a_binary_frame_ends_the_connection(desk: Desk) -> None:
    connection = desk.open()
    desk.exchange.receive(connection, Binary(b"{}"), desk.now)
    assert ended(desk.frames(connection)) == Close(1003, "Text frames only")


def test_messages_are_not_counted_by_the_second_here(desk: Desk) -> None:
    connection = desk.open()
    for _ in range(50):
        assert desk.ask(connection, "ping")["status"] == 200
