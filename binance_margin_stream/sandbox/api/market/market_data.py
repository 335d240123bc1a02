"""Public market data: prices, tickers, order book, trades and candles."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Cost, Endpoint, Parameters
from binance_margin_stream.sandbox.api.market.start_up import SYMBOLS_PATTERN, parse_symbols
from binance_margin_stream.sandbox.api.parameter_types import TIME_RANGE, choice, integer, symbol, text
from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.config import DAY_MS, ExchangeRules
from binance_margin_stream.sandbox.model.market.candles import INTERVALS, Candle
from binance_margin_stream.sandbox.trading.matching import iterate_levels

__all__ = ["ENDPOINTS"]

_SHOWN_QUANTITY = Decimal(1000)
"""What the order book shows where any quantity is available."""
_MAX_DEPTH = 5000
_MAX_CANDLES = 1000
_MAX_TRADES = 1000


def _select(call: Call) -> tuple[list[str], bool]:
    """The symbols of a ticker call, and whether the response is a list."""
    return parse_symbols(call, call.state.prices.symbols()), "symbol" not in call.parameters


def _get_price(call: Call) -> object:
    symbols, is_list = _select(call)
    rows = [{"symbol": each, "price": format_amount(call.state.prices.get_price(each))} for each in symbols]
    return rows if is_list else rows[0]


def _get_book_ticker(call: Call) -> object:
    symbols, is_list = _select(call)
    rows = []
    for each in symbols:
        bid, ask = _get_best_prices(call, each)
        quantity = format_amount(call.state.rules.liquidity or _SHOWN_QUANTITY)
        rows.append(
            {
                "symbol": each,
                "bidPrice": format_amount(bid),
                "bidQty": quantity,
                "askPrice": format_amount(ask),
                "askQty": quantity,
            }
        )
    return rows if is_list else rows[0]


def _get_24h_ticker(call: Call) -> object:
    symbols, is_list = _select(call)
    rows = [_build_24h_ticker(call, each) for each in symbols]
    return rows if is_list else rows[0]


def _build_24h_ticker(call: Call, name: str) -> dict[str, object]:
    tape = call.state.prices.get_tape(name)
    since = max(0, call.now - DAY_MS)
    candle = _sum_day(call, name, since)
    price, change = call.state.prices.get_price(name), candle.close - candle.open
    average = candle.quote_volume / candle.volume if candle.volume else price
    bid, ask = _get_best_prices(call, name)
    trades = [trade for trade in tape.trades if trade.time >= since]
    amounts = {
        "priceChange": change,
        "weightedAvgPrice": average,
        "prevClosePrice": candle.open,
        "lastPrice": price,
        "lastQty": trades[-1].quantity if trades else ZERO,
        "bidPrice": bid,
        "bidQty": call.state.rules.liquidity or _SHOWN_QUANTITY,
        "askPrice": ask,
        "askQty": call.state.rules.liquidity or _SHOWN_QUANTITY,
        "openPrice": candle.open,
        "highPrice": candle.high,
        "lowPrice": candle.low,
        "volume": candle.volume,
        "quoteVolume": candle.quote_volume,
    }
    return {
        "symbol": name,
        "priceChangePercent": f"{change / candle.open * 100:.3f}",
        **{field: format_amount(amount) for field, amount in amounts.items()},
        "openTime": since,
        "closeTime": call.now,
        "firstId": trades[0].trade_id if trades else -1,
        "lastId": trades[-1].trade_id if trades else -1,
        "count": candle.trades,
    }


def _sum_day(call: Call, name: str, since: int) -> Candle:
    minutes = call.state.prices.get_tape(name).build_candles(60_000, since, 1441, call.now)
    total = minutes[0]
    for minute in minutes[1:]:
        total.add_candle(minute)
    return total


def _get_depth(call: Call) -> object:
    name = call.parse_symbol()
    limit = call.get_integer("limit", 100, _MAX_DEPTH)
    bid, ask = _get_best_prices(call, name)
    return {
        "lastUpdateId": call.now,
        "bids": _build_levels(call, name, "SELL", bid, limit),
        "asks": _build_levels(call, name, "BUY", ask, limit),
    }


def _build_levels(call: Call, name: str, side: str, price: Decimal, limit: int) -> list[list[str]]:
    """The levels of the order book that an order of a side takes."""
    levels = iterate_levels(call.state, name, side, price)
    return [
        [format_amount(level), format_amount(quantity or _SHOWN_QUANTITY)]
        for _, (level, quantity) in zip(range(limit), levels, strict=False)
    ]


def _get_best_prices(call: Call, name: str) -> tuple[Decimal, Decimal]:
    """Bid and ask; orders of either side trade at the price."""
    price = call.state.prices.get_price(name)
    return price, price


def _get_trades(call: Call) -> object:
    tape = call.state.prices.get_tape(call.parse_symbol())
    limit = call.get_integer("limit", 500, _MAX_TRADES)
    return [
        {
            "id": trade.trade_id,
            "price": format_amount(trade.price),
            "qty": format_amount(trade.quantity),
            "quoteQty": format_amount(trade.price * trade.quantity),
            "time": trade.time,
            "isBuyerMaker": trade.is_buyer_maker,
            "isBestMatch": True,
        }
        for trade in list(tape.trades)[-limit:]
    ]


def _get_aggregate_trades(call: Call) -> object:
    tape = call.state.prices.get_tape(call.parse_symbol())
    limit, from_id = call.get_integer("limit", 500, _MAX_TRADES), call.get_integer("fromId", 0)
    since, until = call.get_integer("startTime", 0), call.get_integer("endTime", MAX_TIME_MS)
    found = [trade for trade in tape.trades if trade.trade_id >= from_id and since <= trade.time <= until]
    return [
        {
            "a": trade.trade_id,
            "p": format_amount(trade.price),
            "q": format_amount(trade.quantity),
            "f": trade.trade_id,
            "l": trade.trade_id,
            "T": trade.time,
            "m": trade.is_buyer_maker,
            "M": True,
        }
        for trade in (found[:limit] if {"fromId", "startTime"} & call.parameters.keys() else found[-limit:])
    ]


def _get_candles(call: Call) -> object:
    tape = call.state.prices.get_tape(call.parse_symbol())
    length = INTERVALS[call.get_text("interval")]
    limit = call.get_integer("limit", 500, _MAX_CANDLES)
    until = min(call.get_integer("endTime", call.now), call.now)
    since = call.get_integer("startTime", max(0, until - until % length - (limit - 1) * length))
    since += -since % length
    return [
        [
            candle.opened_at,
            format_amount(candle.open),
            format_amount(candle.high),
            format_amount(candle.low),
            format_amount(candle.close),
            format_amount(candle.volume),
            candle.opened_at + length - 1,
            format_amount(candle.quote_volume),
            candle.trades,
            format_amount(candle.volume / 2),
            format_amount(candle.quote_volume / 2),
            "0",
        ]
        for candle in tape.build_candles(length, since, limit, until)
    ]


def _compute_ticker_cost(rules: ExchangeRules, parameters: Parameters) -> Cost:
    return (2 if "symbol" in parameters else 80), "IP"


def _compute_price_cost(rules: ExchangeRules, parameters: Parameters) -> Cost:
    return (2 if "symbol" in parameters else 4), "IP"


def _compute_depth_cost(rules: ExchangeRules, parameters: Parameters) -> Cost:
    limit = parameters.get("limit", "100")
    number = int(limit) if limit.isdecimal() and len(limit) < 9 else _MAX_DEPTH
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if number <= most), 250), "IP"


_SYMBOLS = (symbol(), text("symbols", pattern=SYMBOLS_PATTERN))
_LIMIT = integer("limit")
_CANDLE_PARAMETERS = (
    symbol(mandatory=True),
    choice("interval", INTERVALS, mandatory=True, code=-1120),
    *TIME_RANGE,
    _LIMIT,
)

ENDPOINTS = (
    Endpoint("GET", "/api/v3/ticker/price", "NONE", 4, "IP", _get_price, _SYMBOLS, _compute_price_cost),
    Endpoint("GET", "/api/v3/ticker/24hr", "NONE", 80, "IP", _get_24h_ticker, _SYMBOLS, _compute_ticker_cost),
    Endpoint("GET", "/api/v3/ticker/bookTicker", "NONE", 4, "IP", _get_book_ticker, _SYMBOLS, _compute_price_cost),
    Endpoint(
        "GET", "/api/v3/depth", "NONE", 5, "IP", _get_depth, (symbol(mandatory=True), _LIMIT), _compute_depth_cost
    ),
    Endpoint("GET", "/api/v3/trades", "NONE", 25, "IP", _get_trades, (symbol(mandatory=True), _LIMIT)),
    Endpoint(
        "GET",
        "/api/v3/aggTrades",
        "NONE",
        4,
        "IP",
        _get_aggregate_trades,
        (symbol(mandatory=True), _LIMIT, integer("fromId"), *TIME_RANGE),
    ),
    Endpoint("GET", "/api/v3/klines", "NONE", 2, "IP", _get_candles, _CANDLE_PARAMETERS),
)
"""The calls for market data."""
