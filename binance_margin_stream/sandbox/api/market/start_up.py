"""Calls that clients make before they do anything else."""

from __future__ import annotations

import json
import re

from binance_margin_stream.sandbox.amounts import format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint
from binance_margin_stream.sandbox.api.parameter_types import choice, flag, symbol, text
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.market.filters import SymbolFilters
from binance_margin_stream.sandbox.model.orders import ORDER_TYPES
from binance_margin_stream.sandbox.model.users import SPOT

__all__ = ["ENDPOINTS", "SYMBOLS_PATTERN", "parse_symbols"]

_SELF_TRADE_MODES = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
SYMBOLS_PATTERN = re.compile(r"\[.{1,4000}\]")
"""A JSON list."""

_PERMISSIONS_PATTERN = re.compile(r"[A-Z0-9_\[\]\", ]{1,400}")


def parse_symbols(call: Call, default: list[str]) -> list[str]:
    """The symbols of ``symbol`` or ``symbols``, a JSON list.

    Raises:
        RefusedError: -1100, -1121, -1128 both.

    """
    if "symbol" in call.parameters and "symbols" in call.parameters:
        raise RefusedError(-1128)
    if "symbol" in call.parameters:
        return [call.parse_symbol()]
    if "symbols" not in call.parameters:
        return default
    try:
        symbols = json.loads(call.parameters["symbols"])
    except (ValueError, RecursionError):
        symbols = None
    if not isinstance(symbols, list) or not all(isinstance(each, str) for each in symbols):
        raise RefusedError(-1100, "Illegal characters found in parameter 'symbols'.")
    if any(call.state.rules.split_symbol(each) is None for each in symbols):
        raise RefusedError(-1121)
    return list(dict.fromkeys(symbols))


def _ping(call: Call) -> object:
    return {}


def _get_server_time(call: Call) -> object:
    return {"serverTime": call.now}


def _get_exchange_info(call: Call) -> object:
    symbols = parse_symbols(call, call.state.prices.symbols())
    return {
        "timezone": "UTC",
        "serverTime": call.now,
        "rateLimits": _describe_rate_limits(call),
        "exchangeFilters": [],
        "symbols": [_describe_symbol(call, each) for each in symbols],
    }


def _describe_rate_limits(call: Call) -> list[dict[str, object]]:
    rules = call.state.rules
    limits = (
        ("REQUEST_WEIGHT", "MINUTE", 1, rules.websocket_api_weight_limit),
        ("ORDERS", "SECOND", 10, rules.order_limit_10_seconds),
        ("ORDERS", "DAY", 1, rules.order_limit_day),
        ("RAW_REQUESTS", "MINUTE", 5, rules.websocket_api_weight_limit * 10),
    )
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in limits
    ]


def _describe_symbol(call: Call, name: str) -> dict[str, object]:
    base, quote = call.state.orders.split_symbol(name)
    trades = not call.state.availability.is_delisted(name)
    return {
        "symbol": name,
        "status": "TRADING" if trades else "BREAK",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": trades,
        "filters": SymbolFilters.create(call.state.rules, quote).describe(),
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": _SELF_TRADE_MODES,
    }


def _get_all_coins(call: Call) -> object:
    return [
        {
            "coin": asset,
            "depositAllEnable": True,
            "free": format_amount(call.state.ledger.peek_balance(call.user.uid, SPOT, asset).free),
            "freeze": "0",
            "ipoable": "0",
            "ipoing": "0",
            "isLegalMoney": asset in ("EUR", "TRY", "BRL"),
            "locked": "0",
            "name": asset,
            "networkList": [],
            "storage": "0",
            "trading": True,
            "withdrawAllEnable": True,
            "withdrawing": "0",
        }
        for asset in call.state.prices.assets()
    ]


def _get_trade_fee(call: Call) -> object:
    rate = f"{call.state.rules.commission_rate.normalize():f}"
    symbols = parse_symbols(call, call.state.prices.symbols())
    return [{"symbol": each, "makerCommission": rate, "takerCommission": rate} for each in symbols]


def _get_system_status(call: Call) -> object:
    return {"status": 0, "msg": "normal"}


def _get_empty_futures_info(call: Call) -> object:
    return {"timezone": "UTC", "serverTime": call.now, "rateLimits": [], "exchangeFilters": [], "symbols": []}


def _get_empty_list(call: Call) -> object:
    return []


_SYMBOLS = (symbol(), text("symbols", pattern=SYMBOLS_PATTERN))
_INFO_PARAMETERS = (
    *_SYMBOLS,
    text("permissions", pattern=_PERMISSIONS_PATTERN),
    flag("showPermissionSets"),
    choice("symbolStatus", ("TRADING", "HALT", "BREAK")),
)

ENDPOINTS = (
    Endpoint("GET", "/api/v3/ping", "NONE", 1, "IP", _ping),
    Endpoint("GET", "/api/v3/time", "NONE", 1, "IP", _get_server_time),
    Endpoint("GET", "/api/v3/exchangeInfo", "NONE", 20, "IP", _get_exchange_info, _INFO_PARAMETERS),
    Endpoint("GET", "/sapi/v1/system/status", "NONE", 1, "IP", _get_system_status),
    Endpoint("GET", "/sapi/v1/capital/config/getall", "USER_DATA", 10, "IP", _get_all_coins),
    Endpoint("GET", "/sapi/v1/asset/tradeFee", "USER_DATA", 1, "IP", _get_trade_fee, (symbol(),)),
    Endpoint("GET", "/fapi/v1/exchangeInfo", "NONE", 1, "IP", _get_empty_futures_info),
    Endpoint("GET", "/dapi/v1/exchangeInfo", "NONE", 1, "IP", _get_empty_futures_info),
    Endpoint("GET", "/fapi/v3/positionRisk", "USER_DATA", 1, "IP", _get_empty_list, (symbol(),)),
    Endpoint("GET", "/fapi/v1/leverageBracket", "USER_DATA", 1, "IP", _get_empty_list, (symbol(),)),
)
"""The calls at the start; there are no futures, so those calls return nothing."""
