"""Balances and debt of the margin accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, add_exact

__all__ = ["Balance", "BnbBurn", "Ledger"]


@dataclass(slots=True)
class Balance:
    """Balance and debt of one asset in a margin account."""

    free: Decimal
    locked: Decimal = ZERO
    """Locked for open orders or externally."""
    externally_locked: Decimal = ZERO
    """The externally locked part of `locked`."""
    borrowed: Decimal = ZERO
    interest: Decimal = ZERO
    """Charged and not yet repaid."""

    @property
    def total(self) -> Decimal:
        """Free and locked; debt is not subtracted."""
        return add_exact(self.free, self.locked)

    @property
    def debt(self) -> Decimal:
        """Borrowed amount and interest."""
        return add_exact(self.borrowed, self.interest)


@dataclass(frozen=True, slots=True)
class BnbBurn:
    """Whether a user pays commission and interest in BNB."""

    commission: bool = False
    interest: bool = False


class Ledger:
    """Balances by user, account and asset, and the last margin level status of each account."""

    def __init__(self, opening_balance: Decimal) -> None:
        self._opening_balance = opening_balance
        self._balances: dict[tuple[int, str], dict[str, Balance]] = {}
        self.margin_statuses: dict[tuple[int, str], str] = {}
        self.interest_is_scheduled = False
        self.bnb_burn: dict[int, BnbBurn] = {}
        """What users have set with ``bnbBurn``."""

    def get_balance(self, uid: int, account: str, asset: str) -> Balance:
        """The balance of an asset; the opening balance if the account has not used it before."""
        balances = self._balances.setdefault((uid, account), {})
        return balances.setdefault(asset, Balance(self._opening_balance))

    def peek_balance(self, uid: int, account: str, asset: str) -> Balance:
        """A copy of the balance of an asset, whether the account has used it or not."""
        balance = self.get_balances(uid, account).get(asset)
        return Balance(self._opening_balance) if balance is None else replace(balance)

    def get_balances(self, uid: int, account: str) -> Mapping[str, Balance]:
        """The balances of the assets that an account has used."""
        return self._balances.get((uid, account), {})

    def accounts(self) -> set[tuple[int, str]]:
        """The accounts that have used an asset, as user and account."""
        return set(self._balances)

    def copy_balances(self, uid: int, account: str) -> dict[str, Balance]:
        """Copies of an account's balances, safe to hand out."""
        return {asset: replace(balance) for asset, balance in self.get_balances(uid, account).items()}

    def accounts_with_debt(self) -> list[tuple[int, str]]:
        """The accounts that have debt."""
        return [key for key, balances in self._balances.items() if any(b.debt for b in balances.values())]
