"""Debt, interest and margin levels, up to forced liquidation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_harness import LISTEN_KEY_V2_PATH, RISK_LISTEN_KEY_PATH, START_MS, ExchangeHarness

from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.sandbox.config import HOUR_MS
from binance_margin_stream.sandbox.model.orders import OrderRequest

POOR = ExchangeRules(retired_endpoints="served", opening_balance=Decimal(0))


@pytest.fixture
def harness() -> ExchangeHarness:
    """An account with 1,000 USDT only."""
    harness = ExchangeHarness(POOR)
    harness.exchange.trading.change_balance(harness.user.uid, "cross", "USDT", 1000, harness.now)
    return harness


def subscribe_all(harness: ExchangeHarness) -> int:
    """A connection that receives all events: orders, balances and margin."""
    return harness.open_connection("/ws/" + harness.create_listen_key(LISTEN_KEY_V2_PATH))


def risk_events(harness: ExchangeHarness, connection: int) -> list[Any]:
    return [event for event in harness.take_texts(connection) if event["e"].isupper()]


def statuses(harness: ExchangeHarness, connection: int) -> list[tuple[str, str]]:
    return [(e["l"], e["s"]) for e in risk_events(harness, connection) if e["e"] == "MARGIN_LEVEL_STATUS_CHANGE"]


def balances(harness: ExchangeHarness, account: str = "cross") -> dict[str, tuple[Decimal, Decimal]]:
    """Free amount and debt, by asset."""
    held = harness.exchange.trading.balances(harness.user.uid, account)
    return {asset: (balance.free, balance.debt) for asset, balance in held.items()}


def test_a_borrowed_amount_is_debt_until_it_is_repaid(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    connection = subscribe_all(harness)
    trading.borrow(uid, "cross", "BTC", 2, harness.now)
    assert balances(harness)["BTC"] == (2, 2)
    trading.repay(uid, "cross", "BTC", "0.5", harness.now)
    assert balances(harness)["BTC"] == (Decimal("1.5"), Decimal("1.5"))
    harness.take_texts(connection)
    trading.repay(uid, "cross", "BTC", None, harness.now)
    assert balances(harness)["BTC"] == (0, 0)
    liability, update, position = harness.take_texts(connection)[:3]
    assert liability == {
        "e": "USER_LIABILITY_CHANGE",
        "E": START_MS,
        "a": "BTC",
        "t": "REPAY",
        "p": "1.50000000",
        "i": "0.00000000",
    }
    assert (update["e"], update["a"], update["d"]) == ("balanceUpdate", "BTC", "-1.50000000")
    assert position["B"] == [{"a": "BTC", "f": "0.00000000", "l": "0.00000000"}]


def test_charged_interest_is_repaid_first(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.borrow(uid, "cross", "USDT", 100, harness.now)
    trading.change_balance(uid, "cross", "BTC", 1, harness.now)  # not borrowed, so nothing is charged on it
    connection = subscribe_all(harness)
    trading.charge_interest(uid, "cross", "0.01", harness.now)
    (charged,) = risk_events(harness, connection)
    assert (charged["t"], charged["p"], charged["i"]) == ("INTEREST", "0.00000000", "1.00000000")
    trading.repay(uid, "cross", "USDT", 3, harness.now)
    (repaid,) = risk_events(harness, connection)
    assert (repaid["t"], repaid["p"], repaid["i"]) == ("REPAY", "2.00000000", "1.00000000")
    assert balances(harness)["USDT"] == (1097, 98)


def test_interest_is_charged_at_every_full_hour_while_there_is_debt() -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served", hourly_interest_rate=Decimal("0.0001")))
    trading, uid = harness.exchange.trading, harness.user.uid
    harness.advance_time(1800)
    trading.borrow(uid, "cross", "USDT", 1000, harness.now)
    risk = harness.open_connection("/ws/" + harness.create_listen_key(RISK_LISTEN_KEY_PATH))
    harness.advance_time(3000)
    (charged,) = harness.take_texts(risk)
    assert (charged["t"], charged["i"]) == ("INTEREST", "0.10000000")
    assert charged["E"] == (START_MS // HOUR_MS + 1) * HOUR_MS
    harness.now += 10 * HOUR_MS  # a jump charges each hour that it skips
    harness.exchange.advance(harness.now)
    assert trading.balances(uid, "cross")["USDT"].interest == Decimal("1.1")
    trading.repay(uid, "cross", "USDT", None, harness.now)
    harness.advance_time(90_000, answer_pings=False)
    assert harness.exchange.next_deadline() is None


def test_interest_can_cause_a_margin_call() -> None:
    harness = ExchangeHarness(
        ExchangeRules(retired_endpoints="served", opening_balance=Decimal(0), hourly_interest_rate=Decimal("0.1"))
    )
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.change_balance(uid, "cross", "USDT", 1000, harness.now)
    trading.borrow(uid, "cross", "USDT", 950, harness.now)
    connection = subscribe_all(harness)
    harness.advance_time(3600)
    assert statuses(harness, connection) == [("1.8660", "NORMAL")]


@pytest.mark.parametrize(
    ("asset", "amount", "words"),
    [("BTC", "3", "debt is 2 BTC, not 3"), ("ETH", None, "no debt in ETH"), ("BTC", "0", "above zero")],
)
def test_more_than_the_debt_cannot_be_repaid(
    harness: ExchangeHarness, asset: str, amount: str | None, words: str
) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.borrow(uid, "cross", "BTC", 2, harness.now)
    with pytest.raises(ValueError, match=words):
        trading.repay(uid, "cross", asset, amount, harness.now)
    trading.change_balance(uid, "cross", "BTC", -2, harness.now)
    with pytest.raises(ValueError, match="not enough BTC"):
        trading.repay(uid, "cross", "BTC", 1, harness.now)


def test_an_external_lock_sends_an_event_and_can_be_removed(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    connection = subscribe_all(harness)
    trading.change_external_lock(uid, "cross", "USDT", 400, harness.now)
    update, position = harness.take_texts(connection)
    assert update == {"e": "externalLockUpdate", "E": START_MS, "a": "USDT", "d": "400.00000000", "T": START_MS}
    assert position["B"] == [{"a": "USDT", "f": "600.00000000", "l": "400.00000000"}]
    for too_much in (601, -401):
        with pytest.raises(ValueError, match="600 free, 400 locked"):
            trading.change_external_lock(uid, "cross", "USDT", too_much, harness.now)
    trading.change_external_lock(uid, "cross", "USDT", -400, harness.now)
    assert balances(harness)["USDT"] == (1000, 0)


def test_the_level_is_assets_divided_by_debt(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    assert trading.margin_level(uid, "cross") == 999
    trading.borrow(uid, "cross", "BTC", 5, harness.now)  # at the opening price of 100
    before = trading.balances(uid, "cross")
    assert trading.margin_level(uid, "cross") == 3
    trading.set_price("BTCUSDT", 200, harness.now)
    assert trading.margin_level(uid, "cross") == 2
    trading.repay(uid, "cross", "BTC", None, harness.now)
    assert before["BTC"].borrowed == 5  # a copy does not change


def test_each_status_of_a_falling_level_sends_an_event_and_the_last_liquidates_the_account(
    harness: ExchangeHarness,
) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.borrow(uid, "cross", "BTC", 5, harness.now)
    trading.change_balance(uid, "cross", "BTC", -5, harness.now)
    trading.set_price("BTCUSDT", 90, harness.now)
    connection = subscribe_all(harness)
    trading.set_price("BTCUSDT", 120, harness.now)
    trading.set_price("BTCUSDT", 125, harness.now)
    assert statuses(harness, connection) == [("1.6666", "NORMAL")]  # once: it stays in that status
    trading.set_price("BTCUSDT", 155, harness.now)
    trading.set_price("BTCUSDT", 170, harness.now)
    trading.set_price("BTCUSDT", 100, harness.now)
    assert statuses(harness, connection) == [
        ("1.2903", "MARGIN_CALL"),
        ("1.1764", "PRE_LIQUIDATION"),
        ("2.0000", "NORMAL"),
    ]
    trading.set_price("BTCUSDT", 190, harness.now)
    names = [(event["e"], event.get("s", event.get("x"))) for event in harness.take_texts(connection)]
    assert names[0] == ("MARGIN_LEVEL_STATUS_CHANGE", "FORCE_LIQUIDATION")
    assert names[-1] == ("MARGIN_LEVEL_STATUS_CHANGE", "EXCESSIVE")


def test_a_liquidation_cancels_orders_buys_the_debt_and_repays_it(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.borrow(uid, "cross", "BTC", 5, harness.now)
    trading.change_balance(uid, "cross", "BTC", -5, harness.now)
    trading.place_order(uid, OrderRequest(price=50), harness.now)
    connection = subscribe_all(harness)
    trading.set_price("BTCUSDT", 190, harness.now)
    told = harness.take_texts(connection)
    steps = [event.get("x") or event.get("t") or event.get("s") or event["e"] for event in told]
    assert steps == [
        "FORCE_LIQUIDATION",
        "CANCELED",
        "outboundAccountPosition",
        "NEW",
        "TRADE",
        "outboundAccountPosition",
        "REPAY",
        "balanceUpdate",
        "outboundAccountPosition",
        "EXCESSIVE",
    ]
    trade = told[4]
    assert (trade["S"], trade["o"], trade["X"], trade["L"]) == ("BUY", "MARKET", "FILLED", "190.00000000")
    bitcoin, dollars = balances(harness)["BTC"], balances(harness)["USDT"]
    assert bitcoin[1] == 0
    assert 0 <= bitcoin[0] < Decimal("0.00000002")
    assert dollars == (1000 - Decimal(trade["Y"]), 0)
    assert trading.open_orders(uid, "cross") == []


def test_a_liquidation_sells_no_more_than_the_debt_needs(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.set_price("ETHUSDT", 100, harness.now)
    trading.borrow(uid, "cross", "USDT", 500, harness.now)
    trading.place_order(uid, OrderRequest("ETHUSDT", type="MARKET", quantity=14), harness.now)
    trading.change_balance(uid, "cross", "USDT", -100, harness.now)
    trading.set_price("ETHUSDT", 38, harness.now)
    assert balances(harness)["USDT"][1] == 0
    sold = Decimal(500) / Decimal("0.999") / 38
    assert balances(harness)["ETH"][0] == pytest.approx(Decimal("13.986") - sold, abs=Decimal("0.000001"))
    assert trading.margin_level(uid, "cross") == 999


def test_a_liquidation_sells_no_more_than_is_missing(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.change_balance(uid, "cross", "ETH", 10, harness.now)
    trading.borrow(uid, "cross", "BTC", 10, harness.now)
    trading.change_balance(uid, "cross", "BTC", -10, harness.now)
    trading.set_price("BTCUSDT", 185, harness.now)
    assert balances(harness)["BTC"][1] == 0
    sold = (1850 / Decimal("0.999") - 1000) / Decimal("0.999") / 100
    assert balances(harness)["ETH"][0] == pytest.approx(10 - sold, abs=Decimal("0.000001"))


def test_debt_that_cannot_be_repaid_remains(harness: ExchangeHarness) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.borrow(uid, "cross", "BTC", 5, harness.now)
    trading.change_balance(uid, "cross", "BTC", -5, harness.now)
    connection = subscribe_all(harness)
    trading.set_price("BTCUSDT", 1000, harness.now)
    assert [status for _, status in statuses(harness, connection)] == ["FORCE_LIQUIDATION"]
    assert balances(harness)["USDT"][0] < Decimal("0.00001")
    assert balances(harness)["BTC"][1] == Decimal("4.001")
    trading.set_price("BTCUSDT", 1001, harness.now)
    assert harness.take_texts(connection) == []


def test_an_isolated_account_is_liquidated_separately() -> None:
    harness = ExchangeHarness(POOR)
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.change_balance(uid, "BTCUSDT", "USDT", 1000, harness.now)
    trading.change_balance(uid, "ETHUSDT", "USDT", 1000, harness.now)
    for account, asset in (("BTCUSDT", "BTC"), ("ETHUSDT", "ETH")):
        trading.borrow(uid, account, asset, 5, harness.now)
        trading.change_balance(uid, account, asset, -5, harness.now)
    assert trading.margin_level(uid, "BTCUSDT") == trading.margin_level(uid, "ETHUSDT") == 2
    cross, isolated = subscribe_all(harness), harness.open_subscribed(isIsolated="true", symbol="BTCUSDT")
    trading.set_price("BTCUSDT", 190, harness.now)
    events = [text["event"]["e"] for text in harness.take_texts(isolated)]
    assert events == [
        "executionReport",
        "executionReport",
        "outboundAccountPosition",
        "balanceUpdate",
        "outboundAccountPosition",
    ]
    assert harness.take_texts(cross) == []  # only the cross account has margin level events
    assert balances(harness, "BTCUSDT")["BTC"][1] == 0
    assert balances(harness, "ETHUSDT")["ETH"][1] == 5


@pytest.mark.parametrize(
    ("account", "asset", "words"), [("BTCUSDT", "ETH", "holds BTC and USDT"), ("NOSUCH", "BTC", "no symbol NOSUCH")]
)
def test_an_isolated_account_holds_its_pair_only(
    harness: ExchangeHarness, account: str, asset: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        harness.exchange.trading.borrow(harness.user.uid, account, asset, 1, harness.now)
    with pytest.raises(ValueError, match=words):
        harness.exchange.trading.change_balance(harness.user.uid, account, asset, 1, harness.now)


@pytest.mark.parametrize(
    ("symbol", "price", "asset", "level"),
    [
        ("BTCUSDC", "200", "BTC", "2"),
        ("USDTBRL", "5", "BRL", "999"),
        ("ETHBTC", "9", "ETH", "3"),
        ("X", "", "USDC", "201"),
    ],
)
def test_assets_are_valued_in_dollars(
    harness: ExchangeHarness, symbol: str, price: str, asset: str, level: str
) -> None:
    trading, uid = harness.exchange.trading, harness.user.uid
    trading.borrow(uid, "cross", asset, 5, harness.now)
    if price:
        trading.set_price(symbol, price, harness.now)
    assert trading.margin_level(uid, "cross") == Decimal(level)


@pytest.mark.parametrize(
    "wrong",
    [
        {"opening_balance": Decimal(-1)},
        {"opening_balance": 5},
        {"opening_price": Decimal(0)},
        {"commission_rate": Decimal(1)},
        {"hourly_interest_rate": Decimal("NaN")},
        {"margin_level_thresholds": (Decimal(1), Decimal(2), Decimal(3), Decimal(4))},
        {"margin_level_thresholds": (Decimal(2), Decimal(1))},
    ],
)
def test_an_invalid_amount_in_a_rule_is_refused(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"ExchangeRules.{name} takes"):
        ExchangeRules(**wrong)  # type: ignore[arg-type]  # that is what is tested


def test_the_market_can_be_used_from_any_thread() -> None:
    with Sandbox(rules=POOR) as exchange:
        exchange.change_balance("USDT", 1000)
        exchange.borrow("USDT", "500")
        exchange.charge_interest("0.01")
        exchange.repay("USDT", 5)
        exchange.change_external_lock("USDT", 1)
        exchange.change_external_lock("USDT", -1)
        assert exchange.margin_level() == Decimal("2.99")
        exchange.set_price("BTCUSDT", 200)
        assert exchange.price("BTCUSDT") == 200
        order = exchange.place_order(side="BUY", type="STOP_LOSS_LIMIT", price="220", stop_price="210")
        assert [each.order_id for each in exchange.open_orders()] == [order.order_id]
        assert exchange.expire_order(order.order_id).status == "EXPIRED"
        assert exchange.reject_order(reason="OCO_BAD_PRICES").reject_reason == "OCO_BAD_PRICES"
        balance = exchange.balances()["USDT"]
        assert (balance.free, balance.locked, balance.borrowed, balance.interest) == (1495, 0, 500, 0)
        other = exchange.add_user()
        assert exchange.balances(api_key=other.api_key) == {}
