"""How much an account may borrow, and transfer out."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_down
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["compute_max_borrowable", "compute_max_transferable"]


def compute_max_borrowable(state: ExchangeState, uid: int, account: str, asset: str) -> Decimal:
    """The largest loan with which the account's assets stay within the leverage, and the loan below its limit."""
    leverage = state.rules.max_leverage if account == CROSS else state.rules.isolated_max_leverage
    own, debt = _compute_values(state, uid, account)
    value = own * (leverage - 1) - debt
    amount = round_down(value / state.prices.get_unit_value(account, asset))
    borrowed = state.ledger.peek_balance(uid, account, asset).borrowed
    return max(ZERO, min(amount, state.rules.borrow_limit - borrowed))


def compute_max_transferable(state: ExchangeState, uid: int, account: str, asset: str) -> Decimal:
    """What can leave the account so that its margin level stays above 2, or anything that is free without debt."""
    free = state.ledger.peek_balance(uid, account, asset).free
    own, debt = _compute_values(state, uid, account)
    if not debt:
        return max(ZERO, free)
    spare = own + debt - 2 * debt
    return max(ZERO, min(free, round_down(spare / state.prices.get_unit_value(account, asset))))


def _compute_values(state: ExchangeState, uid: int, account: str) -> tuple[Decimal, Decimal]:
    """The value of the account's own funds, and that of its debt."""
    listed = state.prices.assets() if account == CROSS else state.orders.split_symbol(account)
    assets = dict.fromkeys([*listed, *state.ledger.get_balances(uid, account)])
    owned = debt = ZERO
    for asset in assets:
        balance, value = state.ledger.peek_balance(uid, account, asset), state.prices.get_unit_value(account, asset)
        owned += balance.total * value
        debt += balance.debt * value
    return owned - debt, debt
