"""New orders, queries and cancels over sockets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from sandbox_client import SandboxClient, read_json
from trading_client import TradingClient

MakeTrader = Callable[..., TradingClient]


def balance(trader: TradingClient, asset: str) -> tuple[str, str]:
    """Free and locked."""
    rows = {row["asset"]: row for row in trader.get("/account")["userAssets"]}
    return rows[asset]["free"], rows[asset]["locked"]


def test_a_resting_order_can_be_queried_and_cancelled(trader: TradingClient) -> None:
    placed = trader.order(price="90", newClientOrderId="mine")
    assert (placed.json["status"], placed.json["fills"], placed.json["isIsolated"]) == ("NEW", [], False)
    order_id = placed.json["orderId"]
    assert balance(trader, "USDT") == ("999910.00000000", "90.00000000")
    row = trader.get("/order", symbol="BTCUSDT", orderId=order_id)
    assert (row["clientOrderId"], row["price"], row["isWorking"], row["time"]) == (
        "mine",
        "90.00000000",
        True,
        placed.json["transactTime"],
    )
    assert trader.get("/order", symbol="BTCUSDT", origClientOrderId="mine") == row
    assert trader.get("/openOrders") == [row] == trader.get("/openOrders", symbol="BTCUSDT")
    cancelled = trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=order_id, newClientOrderId="stop").json
    assert (cancelled["orderId"], cancelled["origClientOrderId"], cancelled["clientOrderId"]) == (
        str(order_id),
        "mine",
        "stop",
    )
    assert trader.get("/order", symbol="BTCUSDT", orderId=order_id)["clientOrderId"] == "mine"
    assert balance(trader, "USDT") == ("1000000.00000000", "0.00000000")
    assert trader.get("/openOrders") == []


@pytest.mark.parametrize("as_form", [False, True])
def test_a_market_order_trades_at_the_price(trader: TradingClient, as_form: bool) -> None:
    trader.exchange.set_price("BTCUSDT", "250")
    parameters = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "100"}
    placed = trader.call("POST", "/order", body=as_form, **parameters)
    (fill,) = placed.json["fills"]
    assert (placed.json["status"], placed.json["executedQty"], placed.json["cummulativeQuoteQty"]) == (
        "FILLED",
        "0.40000000",
        "100.00000000",
    )
    assert fill == {
        "price": "250.00000000",
        "qty": "0.40000000",
        "commission": "0.00040000",
        "commissionAsset": "BTC",
        "tradeId": 1,
    }
    (trade,) = trader.get("/myTrades", symbol="BTCUSDT")
    assert (trade["id"], trade["orderId"], trade["isBuyer"], trade["isMaker"]) == (
        1,
        placed.json["orderId"],
        True,
        False,
    )
    assert [flow["type"] for flow in trader.get("/capital-flow")] == ["BUY_INCOME", "BUY_EXPENSE", "TRADING_COMMISSION"]


def test_an_isolated_account_is_separate(trader: TradingClient) -> None:
    placed = trader.order(isIsolated="TRUE", price="90").json
    assert placed["isIsolated"] is True
    assert trader.get("/openOrders") == []
    assert [row["orderId"] for row in trader.get("/openOrders", symbol="BTCUSDT", isIsolated="true")] == [
        placed["orderId"]
    ]
    assert trader.call("GET", "/order", symbol="BTCUSDT", orderId=placed["orderId"]).code == -2013
    assert trader.call("GET", "/openOrders", isIsolated="TRUE").code == -1102
    (account,) = trader.get("/isolated/account", symbols="BTCUSDT")["assets"]
    assert (account["symbol"], account["quoteAsset"]["locked"]) == ("BTCUSDT", "90.00000000")


def test_the_response_type_decides_what_is_shown(trader: TradingClient) -> None:
    kinds = {kind: trader.order(price="90", newOrderRespType=kind).json for kind in ("ACK", "RESULT", "FULL")}
    assert set(kinds["ACK"]) == {"symbol", "orderId", "clientOrderId", "transactTime", "isIsolated"}
    assert set(kinds["FULL"]) - set(kinds["RESULT"]) == {"fills"}
    stop = trader.order("SELL", "STOP_LOSS_LIMIT", timeInForce="GTC", price="80", stopPrice="85").json
    assert set(stop) == set(kinds["ACK"])


@pytest.mark.parametrize(
    ("side", "kind", "more", "code", "message"),
    [
        ("BUY", "LIMIT", {"price": None}, -1102, "'price'"),
        ("BUY", "LIMIT", {"timeInForce": None}, -1102, "'timeInForce'"),
        ("BUY", "LIMIT", {"stopPrice": "90"}, -1106, "'stopPrice'"),
        ("BUY", "MARKET", {"price": "90"}, -1106, "'price'"),
        ("BUY", "MARKET", {"quantity": None}, -1102, "'quantity'"),
        ("BUY", "MARKET", {"quoteOrderQty": "9"}, -1128, "Combination"),
        ("BUY", "STOP_LOSS", {}, -1102, "stopPrice"),
        ("BUY", "LIMIT_MAKER", {"price": "90", "timeInForce": "GTC"}, -1106, "'timeInForce'"),
        ("BUY", "LIMIT", {"timeInForce": "GTX"}, -1115, "Invalid timeInForce"),
        ("BUY", "NONE", {}, -1116, "Invalid orderType"),
        ("HOLD", "LIMIT", {}, -1117, "Invalid side"),
        ("BUY", "LIMIT", {"symbol": "NOSUCH"}, -1121, "Invalid symbol"),
        ("BUY", "LIMIT", {"icebergQty": "0.5", "timeInForce": "IOC"}, -1124, "Iceberg"),
        ("BUY", "LIMIT", {"price": "99.999"}, -1013, "PRICE_FILTER"),
        ("BUY", "LIMIT", {"price": "1000"}, -1013, "PERCENT_PRICE_BY_SIDE"),
        ("BUY", "LIMIT", {"quantity": "0.000001"}, -1013, "LOT_SIZE"),
        ("BUY", "LIMIT", {"quantity": "0.01"}, -1013, "NOTIONAL"),
        ("BUY", "LIMIT", {"quantity": "0.123456789"}, -1111, "Precision"),
        ("BUY", "LIMIT", {"quantity": "1e-3"}, -1100, "'quantity'"),
        ("BUY", "LIMIT", {"quantity": "20000"}, -2010, "insufficient balance"),
        ("SELL", "STOP_LOSS", {"stopPrice": "110"}, -2010, "Order would trigger immediately."),
        ("BUY", "LIMIT_MAKER", {"price": "110"}, -2010, "immediately match"),
        ("BUY", "LIMIT", {"color": "red"}, -1104, "read '8'"),
        ("SELL", "STOP_LOSS", {"trailingDelta": "5"}, -1013, "TRAILING_DELTA"),
    ],
)
def test_an_invalid_order_is_refused(
    trader: TradingClient, side: str, kind: str, more: dict[str, object], code: int, message: str
) -> None:
    refused = trader.order(side, kind, **more)
    assert (refused.status, refused.code) == (400, code)
    assert message in refused.json["msg"]
    assert trader.get("/allOrders", symbol="BTCUSDT") == []


def test_a_client_order_id_is_unique_among_open_orders(trader: TradingClient) -> None:
    trader.order(price="90", newClientOrderId="mine")
    again = trader.order(price="90", newClientOrderId="mine")
    assert (again.code, again.json["msg"]) == (-2010, "Duplicate order sent.")
    trader.call("DELETE", "/order", symbol="BTCUSDT", origClientOrderId="mine")
    assert trader.order(price="90", newClientOrderId="mine").status == 200


def test_an_unknown_order_cannot_be_queried_or_cancelled(trader: TradingClient) -> None:
    assert trader.call("GET", "/order", symbol="BTCUSDT", orderId=7).code == -2013
    assert trader.call("DELETE", "/order", symbol="BTCUSDT", orderId=7).code == -2011
    assert trader.call("DELETE", "/openOrders", symbol="BTCUSDT").code == -2011
    assert trader.call("GET", "/order", symbol="BTCUSDT").code == -1102


def test_a_day_of_orders_and_trades_is_found_by_id_and_time(trader: TradingClient) -> None:
    for _ in range(3):
        trader.order()
    orders = trader.get("/allOrders", symbol="BTCUSDT")
    assert [row["orderId"] for row in orders] == [1, 2, 3]
    assert trader.get("/allOrders", symbol="BTCUSDT", orderId=2) == orders[1:]
    assert trader.get("/allOrders", symbol="BTCUSDT", limit=1) == orders[2:]
    since = orders[0]["time"]
    assert trader.get("/allOrders", symbol="BTCUSDT", startTime=since, limit=2) == orders[:2]
    assert trader.get("/allOrders", symbol="BTCUSDT", startTime=since + 86_000_000) == []
    trades = trader.get("/myTrades", symbol="BTCUSDT")
    assert trader.get("/myTrades", symbol="BTCUSDT", fromId=2) == trades[1:]
    assert trader.get("/myTrades", symbol="BTCUSDT", orderId=2) == trades[1:2]
    assert trader.get("/myTrades", symbol="BTCUSDT", startTime=since, limit=1) == trades[:1]
    assert trader.call("GET", "/myTrades", symbol="BTCUSDT", orderId=1, startTime=since).code == -1128
    window = {"symbol": "BTCUSDT", "startTime": since, "endTime": since + 86_400_001}
    assert trader.call("GET", "/myTrades", **window).code == -1127
    assert trader.call("GET", "/allOrders", **window).code == -1127


def test_an_order_larger_than_the_liquidity_is_filled_in_parts(make_trader: MakeTrader) -> None:
    trader = make_trader(liquidity=Decimal(1))
    prices = [fill["price"] for fill in trader.order(type="MARKET", quantity="2.5").json["fills"]]
    assert prices == ["100.00000000", "100.01000000", "100.02000000"]
    resting = trader.order(quantity="3", price="100.01").json
    assert (resting["status"], resting["executedQty"]) == ("PARTIALLY_FILLED", "2.00000000")
    expired = trader.order(quantity="3", price="100.01", timeInForce="IOC").json
    assert (expired["status"], expired["executedQty"]) == ("EXPIRED", "2.00000000")
    killed = trader.order(quantity="3", price="100.01", timeInForce="FOK").json
    assert (killed["status"], killed["executedQty"]) == ("EXPIRED", "0.00000000")
    depth = trader.get_public("/api/v3/depth", symbol="BTCUSDT", limit=5).json
    assert depth["asks"][:2] == [["100.00000000", "1.00000000"], ["100.01000000", "1.00000000"]]


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "PARTIALLY_FILLED"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
        ("NONE", "FILLED", "FILLED"),
    ],
)
def test_an_order_that_meets_an_own_order_follows_its_mode(
    make_trader: MakeTrader, mode: str, maker: str, taker: str
) -> None:
    trader = make_trader(liquidity=Decimal(1))
    first = trader.order("SELL", price="100.01").json["orderId"]
    second = trader.order(quantity="2", price="100.01", selfTradePreventionMode=mode).json["orderId"]
    if mode == "EXPIRE_MAKER":
        taker = "FILLED"
    statuses = [trader.get("/order", symbol="BTCUSDT", orderId=each)["status"] for each in (first, second)]
    assert statuses == [maker, taker]
    matches = trader.get("/myPreventedMatches", symbol="BTCUSDT", orderId=second)
    assert [(row["makerOrderId"], row["takerOrderId"]) for row in matches] == (
        [] if mode == "NONE" else [(first, second)]
    )


def test_a_trailing_stop_follows_the_price(trader: TradingClient) -> None:
    order_id = trader.order("SELL", "STOP_LOSS", trailingDelta="1000").json["orderId"]
    for price in ("120", "150", "136"):
        trader.exchange.set_price("BTCUSDT", price)
    assert trader.get("/order", symbol="BTCUSDT", orderId=order_id)["status"] == "NEW"
    trader.exchange.set_price("BTCUSDT", "135")
    row = trader.get("/order", symbol="BTCUSDT", orderId=order_id)
    assert (row["status"], row["cummulativeQuoteQty"]) == ("FILLED", "135.00000000")


def test_commission_is_paid_in_bnb_at_a_discount(trader: TradingClient) -> None:
    assert trader.call("POST", "/sapi/v1/bnbBurn", spotBNBBurn="true").json == {
        "spotBNBBurn": True,
        "interestBNBBurn": False,
    }
    (fill,) = trader.order(quantity="10").json["fills"]
    assert (fill["commission"], fill["commissionAsset"]) == ("0.00750000", "BNB")
    assert balance(trader, "BTC")[0] == "1000010.00000000"


def test_a_bot_sees_its_order_on_the_stream(trader: TradingClient) -> None:
    with SandboxClient(trader.exchange).open_subscribed() as websocket:
        order_id = trader.order(newClientOrderId="mine").json["orderId"]
        events = [read_json(websocket)["event"] for _ in range(3)]
    assert [event.get("x", event["e"]) for event in events] == ["NEW", "TRADE", "outboundAccountPosition"]
    assert {event["i"] for event in events[:2]} == {order_id}
    assert events[1]["t"] == trader.get("/myTrades", symbol="BTCUSDT")[0]["id"]


def test_the_order_limit_is_enforced_and_shown(make_trader: MakeTrader) -> None:
    trader = make_trader(order_limit_day=2)
    first, second = trader.order(price="90"), trader.order(price="90")
    assert [each.headers["X-MBX-ORDER-COUNT-1D"] for each in (first, second)] == ["1", "2"]
    third = trader.order(price="90")
    assert (third.status, third.code) == (429, -1015)
    assert "Retry-After" not in third.headers
    assert trader.get("/rateLimit/order")[1]["count"] == 2


def test_an_order_with_a_loan_costs_more(trader: TradingClient) -> None:
    plain = trader.order(price="90")
    with_loan = trader.order(price="90", sideEffectType="MARGIN_BUY")
    used = [int(each.headers["X-SAPI-USED-UID-WEIGHT-1M"]) for each in (plain, with_loan)]
    assert used[1] - used[0] == 1500


def test_the_lag_of_reads_hides_a_new_order(make_trader: MakeTrader) -> None:
    trader = make_trader(read_lag_ms=3_600_000)
    order_id = trader.order().json["orderId"]
    assert trader.call("GET", "/order", symbol="BTCUSDT", orderId=order_id).code == -2013
    assert trader.get("/allOrders", symbol="BTCUSDT") == trader.get("/myTrades", symbol="BTCUSDT") == []
    trader.exchange.advance_time(3600)
    assert trader.get("/order", symbol="BTCUSDT", orderId=order_id)["status"] == "FILLED"
    assert len(trader.get("/myTrades", symbol="BTCUSDT")) == 1


def test_an_order_without_a_fill_is_archived_after_90_days(trader: TradingClient) -> None:
    unfilled, filled = trader.order(price="90").json["orderId"], trader.order().json["orderId"]
    trader.call("DELETE", "/openOrders", symbol="BTCUSDT")
    for _ in range(91):
        trader.exchange.advance_time(86_400)
    assert trader.call("GET", "/order", symbol="BTCUSDT", orderId=unfilled).code == -2026
    assert trader.get("/order", symbol="BTCUSDT", orderId=filled)["status"] == "FILLED"


@pytest.mark.parametrize("speed", [0.0, 60.0])
def test_a_client_with_a_clock_at_real_speed_stays_inside_its_window(make_trader: MakeTrader, speed: float) -> None:
    trader = make_trader(speed=speed)
    trader.exchange.advance_time(3600)
    server_time = trader.get_public("/api/v3/time").json["serverTime"]
    assert trader.call("GET", "/account", recvWindow=1000, timestamp=server_time).status == 200
    assert trader.call("GET", "/account").status == 200
    late = trader.call("GET", "/account", timestamp=server_time - 3_700_000 if speed == 0 else server_time - 10**8)
    assert late.code == -1021


def test_a_key_does_only_what_it_is_allowed(trader: TradingClient) -> None:
    trader.exchange.set_permissions(["reading"])
    assert trader.get("/openOrders") == []
    assert trader.order().code == -2015
    trader.exchange.set_permissions(["reading", "trading"])
    assert trader.order().status == 200
    loan = {"asset": "USDT", "amount": "1", "isIsolated": "FALSE", "type": "BORROW"}
    assert trader.call("POST", "/borrow-repay", **loan).code == -2015


def test_a_trading_call_has_to_be_signed(trader: TradingClient) -> None:
    assert trader.get_public("/sapi/v1/margin/account").code == -1102
    assert trader.call("GET", "/account", timestamp=1).code == -1021
    bad = trader.get_public("/sapi/v1/margin/account", timestamp=trader.exchange.now, signature="0" * 64)
    assert (bad.status, bad.code) == (400, -1022)


def test_the_same_calls_with_the_same_seed_give_the_same_answers(make_trader: MakeTrader) -> None:
    def run() -> list[object]:
        trader = make_trader(speed=0)
        answers = [trader.order(price="90"), trader.order(), trader.call("GET", "/allOrders", symbol="BTCUSDT")]
        return [strip_times(answer.json) for answer in answers]

    assert run() == run()


def strip_times(answer: object) -> list[dict[str, object]]:
    rows = answer if isinstance(answer, list) else [answer]
    return [{name: row[name] for name in row if name not in ("time", "updateTime", "transactTime")} for row in rows]
