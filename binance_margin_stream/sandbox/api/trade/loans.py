"""Loans, transfers, isolated accounts, and the asset in which fees are paid."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import format_amount
from binance_margin_stream.sandbox.api.endpoint import Call, Endpoint
from binance_margin_stream.sandbox.api.parameter_types import PAGE, TIME_RANGE, amount, choice, flag, symbol
from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.config import DAY_MS
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.history.records import TransferRecord
from binance_margin_stream.sandbox.model.ledger import BnbBurn
from binance_margin_stream.sandbox.model.users import CROSS, SPOT
from binance_margin_stream.sandbox.trading.follow_up import check_account
from binance_margin_stream.sandbox.trading.lending import borrow, repay, transfer
from binance_margin_stream.sandbox.trading.margin_limits import compute_max_borrowable, compute_max_transferable

__all__ = ["ENDPOINTS"]

_TRANSFER_TYPES = (
    "MAIN_MARGIN",
    "MARGIN_MAIN",
    "MARGIN_ISOLATEDMARGIN",
    "ISOLATEDMARGIN_MARGIN",
    "ISOLATEDMARGIN_ISOLATEDMARGIN",
    "MAIN_ISOLATED_MARGIN",
    "ISOLATED_MARGIN_MAIN",
)


def _borrow_or_repay(call: Call) -> object:
    account = call.parse_account()
    asset = call.parse_asset(account)
    requested = _get_positive_amount(call)
    borrows = call.get_text("type") == "BORROW"
    number = _borrow(call, account, asset, requested) if borrows else _repay(call, account, asset, requested)
    check_account(call.state, call.user.uid, account, call.now)
    return {"tranId": number}


def _borrow(call: Call, account: str, asset: str, requested: Decimal) -> int:
    if requested > compute_max_borrowable(call.state, call.user.uid, account, asset):
        raise RefusedError(-3006)
    return borrow(call.state, call.user.uid, account, asset, requested, call.now)


def _repay(call: Call, account: str, asset: str, requested: Decimal) -> int:
    balance = call.state.ledger.get_balance(call.user.uid, account, asset)
    if requested > balance.debt:
        raise RefusedError(-3015)
    if requested > balance.free:
        raise RefusedError(-3041)
    return repay(call.state, call.user.uid, account, asset, requested, call.now)


def _transfer(call: Call) -> object:
    source, target = _parse_route(call)
    for account in (source, target):
        refusal = call.state.availability.find_refusal(call.user.uid, account)
        if refusal is not None:
            raise RefusedError(refusal)
    asset = call.parse_asset(next((each for each in (source, target) if each not in (CROSS, SPOT)), CROSS))
    moved, uid, state = _get_positive_amount(call), call.user.uid, call.state
    if source == SPOT:
        if moved > state.ledger.peek_balance(uid, SPOT, asset).free:
            raise RefusedError(-3041)
    elif moved > compute_max_transferable(state, uid, source, asset):
        raise RefusedError(-3020)
    number = state.records.next_id()
    state.records.transfers.add(uid, TransferRecord(number, call.now, asset, moved, source, target))
    transfer(state, uid, source, asset, -moved, call.now, number)
    transfer(state, uid, target, asset, moved, call.now, number)
    for account in (source, target):
        if account != SPOT:
            check_account(state, uid, account, call.now)
    return {"tranId": number}


def _get_transfers(call: Call) -> object:
    source, target = _parse_route(call)
    until = call.get_integer("endTime", MAX_TIME_MS)
    found = [
        record
        for record in call.state.records.transfers.between(call.user.uid, call.get_integer("startTime", 0), until)
        if (record.source, record.target) == (source, target)
    ]
    size, page = call.get_integer("size", 10, 100), call.get_integer("current", 1, MAX_TIME_MS)
    end = max(0, len(found) - (page - 1) * size)
    rows = [
        {
            "asset": record.asset,
            "amount": format_amount(record.amount),
            "type": call.get_text("type"),
            "status": "CONFIRMED",
            "tranId": record.record_id,
            "timestamp": record.time,
        }
        for record in reversed(found[max(0, end - size) : end])
    ]
    return {"total": len(found), "rows": rows}


def _parse_route(call: Call) -> tuple[str, str]:
    kind = call.get_text("type").replace("ISOLATED_MARGIN", "ISOLATEDMARGIN")
    source, target = kind.split("_")
    return _parse_wallet(call, source, "fromSymbol"), _parse_wallet(call, target, "toSymbol")


def _parse_wallet(call: Call, wallet: str, symbol_name: str) -> str:
    if wallet == "ISOLATEDMARGIN":
        return call.parse_symbol(symbol_name)
    return SPOT if wallet == "MAIN" else CROSS


def _get_positive_amount(call: Call) -> Decimal:
    value = call.get_amount("amount")
    if not value:
        raise RefusedError(-3026)
    return value


def _enable_isolated_account(call: Call) -> object:
    name = call.parse_symbol()
    call.state.availability.enable(call.user.uid, name)
    for asset in call.state.orders.split_symbol(name):
        call.state.ledger.get_balance(call.user.uid, name, asset)
    return {"success": True, "symbol": name}


def _disable_isolated_account(call: Call) -> object:
    name, uid, availability = call.parse_symbol(), call.user.uid, call.state.availability
    if availability.find_refusal(uid, name) is not None:
        raise RefusedError(-11001)
    disabled_at = availability.last_disabled_at.get((uid, name))
    balances = call.state.ledger.get_balances(uid, name)
    if disabled_at is not None and call.now - disabled_at < DAY_MS:
        raise RefusedError(-3026)
    if any(each.debt or each.locked for each in balances.values()):
        raise RefusedError(-3026)
    availability.disable(uid, name)
    availability.last_disabled_at[uid, name] = call.now
    return {"success": True, "symbol": name}


def _get_bnb_burn(call: Call) -> object:
    return _describe_bnb_burn(call)


def _set_bnb_burn(call: Call) -> object:
    burn = call.state.ledger.bnb_burn.get(call.user.uid, BnbBurn())
    if not {"spotBNBBurn", "interestBNBBurn"} & call.parameters.keys():
        raise RefusedError(-1102, "Mandatory parameter 'spotBNBBurn' was not sent, was empty/null, or malformed.")
    call.state.ledger.bnb_burn[call.user.uid] = replace(
        burn,
        commission=call.is_true("spotBNBBurn", burn.commission),
        interest=call.is_true("interestBNBBurn", burn.interest),
    )
    return _describe_bnb_burn(call)


def _describe_bnb_burn(call: Call) -> dict[str, object]:
    burn = call.state.ledger.bnb_burn.get(call.user.uid, BnbBurn())
    return {"spotBNBBurn": burn.commission, "interestBNBBurn": burn.interest}


_LOAN = (
    symbol("asset", mandatory=True),
    flag("isIsolated", mandatory=True),
    symbol(),
    amount("amount", mandatory=True),
    choice("type", ("BORROW", "REPAY"), mandatory=True),
)
_TRANSFER = (
    choice("type", _TRANSFER_TYPES, mandatory=True),
    symbol("asset", mandatory=True),
    amount("amount", mandatory=True),
    symbol("fromSymbol"),
    symbol("toSymbol"),
)
_TRANSFERS = (_TRANSFER[0], symbol("fromSymbol"), symbol("toSymbol"), *TIME_RANGE, *PAGE)
_SYMBOL = (symbol(mandatory=True),)
_BURN = (flag("spotBNBBurn"), flag("interestBNBBurn"))
_ISOLATED_PATH = "/sapi/v1/margin/isolated/account"

ENDPOINTS = (
    Endpoint("POST", "/sapi/v1/margin/borrow-repay", "MARGIN", 1500, "UID", _borrow_or_repay, _LOAN),
    Endpoint("POST", "/sapi/v1/asset/transfer", "MARGIN", 900, "UID", _transfer, _TRANSFER),
    Endpoint("GET", "/sapi/v1/asset/transfer", "USER_DATA", 1, "IP", _get_transfers, _TRANSFERS),
    Endpoint("POST", _ISOLATED_PATH, "TRADE", 300, "UID", _enable_isolated_account, _SYMBOL),
    Endpoint("DELETE", _ISOLATED_PATH, "TRADE", 300, "UID", _disable_isolated_account, _SYMBOL),
    Endpoint("GET", "/sapi/v1/bnbBurn", "USER_DATA", 1, "IP", _get_bnb_burn),
    Endpoint("POST", "/sapi/v1/bnbBurn", "USER_DATA", 1, "IP", _set_bnb_burn, _BURN),
)
"""The calls for loans, transfers and settings."""
