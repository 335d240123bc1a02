"""What an event and a gap are as values."""

import copy
import inspect
import pickle
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError, OpenApiException
from binance_margin_stream.stream.events.enumerations import OrderStatus, Side
from binance_margin_stream.stream.events.json_codec import ExtraFields
from binance_margin_stream.stream.events.models import (
    CROSS,
    NO_ACCOUNT,
    Account,
    AccountLost,
    AccountPositionBalance,
    AnyEvent,
    AnyItem,
    BalanceUpdate,
    Event,
    EventStreamTerminated,
    ExecutionReport,
    Fill,
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
    "commission_asset": None, "execution_id": 5, "ignored": True,
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
    with pytest.raises(AttributeError, match="immutable"):
        deposit().asset = "ETH"  # type: ignore[misc]


def test_a_time_is_there_as_milliseconds_and_as_an_exact_datetime_in_utc() -> None:
    report = ExecutionReport(**REPORT, working_time=1_790_000_000_121)

    assert report.event_datetime == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1_790_000_000_123)
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
    with pytest.raises(ApiValueError, match="BalanceUpdate: event_time is not a time"):
        deposit(event_time=253_402_300_800_000)


def test_a_float_is_not_money() -> None:
    with pytest.raises(ApiValueError, match="BalanceUpdate: delta is not a decimal number"):
        deposit(delta=1.5)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "", " 1", "1_0", "0x1", "1e999", "٣", "1" * 700])
def test_text_that_is_not_a_plain_number_is_not_money(value: str) -> None:
    with pytest.raises(ApiValueError, match="delta is not"):
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
    report = ExecutionReport(**REPORT, extra={"new": [Decimal("1.50")]}, problems=("side",), account=CROSS)

    for same in (pickle.loads(pickle.dumps(report)), copy.deepcopy(report), copy.copy(report)):
        assert same == report
        assert repr(same) == repr(report)


def test_an_event_can_be_replaced_by_a_changed_copy() -> None:
    changed = replace(ExecutionReport(**REPORT), order_status="FILLED", price=Decimal(3))

    assert isinstance(changed, ExecutionReport)
    assert (changed.order_status, changed.price, changed.symbol) == ("FILLED", Decimal(3), "BTCUSDT")
    if sys.version_info >= (3, 13):
        assert copy.replace(ExecutionReport(**REPORT), order_status="FILLED", price=Decimal(3)) == changed


def test_a_missing_field_is_an_error_of_this_package() -> None:
    with pytest.raises(ApiTypeError, match=r"^BalanceUpdate needs delta, clear_time$"):
        BalanceUpdate(event_time=1, asset="BTC")  # type: ignore[call-arg]


def test_a_misspelt_field_is_an_error_of_this_package() -> None:
    with pytest.raises(ApiTypeError, match=r"^BalanceUpdate has no field 'detla': did you mean 'delta'\?$"):
        deposit(detla=1)
    with pytest.raises(ApiTypeError, match="keyword arguments only"):
        BalanceUpdate(5)  # type: ignore[misc,call-arg]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_time": "soon"}, "event_time is not an integer"),
        ({"event_time": True}, "event_time is not an integer"),
        ({"asset": 3}, "asset is not text"),
        ({"account": "nobody"}, "account not an account"),
        ({"extra": 3}, "extra is not a mapping"),
        ({"problems": "x"}, "problems is not a list"),
        ({"event_type": "other"}, "event_type is not 'balanceUpdate'"),
        ({"delta": float("nan")}, "delta is not a decimal number"),
    ],
)
def test_a_wrong_value_is_an_error_of_this_package(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ApiValueError) as caught:
        deposit(**changes)

    assert str(caught.value).startswith(f"BalanceUpdate: {reason}")
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_record_of_an_event_checks_what_it_is_made_of() -> None:
    with pytest.raises(ApiValueError, match="AccountPositionBalance: free is not"):
        AccountPositionBalance(asset="BTC", free="x", locked=Decimal(0))  # type: ignore[arg-type]


def test_the_signature_of_a_class_is_its_fields() -> None:
    parameters = inspect.signature(ExecutionReport).parameters

    assert set(REPORT) <= set(parameters)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert parameters["symbol"].default is inspect.Parameter.empty
    assert parameters["working_time"].default is None


def test_the_documentation_of_a_report_lists_its_fields() -> None:
    text = inspect.getdoc(ExecutionReport)

    assert text is not None
    assert len(text.splitlines()) <= 60
    assert set(inspect.signature(ExecutionReport).parameters) <= set(re.findall(r"\w+", text))


@pytest.mark.parametrize("item", [ExecutionReport(**REPORT), StreamGap(account=CROSS, since=1, until=2, reason="x")])
def test_dir_shows_names_of_this_package_only(item: StreamItem) -> None:
    public = {name for name in dir(item) if not name.startswith("_")}

    assert set(item.__struct_fields__) <= public
    for name in public - set(item.__struct_fields__):
        assert inspect.getdoc(getattr(type(item), name)), name
    assert not public & {"model_fields", "json", "dict"}


def test_a_member_of_an_enumeration_is_its_wire_text() -> None:
    report = ExecutionReport(**(REPORT | {"order_status": OrderStatus.FILLED, "side": Side.SELL}))

    assert type(report.order_status) is str
    assert report.order_status == OrderStatus.FILLED == "FILLED"
    assert report == ExecutionReport(**(REPORT | {"order_status": "FILLED", "side": "SELL"}))


def test_a_report_is_one_line_for_a_person() -> None:
    trade = REPORT | {
        "account": CROSS, "execution_type": "TRADE", "order_status": "PARTIALLY_FILLED", "quantity": Decimal("0.50"),
        "price": Decimal(60000), "trade_id": 17, "last_executed_quantity": Decimal("0.2"),
        "last_executed_price": Decimal(59990), "cumulative_filled_quantity": Decimal("0.2"),
    }  # fmt: skip

    assert str(ExecutionReport(**trade)) == (
        "cross BTCUSDT BUY LIMIT 0.5 @ 60000 PARTIALLY_FILLED 0.2/0.5, trade 17: 0.2 @ 59990"
    )
    assert str(ExecutionReport(**REPORT, account=CROSS)) == "cross BTCUSDT BUY LIMIT 1.5 @ 2 NEW 0/1.5"
    rejected = REPORT | {"order_status": "REJECTED", "reject_reason": "INSUFFICIENT_BALANCES", "account": CROSS}
    assert str(ExecutionReport(**rejected)).endswith("REJECTED 0/1.5, INSUFFICIENT_BALANCES")


def test_each_item_is_one_line_for_a_person() -> None:
    assert str(deposit()) == "cross +1.5 BTC"
    assert str(deposit(delta="-0.10")) == "cross -0.1 BTC"
    gap = StreamGap(account=CROSS, since=1000, until=2500, reason="disconnected")
    assert str(gap) == "cross events of 1500 ms may be missing (disconnected): reconcile"
    assert str(UnknownEvent(event_type="a\n\x1b]0;b")) == "none unknown event a ]0;b"


def test_the_repr_is_complete_and_starts_with_the_class() -> None:
    assert repr(deposit()) == (
        "BalanceUpdate(account=CROSS, event_type='balanceUpdate', event_time=5, asset='BTC', delta=Decimal('1.50'), "
        "clear_time=4)"
    )
    assert eval(repr(deposit()), {"BalanceUpdate": BalanceUpdate, "CROSS": CROSS, "Decimal": Decimal}) == deposit()


def test_a_fill_is_matched_by_its_base() -> None:
    match ExecutionReport(**(REPORT | {"execution_type": "TRADE", "trade_id": 3})):
        case Fill(execution_type="TRADE", order_id=order_id, last_executed_quantity=quantity):
            assert (order_id, quantity) == (7, Decimal(0))
        case _:
            pytest.fail("no match")


def test_every_item_can_be_matched_by_its_class() -> None:
    classes = [kind.__name__ for kind in get_args(AnyItem)]

    assert len(set(classes)) == len(classes)
    assert {*classes, "ListenKeyExpired", "EventStreamTerminated", "ServerShutdown"} == {
        kind.__name__ for kind in [*get_args(AnyEvent), StreamGap, AccountLost]
    }


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
    event = UnknownEvent(event_type="new", extra=ExtraFields({"listenKey": KEY, "size": 3}))

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
