"""The events of orders, balances and debt: their order and fields."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_harness import LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH, START_MS, ExchangeHarness
from hypothesis import given
from hypothesis import strategies as st

from binance_margin_stream.sandbox import ExchangeRules, Order
from binance_margin_stream.sandbox.model.orders import OrderRequest

# The mandatory fields of an execution report.
ALWAYS = set("eEscSofqpPFgCxXrilzLnNTtIwmMOZYQV")


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


def place(
    harness: ExchangeHarness, side: str = "BUY", kind: str = "LIMIT", price: str | None = "100", **more: str
) -> Order:
    request = OrderRequest(side=side, type=kind, price=price, **{"quantity": "2", **more})
    return harness.exchange.trading.place_order(harness.user.uid, request, harness.now)


def test_an_order_sends_a_report_and_then_the_balances(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness)
    report, position = (text["event"] for text in harness.take_texts(connection))
    assert set(report) == ALWAYS | {"W"}  # on the book
    assert (report["x"], report["X"], report["i"], report["w"]) == ("NEW", "NEW", order.order_id, True)
    assert (report["q"], report["p"], report["t"], report["N"]) == ("2.00000000", "100.00000000", -1, None)
    assert (report["T"], report["O"]) == (START_MS, START_MS)
    assert position["B"] == [
        {"a": "BTC", "f": "1000000.00000000", "l": "0.00000000"},
        {"a": "USDT", "f": "999800.00000000", "l": "200.00000000"},
    ]


def test_an_order_fills_in_parts(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness)
    harness.take_texts(connection)
    trading = harness.exchange.trading
    assert trading.fill_order(order.order_id, "0.5", "90", harness.now).status == "PARTIALLY_FILLED"
    assert trading.fill_order(order.order_id, None, None, harness.now).status == "FILLED"
    first, between, second, after = (text["event"] for text in harness.take_texts(connection))
    assert (first["x"], first["X"], first["l"], first["z"]) == ("TRADE", "PARTIALLY_FILLED", "0.50000000", "0.50000000")
    assert (first["L"], first["Y"], first["Z"]) == ("90.00000000", "45.00000000", "45.00000000")
    assert (first["n"], first["N"], first["m"]) == ("0.00050000", "BTC", True)
    assert (second["X"], second["l"], second["z"], second["Z"]) == (
        "FILLED",
        "1.50000000",
        "2.00000000",
        "195.00000000",
    )
    assert first["t"] != second["t"]
    assert first["I"] != second["I"]
    assert between["B"][1] == {"a": "USDT", "f": "999805.00000000", "l": "150.00000000"}
    assert after["B"] == [
        {"a": "BTC", "f": "1000001.99800000", "l": "0.00000000"},
        {"a": "USDT", "f": "999805.00000000", "l": "0.00000000"},
    ]


def test_a_market_order_is_filled_at_once(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness, "SELL", "MARKET", None)
    assert order.status == "FILLED"
    new, trade, position = (text["event"] for text in harness.take_texts(connection))
    assert (new["x"], trade["x"], trade["X"], position["e"]) == ("NEW", "TRADE", "FILLED", "outboundAccountPosition")
    assert (trade["p"], trade["N"], trade["w"], trade["m"]) == ("0.00000000", "USDT", False, False)


def test_a_cancel_report_has_the_original_client_order_id(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness)
    harness.take_texts(connection)
    assert harness.exchange.trading.cancel_order(order.order_id, harness.now).status == "CANCELED"
    report, position = (text["event"] for text in harness.take_texts(connection))
    assert (report["x"], report["X"], report["C"]) == ("CANCELED", "CANCELED", order.client_order_id)
    assert report["c"] != report["C"]
    assert position["B"][1] == {"a": "USDT", "f": "1000000.00000000", "l": "0.00000000"}


def test_isolated_accounts_have_their_own_balances(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed(isIsolated="true", symbol="BTCUSDT")
    place(harness)
    assert harness.take_texts(connection) == []
    place(harness, "SELL", account="BTCUSDT")
    assert harness.take_texts(connection)[1]["event"]["B"][1]["f"] == "1000000.00000000"


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "HOLD"},
        {"kind": "WISH"},
        {"price": "0"},
        {"price": "-1"},
        {"price": "dear"},
        {"price": "NaN"},
        {"price": "1e15"},
        {"price": 1.5},
        {"price": True},
        {"quantity": "0"},
        {"stop_price": "1"},
        {"kind": "STOP_LOSS"},
        {"time_in_force": "GTX"},
        {"account": "ETHUSDT"},
        {"account": "NOSUCH"},
        {"symbol": "NOSUCH"},
    ],
)
def test_invalid_orders_are_refused(harness: ExchangeHarness, wrong: dict[str, str]) -> None:
    connection = harness.open_subscribed()
    with pytest.raises(ValueError, match=r"."):
        place(harness, **wrong)
    assert harness.take_texts(connection) == []


def test_a_closed_order_cannot_be_changed(harness: ExchangeHarness) -> None:
    order = place(harness)
    trading = harness.exchange.trading
    with pytest.raises(ValueError, match="left to fill"):
        trading.fill_order(order.order_id, "3", None, harness.now)
    trading.cancel_order(order.order_id, harness.now)
    with pytest.raises(ValueError, match="CANCELED"):
        trading.cancel_order(order.order_id, harness.now)
    with pytest.raises(ValueError, match="CANCELED"):
        trading.fill_order(order.order_id, None, None, harness.now)
    with pytest.raises(ValueError, match="no order 99"):
        trading.cancel_order(99, harness.now)


@pytest.mark.parametrize(
    ("spelling", "liability", "level"),
    [
        ("upper", "USER_LIABILITY_CHANGE", "MARGIN_LEVEL_STATUS_CHANGE"),
        ("camel", "userLiabilityChange", "marginLevelStatusChange"),
    ],
)
def test_debt_and_margin_calls_go_to_the_risk_stream(spelling: str, liability: str, level: str) -> None:
    harness = ExchangeHarness(ExchangeRules(margin_event_name_style=spelling))  # type: ignore[arg-type]  # parametrized literal
    account, risk = (
        harness.open_subscribed(),
        harness.open_connection("/ws/" + harness.create_listen_key(RISK_LISTEN_KEY_PATH)),
    )
    both = harness.open_connection("/ws/" + harness.create_listen_key(LISTEN_KEY_V2_PATH))
    harness.exchange.trading.borrow(harness.user.uid, "cross", "BTC", Decimal("0.1"), harness.now)
    harness.exchange.trading.send_margin_call(harness.user.uid, "1.1", "MARGIN_CALL", harness.now)
    assert harness.take_texts(risk) == [
        {"e": liability, "E": START_MS, "a": "BTC", "t": "BORROW", "p": "0.10000000", "i": "0.00000000"},
        {"e": level, "E": START_MS, "l": "1.1", "s": "MARGIN_CALL"},
    ]
    assert harness.take_event_names(account) == ["balanceUpdate", "outboundAccountPosition"]
    assert harness.take_event_names(both) == [liability, "balanceUpdate", "outboundAccountPosition", level]


def test_amounts_above_the_balance_are_refused(harness: ExchangeHarness) -> None:
    trading = harness.exchange.trading
    with pytest.raises(ValueError, match="above zero"):
        trading.borrow(harness.user.uid, "cross", "BTC", 0, harness.now)
    with pytest.raises(ValueError, match="not enough BTC"):
        trading.change_balance(harness.user.uid, "cross", "BTC", -1_000_001, harness.now)
    trading.change_balance(harness.user.uid, "cross", "BTC", -1, harness.now)


def test_orders_of_disabled_accounts_and_delisted_symbols_are_refused(harness: ExchangeHarness) -> None:
    harness.exchange.disable_account(harness.user.uid, "BTCUSDT")
    with pytest.raises(ValueError, match="the account BTCUSDT is disabled"):
        place(harness, account="BTCUSDT")
    place(harness)
    harness.exchange.delist_symbol("BTCUSDT")
    with pytest.raises(ValueError, match="BTCUSDT is delisted"):
        place(harness)


amounts = st.one_of(
    st.decimals(),
    st.integers(),
    st.sampled_from(["1e-999999999", "1e-999", "1e-18", "1e999999999", "1e14", "-1", "0", "much", "9" * 99]),
)
account_operations = ["borrow", "repay", "change_balance", "change_external_lock", "charge_interest", "set_price"]
operations = st.one_of(
    st.tuples(st.sampled_from(account_operations), amounts),
    st.tuples(st.just("place_order"), amounts, amounts, st.sampled_from(["LIMIT", "MARKET", "STOP_LOSS"]), amounts),
    st.tuples(st.just("fill_order"), amounts, amounts),
)


def run_operation(harness: ExchangeHarness, name: str, *values: Any) -> None:
    trading, uid, now = harness.exchange.trading, harness.user.uid, harness.now
    match name:
        case "set_price":
            trading.set_price("BTCUSDT", values[0], now)
        case "place_order":
            quantity, price, kind, stop = values
            request = OrderRequest(type=kind, quantity=quantity, price=price, stop_price=stop)
            trading.place_order(uid, request, now)
        case "fill_order":
            trading.fill_order(None, *values, now)
        case "charge_interest":
            trading.charge_interest(uid, "cross", values[0], now)
        case _:
            getattr(trading, name)(uid, "cross", "BTC", values[0], now)


def read_books(harness: ExchangeHarness) -> tuple[Any, Any, Any]:
    """Balances that differ from the opening balance, open orders, and the number of events."""
    balances = harness.exchange.trading.balances(harness.user.uid, "cross")
    moved = {asset: each for asset, each in balances.items() if each.total != 1_000_000 or each.locked or each.debt}
    shown = harness.exchange.snapshot(harness.now)
    return moved, shown["orders"], shown["events"]


@given(st.lists(operations, max_size=8))
def test_an_operation_takes_effect_whole_or_not_at_all(steps: list[tuple[Any, ...]]) -> None:
    harness = ExchangeHarness()
    for step in steps:
        before = read_books(harness)
        try:
            run_operation(harness, *step)
        except ValueError:
            assert read_books(harness) == before
