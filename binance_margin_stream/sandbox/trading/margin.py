"""How close a margin account is to its forced liquidation."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from binance_margin_stream.sandbox.amounts import ZERO
from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.prices import Prices

__all__ = ["FORCE_LIQUIDATION", "NO_DEBT", "STATUSES", "margin_level", "status_at"]

STATUSES = ("EXCESSIVE", "NORMAL", "MARGIN_CALL", "PRE_LIQUIDATION", "FORCE_LIQUIDATION")
"""The margin level statuses, from the safest."""

FORCE_LIQUIDATION = STATUSES[-1]

NO_DEBT = Decimal(999)
"""The highest level, which an account without debt has."""

_STEP = Decimal("0.0001")


def margin_level(ledger: Ledger, prices: Prices, uid: int, account: str) -> Decimal:
    """What an account holds, divided by what it owes, both valued at the present prices."""
    held = owed = ZERO
    for asset, balance in ledger.of_account(uid, account).items():
        value = prices.unit_value(account, asset)
        held += balance.total * value
        owed += balance.debt * value
    return min(NO_DEBT, (held / owed).quantize(_STEP, ROUND_DOWN)) if owed else NO_DEBT


def status_at(level: Decimal, rules: Rules) -> str:
    """The status that goes with a margin level: the first whose level is exceeded."""
    for status, least in zip(STATUSES, rules.margin_levels, strict=False):
        if level > least:
            return status
    return FORCE_LIQUIDATION
