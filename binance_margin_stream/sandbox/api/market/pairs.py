"""Margin pairs and assets, and their index prices."""

from __future__ import annotations

from binance_margin_stream.sandbox.amounts import format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint
from binance_margin_stream.sandbox.api.parameter_types import PAGE, TIME_RANGE, integer, symbol
from binance_margin_stream.sandbox.config import DAY_MS
from binance_margin_stream.sandbox.error_responses import RefusedError

__all__ = ["ENDPOINTS"]


def _get_pairs(call: Call) -> object:
    symbols = [call.parse_symbol()] if "symbol" in call.parameters else call.state.prices.symbols()
    rows = []
    for number, name in enumerate(symbols, 1):
        base, quote = call.state.orders.split_symbol(name)
        trades = not call.state.availability.is_delisted(name)
        rows.append(
            {
                "base": base,
                "id": number,
                "isBuyAllowed": trades,
                "isMarginTrade": trades,
                "isSellAllowed": trades,
                "quote": quote,
                "symbol": name,
            }
        )
    return rows


def _get_assets(call: Call) -> object:
    assets = call.state.prices.assets()
    if "asset" in call.parameters:
        if call.parameters["asset"] not in assets:
            raise RefusedError(-3027)
        assets = [call.parameters["asset"]]
    return [
        {
            "assetFullName": asset,
            "assetName": asset,
            "isBorrowable": True,
            "isMortgageable": True,
            "userMinBorrow": "0.00000000",
            "userMinRepay": "0.00000000",
        }
        for asset in assets
    ]


def _get_index_price(call: Call) -> object:
    name = call.parse_symbol()
    return {"calcTime": call.now, "price": format_amount(call.state.prices.get_price(name)), "symbol": name}


def _get_interest_rates(call: Call) -> object:
    asset = call.parse_asset()
    daily = call.state.rules.hourly_interest_rate * 24
    today = call.now - call.now % DAY_MS
    rate = f"{daily:.8f}"
    return [
        {"asset": asset, "dailyInterestRate": rate, "timestamp": today - day * DAY_MS, "vipLevel": 0}
        for day in range(call.get_integer("limit", 20, 100))
    ]


_RATE_PARAMETERS = (symbol("asset", mandatory=True), integer("vipLevel"), *TIME_RANGE, *PAGE, integer("limit"))

ENDPOINTS = (
    Endpoint("GET", "/sapi/v1/margin/allPairs", "MARKET_DATA", 1, "IP", _get_pairs, (symbol(),)),
    Endpoint("GET", "/sapi/v1/margin/isolated/allPairs", "MARKET_DATA", 10, "IP", _get_pairs, (symbol(),)),
    Endpoint("GET", "/sapi/v1/margin/allAssets", "MARKET_DATA", 1, "IP", _get_assets, (symbol("asset"),)),
    Endpoint("GET", "/sapi/v1/margin/priceIndex", "MARKET_DATA", 10, "IP", _get_index_price, (symbol(mandatory=True),)),
    Endpoint("GET", "/sapi/v1/margin/interestRateHistory", "USER_DATA", 1, "IP", _get_interest_rates, _RATE_PARAMETERS),
)
"""The calls for pairs and assets."""
