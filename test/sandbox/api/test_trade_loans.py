"""Loans, side effects, transfers, liquidation and their records over sockets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from trading_client import Answer, TradingClient

MakeTrader = Callable[..., TradingClient]
POOR = {"opening_balance": Decimal(0)}


def lend(trader: TradingClient, amount: str, type: str = "BORROW", **more: object) -> Answer:
    given = {"asset": "USDT", "isIsolated": "FALSE", "amount": amount, "type": type}
    return trader.call("POST", "/borrow-repay", **{**given, **more})


def get_asset(trader: TradingClient, asset: str = "USDT") -> dict[str, str]:
    rows = {row["asset"]: row for row in trader.get("/account")["userAssets"]}
    return {name: rows[asset][name] for name in ("free", "borrowed", "interest", "netAsset")}


@pytest.fixture
def poor(make_trader: MakeTrader) -> TradingClient:
    """A trader whose cross account has 1,000 USDT and nothing else."""
    trader = make_trader(hourly_interest_rate=Decimal("0.0001"), **POOR)
    trader.exchange.change_balance("USDT", "1000")
    return trader


def test_a_loan_is_taken_charged_and_repaid(poor: TradingClient) -> None:
    assert poor.get("/maxBorrowable", asset="USDT") == {"amount": "2000.00000000", "borrowLimit": "10000000.00000000"}
    number = lend(poor, "1000").json["tranId"]
    assert get_asset(poor) == {
        "free": "2000.00000000",
        "borrowed": "1000.00000000",
        "interest": "0.00000000",
        "netAsset": "1000.00000000",
    }
    poor.exchange.advance_time(3600)
    assert get_asset(poor)["interest"] == "0.10000000"
    (charge,) = poor.get("/interestHistory")["rows"]
    assert (charge["interest"], charge["rawAsset"], charge["type"]) == ("0.10000000", "USDT", "PERIODIC")
    lend(poor, "500.1", "REPAY")
    (loan,) = poor.get("/borrow-repay", type="BORROW")["rows"]
    assert (loan["txId"], loan["amount"], loan["type"], loan["status"]) == (
        number,
        "1000.00000000",
        "MANUAL",
        "CONFIRMED",
    )
    (repayment,) = poor.get("/borrow-repay", type="REPAY", asset="USDT")["rows"]
    assert (repayment["principal"], repayment["interest"]) == ("500.00000000", "0.10000000")
    assert [flow["type"] for flow in poor.get("/capital-flow", limit=2)] == ["BORROW", "REPAY"]


@pytest.mark.parametrize(
    ("amount", "kind", "more", "code"),
    [
        ("2000.01", "BORROW", {}, -3006),
        ("1", "REPAY", {}, -3015),
        ("0", "BORROW", {}, -3026),
        ("1", "BORROW", {"asset": "NOSUCH"}, -3027),
        ("1", "BORROW", {"isIsolated": "TRUE"}, -1102),
        ("1", "BORROW", {"isIsolated": "TRUE", "symbol": "BTCUSDT", "asset": "ETH"}, -3027),
        ("1", "LEND", {}, -1130),
    ],
)
def test_an_impossible_loan_is_refused(
    poor: TradingClient, amount: str, kind: str, more: dict[str, object], code: int
) -> None:
    assert lend(poor, amount, kind, **more).code == code
    assert get_asset(poor)["free"] == "1000.00000000"


def test_a_margin_buy_borrows_what_is_missing_and_returns_it_on_cancel(poor: TradingClient) -> None:
    order = poor.order(quantity="15", sideEffectType="MARGIN_BUY", price="90").json
    assert (order["marginBuyBorrowAmount"], order["marginBuyBorrowAsset"]) == (350.0, "USDT")
    assert get_asset(poor)["borrowed"] == "350.00000000"
    poor.call("DELETE", "/order", symbol="BTCUSDT", orderId=order["orderId"])
    assert get_asset(poor)["borrowed"] == "0.00000000"
    assert [row["type"] for row in poor.get("/borrow-repay", type="REPAY")["rows"]] == ["AUTO"]
    kept = poor.order(quantity="15", sideEffectType="MARGIN_BUY", price="90", autoRepayAtCancel="false").json
    poor.call("DELETE", "/order", symbol="BTCUSDT", orderId=kept["orderId"])
    assert get_asset(poor)["borrowed"] == "350.00000000"


def test_a_loan_may_be_taken_at_execution(make_trader: MakeTrader) -> None:
    trader = make_trader(borrow_time="execution", **POOR)
    trader.exchange.change_balance("USDT", "1000")
    trader.order(quantity="15", sideEffectType="MARGIN_BUY", price="90")
    assert get_asset(trader)["borrowed"] == "0.00000000"
    trader.exchange.set_price("BTCUSDT", "90")
    assert get_asset(trader)["borrowed"] == "350.00000000"


def test_a_sale_repays_the_debt_of_what_it_brings_in(poor: TradingClient) -> None:
    poor.order(quantity="15", type="MARKET", sideEffectType="AUTO_BORROW_REPAY")
    assert get_asset(poor)["borrowed"] == "500.00000000"
    poor.order("SELL", "MARKET", quantity="10", sideEffectType="AUTO_REPAY")
    assert get_asset(poor)["borrowed"] == "0.00000000"


def test_auto_borrow_repay_may_have_ended(make_trader: MakeTrader) -> None:
    trader = make_trader(auto_borrow_repay="refused")
    assert trader.order(sideEffectType="AUTO_BORROW_REPAY").code == -1130


def test_a_loan_beyond_the_leverage_is_refused(poor: TradingClient) -> None:
    assert poor.order(quantity="40", sideEffectType="MARGIN_BUY").code == -3006


def test_money_moves_between_spot_cross_and_isolated(make_trader: MakeTrader) -> None:
    trader = make_trader()
    path = "/sapi/v1/asset/transfer"
    trader.call("POST", path, body=True, type="MAIN_MARGIN", asset="USDT", amount="10")
    trader.call("POST", path, type="MARGIN_ISOLATEDMARGIN", toSymbol="BTCUSDT", asset="USDT", amount="4")
    assert get_asset(trader)["free"] == "1000006.00000000"
    (account,) = trader.get("/isolated/account")["assets"]
    assert account["quoteAsset"]["free"] == "1000004.00000000"
    rows = trader.get("/transfer")["rows"]
    assert [(row["type"], row["transFrom"], row["transTo"], row["toSymbol"]) for row in rows] == [
        ("ROLL_OUT", "CROSS_MARGIN", "ISOLATED_MARGIN", "BTCUSDT"),
        ("ROLL_IN", "SPOT", "CROSS_MARGIN", ""),
    ]
    assert trader.get("/transfer", type="ROLL_IN", size=1)["total"] == 1
    assert trader.get(path, type="MAIN_MARGIN")["total"] == 1
    assert trader.call("POST", path, type="MAIN_MARGIN", asset="USDT", amount="1000000").code == -3041
    assert trader.call("POST", path, type="MARGIN_MAIN", asset="USDT", amount="2000000").code == -3020
    assert trader.call("POST", path, type="MARGIN_ISOLATEDMARGIN", asset="USDT", amount="1").code == -1102


def test_a_forced_liquidation_is_recorded(poor: TradingClient) -> None:
    lend(poor, "2000")
    poor.order(type="MARKET", quantity="30")
    poor.exchange.set_price("BTCUSDT", "70")
    (row,) = poor.get("/forceLiquidationRec")["rows"]
    assert (row["symbol"], row["side"], row["avgPrice"]) == ("BTCUSDT", "SELL", "70.00000000")
    assert poor.get("/order", symbol="BTCUSDT", orderId=row["orderId"])["status"] == "FILLED"


def test_an_isolated_account_is_disabled_once_a_day(trader: TradingClient) -> None:
    symbol = {"symbol": "BTCUSDT"}
    assert trader.call("DELETE", "/isolated/account", **symbol).json == {"success": True, **symbol}
    assert trader.order(isIsolated="TRUE").code == -11001
    assert trader.call("POST", "/isolated/account", **symbol).json["success"] is True
    assert trader.order(isIsolated="TRUE").status == 200
    assert trader.call("DELETE", "/isolated/account", **symbol).code == -3026
    assert trader.get("/isolated/accountLimit")["enabledAccount"] == 1


def test_a_sub_account_without_margin_is_refused(trader: TradingClient) -> None:
    trader.exchange.disable_account("cross")
    assert trader.order().code == trader.call("GET", "/account").code == -3003


def test_the_liquidation_price_of_an_isolated_account(make_trader: MakeTrader) -> None:
    trader = make_trader(**POOR)
    trader.exchange.change_balance("USDT", "1000", account="BTCUSDT")
    lend(trader, "1000", isIsolated="TRUE", symbol="BTCUSDT")
    trader.order(type="MARKET", quantity="20", isIsolated="TRUE")
    (account,) = trader.get("/isolated/account", symbols="BTCUSDT")["assets"]
    assert (account["marginLevel"], account["marginLevelStatus"]) == ("1.99800000", "NORMAL")
    assert account["liquidatePrice"] == "55.05505506"


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("/capital-flow", {"startTime": 0, "endTime": 8 * 86_400_000}, -4047),
        ("/interestHistory", {"startTime": 0, "endTime": 31 * 86_400_000}, -3025),
        ("/borrow-repay", {}, -1102),
        ("/transfer", {"size": 101}, -1130),
        ("/isolated/account", {"symbols": "A,B,C,D,E,F"}, -3026),
    ],
)
def test_an_invalid_query_is_refused(
    trader: TradingClient, path: str, parameters: dict[str, object], code: int
) -> None:
    assert trader.call("GET", path, **parameters).code == code
