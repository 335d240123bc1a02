"""Debt and transfers: borrow, repay, charge interest, move and lock assets."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_up
from binance_margin_stream.sandbox.delivery.event_payloads import (
    build_balance_update,
    build_external_lock_update,
    build_liability_change,
)
from binance_margin_stream.sandbox.delivery.publishing import publish
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.trading.execution import send_position

__all__ = ["MARGIN_EVENT_NAMES", "borrow", "change_external_lock", "charge_interest", "repay", "transfer"]

MARGIN_EVENT_NAMES = {
    "upper": ("MARGIN_LEVEL_STATUS_CHANGE", "USER_LIABILITY_CHANGE"),
    "camel": ("marginLevelStatusChange", "userLiabilityChange"),
}
"""Event names by `ExchangeRules.margin_event_name_style`: margin level, then liability."""


def borrow(state: ExchangeState, uid: int, account: str, asset: str, amount: Decimal, now: int) -> None:
    """Borrow an asset: a liability event, then the balance."""
    state.ledger.get_balance(uid, account, asset).borrowed += amount
    _send_liability_change(state, uid, account, asset, "BORROW", amount, ZERO, now)
    transfer(state, uid, account, asset, amount, now)


def repay(state: ExchangeState, uid: int, account: str, asset: str, amount: Decimal, now: int) -> None:
    """Repay debt from the free balance, interest first: a liability event, then the balance.

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
    _send_liability_change(state, uid, account, asset, "REPAY", amount - interest, interest, now)
    transfer(state, uid, account, asset, -amount, now)


def charge_interest(state: ExchangeState, uid: int, account: str, rate: Decimal, now: int) -> None:
    """Charge interest on an account's borrowed amounts: a liability event for each asset."""
    for asset, balance in state.ledger.get_balances(uid, account).items():
        interest = round_up(balance.borrowed * rate)
        if interest:
            balance.interest += interest
            _send_liability_change(state, uid, account, asset, "INTEREST", ZERO, interest, now)


def transfer(state: ExchangeState, uid: int, account: str, asset: str, delta: Decimal, now: int) -> None:
    """Add an asset to an account, or remove it.

    Raises:
        ValueError: more than the free balance.

    """
    balance = state.ledger.get_balance(uid, account, asset)
    if balance.free + delta < ZERO:
        raise ValueError(f"not enough {asset}: {balance.free} free")
    balance.free += delta
    publish(state, uid, account, build_balance_update(asset, delta, now))
    send_position(state, uid, account, (asset,), now)


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
