"""One frame in, one event or answer out; or `MalformedFrameError`."""

import json
from decimal import Decimal
from typing import Any

import pytest

from binance_margin_stream.stream.accounts import CROSS, NO_ACCOUNT, isolated
from binance_margin_stream.stream.events import decoder
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, decode
from binance_margin_stream.stream.events.models import (
    BalanceUpdate,
    ExecutionReport,
    ListenKeyExpired,
    MalformedFrameError,
    OutboundAccountPosition,
    ServerShutdown,
    UnknownEvent,
)

KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
DEPOSIT: dict[str, Any] = {"e": "balanceUpdate", "E": 5, "a": "BTC", "d": "1.50", "T": 4}
FILL: dict[str, Any] = {
    "e": "executionReport", "E": 9, "s": "BTCUSDT", "c": "mine", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.0",
    "p": "2.0", "P": "0", "F": "0", "g": -1, "C": "", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 3, "l": "1.0",
    "z": "1.0", "L": "2.0", "n": "0.1", "N": None, "T": 8, "t": 4, "I": 5, "w": False, "m": True, "M": True, "O": 7,
    "Z": "2.0", "Y": "2.0", "Q": "0", "W": 7, "V": "NONE",
}  # fmt: skip


def encode(value: object, compact: bool = True) -> str:
    return json.dumps(value, separators=(",", ":") if compact else None, indent=None if compact else 2)


def decode_event(frame: bytes | str, **accounts: Any) -> EventFrame:
    found = decode(frame, **accounts)
    assert isinstance(found, EventFrame)
    return found


def decode_response(payload: object) -> ResponseFrame:
    found = decode(encode(payload))
    assert isinstance(found, ResponseFrame)
    return found


@pytest.mark.parametrize("payload", [DEPOSIT, FILL])
@pytest.mark.parametrize("compact", [True, False])
def test_an_event_is_the_same_in_every_envelope_and_spelling(payload: dict[str, Any], compact: bool) -> None:
    accounts = {None: CROSS, 3: CROSS, KEY: CROSS}
    bare = decode_event(encode(payload, compact), accounts=accounts)
    subscribed = decode_event(encode({"subscriptionId": 3, "event": payload}, compact), accounts=accounts)
    combined = decode_event(encode({"stream": KEY, "data": payload}, compact), accounts=accounts)
    turned = decode_event(encode(dict(reversed(payload.items()))).encode(), accounts=accounts)

    assert bare.event == subscribed.event == combined.event == turned.event
    assert (bare.route, subscribed.route, combined.route) == (None, 3, KEY)
    assert bare.event.account is CROSS


def test_the_subscription_says_which_account_an_event_belongs_to() -> None:
    accounts = {0: CROSS, 1: isolated("BTCUSDT")}
    frames = [encode({"subscriptionId": number, "event": DEPOSIT}) for number in (0, 1, 2)]

    routed = [decode_event(frame, accounts=accounts).event.account for frame in frames]

    assert routed == [CROSS, isolated("BTCUSDT"), NO_ACCOUNT]


def test_an_event_before_its_subscription_is_known_is_routed_later() -> None:
    early = decode_event(encode({"subscriptionId": 1, "event": DEPOSIT}))

    assert early.event.account is NO_ACCOUNT
    assert early.event.with_account(CROSS) == decode_event(encode(DEPOSIT), accounts={None: CROSS}).event


@pytest.mark.parametrize("envelope", [{}, {"subscriptionId": 0}, {"subscriptionId": None}])
def test_a_shutdown_is_recognised_with_and_without_an_id(envelope: dict[str, Any]) -> None:
    found = decode_event(encode(envelope | {"event": {"e": "serverShutdown", "E": 1}}))

    assert isinstance(found.event, ServerShutdown)
    assert found.route == envelope.get("subscriptionId")


def test_the_repr_of_a_frame_hides_the_stream_which_is_a_listen_key() -> None:
    assert KEY not in repr(decode_event(encode({"stream": KEY, "data": DEPOSIT})))


@pytest.mark.parametrize("time", [1_699_596_037_418, "1699596037418"])
def test_an_expired_listen_key_comes_with_either_kind_of_time(time: int | str) -> None:
    event = decode_event(encode({"e": "listenKeyExpired", "E": time, "listenKey": KEY})).event

    assert isinstance(event, ListenKeyExpired)
    assert event.event_time == 1_699_596_037_418


def test_integers_may_arrive_as_strings() -> None:
    given = FILL | {"i": "3", "t": "4", "d": "12", "W": "7", "u": "5"}
    event = decode_event(encode(given)).event

    assert isinstance(event, ExecutionReport)
    assert (event.order_id, event.trade_id, event.trailing_delta, event.working_time) == (3, 4, 12, 7)


@pytest.mark.parametrize(
    "number", ["1.50", "0.1234567890123456789012345", "3", "1e-7", "-0.10", "12345678901234567890"]
)
def test_money_sent_as_a_number_keeps_every_digit(number: str) -> None:
    event = decode_event(encode(DEPOSIT).replace('"1.50"', number)).event

    assert isinstance(event, BalanceUpdate)
    assert event.delta.as_tuple() == Decimal(number).as_tuple()


@pytest.mark.parametrize("base", [FILL, DEPOSIT, {"e": "brandNew"}])
def test_unknown_fields_are_kept_with_every_digit(base: dict[str, Any]) -> None:
    new = '"new":{"rate":0.12345678901234567890,"id":123456789012345678901234567890,"list":[1.50,null,"x"]}'
    event = decode_event(encode(base)[:-1] + "," + new + "}").event

    assert event.extra["new"] == {
        "rate": Decimal("0.12345678901234567890"),
        "id": 123456789012345678901234567890,
        "list": [Decimal("1.50"), None, "x"],
    }
    assert type(event).from_json(event.to_json()) == event


def test_a_new_field_that_is_called_like_one_of_ours_changes_nothing() -> None:
    event = decode_event(encode(FILL | {"symbol": "other", "account": "x", "extra": 1}), accounts={None: CROSS}).event

    assert isinstance(event, ExecutionReport)
    assert (event.symbol, event.account) == ("BTCUSDT", CROSS)
    assert event.extra == {"symbol": "other", "account": "x", "extra": 1}
    assert ExecutionReport.from_json(event.to_json()) == event


def test_a_new_field_of_a_balance_is_kept() -> None:
    payload = {"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "BTC", "f": "1", "l": "0", "z": 0.10}]}
    event = decode_event(encode(payload).replace("0.1}", "0.10}")).event

    assert isinstance(event, OutboundAccountPosition)
    assert str(event.balances[0].extra["z"]) == "0.10"
    assert OutboundAccountPosition.from_json(event.to_json()) == event


def test_an_unknown_event_keeps_its_whole_payload() -> None:
    payload = {"e": "brandNew", "E": 7, "x": [1, {"y": None}], "event_type": "z"}
    event = decode_event(encode({"subscriptionId": 1, "event": payload})).event

    assert isinstance(event, UnknownEvent)
    assert event.payload == payload
    assert (event.event_type, event.event_time) == ("brandNew", 7)


def test_colons_in_text_mislead_nobody() -> None:
    event = decode_event(encode(FILL | {"c": 'a:b","e":"c', "s": "币安:人生"})).event

    assert isinstance(event, ExecutionReport)
    assert (event.client_order_id, event.symbol) == ('a:b","e":"c', "币安:人生")


def test_the_answer_to_a_subscription_names_it() -> None:
    found = decode_response(
        {"id": "a-1", "status": 200, "result": {"subscriptionId": 4, "expirationTime": 1_790_000_000_000_000}}
    )

    assert found.ok
    assert (found.id, found.subscription_id, found.expiration_time) == ("a-1", 4, 1_790_000_000_000)


def test_an_expiration_in_milliseconds_stays_as_it_is() -> None:
    assert decode_response(
        {"id": 1, "status": 200, "result": {"expirationTime": 1_790_000_000_000}}
    ).expiration_time == (1_790_000_000_000)


def test_an_answer_without_a_subscription_id_is_an_answer() -> None:
    found = decode_response({"id": 1, "status": 200, "result": {}})

    assert found.ok
    assert (found.subscription_id, found.expiration_time) == (None, None)


def test_a_refusal_says_its_code_and_until_when_to_wait() -> None:
    found = decode_response(
        {
            "id": 1,
            "status": 429,
            "error": {"code": -1003, "msg": "Too many.", "data": {"retryAfter": 1_790_000_000_000}},
        }
    )

    assert not found.ok
    assert (found.status, found.error_code, found.error_message) == (429, -1003, "Too many.")
    assert found.retry_after == 1_790_000_000_000


def test_an_error_that_belongs_to_no_request_is_an_answer() -> None:
    found = decode_response({"id": None, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key."}})

    assert (found.id, found.status, found.error_code, found.ok) == (None, 401, -2015, False)


def test_a_stream_host_answers_without_a_status() -> None:
    assert decode_response({"result": None, "id": 1}) == ResponseFrame(id=1)
    assert decode_response({"result": None, "id": 1}).ok


@pytest.mark.parametrize(
    "refusal",
    [{"code": 2, "msg": "Invalid request"}, {"error": {"code": 2, "msg": "Invalid request"}, "id": 3}, {"error": "no"}],
)
def test_a_stream_host_refuses_in_several_shapes(refusal: object) -> None:
    assert not decode_response(refusal).ok


def test_the_repr_of_an_answer_hides_the_listen_keys_that_it_lists() -> None:
    assert KEY not in repr(decode_response({"result": [KEY], "id": 1}))


MALFORMED = {
    "nothing": b"",
    "not JSON": b"<html>",
    "not UTF-8": b'{"e":"x","E":"\xff"}',
    "UTF-16": '{"e":"x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"e":"x"}',
    "cut off": encode({"subscriptionId": 3, "event": FILL})[:-2].encode(),
    "cut off by one": encode({"subscriptionId": 3, "event": FILL})[:-1].encode(),
    "something after": encode({"subscriptionId": 3, "event": FILL}).encode() + b"}",
    "another bracket at the end": encode({"subscriptionId": 3, "event": FILL})[:-1].encode() + b"]",
    "two objects": encode(DEPOSIT).encode() * 2,
    "a list": b"[1]",
    "a number": b"1",
    "null": b"null",
    "no name": b'{"E":1}',
    "an empty object": b"{}",
    "an event that is null": b'{"subscriptionId":1,"event":null}',
    "an event that is a list": b'{"stream":"x","data":[]}',
    "a stream that is no string": encode({"stream": 1, "data": DEPOSIT}).encode(),
    "a subscription that is no integer": encode({"subscriptionId": True, "event": DEPOSIT}).encode(),
    "an answer whose id is a list": b'{"id":[],"status":200}',
    "an answer whose status is text": b'{"id":1,"status":"ok"}',
    "a lone surrogate": b'{"e":"x","y":"\\ud800"}',
    "NaN": b'{"e":"x","y":NaN}',
    "Infinity": b'{"e":"x","y":-Infinity}',
    "an exponent without end": b'{"e":"x","y":1e999999999999999999999}',
    "an integer without end": b'{"e":"x","y":' + b"1" * 10_000 + b"}",
    "depth without end": b'{"e":"x","y":' + b"[" * 100_000,
    "a depth that is closed": b'{"e":"x","y":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a name twice": encode(FILL).replace('"q":"1.0"', '"q":"1.0","q":"9.0"').encode(),
    "a name twice, spaced": encode(DEPOSIT).replace('"a":"BTC"', '"a" :"BTC","a":"ETH"').encode(),
    "a name twice, escaped": encode(DEPOSIT).replace('"a":"BTC"', '"a":"BTC","\\u0061":"ETH"').encode(),
    "a name twice, in a row": b'{"e":"outboundAccountPosition","E":1,"u":2,"B":[{"a":"B","f":"1","l":"2","f":"3"}]}',
    "a new name twice": encode(FILL)[:-1].encode() + b',"new":1,"new":2}',
    "a new name twice, further in": encode(FILL)[:-1].encode() + b',"new":{"a":1,"a":2}}',
    "a name twice in the envelope": b'{"subscriptionId":1,"subscriptionId":2,"event":{"e":"x"}}',
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_frame_is_refused_with_one_error(frame: bytes) -> None:
    with pytest.raises(MalformedFrameError) as caught:
        decode(frame)

    assert caught.value.__context__ is None
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "payload",
    [
        DEPOSIT,
        FILL,
        FILL | {"d": 1, "eR": "x", "gp": "1.5"},
        FILL | {"N": "BNB"},
        {name: value for name, value in FILL.items() if name != "W"},
        {"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "BTC", "f": "1", "l": "0"}]},
    ],
)
@pytest.mark.parametrize("envelope", ["{}", '{"subscriptionId":1,"event":{}}', '{"stream":"x","data":{}}'])
def test_usual_frames_are_decoded_in_one_pass(
    payload: dict[str, Any], envelope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "_decode_exactly", lambda *_: pytest.fail("was read exactly"))

    assert decode_event(envelope.replace("{}", encode(payload)))


def test_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(MalformedFrameError):
        decode('{"e":"x","y":"\ud800"}')


@pytest.mark.parametrize(
    "frame",
    [
        {"stream": KEY, "data": KEY},
        {"id": [KEY], "status": 200},
        {"subscriptionId": KEY, "event": DEPOSIT},
        {KEY: KEY},
    ],
)
def test_the_error_never_repeats_the_frame(frame: object) -> None:
    with pytest.raises(MalformedFrameError) as caught:
        decode(encode(frame))

    assert KEY not in repr(caught.value)
