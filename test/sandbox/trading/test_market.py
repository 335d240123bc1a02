"""Prices, stops and how orders end: what an order does when the market comes to it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_harness import START, Desk
from hypothesis import given
from hypothesis import strategies as some

from binance_margin_stream.sandbox import Order, Rules

BTC, USDT = "BTC", "USDT"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def place(desk: Desk, side: str = "BUY", kind: str = "LIMIT", price: str | None = "100", **more: str) -> Order:
    trading = desk.exchange.trading
    return trading.place(desk.user.uid, "cross", "BTCUSDT", side, kind, "2", price, desk.now, **more)  # type: ignore[arg-type]  # by name


def told(desk: Desk, connection: int) -> list[Any]:
    return [text["event"] for text in desk.texts(connection)]


def reports(desk: Desk, connection: int) -> list[tuple[str, str, str, bool]]:
    """Execution type, order status, last price and whether it is on the book, of each execution report."""
    return [(e["x"], e["X"], e["L"], e["w"]) for e in told(desk, connection) if e["e"] == "executionReport"]


def free(desk: Desk, asset: str) -> Decimal:
    return desk.exchange.trading.balances(desk.user.uid, "cross")[asset].free


def locked(desk: Desk) -> Decimal:
    return sum((b.locked for b in desk.exchange.trading.balances(desk.user.uid, "cross").values()), Decimal(0))


def test_an_order_rests_until_the_price_comes_to_it(desk: Desk) -> None:
    connection = desk.subscribed()
    order = place(desk)
    desk.exchange.trading.set_price("BTCUSDT", "101", desk.now)
    assert reports(desk, connection) == [("NEW", "NEW", "0.00000000", True)]
    desk.exchange.trading.set_price("BTCUSDT", "99", desk.now)
    trade, position = told(desk, connection)
    assert (trade["x"], trade["X"], trade["i"], trade["m"]) == ("TRADE", "FILLED", order.order_id, True)
    assert trade["L"] == "100.00000000"  # a resting order trades at its own price
    assert [entry["a"] for entry in position["B"]] == [BTC, USDT]


def test_an_order_that_meets_the_market_trades_at_the_markets_price(desk: Desk) -> None:
    desk.exchange.trading.set_price("BTCUSDT", "90", desk.now)
    connection = desk.subscribed()
    order = place(desk)
    new, trade, _ = told(desk, connection)
    assert (new["x"], trade["x"], trade["L"], trade["m"]) == ("NEW", "TRADE", "90.00000000", False)
    assert (order.status, free(desk, USDT), locked(desk)) == ("FILLED", Decimal(999_820), 0)


def test_without_a_price_an_order_takes_the_symbols(desk: Desk) -> None:
    desk.exchange.trading.set_price("BTCUSDT", "250", desk.now)
    assert place(desk, "SELL", "MARKET", None).filled_quote == 500
    assert desk.exchange.trading.price("BTCUSDT") == 250
    assert desk.exchange.trading.price("ETHUSDT") == 100


@pytest.mark.parametrize(("working_time", "expected"), [("integer", START + 5000), ("string", str(START + 5000))])
def test_a_report_tells_since_when_the_order_is_on_the_book(working_time: str, expected: object) -> None:
    desk = Desk(Rules(retired_calls="served", working_time=working_time))  # type: ignore[arg-type]  # literal
    connection = desk.subscribed()
    place(desk, "SELL", "STOP_LOSS_LIMIT", "200", stop_price="80")
    assert "W" not in told(desk, connection)[0]
    desk.pass_time(5)
    desk.exchange.trading.set_price("BTCUSDT", "80", desk.now)
    assert told(desk, connection)[0]["W"] == expected
    desk.pass_time(5)
    desk.exchange.trading.fill(1, "0.5", None, desk.now)
    desk.exchange.trading.cancel(1, desk.now)
    partly, _, cancelled, _ = told(desk, connection)
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
def test_a_stop_wakes_when_its_price_is_reached(
    desk: Desk, kind: str, side: str, stop: str, quiet: str, reached: str
) -> None:
    connection = desk.subscribed()
    far = "200" if side == "SELL" else "50"
    place(desk, side, kind, far, stop_price=stop)
    desk.exchange.trading.set_price("BTCUSDT", quiet, desk.now)
    assert reports(desk, connection) == [("NEW", "NEW", "0.00000000", False)]
    desk.exchange.trading.set_price("BTCUSDT", reached, desk.now)
    assert reports(desk, connection) == [("NEW", "NEW", "0.00000000", True)]
    desk.exchange.trading.set_price("BTCUSDT", far, desk.now)
    assert reports(desk, connection) == [("TRADE", "FILLED", f"{far}.00000000", False)]


def test_a_stop_at_market_trades_as_soon_as_it_wakes(desk: Desk) -> None:
    connection = desk.subscribed()
    place(desk, "SELL", "STOP_LOSS", None, stop_price="80")
    desk.exchange.trading.set_price("BTCUSDT", "70", desk.now)
    assert [(x, X, L) for x, X, L, _ in reports(desk, connection)] == [
        ("NEW", "NEW", "0.00000000"),
        ("TRADE", "FILLED", "70.00000000"),
    ]


def test_a_stop_at_market_that_cannot_be_paid_any_more_expires() -> None:
    desk = Desk(Rules(retired_calls="served", opening_balance=Decimal(250)))
    connection = desk.subscribed()
    place(desk, "BUY", "STOP_LOSS", None, stop_price="120")
    desk.exchange.trading.set_price("BTCUSDT", "130", desk.now)
    assert reports(desk, connection)[-1][:2] == ("EXPIRED", "EXPIRED")
    assert (free(desk, USDT), locked(desk)) == (250, 0)


@pytest.mark.parametrize(
    ("kind", "stop", "reason"),
    [
        ("LIMIT_MAKER", "0", "WOULD_MATCH_IMMEDIATELY"),
        ("STOP_LOSS_LIMIT", "80", "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"),
    ],
)
def test_an_order_whose_type_forbids_what_it_would_do_is_rejected(
    desk: Desk, kind: str, stop: str, reason: str
) -> None:
    desk.exchange.trading.set_price("BTCUSDT", "90", desk.now)
    connection = desk.subscribed()
    order = place(desk, "BUY", kind, stop_price=stop)
    (report,) = told(desk, connection)
    assert (report["x"], report["X"], report["r"]) == ("REJECTED", "REJECTED", reason)
    assert (order.status, order.reject_reason, locked(desk)) == ("REJECTED", reason, 0)


def test_an_order_that_cannot_be_paid_is_rejected_and_moves_nothing(desk: Desk) -> None:
    connection = desk.subscribed()
    order = place(desk, price="500001")
    (report,) = told(desk, connection)
    assert (report["x"], report["X"], report["r"]) == ("REJECTED", "REJECTED", "INSUFFICIENT_BALANCES")
    assert (report["w"], report["t"], free(desk, USDT), locked(desk)) == (False, -1, 1_000_000, 0)
    with pytest.raises(ValueError, match="REJECTED"):
        desk.exchange.trading.cancel(order.order_id, desk.now)


def test_an_order_can_be_rejected_by_hand(desk: Desk) -> None:
    connection = desk.subscribed()
    uid = desk.user.uid
    desk.exchange.trading.reject(uid, "cross", "BTCUSDT", "BUY", "LIMIT", 1, 5, "OCO_BAD_PRICES", desk.now)
    (report,) = told(desk, connection)
    assert (report["x"], report["r"]) == ("REJECTED", "OCO_BAD_PRICES")


def test_an_order_can_expire(desk: Desk) -> None:
    connection = desk.subscribed()
    order = place(desk)
    desk.exchange.trading.fill(order.order_id, "0.5", None, desk.now)
    told(desk, connection)
    assert desk.exchange.trading.expire(order.order_id, desk.now).status == "EXPIRED"
    report, position = told(desk, connection)
    assert (report["x"], report["X"], report["z"], report["C"]) == ("EXPIRED", "EXPIRED", "0.50000000", "")
    assert position["B"][1] == {"a": "USDT", "f": "999950.00000000", "l": "0.00000000"}


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_an_order_that_may_not_wait_trades_or_expires(desk: Desk, time_in_force: str) -> None:
    connection = desk.subscribed()
    assert place(desk, time_in_force=time_in_force).status == "EXPIRED"
    assert [event["f"] for event in told(desk, connection) if event["e"] == "executionReport"] == [time_in_force] * 2
    assert locked(desk) == 0
    desk.exchange.trading.set_price("BTCUSDT", "100", desk.now)
    assert place(desk, time_in_force=time_in_force).status == "FILLED"


def test_nobody_trades_worse_than_the_limit(desk: Desk) -> None:
    buy, sell = place(desk), place(desk, "SELL")
    with pytest.raises(ValueError, match="limited to 100"):
        desk.exchange.trading.fill(buy.order_id, None, "101", desk.now)
    with pytest.raises(ValueError, match="limited to 100"):
        desk.exchange.trading.fill(sell.order_id, None, "99", desk.now)


def test_open_orders_are_those_that_can_still_happen(desk: Desk) -> None:
    first, second = place(desk), place(desk)
    uid = desk.user.uid
    assert [order.order_id for order in desk.exchange.trading.open_orders(uid, "cross")] == [1, 2]
    desk.exchange.trading.cancel(first.order_id, desk.now)
    desk.exchange.trading.fill(second.order_id, "1", None, desk.now)
    assert [order.remaining for order in desk.exchange.trading.open_orders(uid, "cross")] == [1]
    assert desk.exchange.trading.open_orders(uid, "BTCUSDT") == []


def test_orders_that_ended_long_ago_are_forgotten() -> None:
    desk = Desk(Rules(retired_calls="served", log_size=2))
    orders = [place(desk) for _ in range(4)]
    for order in orders:
        desk.exchange.trading.cancel(order.order_id, desk.now)
    with pytest.raises(ValueError, match="no order 1"):
        desk.exchange.trading.cancel(1, desk.now)
    with pytest.raises(ValueError, match="CANCELED"):
        desk.exchange.trading.cancel(4, desk.now)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "dear"])
def test_a_price_is_above_zero(desk: Desk, price: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        desk.exchange.trading.set_price("BTCUSDT", price, desk.now)
    with pytest.raises(ValueError, match="no symbol"):
        desk.exchange.trading.set_price("NOSUCH", "1", desk.now)


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
def test_whatever_is_traded_nothing_is_made_or_lost_but_the_commission(steps: list[tuple[Any, ...]]) -> None:
    desk = Desk(Rules(retired_calls="served", opening_balance=Decimal(1000)))
    connection = desk.subscribed()
    trading = desk.exchange.trading
    for name, *how in steps:
        try:
            if name == "price":
                trading.set_price("BTCUSDT", how[0], desk.now)
            elif name == "place":
                side, kind, price, stop = how
                stopped = {"stop_price": stop} if "STOP" in kind or "TAKE" in kind else {}
                trading.place(desk.user.uid, "cross", "BTCUSDT", side, kind, 3, price, desk.now, **stopped)
            elif name == "fill":
                trading.fill(how[0], 1, how[1], desk.now)
            else:
                trading.cancel(how[0], desk.now)
        except ValueError:
            pass
    expected = {BTC: Decimal(1000), USDT: Decimal(1000)}
    last: dict[str, dict[str, str]] = {}
    for event in told(desk, connection):
        if event["e"] == "executionReport" and event["x"] == "TRADE":
            sign = 1 if event["S"] == "BUY" else -1
            expected[BTC] += sign * Decimal(event["l"])
            expected[USDT] -= sign * Decimal(event["Y"])
            expected[event["N"]] -= Decimal(event["n"])
        for entry in event.get("B", ()):
            last[entry["a"]] = entry
    for asset, balance in trading.balances(desk.user.uid, "cross").items():
        assert balance.total == expected[asset]
        assert balance.free >= 0
        assert balance.locked >= 0
        if asset in last:
            assert (Decimal(last[asset]["f"]), Decimal(last[asset]["l"])) == (balance.free, balance.locked)
    open_orders = trading.open_orders(desk.user.uid, "cross")
    assert locked(desk) == sum(o.remaining * (o.price if o.side == "BUY" else 1) for o in open_orders)
    assert desk.now == START
