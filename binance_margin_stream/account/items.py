"""What recovery hands over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.recovered import GapClosed, RecoveredOrder, RecoveredTrade

__all__ = ["AccountChanged", "RecoveredItem", "UnresolvedGap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedGap:
    """Gaps of an account that are still open when the stream ends."""

    account: Account
    gap_ids: tuple[int, ...]
    since: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """The account is now like this."""

    account: Account
    snapshot: AccountSnapshot

    def __str__(self) -> str:
        return f"{self.account} {self.summary}"

    @property
    def summary(self) -> str:
        """How many assets and orders there are, and whether that is exact."""
        assets, orders = len(self.snapshot.balances), len(self.snapshot.open_orders)
        reasons = ", ".join(self.snapshot.inexact_reasons)
        return f"account: {assets} assets, {orders} open orders, {f'not exact: {reasons}' if reasons else 'exact'}"

    def to_dict(self) -> dict[str, object]:
        """The snapshot as JSON can hold it: amounts are text."""
        return {"kind": type(self).__name__, **self.snapshot.to_dict()}

    def to_json(self) -> str:
        """`to_dict` as compact JSON text."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)


RecoveredItem: TypeAlias = RecoveredTrade | RecoveredOrder | GapClosed | AccountChanged
"""Everything that recovery adds to a stream."""
