"""Debt and transfers: borrow, repay, charge interest, move and lock assets."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from binance_margin_stream.sandbox.amounts import ZERO, round_up
from binance_margin_stream.sandbox.delivery.event_payloads import (
    build_balance_update,
    build_external_lock_update,
    build_liability_change,
)
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.history.records import InterestCharge, LoanRecord
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.reports import send_position

__all__ = [
    "MARGIN_EVENT_NAMES",
    "LoanKind",
    "borrow",
    "change_external_lock",
    "charge_interest",
    "repay",
    "transfer",
]

LoanKind = Literal["AUTO", "MANUAL"]

MARGIN_EVENT_NAMES = {
    "upper": ("MARGIN_LEVEL_STATUS_CHANGE", "USER_LIABILITY_CHANGE"),
    "camel": ("marginLevelStatusChange", "userLiabilityChange"),
}
"""Event names by `ExchangeRules.margin_event_name_style`: margin level, then liability."""


def borrow(
    state: ExchangeState, uid: int, account: str, asset: str, amount: Decimal, now: int, kind: LoanKind = "MANUAL"
) -> int:
    """Borrow an asset: a liability event, then the balance. Returns the id of the record."""
    state.ledger.get_balance(uid, account, asset).borrowed += amount
    number = state.records.next_id()
    state.records.loans.add((uid, account), LoanRecord(number, now, account, asset, kind, amount, ZERO))
    _record_flow(state, uid, account, asset, "BORROW", amount, number, now)
    _send_liability_change(state, uid, account, asset, "BORROW", amount, ZERO, now)
    _change_free_balance(state, uid, account, asset, amount, now)
    return number


def repay(
    state: ExchangeState, uid: int, account: str, asset: str, amount: Decimal, now: int, kind: LoanKind = "MANUAL"
) -> int:
    """Repay debt from the free balance, interest first: a liability event, then the balance.

    Returns the id of the record.

    Raises:
        ValueError: more than the debt, or than the free balance.

    """
    balance = state.ledger.get_balance(uid, account, asset)
    if amount > balance.debt:
        raise ValueError(f"the debt is {balance.debt} {asset}, not {amount}")
    if amount > balance.free:
        raise ValueError(f"not enough {asset}: {balance.free} free")
    interest = min(amount, balance.interest)
    balance.interest -= interest
    balance.borrowed -= amount - interest
    number = state.records.next_id()
    record = LoanRecord(number, now, account, asset, kind, amount - interest, interest)
    state.records.repayments.add((uid, account), record)
    _record_flow(state, uid, account, asset, "REPAY", -amount, number, now)
    _send_liability_change(state, uid, account, asset, "REPAY", amount - interest, interest, now)
    _change_free_balance(state, uid, account, asset, -amount, now)
    return number


def charge_interest(
    state: ExchangeState, uid: int, account: str, rate: Decimal, now: int, kind: str = "PERIODIC"
) -> None:
    """Charge interest on an account's borrowed amounts: a liability event for each asset."""
    for asset, balance in state.ledger.get_balances(uid, account).items():
        interest = round_up(balance.borrowed * rate)
        if interest:
            balance.interest += interest
            number = state.records.next_id()
            charge = InterestCharge(number, now, account, asset, balance.borrowed, interest, rate, kind)
            state.records.interest.add((uid, account), charge)
            _send_liability_change(state, uid, account, asset, "INTEREST", ZERO, interest, now)


def transfer(
    state: ExchangeState, uid: int, account: str, asset: str, delta: Decimal, now: int, transaction_id: int = 0
) -> None:
    """Add an asset to an account, or remove it.

    Raises:
        ValueError: more than the free balance.

    """
    _change_free_balance(state, uid, account, asset, delta, now)
    _record_flow(state, uid, account, asset, "TRANSFER", delta, transaction_id or state.records.next_id(), now)


def _change_free_balance(state: ExchangeState, uid: int, account: str, asset: str, delta: Decimal, now: int) -> None:
    balance = state.ledger.get_balance(uid, account, asset)
    if balance.free + delta < ZERO:
        raise ValueError(f"not enough {asset}: {balance.free} free")
    balance.free += delta
    publish(state, uid, account, build_balance_update(asset, delta, now))
    send_position(state, uid, account, (asset,), now)


def _record_flow(
    state: ExchangeState, uid: int, account: str, asset: str, kind: str, amount: Decimal, number: int, now: int
) -> None:
    symbol = "" if account == CROSS else account
    state.records.record_flow(uid, account, symbol, asset, kind, amount, number, now)


def change_external_lock(state: ExchangeState, uid: int, account: str, asset: str, delta: Decimal, now: int) -> None:
    """Lock an asset for a purpose outside the account, or unlock it with a negative delta.

    Raises:
        ValueError: more than the free, or externally locked, balance.

    """
    balance = state.ledger.get_balance(uid, account, asset)
    if balance.free - delta < ZERO or balance.externally_locked + delta < ZERO:
        raise ValueError(f"not enough {asset}: {balance.free} free, {balance.externally_locked} locked externally")
    balance.free -= delta
    balance.locked += delta
    balance.externally_locked += delta
    publish(state, uid, account, build_external_lock_update(asset, delta, now))
    send_position(state, uid, account, (asset,), now)


def _send_liability_change(
    state: ExchangeState, uid: int, account: str, asset: str, kind: str, principal: Decimal, interest: Decimal, now: int
) -> None:
    _, name = MARGIN_EVENT_NAMES[state.rules.margin_event_name_style]
    publish(state, uid, account, build_liability_change(asset, kind, principal, interest, name, now))
