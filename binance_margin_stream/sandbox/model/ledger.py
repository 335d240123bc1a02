"""What the margin accounts hold and owe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO

__all__ = ["Balance", "Ledger"]


@dataclass(slots=True)
class Balance:
    """An asset of a margin account: what it holds of it, and what it owes."""

    free: Decimal
    locked: Decimal = ZERO
    """Held back, for open orders or from outside."""
    externally_locked: Decimal = ZERO
    """What of that is held back from outside."""
    borrowed: Decimal = ZERO
    interest: Decimal = ZERO
    """Charged and not repaid."""

    @property
    def total(self) -> Decimal:
        """All that is held, locked or not; debt is not subtracted."""
        return self.free + self.locked

    @property
    def debt(self) -> Decimal:
        """All that is owed."""
        return self.borrowed + self.interest


class Ledger:
    """The balances by user, margin account and asset, and the last margin level status of each account."""

    def __init__(self, opening_balance: Decimal) -> None:
        self._opening_balance = opening_balance
        self._balances: dict[tuple[int, str], dict[str, Balance]] = {}
        self.margin_statuses: dict[tuple[int, str], str] = {}

    def get_balance(self, uid: int, account: str, asset: str) -> Balance:
        """The balance of an asset; the opening one where the account had nothing to do with it before."""
        balances = self._balances.setdefault((uid, account), {})
        return balances.setdefault(asset, Balance(self._opening_balance))

    def get_balances(self, uid: int, account: str) -> Mapping[str, Balance]:
        """The balances of the assets that an account had to do with."""
        return self._balances.get((uid, account), {})

    def accounts(self) -> set[tuple[int, str]]:
        """The accounts that had to do with an asset, by user and margin account."""
        return set(self._balances)

    def copy_balances(self, uid: int, account: str) -> dict[str, Balance]:
        """Copies of an account's balances, for those who look on from outside."""
        return {asset: replace(balance) for asset, balance in self.get_balances(uid, account).items()}

    def accounts_with_debt(self) -> list[tuple[int, str]]:
        """The accounts that owe something."""
        return [who for who, balances in self._balances.items() if any(b.debt for b in balances.values())]
