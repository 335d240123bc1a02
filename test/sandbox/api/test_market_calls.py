"""The calls at the start, and market data, over sockets."""

from __future__ import annotations

import itertools

import pytest
from trading_client import TradingClient


def test_exchange_info_describes_the_symbols(trader: TradingClient) -> None:
    info = trader.get_public("/api/v3/exchangeInfo").json
    assert "BTCUSDT" in {symbol["symbol"] for symbol in info["symbols"]}
    assert {limit["rateLimitType"] for limit in info["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS", "RAW_REQUESTS"}
    (symbol,) = trader.get_public("/api/v3/exchangeInfo", symbol="ETHBTC").json["symbols"]
    assert (symbol["baseAsset"], symbol["quoteAsset"], symbol["isMarginTradingAllowed"]) == ("ETH", "BTC", True)
    assert {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL"} < {each["filterType"] for each in symbol["filters"]}
    two = trader.get_public("/api/v3/exchangeInfo", symbols='["BTCUSDT","ETHUSDT"]').json["symbols"]
    assert [each["symbol"] for each in two] == ["BTCUSDT", "ETHUSDT"]


def test_a_symbol_that_was_used_is_listed(trader: TradingClient) -> None:
    trader.exchange.set_price("DOGEUSDT", "0.1")
    assert "DOGEUSDT" in {pair["symbol"] for pair in trader.call("GET", "/allPairs").json}
    assert "DOGE" in {asset["assetName"] for asset in trader.call("GET", "/allAssets").json}


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("/api/v3/exchangeInfo", {"symbol": "BTCUSDT", "symbols": '["BTCUSDT"]'}, -1128),
        ("/api/v3/exchangeInfo", {"symbols": "[BTCUSDT]"}, -1100),
        ("/api/v3/ticker/price", {"symbol": "NOSUCH"}, -1121),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("/api/v3/depth", {}, -1102),
        ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": 5001}, -1130),
    ],
)
def test_an_invalid_query_is_refused(
    trader: TradingClient, path: str, parameters: dict[str, object], code: int
) -> None:
    assert trader.get_public(path, **parameters).code == code


def test_tickers_candles_and_trades_follow_the_price(trader: TradingClient) -> None:
    for price in ("100", "120", "90", "110"):
        trader.exchange.set_price("BTCUSDT", price)
    trader.order("SELL", "MARKET", quantity="2")
    day = trader.get_public("/api/v3/ticker/24hr", symbol="BTCUSDT").json
    assert (day["openPrice"], day["highPrice"], day["lowPrice"], day["lastPrice"]) == (
        "100.00000000",
        "120.00000000",
        "90.00000000",
        "110.00000000",
    )
    assert (day["volume"], day["count"], day["priceChangePercent"]) == ("2.00000000", 1, "10.000")
    assert trader.get_public("/api/v3/ticker/price", symbol="BTCUSDT").json["price"] == "110.00000000"
    assert trader.get_public("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json["askPrice"] == "110.00000000"
    (trade,) = trader.get_public("/api/v3/trades", symbol="BTCUSDT").json
    assert (trade["price"], trade["isBuyerMaker"]) == ("110.00000000", True)
    (same,) = trader.get_public("/api/v3/aggTrades", symbol="BTCUSDT").json
    assert (same["a"], same["q"]) == (trade["id"], "2.00000000")
    candles = trader.get_public("/api/v3/klines", symbol="BTCUSDT", interval="1d", limit=3).json
    assert len(candles) == 3
    assert candles[-1][1:6] == ["100.00000000", "120.00000000", "90.00000000", "110.00000000", "2.00000000"]
    assert candles[0][4] == "100.00000000"


def test_candles_continue_with_the_last_price(trader: TradingClient) -> None:
    trader.exchange.set_price("BTCUSDT", "120")
    trader.exchange.advance_time(600)
    candles = trader.get_public("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=5).json
    assert [candle[1] for candle in candles] == ["120.00000000"] * 5
    assert [b[0] - a[0] for a, b in itertools.pairwise(candles)] == [60_000] * 4


def test_the_calls_at_the_start(trader: TradingClient) -> None:
    assert trader.get_public("/sapi/v1/system/status").json == {"status": 0, "msg": "normal"}
    coins = trader.get("/sapi/v1/capital/config/getall")
    assert {"BTC", "USDT"} < {coin["coin"] for coin in coins}
    (fee,) = trader.get("/sapi/v1/asset/tradeFee", symbol="BTCUSDT")
    assert fee == {"symbol": "BTCUSDT", "makerCommission": "0.001", "takerCommission": "0.001"}
    assert trader.get_public("/fapi/v1/exchangeInfo").json["symbols"] == []
    index = trader.call("GET", "/priceIndex", symbol="BTCUSDT").json
    assert index["price"] == "100.00000000"
    assert trader.get("/tradeCoeff") == {"normalBar": "2", "marginCallBar": "1.3", "forceLiquidationBar": "1.1"}
    assert len(trader.get("/interestRateHistory", asset="USDT")) == 20
