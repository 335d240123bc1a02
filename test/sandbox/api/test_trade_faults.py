"""Faults and rules of the trading calls over sockets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sandbox_client import SandboxClient, read_json
from trading_client import TradingClient

from binance_margin_stream.sandbox import create_fault

MakeTrader = Callable[..., TradingClient]
ORDER = "/sapi/v1/margin/order"


def test_an_order_that_exists_may_be_unknown_for_a_moment(trader: TradingClient) -> None:
    order_id = trader.order(price="90").json["orderId"]
    trader.exchange.inject_fault("order-not-found", times=2)
    assert trader.call("GET", "/order", symbol="BTCUSDT", orderId=order_id).code == -2013
    assert trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=order_id).code == -2011
    assert trader.get("/order", symbol="BTCUSDT", orderId=order_id)["status"] == "NEW"


@pytest.mark.parametrize("path", ["/myTrades", "/openOrders", "/allOrders"])
def test_a_query_may_be_empty_once(trader: TradingClient, path: str) -> None:
    trader.order()
    trader.order(price="90")
    trader.exchange.inject_fault("empty-rows", path=f"/sapi/v1/margin{path}")
    assert trader.get(path, symbol="BTCUSDT") == []
    assert trader.get(path, symbol="BTCUSDT") != []


def test_rows_may_be_missing(make_trader: MakeTrader) -> None:
    trader = make_trader()
    for _ in range(40):
        trader.order()
    trader.exchange.inject_fault(create_fault("missing-rows", share=0.5))
    assert 0 < len(trader.get("/myTrades", symbol="BTCUSDT")) < 40
    assert len(trader.get("/myTrades", symbol="BTCUSDT")) == 40
    trader.exchange.inject_fault(create_fault("missing-rows", share=1.0))
    assert trader.get("/transfer") == {"rows": [], "total": 0}


def test_an_order_may_take_effect_although_the_response_is_lost(trader: TradingClient) -> None:
    trader.exchange.inject_fault(create_fault("unknown-outcome", status=502), path=ORDER)
    with pytest.raises(ValueError, match="Expecting value"):
        trader.order(newClientOrderId="mine")
    assert trader.get("/order", symbol="BTCUSDT", origClientOrderId="mine")["status"] == "FILLED"


def test_a_fill_may_come_after_the_cancel(trader: TradingClient) -> None:
    order_id = trader.order(price="90").json["orderId"]
    trader.exchange.inject_fault(create_fault("late-fill", seconds=5.0))
    with SandboxClient(trader.exchange).open_subscribed() as websocket:
        trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=order_id)
        trader.exchange.advance_time(5)
        events = [read_json(websocket)["event"] for _ in range(4)]
    assert [(event.get("x"), event.get("X")) for event in events if event["e"] == "executionReport"] == [
        ("CANCELED", "CANCELED"),
        ("TRADE", "CANCELED"),
    ]
    row = trader.get("/order", symbol="BTCUSDT", orderId=order_id)
    assert (row["status"], row["executedQty"]) == ("CANCELED", "1.00000000")
    assert len(trader.get("/myTrades", symbol="BTCUSDT", orderId=order_id)) == 1


def test_commission_may_be_null(trader: TradingClient, make_trader: MakeTrader) -> None:
    trader.order()
    trader.exchange.inject_fault("null-commission")
    assert [row["commission"] for row in trader.get("/myTrades", symbol="BTCUSDT")] == [None]
    assert [row["commission"] for row in trader.get("/myTrades", symbol="BTCUSDT")] == ["0.00100000"]
    other = make_trader(trade_commission="missing")
    other.order()
    assert [row["commissionAsset"] for row in other.get("/myTrades", symbol="BTCUSDT")] == [None]


def test_a_symbol_may_be_traded_that_nobody_watches(trader: TradingClient) -> None:
    trader.exchange.inject_fault(create_fault("unexpected-trade", symbol="SOLUSDT"))
    assert {flow["symbol"] for flow in trader.get("/capital-flow")} == {"SOLUSDT"}
    assert len(trader.get("/myTrades", symbol="SOLUSDT")) == 1


@pytest.mark.parametrize(("fault", "status", "code"), [("order-limit", 429, -1015), ("archived-order", 400, -2026)])
def test_errors_by_name(trader: TradingClient, fault: str, status: int, code: int) -> None:
    trader.exchange.inject_fault(fault)
    refused = trader.call("GET", "/order", symbol="BTCUSDT", orderId=1)
    assert (refused.status, refused.code) == (status, code)


def test_faults_are_limited_to_an_account(trader: TradingClient) -> None:
    trader.exchange.inject_fault("api-error", account="BTCUSDT")
    assert trader.order().status == 200
    assert trader.order(isIsolated="TRUE").code == -3003


def test_open_questions_have_two_readings(make_trader: MakeTrader) -> None:
    trader = make_trader(
        stop_trigger_message="seen",
        fill_trade_id="missing",
        order_row_list_id="present",
        capital_flow_sign="signed",
        transfer_time_unit="s",
        max_borrowable_weight="50_ip",
        open_orders_weight="once",
        order_time_filter="updated",
    )
    stop = trader.order("SELL", "STOP_LOSS", stopPrice="110")
    assert stop.json["msg"] == "Stop price would trigger immediately."
    placed = trader.order()
    assert "tradeId" not in placed.json["fills"][0]
    assert trader.get("/order", symbol="BTCUSDT", orderId=placed.json["orderId"])["orderListId"] == -1
    assert trader.get("/capital-flow", type="BUY_EXPENSE")[0]["amount"] == "-100.00000000"
    trader.call("POST", "/sapi/v1/asset/transfer", type="MAIN_MARGIN", asset="USDT", amount="1")
    assert len(str(trader.get("/transfer")["rows"][0]["timestamp"])) == 10
    assert trader.call("GET", "/maxBorrowable", asset="USDT").headers["X-SAPI-USED-IP-WEIGHT-1M"] == "50"
    assert trader.call("GET", "/openOrders").headers["X-SAPI-USED-IP-WEIGHT-1M"] == "10"
    assert len(trader.get("/allOrders", symbol="BTCUSDT")) == 1
