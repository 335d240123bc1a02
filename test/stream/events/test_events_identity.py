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


def test_an_execution_is_its_account_symbol_and_execution_id() -> None:
    assert compute_identity(FILL) == ("ExecutionReport", "cross", "BTCUSDT", 5)
    assert compute_identity(FILL | {"E": 10, "c": "other"}) == compute_identity(FILL)


@pytest.mark.parametrize("doubtful", [None, 0, -1])
def test_without_an_execution_id_it_is_the_step_of_the_order(doubtful: int | None) -> None:
    payload = FILL | {"I": doubtful}

    assert compute_identity(payload) == ("ExecutionReport", "cross", "BTCUSDT", 3, "TRADE", 4, 8)
    assert compute_identity({name: value for name, value in FILL.items() if name != "I"}) == compute_identity(payload)


@pytest.mark.parametrize("change", [{"s": "ETHUSDT"}, {"I": 6}, {"I": None}])
def test_another_execution_has_another_identity(change: dict[str, Any]) -> None:
    assert compute_identity(FILL | change) != compute_identity(FILL)


@pytest.mark.parametrize("payload", [FILL, *OTHERS])
def test_another_account_makes_another_identity(payload: dict[str, Any]) -> None:
    assert compute_identity(payload) == compute_identity(payload)
    assert compute_identity(payload, isolated("BTCUSDT")) != compute_identity(payload, CROSS)


@pytest.mark.parametrize("payload", OTHERS)
def test_all_content_counts_where_the_exchange_gives_no_id(payload: dict[str, Any]) -> None:
    changed = [payload | {"E": 6}, payload | {"new": 1}]

    assert len({compute_identity(payload), *map(compute_identity, changed)}) == 3


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
