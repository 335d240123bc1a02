"""The WebSocket API: subscriptions, renewals, limits, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from exchange_harness import LISTEN_TOKEN_PATH, START_MS, SUBSCRIBE, UNSUBSCRIBE, ExchangeHarness, find_close

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.config import ResubscribeResponse
from binance_margin_stream.sandbox.messages import Binary, Close, Response

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}
RISKY: dict[str, object] = {"e": "USER_LIABILITY_CHANGE", "E": 1}
DAY_MS = 86_400_000


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


def test_a_subscribe_response_has_id_expiry_and_weight(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    token = harness.create_listen_token()
    harness.send(connection, {"id": "a-1", "method": SUBSCRIBE, "params": {"listenToken": token}})
    assert harness.take_texts(connection) == [
        {
            "id": "a-1",
            "status": 200,
            "result": {"subscriptionId": 0, "expirationTime": (START_MS + DAY_MS) * 1000},
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


def test_the_weight_can_be_left_out(harness: ExchangeHarness) -> None:
    connection = harness.open_connection("/ws-api/v3?returnRateLimits=false")
    assert harness.request(connection, "ping") == {"id": 1, "status": 200, "result": {}}


def test_the_subscribe_response_follows_the_rules() -> None:
    harness = ExchangeHarness(ExchangeRules(expiration_time_unit="ms", subscription_id="missing"))
    answer = harness.request(harness.open_connection(), SUBSCRIBE, listenToken=harness.create_listen_token())
    assert answer["result"] == {"expirationTime": START_MS + DAY_MS}


def test_events_carry_the_id_of_their_subscription(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    tokens = [harness.create_listen_token(), harness.create_listen_token(isIsolated="true", symbol="BTCUSDT")]
    for number, token in enumerate(tokens):
        answer = harness.request(connection, SUBSCRIBE, listenToken=token)
        assert answer["result"]["subscriptionId"] == number
    harness.send_event(EVENT, "BTCUSDT")
    harness.send_event(EVENT, "ETHUSDT")
    harness.send_event(RISKY)
    harness.send_event(EVENT)
    assert harness.take_texts(connection) == [
        {"subscriptionId": 1, "event": EVENT},
        {"subscriptionId": 0, "event": EVENT},
    ]
    assert harness.exchange.metrics().event_counts == {(connection, 1): 1, (connection, 0): 1}


def test_ids_count_from_zero_on_each_connection(harness: ExchangeHarness) -> None:
    token = harness.create_listen_token()
    for _ in range(2):
        assert harness.request(harness.open_connection(), SUBSCRIBE, listenToken=token)["result"]["subscriptionId"] == 0
    assert harness.send_event(EVENT) == 2


@pytest.mark.parametrize("wrong", ["nobodys", "x" * 500])
def test_an_unknown_token_is_refused(harness: ExchangeHarness, wrong: str) -> None:
    answer = harness.request(harness.open_connection(), SUBSCRIBE, listenToken=wrong)
    assert (answer["status"], answer["error"]["code"]) == (400, -1209)


def test_an_expired_token_is_refused(harness: ExchangeHarness) -> None:
    token = harness.create_listen_token(validity=1000)
    harness.advance_time(1)
    assert harness.request(harness.open_connection(), SUBSCRIBE, listenToken=token)["error"]["code"] == -1209


def test_an_expired_subscription_is_terminated_with_a_notice(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed(validity=10_000)
    harness.advance_time(11)
    notice = {"e": "eventStreamTerminated", "E": START_MS + 10_000}
    assert harness.take_texts(connection) == [{"subscriptionId": 0, "event": notice}]
    assert harness.send_event(EVENT) == 0
    assert harness.request(connection, "session.subscriptions")["result"] == []


def renew(harness: ExchangeHarness, connection: int) -> dict[str, Any]:
    harness.advance_time(5)
    answer: dict[str, Any] = harness.request(
        connection, SUBSCRIBE, listenToken=harness.create_listen_token(validity=10_000)
    )
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
def test_the_renewal_response_follows_the_rules(
    renewal: ResubscribeResponse, code: int | None, number: int, outlives: bool
) -> None:
    harness = ExchangeHarness(ExchangeRules(resubscribe_response=renewal))
    connection = harness.open_subscribed(validity=10_000)
    answer = renew(harness, connection)
    if code is None:
        assert answer["result"] == {"subscriptionId": number, "expirationTime": (START_MS + 15_000) * 1000}
    else:
        assert answer["error"]["code"] == code
    harness.send_event(EVENT)
    assert harness.take_texts(connection) == [{"subscriptionId": number, "event": EVENT}]
    harness.advance_time(6)
    assert (harness.send_event(EVENT) == 1) is outlives
    harness.advance_time(6)
    assert harness.take_event_names(connection)[-1] == "eventStreamTerminated"


def test_after_a_renewal_both_subscriptions_may_deliver() -> None:
    harness = ExchangeHarness(ExchangeRules(resubscribe_response="both_deliver"))
    connection = harness.open_subscribed(validity=10_000)
    assert renew(harness, connection)["result"]["subscriptionId"] == 1
    assert harness.send_event(EVENT) == 2
    assert [text["subscriptionId"] for text in harness.take_texts(connection)] == [0, 1]
    harness.advance_time(6)
    (notice,) = harness.take_texts(connection)
    assert (notice["subscriptionId"], notice["event"]["e"]) == (0, "eventStreamTerminated")
    assert harness.send_event(EVENT) == 1


@pytest.mark.parametrize("limits", ["", "?returnRateLimits=false"])
def test_the_subscribe_response_can_be_bare(limits: str) -> None:
    harness = ExchangeHarness(ExchangeRules(subscribe_response="bare"))
    connection = harness.open_connection("/ws-api/v3" + limits)
    response = harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token())
    assert response == {"subscriptionId": 0, "expirationTime": (START_MS + 86_400_000) * 1000}
    assert harness.request(connection, SUBSCRIBE, listenToken="unknown")["status"] == 400
    assert harness.request(connection, "ping")["result"] == {}


def test_error_codes_can_be_strings() -> None:
    harness = ExchangeHarness(ExchangeRules(error_code_type="string"))
    response = harness.request(harness.open_connection(), SUBSCRIBE, listenToken="unknown")
    assert response["error"]["code"] == "-1209"


@pytest.mark.parametrize(
    ("disable", "code"),
    [
        (lambda harness: harness.exchange.disable_account(harness.user.uid, "BTCUSDT"), -11001),
        (lambda harness: harness.exchange.delist_symbol("BTCUSDT"), -1121),
    ],
    ids=["disabled", "delisted"],
)
def test_a_refused_account_goes_silent_and_its_renewal_fails(
    harness: ExchangeHarness, disable: Callable[[ExchangeHarness], None], code: int
) -> None:
    connection = harness.open_subscribed(isIsolated="true", symbol="BTCUSDT")
    token = harness.create_listen_token(isIsolated="true", symbol="BTCUSDT")
    others = harness.open_subscribed()
    disable(harness)
    assert (harness.send_event(EVENT, "BTCUSDT"), harness.send_event(EVENT)) == (0, 1)
    refused = harness.call_rest("POST", LISTEN_TOKEN_PATH, {"isIsolated": "true", "symbol": "BTCUSDT"})
    assert (refused.status, refused.code) == (400, code)
    assert harness.request(connection, SUBSCRIBE, listenToken=token)["error"]["code"] == code
    assert harness.take_texts(connection) == []
    assert len(harness.take_texts(others)) == 1
    harness.exchange.enable_account(harness.user.uid, "BTCUSDT")
    harness.exchange.relist_symbol("BTCUSDT")
    assert harness.send_event(EVENT, "BTCUSDT") == 1
    assert harness.request(connection, SUBSCRIBE, listenToken=token)["status"] == 200


def test_a_renewal_never_shortens(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    answer = harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token(validity=1))
    assert answer["result"]["expirationTime"] == (START_MS + DAY_MS) * 1000


def test_an_unsubscribe_brings_a_response_and_then_a_notice(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    harness.send(connection, {"id": 2, "method": UNSUBSCRIBE, "params": {"subscriptionId": 0}})
    answer, notice = harness.take_texts(connection)
    assert (answer["status"], answer["result"]) == (200, {})
    assert notice == {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": START_MS}}
    assert harness.send_event(EVENT) == 0


def test_unsubscribing_without_an_id_ends_all(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token(isIsolated="true", symbol="BTCUSDT"))
    harness.send(connection, {"id": 2, "method": UNSUBSCRIBE})
    assert [text.get("subscriptionId") for text in harness.take_texts(connection)] == [None, 0, 1]
    assert harness.request(connection, UNSUBSCRIBE)["error"]["code"] == -2036


def test_an_unsubscribed_account_can_be_subscribed_again_under_a_new_id(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    harness.request(connection, UNSUBSCRIBE)
    assert (
        harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token())["result"]["subscriptionId"]
        == 1
    )


@pytest.mark.parametrize(("number", "code"), [(7, -2036), ("0", -1102), (True, -1102), (None, -1102), (0.0, -1102)])
def test_an_unknown_subscription_cannot_be_unsubscribed(harness: ExchangeHarness, number: object, code: int) -> None:
    assert harness.request(harness.open_subscribed(), UNSUBSCRIBE, subscriptionId=number)["error"]["code"] == code


def test_session_subscriptions_lists_ids(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    assert harness.request(connection, "session.subscriptions")["result"] == [{"subscriptionId": 0}]


def test_time_is_the_exchanges(harness: ExchangeHarness) -> None:
    assert harness.request(harness.open_connection(), "time")["result"] == {"serverTime": START_MS}


def test_one_active_subscription_too_many_is_refused() -> None:
    harness = ExchangeHarness(ExchangeRules(active_subscription_limit=2))
    connection = harness.open_connection()
    answers = [
        harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token(harness.exchange.add_user()))
        for _ in range(3)
    ]
    assert [answer["status"] for answer in answers] == [200, 200, 400]
    assert answers[2]["error"]["code"] == -1034
    assert answers[2]["error"]["msg"] == "Too many active subscriptions."


def test_a_connection_takes_a_thousand_accounts() -> None:
    harness = ExchangeHarness(ExchangeRules(websocket_api_weight_limit=10_000))
    connection = harness.open_connection()
    tokens = [harness.create_listen_token(isIsolated="true", symbol=f"A{number}USDT") for number in range(1001)]
    codes = Counter(harness.request(connection, SUBSCRIBE, listenToken=token)["status"] for token in tokens)
    assert codes == {200: 1000, 400: 1}
    assert len(harness.request(connection, "session.subscriptions")["result"]) == 1000


def test_a_connection_has_65535_ids() -> None:
    assert ExchangeRules().total_subscription_limit == 65_535


def test_the_ids_of_a_connection_are_limited() -> None:
    harness = ExchangeHarness(ExchangeRules(total_subscription_limit=2, resubscribe_response="new_id"))
    connection = harness.open_subscribed()
    assert harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token())["status"] == 200
    assert harness.request(connection, SUBSCRIBE, listenToken=harness.create_listen_token())["error"]["code"] == -2042
    assert harness.send_event(EVENT) == 1


def test_weight_is_counted_per_ip_and_minute() -> None:
    harness = ExchangeHarness(ExchangeRules(websocket_api_weight_limit=6, refusals_before_ban=2))
    connection = harness.open_subscribed()
    assert harness.request(connection, "session.subscriptions")["status"] == 200
    refused = harness.request(connection, "ping")
    assert (refused["status"], refused["error"]["code"]) == (429, -1003)
    assert refused["error"]["data"] == {"serverTime": START_MS, "retryAfter": START_MS + 60_000}
    assert harness.request(connection, "ping")["status"] == 429
    banned = harness.request(connection, "ping")
    assert (banned["status"], banned["error"]["data"]["retryAfter"]) == (418, START_MS + 120_000)
    assert harness.send_event(EVENT) == 1
    harness.advance_time(120)
    assert harness.request(connection, "ping")["status"] == 200


def test_a_handshake_counts_weight() -> None:
    harness = ExchangeHarness(ExchangeRules(websocket_api_weight_limit=5))
    harness.open_connection()
    harness.open_connection()
    refused = harness.connect("/ws-api/v3")
    assert isinstance(refused, Response)
    assert refused.status == 429


def test_a_revoked_key_brings_an_unsolicited_error(harness: ExchangeHarness) -> None:
    other = harness.exchange.add_user()
    connection, elsewhere = harness.open_subscribed(), harness.open_subscribed(other)
    token = harness.create_listen_token()
    harness.exchange.revoke_api_key(harness.user.api_key, harness.now)
    (told,) = harness.take_texts(connection)
    assert (told["id"], told["status"], told["error"]["code"]) == (None, 401, -2015)
    assert harness.take_texts(elsewhere) == []
    assert harness.send_event(EVENT) == 0
    assert harness.request(connection, SUBSCRIBE, listenToken=token)["error"]["code"] == -1209


def test_the_notice_of_a_revoked_key_can_be_disabled() -> None:
    harness = ExchangeHarness(ExchangeRules(revocation_notice="missing"))
    connection = harness.open_subscribed()
    harness.exchange.revoke_api_key(harness.user.api_key, harness.now)
    assert harness.take_texts(connection) == []
    assert harness.send_event(EVENT) == 0


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
def test_malformed_requests_have_their_codes(harness: ExchangeHarness, message: str, code: int) -> None:
    connection = harness.open_connection()
    harness.send(connection, message)
    (answer,) = harness.take_texts(connection)
    assert (answer["status"], answer["error"]["code"]) == (400, code)


def test_malformed_requests_count_weight() -> None:
    harness = ExchangeHarness(ExchangeRules(websocket_api_weight_limit=3))
    connection = harness.open_connection()
    harness.send(connection, "no json")
    harness.send(connection, "no json")
    assert [answer["status"] for answer in harness.take_texts(connection)] == [400, 429]


def test_a_binary_frame_ends_the_connection(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    harness.exchange.receive(connection, Binary(b"{}"), harness.now)
    assert find_close(harness.take_frames(connection)) == Close(1003, "Text frames only")


def test_the_websocket_api_has_no_limit_of_messages_per_second(harness: ExchangeHarness) -> None:
    connection = harness.open_connection()
    for _ in range(50):
        assert harness.request(connection, "ping")["status"] == 200
