"""What holds for every frame, and for every event that can be made."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events import decoder, exact_reader
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, decode
from binance_margin_stream.stream.events.models import Event, MalformedFrameError, StreamGap, StreamItem

times = st.integers(0, 253_402_300_799_999)
integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
money = st.decimals(-(10**20), 10**20, places=8).map(lambda value: format(value, "f"))
balances = st.fixed_dictionaries({"a": texts, "f": money, "l": money})
orders = st.fixed_dictionaries({"s": texts, "i": integers, "c": texts})
accounts = st.sampled_from([CROSS, isolated("BTCUSDT")])


def event_payloads(
    name: str, optional: dict[str, Any] | None = None, **fields: Any
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"e": st.just(name), "E": times, **fields}, optional=optional or {})


reports = event_payloads(
    "executionReport",
    {
        "I": integers, "N": texts | st.none(), "W": times, "d": integers, "D": times, "j": integers, "J": integers,
        "v": integers, "A": money, "B": money, "u": integers, "U": integers, "Cs": texts, "pl": money, "pL": money,
        "pY": money, "b": texts, "a": integers, "k": texts, "uS": st.booleans(), "gP": texts, "gOT": texts,
        "gOV": integers, "gp": money, "eR": texts, "M": st.booleans(),
    },
    **dict.fromkeys("scSofCxXrV", texts), **dict.fromkeys("qpPFlzLnZYQ", money), **dict.fromkeys("git", integers),
    **dict.fromkeys("wm", st.booleans()), **dict.fromkeys("TO", times),
)  # fmt: skip
known = st.one_of(
    reports,
    event_payloads("outboundAccountPosition", u=times, B=st.lists(balances, max_size=3)),
    event_payloads("balanceUpdate", a=texts, d=money, T=times),
    event_payloads("externalLockUpdate", a=texts, d=money, T=times),
    event_payloads("listStatus", **dict.fromkeys("sclLrC", texts), g=integers, T=times, O=st.lists(orders, max_size=3)),
    event_payloads("eventStreamTerminated"),
    event_payloads("serverShutdown"),
    event_payloads("MARGIN_LEVEL_STATUS_CHANGE", l=money, s=texts)
    | event_payloads("marginLevelStatusChange", l=money, s=texts),
    event_payloads("USER_LIABILITY_CHANGE", a=texts, t=texts, p=money, i=money),
    event_payloads("userLiabilityChange", a=texts, t=texts, p=money, i=money),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("$number"), inner, max_size=3),
    max_leaves=8,
)
extras = st.dictionaries(st.text(min_size=3, max_size=8, alphabet="abcxyz"), anything, max_size=3)
unknown = st.builds(lambda name, rest: {**rest, "e": "new " + name}, texts, st.dictionaries(texts, anything))
payloads = st.builds(lambda payload, extra: {**extra, **payload}, known | unknown, extras)
slow = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


def parse_exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


@slow
@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_decoded_or_malformed(frame: bytes) -> None:
    try:
        found = decode(frame)
    except MalformedFrameError:
        return
    assert isinstance(found, EventFrame | ResponseFrame)


@slow
@given(st.text())
def test_any_text_is_decoded_or_malformed(frame: str) -> None:
    try:
        found = decode(frame)
    except MalformedFrameError:
        return
    assert isinstance(found, EventFrame | ResponseFrame)


@slow
@given(anything | st.dictionaries(st.sampled_from(["e", "event", "data", "stream", "id", "status", "error"]), anything))
def test_any_json_is_decoded_or_malformed(value: object) -> None:
    test_any_text_is_decoded_or_malformed.hypothesis.inner_test(json.dumps(value))  # type: ignore[attr-defined]


@slow
@given(known, st.data())
def test_a_spoilt_event_is_decoded_or_malformed(payload: dict[str, Any], data: st.DataObject) -> None:
    spoilt = payload | {data.draw(st.sampled_from(sorted(payload))): data.draw(anything)}
    frame = json.dumps(spoilt, separators=(",", ":"))
    cut = frame[: data.draw(st.integers(0, len(frame)))]

    for text in (frame, cut):
        test_any_text_is_decoded_or_malformed.hypothesis.inner_test(text)  # type: ignore[attr-defined]


@slow
@given(payloads, accounts, st.sampled_from([None, 0, 77]))
def test_both_ways_of_decoding_agree(payload: dict[str, Any], account: Any, subscription: int | None) -> None:
    whole = payload if subscription is None else {"subscriptionId": subscription, "event": payload}
    frame = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    found = decode(frame, {subscription: account})
    exact = decoder._decode_exactly(frame)

    assert isinstance(found, EventFrame)
    assert isinstance(exact, EventFrame)
    assert found.event == exact.event.with_account(account)
    assert repr(found.event) == repr(exact.event.with_account(account))
    assert found.event.identity == exact.event.with_account(account).identity
    assert found.route == exact.route == subscription


odd_money = st.sampled_from(
    [
        "NaN", "Infinity", "-Infinity", "sNaN", "1e400", "1E-400", "1_0", " 1", "1 ", "\u0663", "1.\u0663", "0x1", "",
        "1" * 70, ".5", "5.", "-0", "+1", "1e5", "1e-7", "00.10",
    ]
)  # fmt: skip
odd = anything | odd_money | times.map(lambda time: 1000 * time) | integers.map(str) | st.integers(2**63, 2**65)


@slow
@given(known, st.data())
def test_both_ways_of_decoding_agree_about_odd_fields(payload: dict[str, Any], data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(payload)), max_size=3))
    spoilt = payload | {name: data.draw(odd) for name in names}
    spoilt = {name: value for name, value in spoilt.items() if name == "e" or data.draw(st.integers(0, 30))}
    frame = json.dumps(
        {"subscriptionId": 1, "event": spoilt}, separators=(",", ":"), ensure_ascii=data.draw(st.booleans())
    )
    raw = frame.encode()
    found, exact = decode(raw), decoder._decode_exactly(raw)

    assert isinstance(found, EventFrame)
    assert isinstance(exact, EventFrame)
    assert found.event == exact.event
    assert repr(found) == repr(exact)
    stored = StreamItem.from_json(found.event.to_json())
    assert stored == found.event or "listenKey" in frame
    assert stored.identity == found.event.identity  # type: ignore[attr-defined]


@slow
@given(payloads, accounts)
def test_every_event_round_trips_digit_for_digit(payload: dict[str, Any], account: Any) -> None:
    text = json.dumps(payload, separators=(",", ":"))
    found = decode(text, {None: account})
    assert isinstance(found, EventFrame)

    stored = StreamItem.from_json(found.event.to_json())

    assert type(stored) is type(found.event)
    assert stored == found.event
    assert repr(stored) == repr(found.event)
    assert stored.to_json() == found.event.to_json()
    assert isinstance(stored, Event)
    assert stored.identity == found.event.identity
    assert hash(stored) == hash(found.event)
    wire = parse_exact(text)
    assert {name: wire[name] for name in found.event.extra} == found.event.extra


@slow
@given(accounts, times, times, texts, st.integers(0, 2**40))
def test_every_gap_round_trips(account: Any, since: int, until: int, reason: str, dropped: int) -> None:
    gap = StreamGap(account=account, since=since, until=until, reason=reason, dropped=dropped)

    assert StreamGap.from_json(gap.to_json()) == gap
    assert StreamItem.from_dict(gap.to_dict()).to_dict() == gap.to_dict()


@slow
@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_in_an_unknown_field_keeps_its_spelling(number: Decimal) -> None:
    if not math.isfinite(float(number)):
        return
    found = decode(f'{{"e":"new","x":{number}}}'.replace("+", "").replace("E", "e"))
    assert isinstance(found, EventFrame)
    stored = Event.from_json(found.event.to_json())

    assert str(stored.extra["x"]) == str(found.event.extra["x"])
    assert found.event.extra["x"] == number


@pytest.mark.parametrize("known_name", sorted(exact_reader.event_classes()))
def test_each_known_name_is_generated_here(known_name: str) -> None:
    names = {"listenKeyExpired"}  # its key does not round trip, on purpose
    names |= {
        "executionReport", "outboundAccountPosition", "balanceUpdate", "externalLockUpdate", "listStatus",
        "eventStreamTerminated", "serverShutdown", "MARGIN_LEVEL_STATUS_CHANGE", "marginLevelStatusChange",
        "USER_LIABILITY_CHANGE", "userLiabilityChange",
    }  # fmt: skip
    assert known_name in names
