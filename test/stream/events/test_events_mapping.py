"""Every documented field arrives under its full name: a table written from the exchange's documentation."""

import json
from decimal import Decimal

import pytest

from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.decoder import EventFrame, decode
from binance_margin_stream.stream.events.models import (
    BalanceUpdate,
    Event,
    EventStreamTerminated,
    ExecutionReport,
    ExternalLockUpdate,
    ListenKeyExpired,
    ListStatus,
    MarginLevelStatusChange,
    OutboundAccountPosition,
    ServerShutdown,
    UserLiabilityChange,
)

EXECUTION = {
    "E": (1_790_000_000_001, "event_time"), "s": ("BTCUSDT", "symbol"), "c": ("mine-1", "client_order_id"),
    "S": ("BUY", "side"), "o": ("LIMIT", "order_type"), "f": ("GTC", "time_in_force"), "q": ("1.10", "quantity"),
    "p": ("2.20", "price"), "P": ("3.30", "stop_price"), "F": ("4.40", "iceberg_quantity"),
    "g": (-1, "order_list_id"), "C": ("theirs", "original_client_order_id"), "x": ("TRADE", "execution_type"),
    "X": ("FILLED", "order_status"), "r": ("NONE", "reject_reason"), "i": (11, "order_id"),
    "l": ("5.50", "last_executed_quantity"), "z": ("6.60", "cumulative_filled_quantity"),
    "L": ("7.70", "last_executed_price"), "n": ("0.0000001", "commission_amount"),
    "N": ("BNB", "commission_asset"), "T": (1_790_000_000_002, "transaction_time"), "t": (12, "trade_id"),
    "I": (13, "execution_id"), "w": (True, "is_on_book"), "m": (False, "is_maker"), "M": (True, "ignored"),
    "O": (1_790_000_000_003, "order_creation_time"), "Z": ("8.80", "cumulative_quote_quantity"),
    "Y": ("9.90", "last_quote_quantity"), "Q": ("10.10", "quote_order_quantity"),
    "V": ("EXPIRE_MAKER", "self_trade_prevention_mode"),
}  # fmt: skip
CONDITIONAL = {
    "W": (1_790_000_000_004, "working_time"), "d": (14, "trailing_delta"), "D": (1_790_000_000_005, "trailing_time"),
    "j": (15, "strategy_id"), "J": (16, "strategy_type"), "v": (17, "prevented_match_id"),
    "A": ("11.0", "prevented_quantity"), "B": ("12.0", "last_prevented_quantity"), "u": (18, "trade_group_id"),
    "U": (19, "counter_order_id"), "Cs": ("ETHUSDT", "counter_symbol"),
    "pl": ("13.0", "prevented_execution_quantity"), "pL": ("14.0", "prevented_execution_price"),
    "pY": ("15.0", "prevented_execution_quote_quantity"), "b": ("ONE_PARTY_TRADE_REPORT", "match_type"),
    "a": (20, "allocation_id"), "k": ("SOR", "working_floor"), "uS": (True, "used_smart_order_routing"),
    "gP": ("PRIMARY_PEG", "peg_price_type"), "gOT": ("PRICE_LEVEL", "peg_offset_type"),
    "gOV": (21, "peg_offset_value"), "gp": ("16.0", "pegged_price"), "eR": ("GTX", "expiry_reason"),
}  # fmt: skip
AT = {"E": (1_790_000_000_001, "event_time")}
DELTA = {**AT, "a": ("BTC", "asset"), "d": ("-1.50", "delta"), "T": (1_790_000_000_002, "clear_time")}
LIST = {
    **AT, "s": ("BTCUSDT", "symbol"), "g": (2, "order_list_id"), "c": ("OCO", "contingency_type"),
    "l": ("EXEC_STARTED", "list_status_type"), "L": ("EXECUTING", "list_order_status"),
    "r": ("NONE", "list_reject_reason"), "C": ("list-1", "list_client_order_id"),
    "T": (1_790_000_000_002, "transaction_time"),
}  # fmt: skip
LEVEL = {**AT, "l": ("1.12", "margin_level"), "s": ("MARGIN_CALL", "status")}
LIABILITY = {
    **AT, "a": ("BTC", "asset"), "t": ("BORROW", "liability_type"), "p": ("1.5", "principal"), "i": ("0", "interest")
}  # fmt: skip
TABLE: list[tuple[str, type[Event], dict[str, tuple[object, str]]]] = [
    ("executionReport", ExecutionReport, EXECUTION),
    ("executionReport", ExecutionReport, EXECUTION | CONDITIONAL),
    ("balanceUpdate", BalanceUpdate, DELTA),
    ("externalLockUpdate", ExternalLockUpdate, DELTA),
    ("listenKeyExpired", ListenKeyExpired, {**AT, "listenKey": ("abc", "listen_key")}),
    ("eventStreamTerminated", EventStreamTerminated, AT),
    ("serverShutdown", ServerShutdown, AT),
    ("MARGIN_LEVEL_STATUS_CHANGE", MarginLevelStatusChange, LEVEL),
    ("marginLevelStatusChange", MarginLevelStatusChange, LEVEL),
    ("USER_LIABILITY_CHANGE", UserLiabilityChange, LIABILITY),
    ("userLiabilityChange", UserLiabilityChange, LIABILITY),
]
MONEY = {
    "quantity", "price", "stop_price", "iceberg_quantity", "last_executed_quantity", "cumulative_filled_quantity",
    "last_executed_price", "commission_amount", "cumulative_quote_quantity", "last_quote_quantity",
    "quote_order_quantity", "prevented_quantity", "last_prevented_quantity", "prevented_execution_quantity",
    "prevented_execution_price", "prevented_execution_quote_quantity", "pegged_price", "delta", "margin_level",
    "principal", "interest", "free", "locked",
}  # fmt: skip


def decode_event(payload: dict[str, object]) -> Event:
    frame = decode(json.dumps(payload), {None: CROSS})
    assert isinstance(frame, EventFrame)
    return frame.event


def expected_value(value: object, name: str) -> object:
    return Decimal(str(value)) if name in MONEY else value


@pytest.mark.parametrize(("name", "kind", "fields"), TABLE)
def test_each_documented_field_has_a_full_name(
    name: str, kind: type[Event], fields: dict[str, tuple[object, str]]
) -> None:
    event = decode_event({"e": name} | {wire: value for wire, (value, _) in fields.items()})

    assert type(event) is kind
    assert event.event_type == name
    for value, full in fields.values():
        read = getattr(event, full)
        assert read == expected_value(value, full), full
        assert type(read) is type(expected_value(value, full)), full
    assert not event.extra


@pytest.mark.parametrize("wire", CONDITIONAL)
def test_a_conditional_field_comes_alone_or_is_none(wire: str) -> None:
    value, full = CONDITIONAL[wire]
    usual = {"e": "executionReport"} | {name: value for name, (value, _) in EXECUTION.items()}

    assert getattr(decode_event(usual), full) is None
    assert getattr(decode_event(usual | {wire: value}), full) == expected_value(value, full)
    assert not decode_event(usual | {wire: value}).extra


def test_an_account_position_lists_its_balances() -> None:
    event = decode_event({"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "BTC", "f": "1.0", "l": "0.5"}]})

    assert isinstance(event, OutboundAccountPosition)
    assert event.last_account_update_time == 2
    [balance] = event.balances
    assert (balance.asset, balance.free, balance.locked) == ("BTC", Decimal("1.0"), Decimal("0.5"))


def test_a_list_status_lists_its_orders() -> None:
    payload: dict[str, object] = {"e": "listStatus"} | {wire: value for wire, (value, _) in LIST.items()}
    event = decode_event(payload | {"O": [{"s": "BTCUSDT", "i": 17, "c": "leg-1"}]})

    assert isinstance(event, ListStatus)
    for value, full in LIST.values():
        assert getattr(event, full) == value
    [order] = event.orders
    assert (order.symbol, order.order_id, order.client_order_id) == ("BTCUSDT", 17, "leg-1")


def test_letters_that_differ_in_case_alone_are_kept_apart() -> None:
    event = decode_event({"e": "executionReport"} | {w: v for w, (v, _) in (EXECUTION | CONDITIONAL).items()})

    assert isinstance(event, ExecutionReport)
    assert (event.prevented_execution_quantity, event.prevented_execution_price) == (Decimal(13), Decimal(14))
    assert (event.peg_price_type, event.pegged_price) == ("PRIMARY_PEG", Decimal(16))
