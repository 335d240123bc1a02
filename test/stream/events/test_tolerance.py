"""One field that is not what the exchange documents costs that field, and not the event."""

import json
from decimal import Decimal
from typing import Any

import pytest

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.decoder import EventFrame, decode
from binance_margin_stream.stream.events.models import (
    BalanceUpdate,
    Event,
    ExecutionReport,
    ListenKeyExpired,
    ListStatus,
    MarginLevelStatusChange,
    OutboundAccountPosition,
    StreamItem,
    UnknownEvent,
    UserLiabilityChange,
)

KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
FILL: dict[str, Any] = {
    "e": "executionReport", "E": 1_790_000_000_009, "s": "BTCUSDT", "c": "mine", "S": "BUY", "o": "LIMIT", "f": "GTC",
    "q": "1.0", "p": "2.0", "P": "0", "F": "0", "g": -1, "C": "", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 3,
    "l": "1.0", "z": "1.0", "L": "2.0", "n": "0.1", "N": None, "T": 1_790_000_000_008, "t": 4, "I": 5, "w": False,
    "m": True, "M": True, "O": 7, "Z": "2.0", "Y": "2.0", "Q": "0", "W": 7, "V": "NONE",
}  # fmt: skip
DEPOSIT: dict[str, Any] = {"e": "balanceUpdate", "E": 5, "a": "BTC", "d": "1.50", "T": 4}
ESSENTIAL = {
    "s": "symbol", "i": "order_id", "x": "execution_type", "X": "order_status",
    "t": "trade_id", "l": "last_executed_quantity", "L": "last_executed_price",
}  # fmt: skip


def decode_event(payload: object) -> Event:
    found = decode(json.dumps(payload, separators=(",", ":"), ensure_ascii=False), {None: CROSS})
    assert isinstance(found, EventFrame)
    return found.event


@pytest.mark.parametrize(
    ("wire_name", "sent", "name", "read"),
    [
        ("V", 3, "self_trade_prevention_mode", None),
        ("C", None, "original_client_order_id", None),
        ("n", None, "commission_amount", None),
        ("P", "", "stop_price", None),
        ("E", 1_790_000_000_009_123, "event_time", 1_790_000_000_009),
        ("T", 1_790_000_000_008_999, "transaction_time", 1_790_000_000_008),
        # text
        ("c", 17, "client_order_id", None),
        ("S", ["BUY"], "side", None),
        ("f", False, "time_in_force", None),
        ("eR", {"code": 1}, "expiry_reason", None),
        # null
        ("q", None, "quantity", None),
        ("g", None, "order_list_id", None),
        ("w", None, "is_on_book", None),
        # amounts
        ("p", "NaN", "price", None),
        ("z", "Infinity", "cumulative_filled_quantity", None),
        ("Z", "1e400", "cumulative_quote_quantity", None),
        ("Y", "1_0", "last_quote_quantity", None),
        ("Q", " 1", "quote_order_quantity", None),
        ("F", "٣", "iceberg_quantity", None),
        ("n", True, "commission_amount", None),
        ("n", [0, [1], 2], "commission_amount", None),
        ("A", {}, "prevented_quantity", None),
        # times
        ("W", 1_790_000_000_007_001, "working_time", 1_790_000_000_007),
        ("O", "1790000000007", "order_creation_time", 1_790_000_000_007),
        ("O", 1.5, "order_creation_time", None),
        ("O", 253_402_300_800_000_000, "order_creation_time", None),
        ("T", -2, "transaction_time", None),
        ("E", True, "event_time", None),
        # integers and flags
        ("I", "5", "execution_id", 5),
        ("I", 2**63, "execution_id", None),
        ("d", 1.0, "trailing_delta", None),
        ("j", "seven", "strategy_id", None),
        ("m", 1, "is_maker", None),
        ("m", "true", "is_maker", None),
    ],
)
def test_an_odd_field_does_not_cost_the_fill(wire_name: str, sent: object, name: str, read: object) -> None:
    event = decode_event(FILL | {wire_name: sent})

    assert isinstance(event, ExecutionReport)
    assert (event.order_id, event.trade_id, event.last_executed_quantity) == (3, 4, Decimal("1.0"))
    assert getattr(event, name) == read
    assert event.problems == (name,)
    assert event.extra == {wire_name: Decimal(str(sent)) if isinstance(sent, float) else sent}
    assert StreamItem.from_json(event.to_json()) == event


@pytest.mark.parametrize("name", [name for name in FILL if name not in ("e", "W", *ESSENTIAL)])
def test_a_field_that_is_missing_does_not_cost_the_fill(name: str) -> None:
    event = decode_event({wire_name: value for wire_name, value in FILL.items() if wire_name != name})

    assert isinstance(event, ExecutionReport)
    assert len(event.problems) == 1
    assert getattr(event, event.problems[0]) is None
    assert not event.extra
    assert StreamItem.from_json(event.to_json()) == event


@pytest.mark.parametrize("name", ESSENTIAL)
@pytest.mark.parametrize("sent", [None, [], {}, True])
def test_without_an_essential_field_an_event_is_unknown(name: str, sent: object) -> None:
    event = decode_event(FILL | {name: sent})

    assert type(event) is UnknownEvent
    assert event.event_type == "executionReport"
    assert event.problems == (ESSENTIAL[name],)
    assert event.payload == FILL | {name: sent}
    assert StreamItem.from_json(event.to_json()) == event


@pytest.mark.parametrize("name", ["t", "l", "L"])
def test_only_a_trade_needs_the_fields_of_a_trade(name: str) -> None:
    event = decode_event(FILL | {"x": "NEW", "X": "NEW", name: None})

    assert isinstance(event, ExecutionReport)
    assert event.problems == (ESSENTIAL[name],)


@pytest.mark.parametrize("name", [1, None, "", ["balanceUpdate"]])
def test_an_event_without_a_name_is_unknown(name: object) -> None:
    event = decode_event(DEPOSIT | {"e": name})

    assert isinstance(event, UnknownEvent)
    assert event.problems == ("event_type",)
    assert event.payload == DEPOSIT | {"e": name}
    assert StreamItem.from_json(event.to_json()) == event


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        (DEPOSIT | {"d": "NaN"}, ("delta",)),
        (DEPOSIT | {"d": ""}, ("delta",)),
        (DEPOSIT | {"d": True}, ("delta",)),
        (DEPOSIT | {"a": None}, ("asset",)),
        (DEPOSIT | {"E": 253_402_300_800_000}, ("event_time",)),
        (DEPOSIT | {"E": 1.0, "T": None}, ("event_time", "clear_time")),
        ({"e": "balanceUpdate"}, ("event_time", "asset", "delta", "clear_time")),
        ({"e": "outboundAccountPosition", "E": 1, "u": 2, "B": {}}, ("balances",)),
        ({"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [1]}, ("balances",)),
        ({"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "B"}, False]}, ("balances",)),
        ({"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "B", "f": 1.5, "l": ""}]}, ("balances.locked",)),
        ({"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "B", "l": "1"}]}, ("balances.free",)),
        ({"e": "MARGIN_LEVEL_STATUS_CHANGE", "E": 1, "l": "high", "s": 3}, ("margin_level", "status")),
        ({"e": "userLiabilityChange", "E": 1, "a": "BTC", "t": "BORROW", "p": "1"}, ("interest",)),
        ({"e": "listenKeyExpired", "E": "soon", "listenKey": KEY}, ("event_time",)),
        ({"e": "listenKeyExpired", "E": 1, "listenKey": [KEY]}, ("listen_key",)),
        ({"e": "serverShutdown"}, ("event_time",)),
    ],
)
def test_every_event_tolerates_odd_fields(payload: dict[str, Any], problems: tuple[str, ...]) -> None:
    event = decode_event(payload)

    assert event.event_type == payload["e"]
    assert not isinstance(event, UnknownEvent)
    assert event.problems == problems
    assert KEY not in repr(event)
    assert KEY not in str(event)
    stored = StreamItem.from_json(event.to_json())
    assert stored == event or isinstance(event, ListenKeyExpired)
    assert isinstance(stored, Event)
    assert stored.identity == event.identity


def test_a_time_that_cannot_be_read_has_no_datetime() -> None:
    report = decode_event(FILL | {"E": "never", "T": None, "O": {}, "W": "x"})
    position = decode_event({"e": "outboundAccountPosition", "E": 1, "u": "x", "B": []})
    order_list = decode_event({"e": "listStatus", "T": -5})
    deposit = decode_event(DEPOSIT | {"E": None, "T": None})

    assert isinstance(report, ExecutionReport)
    assert report.event_datetime is report.transaction_datetime is report.order_creation_datetime is None
    assert report.working_datetime is report.trailing_datetime is None
    assert isinstance(position, OutboundAccountPosition)
    assert position.last_account_update_datetime is None
    assert isinstance(order_list, ListStatus)
    assert order_list.transaction_datetime is None
    assert isinstance(deposit, BalanceUpdate)
    assert deposit.event_datetime is deposit.clear_datetime is None


def test_a_line_about_an_event_without_its_fields_says_so() -> None:
    lines = [
        str(decode_event({"e": name}))
        for name in ("balanceUpdate", "externalLockUpdate", "outboundAccountPosition", "listStatus")
    ]

    assert lines[0] == "cross ? ?"
    assert all(line.startswith("cross ") and "None" not in line for line in lines)


@pytest.mark.parametrize("kind", [MarginLevelStatusChange, UserLiabilityChange])
def test_the_second_spelling_of_a_margin_event_is_no_problem(kind: type[Event]) -> None:
    name = {"MarginLevelStatusChange": "marginLevelStatusChange", "UserLiabilityChange": "userLiabilityChange"}
    fields = {"E": 1, "l": "1.1", "s": "NORMAL"} if kind is MarginLevelStatusChange else {
        "E": 1, "a": "BTC", "t": "BORROW", "p": "1", "i": "0"
    }  # fmt: skip
    event = decode_event({"e": name[kind.__name__], **fields})

    assert type(event) is kind
    assert event.event_type == name[kind.__name__]
    assert not event.problems
