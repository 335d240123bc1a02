"""The identity of an event tells a repeat from a new event, on every connection and in every process."""

import json
import subprocess
import sys
from typing import Any

import pytest

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.decoder import EventFrame, decode
from binance_margin_stream.stream.events.models import Event, Identity

FILL: dict[str, Any] = {
    "e": "executionReport", "E": 9, "s": "BTCUSDT", "c": "mine", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "1.0",
    "p": "2.0", "P": "0", "F": "0", "g": -1, "C": "", "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 3, "l": "1.0",
    "z": "1.0", "L": "2.0", "n": "0.1", "N": None, "T": 8, "t": 4, "I": 5, "w": False, "m": True, "M": True, "O": 7,
    "Z": "2.0", "Y": "2.0", "Q": "0", "W": 7, "V": "NONE",
}  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"e": "balanceUpdate", "E": 5, "a": "BTC", "d": "1.50", "T": 4},
    {"e": "externalLockUpdate", "E": 5, "a": "BTC", "d": "1.50", "T": 4},
    {"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "BTC", "f": "1.0", "l": "0.5"}]},
    {"e": "listenKeyExpired", "E": 1, "listenKey": "abc"},
    {"e": "serverShutdown", "E": 1},
    {"e": "eventStreamTerminated", "E": 1},
    {"e": "marginLevelStatusChange", "E": 1, "l": "1.1", "s": "MARGIN_CALL"},
    {"e": "userLiabilityChange", "E": 1, "a": "BTC", "t": "BORROW", "p": "1", "i": "0"},
    {"e": "brandNew", "x": {"b": 1.50, "a": [None]}},
]


def decode_event(payload: dict[str, Any], account: Any = CROSS) -> Event:
    found = decode(json.dumps(payload), {None: account})
    assert isinstance(found, EventFrame)
    return found.event


def compute_identity(payload: dict[str, Any], account: Any = CROSS) -> Identity:
    return decode_event(payload, account).identity


NEW = FILL | {"x": "NEW", "X": "NEW", "t": -1, "l": "0", "L": "0"}


def test_a_trade_is_its_account_symbol_trade_id_and_order_id() -> None:
    assert compute_identity(FILL) == ("Fill", "cross", "BTCUSDT", 4, 3)
    told_otherwise = {"E": 10, "c": "other", "I": 99, "T": 11, "L": "2.00", "X": "CANCELED", "new": 1, "V": 3}
    assert compute_identity(FILL | told_otherwise) == compute_identity(FILL)


@pytest.mark.parametrize("change", [{"s": "ETHUSDT"}, {"t": 5}, {"i": 4}])
def test_another_trade_has_another_identity(change: dict[str, Any]) -> None:
    assert compute_identity(FILL | change) != compute_identity(FILL)


def test_a_trade_with_an_order_of_the_same_account_is_two_fills() -> None:
    assert compute_identity(FILL | {"i": 8, "S": "SELL"}) != compute_identity(FILL)


def test_another_execution_is_its_account_symbol_and_execution_id() -> None:
    assert compute_identity(NEW) == ("ExecutionReport", "cross", "BTCUSDT", 5)
    assert compute_identity(NEW | {"E": 10, "c": "other"}) == compute_identity(NEW)


@pytest.mark.parametrize("doubtful", [None, 0, -1])
def test_without_an_execution_id_it_is_the_step_of_the_order(doubtful: int | None) -> None:
    payload = NEW | {"I": doubtful}

    assert compute_identity(payload) == ("ExecutionReport", "cross", "BTCUSDT", 3, "NEW", -1, 8)
    assert compute_identity({name: value for name, value in NEW.items() if name != "I"}) == compute_identity(payload)


@pytest.mark.parametrize("change", [{"s": "ETHUSDT"}, {"I": 6}, {"I": None}])
def test_another_execution_has_another_identity(change: dict[str, Any]) -> None:
    assert compute_identity(NEW | change) != compute_identity(NEW)


@pytest.mark.parametrize("payload", [FILL, *OTHERS])
def test_another_account_makes_another_identity(payload: dict[str, Any]) -> None:
    assert compute_identity(payload) == compute_identity(payload)
    assert compute_identity(payload, isolated("BTCUSDT")) != compute_identity(payload, CROSS)


@pytest.mark.parametrize("payload", [FILL, NEW, *OTHERS])
def test_a_new_field_does_not_count(payload: dict[str, Any]) -> None:
    assert compute_identity(payload | {"new": {"b": 1.5}}) == compute_identity(payload)


@pytest.mark.parametrize("payload", OTHERS)
def test_zeros_at_the_end_of_an_amount_do_not_count(payload: dict[str, Any]) -> None:
    text = json.dumps(payload).replace('"1.50"', '"1.5000"').replace('"1.0"', '"1"').replace('"1.1"', '"1.10"')

    assert compute_identity(json.loads(text)) == compute_identity(payload)


@pytest.mark.parametrize(
    "payload",
    [
        {"e": "balanceUpdate", "E": 5, "a": "BTC", "d": "1.50", "T": 4},
        {"e": "externalLockUpdate", "E": 5, "a": "BTC", "d": "1.50", "T": 4},
        {"e": "outboundAccountPosition", "E": 5, "u": 4, "B": [{"a": "BTC", "f": "1.0", "l": "0.5"}]},
        {"e": "listStatus", "E": 5, "s": "BTCUSDT", "g": 2, "l": "ALL_DONE", "L": "ALL_DONE", "T": 4},
    ],
)
def test_the_event_time_counts_only_where_there_is_no_other(payload: dict[str, Any]) -> None:
    without = {name: value for name, value in payload.items() if name not in ("T", "u")}

    assert compute_identity(payload | {"E": 6}) == compute_identity(payload)
    assert compute_identity(without | {"E": 6}) != compute_identity(without)


@pytest.mark.parametrize(
    ("payload", "changes"),
    [
        (OTHERS[0], [{"a": "ETH"}, {"d": "-1.50"}, {"T": 5}]),
        (OTHERS[1], [{"a": "ETH"}, {"d": "-1.50"}, {"T": 5}]),
        (OTHERS[2], [{"u": 3}, {"B": []}, {"B": [{"a": "BTC", "f": "1.0", "l": "0.6"}]}]),
        (OTHERS[3], [{"listenKey": "abd"}]),
        (OTHERS[4], [{"E": 2}]),
        (OTHERS[5], [{"E": 2}]),
        (OTHERS[6], [{"E": 2}, {"l": "1.2"}, {"s": "NORMAL"}]),
        (OTHERS[7], [{"E": 2}, {"a": "ETH"}, {"t": "REPAY"}, {"p": "2"}, {"i": "1"}]),
        (OTHERS[8], [{"E": 2}, {"e": "brandNewer"}]),
    ],
)
def test_every_key_field_counts(payload: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    identities = {compute_identity(payload | change) for change in [{}, *changes]}

    assert len(identities) == 1 + len(changes)


def test_the_order_of_balances_does_not_count() -> None:
    rows = [{"a": "BTC", "f": "1.0", "l": "0.5"}, {"a": "ETH", "f": "2.0", "l": "0"}]
    position = {"e": "outboundAccountPosition", "E": 1, "u": 2}

    assert compute_identity(position | {"B": rows}) == compute_identity(position | {"B": rows[::-1]})


def test_a_class_says_whether_equal_identities_may_be_several_events() -> None:
    repeatable = {"balanceUpdate", "externalLockUpdate", "userLiabilityChange", "brandNew"}

    for payload in [FILL, NEW, *OTHERS]:
        assert decode_event(payload).is_repeatable is (payload["e"] in repeatable)


def test_the_order_of_the_fields_does_not_count() -> None:
    for payload in OTHERS:
        assert compute_identity(dict(reversed(payload.items()))) == compute_identity(payload)


def test_both_spellings_of_a_margin_event_are_one_event() -> None:
    level = OTHERS[6] | {"e": "MARGIN_LEVEL_STATUS_CHANGE"}

    assert compute_identity(level) == compute_identity(OTHERS[6])


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_another_process_finds_the_same_identities(seed: str) -> None:
    code = (
        "import json, sys\n"
        "from binance_margin_stream.stream.events.models import Event\n"
        "stored = json.load(sys.stdin)\n"
        "print(json.dumps([Event.from_dict(one).identity for one in stored]))\n"
    )
    events = [decode_event(payload) for payload in [FILL, *OTHERS]]
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([event.to_dict() for event in events]),
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )

    assert [tuple(found) for found in json.loads(run.stdout)] == [event.identity for event in events]
