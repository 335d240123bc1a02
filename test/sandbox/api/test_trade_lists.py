"""Order lists over sockets: OCO, OTO and OTOCO."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_client import SandboxClient, read_json
from trading_client import Answer, TradingClient

SELL_OCO = {"side": "SELL", "quantity": "1", "price": "110", "stopPrice": "90"}


def place_oco(trader: TradingClient, **more: object) -> Answer:
    return trader.call("POST", "/order/oco", **{"symbol": "BTCUSDT", **SELL_OCO, **more})


def place_oto(trader: TradingClient, **more: object) -> Answer:
    given = {
        "workingType": "LIMIT",
        "workingSide": "BUY",
        "workingPrice": "95",
        "workingQuantity": "1",
        "workingTimeInForce": "GTC",
        "pendingType": "LIMIT",
        "pendingSide": "SELL",
        "pendingPrice": "105",
        "pendingQuantity": "1",
        "pendingTimeInForce": "GTC",
    }
    return trader.call("POST", "/order/oto", **{"symbol": "BTCUSDT", **given, **more})


def place_otoco(trader: TradingClient, **more: object) -> Answer:
    given = {
        "workingType": "LIMIT",
        "workingSide": "BUY",
        "workingPrice": "95",
        "workingQuantity": "1",
        "workingTimeInForce": "GTC",
        "pendingSide": "SELL",
        "pendingQuantity": "1",
        "pendingAboveType": "LIMIT_MAKER",
        "pendingAbovePrice": "105",
        "pendingBelowType": "STOP_LOSS",
        "pendingBelowStopPrice": "80",
    }
    return trader.call("POST", "/order/otoco", **{"symbol": "BTCUSDT", **given, **more})


def get_statuses(trader: TradingClient, placed: Answer) -> list[str]:
    return [
        trader.get("/order", symbol="BTCUSDT", orderId=order["orderId"])["status"] for order in placed.json["orders"]
    ]


def get_locked(trader: TradingClient) -> dict[str, str]:
    rows: list[dict[str, Any]] = trader.get("/account")["userAssets"]
    return {row["asset"]: row["locked"] for row in rows if float(row["locked"])}


@pytest.mark.parametrize(("price", "statuses"), [("111", ["EXPIRED", "FILLED"]), ("89", ["FILLED", "EXPIRED"])])
def test_one_order_of_an_oco_ends_the_other(trader: TradingClient, price: str, statuses: list[str]) -> None:
    placed = place_oco(trader, listClientOrderId="both")
    assert [report["type"] for report in placed.json["orderReports"]] == ["STOP_LOSS", "LIMIT_MAKER"]
    assert get_locked(trader) == {"BTC": "1.00000000"}
    assert len(trader.get("/openOrderList")) == 1
    trader.exchange.set_price("BTCUSDT", price)
    assert get_statuses(trader, placed) == statuses
    assert get_locked(trader) == {}
    done = trader.get("/orderList", origClientOrderId="both")
    assert (done["listStatusType"], done["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert trader.get("/openOrderList") == []
    assert trader.get("/allOrderList") == [done]


def test_a_buying_oco_locks_the_dearer_order(trader: TradingClient) -> None:
    limits = {"stopLimitPrice": "120", "stopLimitTimeInForce": "GTC"}
    placed = place_oco(trader, side="BUY", price="90", stopPrice="110", **limits)
    assert get_locked(trader) == {"USDT": "120.00000000"}
    trader.exchange.set_price("BTCUSDT", "90")
    assert get_statuses(trader, placed) == ["EXPIRED", "FILLED"]
    assert get_locked(trader) == {}
    (usdt,) = (row["free"] for row in trader.get("/account")["userAssets"] if row["asset"] == "USDT")
    assert usdt == "999910.00000000"


def test_the_events_of_an_oco(trader: TradingClient) -> None:
    with SandboxClient(trader.exchange).open_subscribed() as websocket:
        placed = place_oco(trader).json
        started = [read_json(websocket)["event"] for _ in range(3)]
        trader.exchange.set_price("BTCUSDT", "110")
        ended = [read_json(websocket)["event"] for _ in range(5)]
    assert (started[0]["e"], started[0]["L"]) == ("listStatus", "EXECUTING")
    assert [event["x"] for event in started[1:]] == ["NEW", "NEW"]
    assert {event["g"] for event in started} == {placed["orderListId"]}
    assert [event.get("x", event.get("L", event["e"])) for event in ended] == [
        "TRADE",
        "outboundAccountPosition",
        "EXPIRED",
        "outboundAccountPosition",
        "ALL_DONE",
    ]


def test_cancelling_one_order_cancels_its_list(trader: TradingClient) -> None:
    placed = place_oco(trader)
    trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=placed.json["orders"][0]["orderId"])
    assert get_statuses(trader, placed) == ["CANCELED", "CANCELED"]
    assert get_locked(trader) == {}
    again = place_oco(trader)
    answer = trader.call("DELETE", "/orderList", symbol="BTCUSDT", orderListId=again.json["orderListId"]).json
    assert (answer["listOrderStatus"], len(answer["orderReports"])) == ("ALL_DONE", 2)
    assert trader.call("DELETE", "/orderList", symbol="BTCUSDT", orderListId=again.json["orderListId"]).code == -2011


def test_cancelling_all_orders_reports_lists_as_lists(trader: TradingClient) -> None:
    trader.order(price="90")
    place_oco(trader)
    single, listed = trader.call("DELETE", "/openOrders", symbol="BTCUSDT").json
    assert (single["status"], len(listed["orderReports"])) == ("CANCELED", 2)


def test_a_pending_order_starts_when_the_working_one_is_filled(trader: TradingClient) -> None:
    placed = place_oto(trader)
    assert placed.json["contingencyType"] == "OTO"
    assert get_statuses(trader, placed) == ["NEW", "PENDING_NEW"]
    assert get_locked(trader) == {"USDT": "95.00000000"}
    trader.exchange.set_price("BTCUSDT", "95")
    assert get_statuses(trader, placed) == ["FILLED", "NEW"]
    assert get_locked(trader) == {"BTC": "1.00000000"}
    trader.exchange.set_price("BTCUSDT", "106")
    assert get_statuses(trader, placed) == ["FILLED", "FILLED"]
    assert trader.get("/allOrderList")[0]["listOrderStatus"] == "ALL_DONE"


def test_a_pending_order_ends_with_its_working_order(trader: TradingClient) -> None:
    placed = place_oto(trader)
    trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=placed.json["orders"][0]["orderId"])
    assert get_statuses(trader, placed) == ["CANCELED", "CANCELED"]
    assert get_locked(trader) == {}


def test_a_working_order_that_matches_starts_the_pending_one_at_once(trader: TradingClient) -> None:
    placed = place_oto(trader, workingPrice="100")
    assert [report["status"] for report in placed.json["orderReports"]] == ["FILLED", "NEW"]


@pytest.mark.parametrize(("price", "statuses"), [("106", ["EXPIRED", "FILLED"]), ("79", ["FILLED", "EXPIRED"])])
def test_the_pending_orders_of_an_otoco_end_each_other(trader: TradingClient, price: str, statuses: list[str]) -> None:
    placed = place_otoco(trader)
    assert get_statuses(trader, placed) == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    trader.exchange.set_price("BTCUSDT", "95")
    assert get_statuses(trader, placed) == ["FILLED", "NEW", "NEW"]
    assert get_locked(trader) == {"BTC": "1.00000000"}
    trader.exchange.set_price("BTCUSDT", price)
    assert get_statuses(trader, placed)[1:] == statuses
    assert get_locked(trader) == {}
    assert int(trader.order(price="90").headers["X-MBX-ORDER-COUNT-1D"]) == 4


@pytest.mark.parametrize(
    ("place", "more", "code"),
    [
        (place_oco, {"price": "95"}, -2010),
        (place_oco, {"side": "BUY"}, -2010),
        (place_oco, {"stopLimitTimeInForce": "GTC"}, -1106),
        (place_oco, {"stopLimitPrice": "89"}, -1102),
        (place_oto, {"pendingQuantity": "2"}, -2017),
        (place_oto, {"pendingSide": "BUY"}, -2018),
        (place_oto, {"workingType": "MARKET"}, -1116),
        (place_otoco, {"pendingBelowType": "LIMIT_MAKER", "pendingBelowPrice": "80"}, -1106),
        (place_otoco, {"pendingAbovePrice": "70"}, -2010),
    ],
)
def test_an_invalid_list_is_refused(trader: TradingClient, place: Any, more: dict[str, object], code: int) -> None:
    assert place(trader, **more).code == code
    assert trader.get("/openOrders") == trader.get("/allOrderList") == []


def test_the_list_calls_take_a_symbol_for_isolated_accounts_only(trader: TradingClient) -> None:
    assert trader.call("GET", "/openOrderList", symbol="BTCUSDT").code == -1106
    assert trader.call("GET", "/openOrderList", isIsolated="TRUE").code == -1102
    assert place_oco(trader, isIsolated="TRUE").json["isIsolated"] is True
    assert len(trader.get("/openOrderList", isIsolated="TRUE", symbol="BTCUSDT")) == 1
    assert trader.call("GET", "/orderList", orderListId=1).code == -2018
