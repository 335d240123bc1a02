"""What an event and a gap are as values."""

import copy
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from binance_margin_stream.exceptions import ApiValueError, OpenApiException
from binance_margin_stream.stream.events.models import (
    CROSS,
    NO_ACCOUNT,
    Account,
    BalanceUpdate,
    Event,
    EventStreamTerminated,
    ExecutionReport,
    ListenKeyExpired,
    MalformedFrameError,
    StreamGap,
    StreamItem,
    UnknownEvent,
    isolated,
)

REPORT: dict[str, Any] = {
    "event_time": 1_790_000_000_123, "symbol": "BTCUSDT", "client_order_id": "mine", "side": "BUY",
    "order_type": "LIMIT", "time_in_force": "GTC", "quantity": Decimal("1.50"), "price": Decimal(2),
    "stop_price": Decimal(0), "iceberg_quantity": Decimal(0), "order_list_id": -1, "original_client_order_id": "",
    "execution_type": "NEW", "order_status": "NEW", "reject_reason": "NONE", "order_id": 7,
    "last_executed_quantity": Decimal(0), "cumulative_filled_quantity": Decimal(0), "last_executed_price": Decimal(0),
    "commission_amount": Decimal(0), "transaction_time": 1_790_000_000_122, "trade_id": -1, "is_on_book": True,
    "is_maker": False, "order_creation_time": 1_790_000_000_122, "cumulative_quote_quantity": Decimal(0),
    "last_quote_quantity": Decimal(0), "quote_order_quantity": Decimal(0), "self_trade_prevention_mode": "NONE",
}  # fmt: skip
KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


def deposit(**changes: Any) -> BalanceUpdate:
    fields = {"account": CROSS, "event_time": 5, "asset": "BTC", "delta": Decimal("1.50"), "clear_time": 4}
    return BalanceUpdate(**(fields | changes))


def test_users_can_match_on_the_names_of_a_report() -> None:
    match ExecutionReport(**REPORT):
        case ExecutionReport(symbol=symbol, order_status="NEW", quantity=quantity):
            assert (symbol, quantity) == ("BTCUSDT", Decimal("1.50"))
        case _:
            pytest.fail("no match")


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        deposit().asset = "ETH"  # type: ignore[misc]


def test_a_time_is_there_as_milliseconds_and_as_an_exact_datetime_in_utc() -> None:
    report = ExecutionReport(**REPORT, working_time=1_790_000_000_121)

    assert report.event_datetime == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=report.event_time)
    assert report.event_datetime.microsecond == 123_000
    assert report.event_datetime.utcoffset() == timedelta(0)
    assert report.transaction_datetime == report.order_creation_datetime < report.event_datetime
    assert report.working_datetime == report.event_datetime - timedelta(milliseconds=2)


@pytest.mark.parametrize("absent", [None, -1])
def test_a_time_that_is_not_there_has_no_datetime(absent: int | None) -> None:
    assert ExecutionReport(**REPORT, working_time=absent).working_datetime is None
    assert ExecutionReport(**REPORT, trailing_time=absent).trailing_datetime is None


def test_the_last_millisecond_that_is_allowed_has_a_datetime() -> None:
    assert deposit(event_time=253_402_300_799_999).event_datetime.year == 9999
    with pytest.raises(ValidationError):
        deposit(event_time=253_402_300_800_000)


def test_a_float_is_not_money() -> None:
    with pytest.raises(ValidationError):
        deposit(delta=1.5)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "", " 1", "1_0", "0x1", "1e999", "٣", "1" * 700])
def test_text_that_is_not_a_plain_number_is_not_money(value: str) -> None:
    with pytest.raises(ValidationError):
        deposit(delta=value)


def test_new_values_of_an_enumeration_are_taken() -> None:
    assert ExecutionReport(**(REPORT | {"side": "SIDEWAYS"})).side == "SIDEWAYS"


def test_equal_contents_are_equal_and_hash_alike() -> None:
    assert deposit() == deposit()
    assert len({deposit(), deposit(), deposit(account=isolated("BTCUSDT"))}) == 2
    assert deposit() != deposit(event_time=6)
    assert deposit() != "deposit"


def test_an_event_can_be_routed_to_another_account() -> None:
    event = deposit(account=NO_ACCOUNT)

    assert event.with_account(CROSS) == deposit()
    assert event.account is NO_ACCOUNT


def test_an_event_survives_pickling_and_copying() -> None:
    report = ExecutionReport(**REPORT)

    assert pickle.loads(pickle.dumps(report)) == copy.deepcopy(report) == copy.copy(report) == report


def test_a_misspelled_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError):
        _ = ExecutionReport(**REPORT).order_stauts  # type: ignore[attr-defined]


def test_a_gap_says_when_and_why() -> None:
    gap = StreamGap(account=CROSS, since=1000, until=2500, reason="disconnected")

    assert gap.dropped == 0
    assert gap.until_datetime - gap.since_datetime == timedelta(milliseconds=1500)
    assert not isinstance(gap, Event)
    assert StreamItem.from_json(gap.to_json()) == gap
    assert {gap, StreamItem.from_dict(gap.to_dict())} == {gap}


def test_a_listen_key_is_an_attribute_and_nowhere_else() -> None:
    event = ListenKeyExpired(account=CROSS, event_time=1, listen_key=KEY)

    assert event.listen_key == KEY
    shown = [repr(event), str(event), event.to_json(), str(event.to_dict()), str(event.identity), f"{event}"]
    assert not any(KEY in text for text in shown)


def test_a_stored_expiry_holds_the_fingerprint_of_its_key() -> None:
    event = ListenKeyExpired(account=CROSS, event_time=1, listen_key=KEY)
    stored = ListenKeyExpired.from_json(event.to_json())

    assert stored.listen_key.startswith("sha256:")
    assert stored.to_dict() == event.to_dict()
    assert stored.identity == event.identity
    assert event.identity != ListenKeyExpired(account=CROSS, event_time=1, listen_key=KEY[::-1]).identity


def test_the_repr_of_unknown_fields_shows_no_secret() -> None:
    event = UnknownEvent(event_type="new", listenKey=KEY, size=3)  # type: ignore[call-arg]

    assert KEY not in repr(event)
    assert "size" in repr(event)


def test_a_stored_event_is_read_by_its_class_and_the_classes_above() -> None:
    stored = deposit().to_dict()

    assert StreamItem.from_dict(stored) == Event.from_dict(stored) == BalanceUpdate.from_dict(stored) == deposit()
    with pytest.raises(MalformedFrameError, match="EventStreamTerminated"):
        EventStreamTerminated.from_dict(stored)


def test_the_stored_form_is_plain() -> None:
    assert deposit().to_dict() == {
        "kind": "BalanceUpdate",
        "account": "cross",
        "event_type": "balanceUpdate",
        "event_time": 5,
        "asset": "BTC",
        "delta": "1.50",
        "clear_time": 4,
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind":"BalanceUpdate"}', '{"kind":"Account"}', "[" * 100_000, '{"kind":[]}']
)
def test_what_is_no_stored_item_is_refused(text: str) -> None:
    with pytest.raises(MalformedFrameError):
        StreamItem.from_json(text)


@pytest.mark.parametrize("change", [{"delta": "x"}, {"other": 1}, {"extra": 3}, {"extra": {"x": {"$number": "y"}}}])
def test_a_spoilt_stored_event_is_refused_without_its_content(change: dict[str, object]) -> None:
    with pytest.raises(MalformedFrameError) as caught:
        StreamItem.from_dict(deposit().to_dict() | change)

    assert isinstance(caught.value, OpenApiException)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("account", [CROSS, NO_ACCOUNT, isolated("BTCUSDT")])
def test_an_account_is_read_back_from_its_text(account: Account) -> None:
    assert Account.parse(str(account)) == account
    assert eval(repr(account), {"CROSS": CROSS, "NO_ACCOUNT": NO_ACCOUNT, "isolated": isolated}) == account


@pytest.mark.parametrize("text", ["", "Cross", "isolated", "isolated:", "isolated:btcusdt", "isolated:BTC USDT"])
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(ApiValueError):
        Account.parse(text)


def test_a_cross_account_has_no_symbol() -> None:
    with pytest.raises(ApiValueError):
        Account("cross", "BTCUSDT")
