"""Execution of orders: prices, stops, rejection and expiry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_harness import START_MS, ExchangeHarness
from hypothesis import given
from hypothesis import strategies as some

from binance_margin_stream.sandbox import ExchangeRules, Order
from binance_margin_stream.sandbox.model.orders import OrderRequest

BTC, USDT = "BTC", "USDT"


@pytest.fixture
def harness() -> ExchangeHarness:
    return ExchangeHarness()


def place(
    harness: ExchangeHarness, side: str = "BUY", kind: str = "LIMIT", price: str | None = "100", **more: str
) -> Order:
    trading = harness.exchange.trading
    request = OrderRequest(side=side, type=kind, quantity="2", price=price, **more)
    return trading.place_order(harness.user.uid, request, harness.now)


def read_events(harness: ExchangeHarness, connection: int) -> list[Any]:
    return [text["event"] for text in harness.take_texts(connection)]


def reports(harness: ExchangeHarness, connection: int) -> list[tuple[str, str, str, bool]]:
    """Execution type, order status, last price and whether it is on the book, of each execution report."""
    return [(e["x"], e["X"], e["L"], e["w"]) for e in read_events(harness, connection) if e["e"] == "executionReport"]


def free(harness: ExchangeHarness, asset: str) -> Decimal:
    return harness.exchange.trading.balances(harness.user.uid, "cross")[asset].free


def locked(harness: ExchangeHarness) -> Decimal:
    return sum((b.locked for b in harness.exchange.trading.balances(harness.user.uid, "cross").values()), Decimal(0))


def test_an_order_rests_until_the_price_reaches_it(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness)
    harness.exchange.trading.set_price("BTCUSDT", "101", harness.now)
    assert reports(harness, connection) == [("NEW", "NEW", "0.00000000", True)]
    harness.exchange.trading.set_price("BTCUSDT", "99", harness.now)
    trade, position = read_events(harness, connection)
    assert (trade["x"], trade["X"], trade["i"], trade["m"]) == ("TRADE", "FILLED", order.order_id, True)
    assert trade["L"] == "100.00000000"  # a resting order trades at its own price
    assert [entry["a"] for entry in position["B"]] == [BTC, USDT]


def test_a_matching_order_trades_at_the_market_price(harness: ExchangeHarness) -> None:
    harness.exchange.trading.set_price("BTCUSDT", "90", harness.now)
    connection = harness.open_subscribed()
    order = place(harness)
    new, trade, _ = read_events(harness, connection)
    assert (new["x"], trade["x"], trade["L"], trade["m"]) == ("NEW", "TRADE", "90.00000000", False)
    assert (order.status, free(harness, USDT), locked(harness)) == ("FILLED", Decimal(999_820), 0)


def test_the_price_of_an_order_defaults_to_the_symbols(harness: ExchangeHarness) -> None:
    harness.exchange.trading.set_price("BTCUSDT", "250", harness.now)
    assert place(harness, "SELL", "MARKET", None).filled_quote == 500
    assert harness.exchange.trading.price("BTCUSDT") == 250
    assert harness.exchange.trading.price("ETHUSDT") == 100


@pytest.mark.parametrize(("working_time", "expected"), [("integer", START_MS + 5000), ("string", str(START_MS + 5000))])
def test_a_report_has_the_working_time_of_the_order(working_time: str, expected: object) -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", working_time_type=working_time))  # type: ignore[arg-type]  # literal
    connection = harness.open_subscribed()
    place(harness, "SELL", "STOP_LOSS_LIMIT", "200", stop_price="80")
    assert "W" not in read_events(harness, connection)[0]
    harness.advance_time(5)
    harness.exchange.trading.set_price("BTCUSDT", "80", harness.now)
    assert read_events(harness, connection)[0]["W"] == expected
    harness.advance_time(5)
    harness.exchange.trading.fill_order(1, "0.5", None, harness.now)
    harness.exchange.trading.cancel_order(1, harness.now)
    partly, _, cancelled, _ = read_events(harness, connection)
    assert (partly["W"], "W" in cancelled) == (expected, False)


@pytest.mark.parametrize(
    ("kind", "side", "stop", "quiet", "reached"),
    [
        ("STOP_LOSS_LIMIT", "SELL", "80", "81", "80"),
        ("STOP_LOSS_LIMIT", "BUY", "120", "119", "120"),
        ("TAKE_PROFIT_LIMIT", "SELL", "120", "119", "120"),
        ("TAKE_PROFIT_LIMIT", "BUY", "80", "81", "80"),
    ],
)
def test_a_stop_is_triggered_at_its_price(
    harness: ExchangeHarness, kind: str, side: str, stop: str, quiet: str, reached: str
) -> None:
    connection = harness.open_subscribed()
    far = "200" if side == "SELL" else "50"
    place(harness, side, kind, far, stop_price=stop)
    harness.exchange.trading.set_price("BTCUSDT", quiet, harness.now)
    assert reports(harness, connection) == [("NEW", "NEW", "0.00000000", False)]
    harness.exchange.trading.set_price("BTCUSDT", reached, harness.now)
    assert reports(harness, connection) == [("NEW", "NEW", "0.00000000", True)]
    harness.exchange.trading.set_price("BTCUSDT", far, harness.now)
    assert reports(harness, connection) == [("TRADE", "FILLED", f"{far}.00000000", False)]


def test_a_market_stop_trades_when_triggered(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    place(harness, "SELL", "STOP_LOSS", None, stop_price="80")
    harness.exchange.trading.set_price("BTCUSDT", "70", harness.now)
    assert [(x, X, L) for x, X, L, _ in reports(harness, connection)] == [
        ("NEW", "NEW", "0.00000000"),
        ("TRADE", "FILLED", "70.00000000"),
    ]


def test_a_market_stop_that_is_too_expensive_expires() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", opening_balance=Decimal(250)))
    connection = harness.open_subscribed()
    place(harness, "BUY", "STOP_LOSS", None, stop_price="120")
    harness.exchange.trading.set_price("BTCUSDT", "130", harness.now)
    assert reports(harness, connection)[-1][:2] == ("EXPIRED", "EXPIRED")
    assert (free(harness, USDT), locked(harness)) == (250, 0)


@pytest.mark.parametrize(
    ("kind", "stop", "reason"),
    [
        ("LIMIT_MAKER", "0", "WOULD_MATCH_IMMEDIATELY"),
        ("STOP_LOSS_LIMIT", "80", "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"),
    ],
)
def test_an_order_whose_type_forbids_an_immediate_match_is_rejected(
    harness: ExchangeHarness, kind: str, stop: str, reason: str
) -> None:
    harness.exchange.trading.set_price("BTCUSDT", "90", harness.now)
    connection = harness.open_subscribed()
    order = place(harness, "BUY", kind, stop_price=stop)
    (report,) = read_events(harness, connection)
    assert (report["x"], report["X"], report["r"]) == ("REJECTED", "REJECTED", reason)
    assert (order.status, order.reject_reason, locked(harness)) == ("REJECTED", reason, 0)


def test_an_order_that_is_too_expensive_is_rejected_without_effect(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness, price="500001")
    (report,) = read_events(harness, connection)
    assert (report["x"], report["X"], report["r"]) == ("REJECTED", "REJECTED", "INSUFFICIENT_BALANCES")
    assert (report["w"], report["t"], free(harness, USDT), locked(harness)) == (False, -1, 1_000_000, 0)
    with pytest.raises(ValueError, match="REJECTED"):
        harness.exchange.trading.cancel_order(order.order_id, harness.now)


def test_an_order_can_be_rejected_by_hand(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    uid = harness.user.uid
    harness.exchange.trading.reject_order(uid, OrderRequest(price=5), "OCO_BAD_PRICES", harness.now)
    (report,) = read_events(harness, connection)
    assert (report["x"], report["r"]) == ("REJECTED", "OCO_BAD_PRICES")


def test_an_order_can_expire(harness: ExchangeHarness) -> None:
    connection = harness.open_subscribed()
    order = place(harness)
    harness.exchange.trading.fill_order(order.order_id, "0.5", None, harness.now)
    read_events(harness, connection)
    assert harness.exchange.trading.expire_order(order.order_id, harness.now).status == "EXPIRED"
    report, position = read_events(harness, connection)
    assert (report["x"], report["X"], report["z"], report["C"]) == ("EXPIRED", "EXPIRED", "0.50000000", "")
    assert position["B"][1] == {"a": "USDT", "f": "999950.00000000", "l": "0.00000000"}


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_ioc_and_fok_orders_trade_or_expire(harness: ExchangeHarness, time_in_force: str) -> None:
    connection = harness.open_subscribed()
    assert place(harness, time_in_force=time_in_force).status == "EXPIRED"
    assert [event["f"] for event in read_events(harness, connection) if event["e"] == "executionReport"] == [
        time_in_force
    ] * 2
    assert locked(harness) == 0
    harness.exchange.trading.set_price("BTCUSDT", "100", harness.now)
    assert place(harness, time_in_force=time_in_force).status == "FILLED"


def test_an_order_does_not_trade_beyond_its_limit(harness: ExchangeHarness) -> None:
    buy, sell = place(harness), place(harness, "SELL")
    with pytest.raises(ValueError, match="limited to 100"):
        harness.exchange.trading.fill_order(buy.order_id, None, "101", harness.now)
    with pytest.raises(ValueError, match="limited to 100"):
        harness.exchange.trading.fill_order(sell.order_id, None, "99", harness.now)


def test_open_orders_excludes_closed_orders(harness: ExchangeHarness) -> None:
    first, second = place(harness), place(harness)
    uid = harness.user.uid
    assert [order.order_id for order in harness.exchange.trading.open_orders(uid, "cross")] == [1, 2]
    harness.exchange.trading.cancel_order(first.order_id, harness.now)
    harness.exchange.trading.fill_order(second.order_id, "1", None, harness.now)
    assert [order.remaining for order in harness.exchange.trading.open_orders(uid, "cross")] == [1]
    assert harness.exchange.trading.open_orders(uid, "BTCUSDT") == []


def test_the_oldest_closed_orders_are_forgotten() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", max_history_entries=2))
    orders = [place(harness) for _ in range(4)]
    for order in orders:
        harness.exchange.trading.cancel_order(order.order_id, harness.now)
    with pytest.raises(ValueError, match="no order 1"):
        harness.exchange.trading.cancel_order(1, harness.now)
    with pytest.raises(ValueError, match="CANCELED"):
        harness.exchange.trading.cancel_order(4, harness.now)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "dear"])
def test_a_price_is_above_zero(harness: ExchangeHarness, price: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        harness.exchange.trading.set_price("BTCUSDT", price, harness.now)
    with pytest.raises(ValueError, match="no symbol"):
        harness.exchange.trading.set_price("NOSUCH", "1", harness.now)


STEPS = some.lists(
    some.one_of(
        some.tuples(some.just("price"), some.integers(50, 150)),
        some.tuples(
            some.just("place"),
            some.sampled_from(["BUY", "SELL"]),
            some.sampled_from(["LIMIT", "MARKET", "STOP_LOSS", "TAKE_PROFIT_LIMIT"]),
            some.integers(50, 150),
            some.integers(50, 150),
        ),
        some.tuples(some.just("fill"), some.integers(1, 10), some.integers(50, 150)),
        some.tuples(some.just("cancel"), some.integers(1, 10)),
    ),
    max_size=30,
)


@given(STEPS)
def test_trading_preserves_all_amounts_but_the_commission(steps: list[tuple[Any, ...]]) -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", opening_balance=Decimal(1000)))
    connection = harness.open_subscribed()
    trading = harness.exchange.trading
    for name, *how in steps:
        try:
            if name == "price":
                trading.set_price("BTCUSDT", how[0], harness.now)
            elif name == "place":
                side, kind, price, stop = how
                stopped = {"stop_price": stop} if "STOP" in kind or "TAKE" in kind else {}
                request = OrderRequest(side=side, type=kind, quantity=3, price=price, **stopped)
                trading.place_order(harness.user.uid, request, harness.now)
            elif name == "fill":
                trading.fill_order(how[0], 1, how[1], harness.now)
            else:
                trading.cancel_order(how[0], harness.now)
        except ValueError:
            pass
    expected = {BTC: Decimal(1000), USDT: Decimal(1000)}
    last: dict[str, dict[str, str]] = {}
    for event in read_events(harness, connection):
        if event["e"] == "executionReport" and event["x"] == "TRADE":
            sign = 1 if event["S"] == "BUY" else -1
            expected[BTC] += sign * Decimal(event["l"])
            expected[USDT] -= sign * Decimal(event["Y"])
            expected[event["N"]] -= Decimal(event["n"])
        for entry in event.get("B", ()):
            last[entry["a"]] = entry
    for asset, balance in trading.balances(harness.user.uid, "cross").items():
        assert balance.total == expected[asset]
        assert balance.free >= 0
        assert balance.locked >= 0
        if asset in last:
            assert (Decimal(last[asset]["f"]), Decimal(last[asset]["l"])) == (balance.free, balance.locked)
    open_orders = trading.open_orders(harness.user.uid, "cross")
    assert locked(harness) == sum(o.remaining * (o.price if o.side == "BUY" else 1) for o in open_orders)
    assert harness.now == START_MS
