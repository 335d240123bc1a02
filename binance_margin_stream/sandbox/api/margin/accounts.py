"""Accounts: balances and debt, margin levels, and what may be borrowed or transferred."""

from __future__ import annotations

import re
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Cost, Endpoint, Parameters, Security
from binance_margin_stream.sandbox.api.order_limits import describe_order_limits
from binance_margin_stream.sandbox.api.parameter_types import flag, symbol, text
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.users import CROSS, SPOT
from binance_margin_stream.sandbox.trading.margin import classify_margin_level, compute_margin_level
from binance_margin_stream.sandbox.trading.margin_limits import compute_max_borrowable, compute_max_transferable

__all__ = ["ENDPOINTS"]

_MAX_ISOLATED_ACCOUNTS = 50
_MAX_SYMBOLS = 5
_SYMBOL_LIST = re.compile(r"[^\Wa-z]{1,50}(?:,[^\Wa-z]{1,50})*")


def _get_cross_account(call: Call) -> object:
    account = call.parse_account()
    state, uid = call.state, call.user.uid
    assets = dict.fromkeys([*state.prices.assets(), *state.ledger.get_balances(uid, account)])
    balances = {asset: state.ledger.peek_balance(uid, account, asset) for asset in assets}
    level = compute_margin_level(state.ledger, state.prices, uid, account)
    owned = sum((_value(call, CROSS, asset, each.total) for asset, each in balances.items()), ZERO)
    return {
        "created": True,
        "borrowEnabled": True,
        "marginLevel": format_amount(level),
        "collateralMarginLevel": format_amount(level),
        **_build_totals(call, {CROSS: balances}),
        "TotalCollateralValueInUSDT": format_amount(owned),
        "totalOpenOrderLossInUSDT": format_amount(ZERO),
        "tradeEnabled": True,
        "transferInEnabled": True,
        "transferOutEnabled": True,
        "accountType": "MARGIN_1",
        "userAssets": [{"asset": asset, **_build_balance(each)} for asset, each in balances.items()],
    }


def _get_isolated_accounts(call: Call) -> object:
    state, uid = call.state, call.user.uid
    if "symbols" in call.parameters:
        symbols = call.parameters["symbols"].split(",")
        if len(symbols) > _MAX_SYMBOLS or any(state.rules.split_symbol(each) is None for each in symbols):
            raise RefusedError(-1121 if len(symbols) <= _MAX_SYMBOLS else -3026)
        return {"assets": [_build_isolated_account(call, each) for each in symbols]}
    symbols = _get_used_isolated_accounts(call)
    balances = {
        each: {asset: state.ledger.peek_balance(uid, each, asset) for asset in state.orders.split_symbol(each)}
        for each in symbols
    }
    return {"assets": [_build_isolated_account(call, each) for each in symbols], **_build_totals(call, balances)}


def _get_used_isolated_accounts(call: Call) -> list[str]:
    accounts = {account for uid, account in call.state.ledger.accounts() if uid == call.user.uid}
    return sorted(accounts - {CROSS, SPOT})


def _build_isolated_account(call: Call, name: str) -> dict[str, object]:
    state, uid = call.state, call.user.uid
    base, quote = state.orders.split_symbol(name)
    level = compute_margin_level(state.ledger, state.prices, uid, name)
    enabled = state.availability.find_refusal(uid, name) is None
    return {
        "baseAsset": _build_isolated_asset(call, name, base),
        "quoteAsset": _build_isolated_asset(call, name, quote),
        "symbol": name,
        "isolatedCreated": True,
        "enabled": enabled,
        "marginLevel": format_amount(level),
        "marginLevelStatus": classify_margin_level(level, state.rules),
        "marginRatio": format_amount(state.rules.isolated_max_leverage),
        "indexPrice": format_amount(state.prices.get_price(name)),
        "liquidatePrice": format_amount(_compute_liquidation_price(call, name, base, quote)),
        "liquidateRate": format_amount(state.rules.margin_level_thresholds[-1]),
        "tradeEnabled": enabled,
    }


def _build_isolated_asset(call: Call, account: str, asset: str) -> dict[str, object]:
    balance = call.state.ledger.peek_balance(call.user.uid, account, asset)
    net = balance.total - balance.debt
    return {
        "asset": asset,
        "borrowEnabled": True,
        **_build_balance(balance),
        "netAssetOfBtc": format_amount(_to_btc(call, _value(call, CROSS, asset, net))),
        "repayEnabled": True,
        "totalAsset": format_amount(balance.total),
    }


def _compute_liquidation_price(call: Call, account: str, base: str, quote: str) -> Decimal:
    """The price at which the margin level reaches the threshold of liquidation; 0 without one."""
    threshold = call.state.rules.margin_level_thresholds[-1]
    held, owed = (call.state.ledger.peek_balance(call.user.uid, account, asset) for asset in (base, quote))
    slope = held.total - threshold * held.debt
    if not (held.debt or owed.debt) or not slope:
        return ZERO
    return max(ZERO, (threshold * owed.debt - owed.total) / slope)


def _build_balance(balance: Balance) -> dict[str, object]:
    return {
        "borrowed": format_amount(balance.borrowed),
        "free": format_amount(balance.free),
        "interest": format_amount(balance.interest),
        "locked": format_amount(balance.locked),
        "netAsset": format_amount(balance.total - balance.debt),
    }


def _build_totals(call: Call, accounts: dict[str, dict[str, Balance]]) -> dict[str, object]:
    owned = owed = ZERO
    for balances in accounts.values():
        for asset, balance in balances.items():
            owned += _value(call, CROSS, asset, balance.total)
            owed += _value(call, CROSS, asset, balance.debt)
    return {
        "totalAssetOfBtc": format_amount(_to_btc(call, owned)),
        "totalLiabilityOfBtc": format_amount(_to_btc(call, owed)),
        "totalNetAssetOfBtc": format_amount(_to_btc(call, owned - owed)),
    }


def _value(call: Call, account: str, asset: str, quantity: Decimal) -> Decimal:
    return quantity * call.state.prices.get_unit_value(account, asset)


def _to_btc(call: Call, value: Decimal) -> Decimal:
    return value / call.state.prices.get_unit_value(CROSS, "BTC")


def _get_trade_coefficients(call: Call) -> object:
    normal, margin_call, _, liquidation = call.state.rules.margin_level_thresholds
    return {
        "normalBar": f"{normal.normalize():f}",
        "marginCallBar": f"{margin_call.normalize():f}",
        "forceLiquidationBar": f"{liquidation.normalize():f}",
    }


def _get_max_borrowable(call: Call) -> object:
    account = call.parse_record_account()
    asset = call.parse_asset(account)
    return {
        "amount": format_amount(compute_max_borrowable(call.state, call.user.uid, account, asset)),
        "borrowLimit": format_amount(call.state.rules.borrow_limit),
    }


def _get_max_transferable(call: Call) -> object:
    account = call.parse_record_account()
    asset = call.parse_asset(account)
    return {"amount": format_amount(compute_max_transferable(call.state, call.user.uid, account, asset))}


def _get_account_limit(call: Call) -> object:
    used = len(_get_used_isolated_accounts(call))
    return {"enabledAccount": used, "maxAccount": max(_MAX_ISOLATED_ACCOUNTS, used)}


def _get_order_limits(call: Call) -> object:
    return describe_order_limits(call, call.parse_account())


def _compute_borrowable_cost(rules: ExchangeRules, parameters: Parameters) -> Cost:
    return (750, "UID") if rules.max_borrowable_weight == "750_uid" else (50, "IP")


_ASSET = (symbol("asset", mandatory=True), symbol("isolatedSymbol"))
_ACCOUNT = (flag("isIsolated"), symbol())
_SYMBOL_LISTS = (text("symbols", pattern=_SYMBOL_LIST),)
_DATA: Security = "USER_DATA"

ENDPOINTS = (
    Endpoint("GET", "/sapi/v1/margin/account", _DATA, 10, "IP", _get_cross_account),
    Endpoint("GET", "/sapi/v1/margin/isolated/account", _DATA, 10, "IP", _get_isolated_accounts, _SYMBOL_LISTS),
    Endpoint("GET", "/sapi/v1/margin/tradeCoeff", _DATA, 10, "IP", _get_trade_coefficients),
    Endpoint(
        "GET",
        "/sapi/v1/margin/maxBorrowable",
        _DATA,
        750,
        "UID",
        _get_max_borrowable,
        _ASSET,
        _compute_borrowable_cost,
    ),
    Endpoint("GET", "/sapi/v1/margin/maxTransferable", _DATA, 50, "IP", _get_max_transferable, _ASSET),
    Endpoint("GET", "/sapi/v1/margin/isolated/accountLimit", _DATA, 1, "IP", _get_account_limit),
    Endpoint(
        "GET", "/sapi/v1/margin/rateLimit/order", _DATA, 20, "IP", _get_order_limits, (flag("isIsolated"), symbol())
    ),
)
"""The calls that read accounts."""
