"""How close a margin account is to its forced liquidation."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from binance_margin_stream.sandbox.amounts import ZERO
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.prices import Prices

__all__ = [
    "FORCE_LIQUIDATION",
    "MARGIN_LEVEL_STATUSES",
    "MAX_MARGIN_LEVEL",
    "classify_margin_level",
    "compute_margin_level",
]

MARGIN_LEVEL_STATUSES = ("EXCESSIVE", "NORMAL", "MARGIN_CALL", "PRE_LIQUIDATION", "FORCE_LIQUIDATION")
"""The margin level statuses, from the safest."""

FORCE_LIQUIDATION = MARGIN_LEVEL_STATUSES[-1]

MAX_MARGIN_LEVEL = Decimal(999)
"""The highest level, which an account without debt has."""

_STEP = Decimal("0.0001")


def compute_margin_level(ledger: Ledger, prices: Prices, uid: int, account: str) -> Decimal:
    """What an account holds, divided by what it owes, both valued at the present prices."""
    held = owed = ZERO
    for asset, balance in ledger.get_balances(uid, account).items():
        value = prices.get_unit_value(account, asset)
        held += balance.total * value
        owed += balance.debt * value
    return min(MAX_MARGIN_LEVEL, (held / owed).quantize(_STEP, ROUND_DOWN)) if owed else MAX_MARGIN_LEVEL


def classify_margin_level(level: Decimal, rules: ExchangeRules) -> str:
    """The status that goes with a margin level: the first whose level is exceeded."""
    for status, threshold in zip(MARGIN_LEVEL_STATUSES, rules.margin_level_thresholds, strict=False):
        if level > threshold:
            return status
    return FORCE_LIQUIDATION
