"""What an account holds of each asset, from events and reads.

A position event is exact from then on, as long as no event is lost. A read has no sequence number that would say which
events it contains, and may be stale: it counts for an asset that no event named lately, and only when a second read,
some time later, says the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from binance_margin_stream.account.reads.rows import BalanceRow
from binance_margin_stream.account.state.snapshot import AssetBalance
from binance_margin_stream.stream.events.models import OutboundAccountPosition

__all__ = ["BalanceTable"]

_Holding: TypeAlias = tuple[Decimal, Decimal]
"""Free and locked."""

_NOTHING: Final[_Holding] = Decimal(0), Decimal(0)


@dataclass(slots=True)
class _Asset:
    holding: _Holding = _NOTHING
    is_settled: bool = False
    named_at: float = float("-inf")
    """When an event named the asset last; not before it came."""
    read: tuple[_Holding, float] | None = None
    """A read that has to be confirmed, and when the first such read was sent; if settled, any that differs."""
    debt: tuple[Decimal, Decimal] | None = None
    """Borrowed and interest, as read."""


class BalanceTable:
    """The balances of one account. Times are in seconds of the stream's clock.

    `repeat_after` is the time between two reads that confirm each other; `stale_for` is the time before a read within
    which an event of the asset outweighs it.
    """

    def __init__(self, repeat_after: float, stale_for: float) -> None:
        self._repeat_after = repeat_after
        self._stale_for = stale_for
        self._assets: dict[str, _Asset] = {}
        self._was_read = False

    @property
    def is_settled(self) -> bool:
        """Whether every balance is confirmed, by two equal reads or by an event."""
        return self._was_read and all(asset.is_settled for asset in self._assets.values())

    @property
    def needs_read(self) -> bool:
        """Whether something has to be confirmed by another read."""
        return not self.is_settled or any(asset.read is not None for asset in self._assets.values())

    def on_position(self, event: OutboundAccountPosition, now: float) -> None:
        """An event says what the account holds of some assets."""
        for balance in event.balances or ():
            if balance.asset is None or balance.free is None or balance.locked is None:
                continue  # it could not be read: reads tell, in time
            asset = self._assets.setdefault(balance.asset, _Asset())
            asset.holding = balance.free, balance.locked
            asset.is_settled, asset.named_at, asset.read = True, now, None

    def on_gap(self) -> None:
        """Events may have been missed: nothing is certain until it is confirmed again."""
        self._was_read = False
        for asset in self._assets.values():
            asset.is_settled, asset.named_at, asset.read = False, float("-inf"), None

    def on_read(self, rows: Iterable[BalanceRow], sent_at: float) -> set[str]:
        """The account was read; the assets that are certain to differ although no event said so.

        All assets of the account are among the rows, or nothing is held of them.
        """
        self._was_read = True
        by_asset = {row.asset: row for row in rows}
        for name, row in by_asset.items():
            self._assets.setdefault(name, _Asset()).debt = row.borrowed, row.interest
        return {
            name
            for name, asset in self._assets.items()
            if self._compare(asset, _holding_of(by_asset.get(name)), sent_at)
        }

    def _compare(self, asset: _Asset, holding: _Holding, sent_at: float) -> bool:
        if asset.named_at > sent_at - self._stale_for or (asset.is_settled and asset.holding == holding):
            asset.read = None
            return False
        if not asset.is_settled:
            asset.holding = holding
        if asset.read is None or (asset.read[0] != holding and not asset.is_settled):
            asset.read = holding, sent_at
            return False
        if sent_at - asset.read[1] < self._repeat_after:
            return False
        differs = asset.is_settled
        asset.holding, asset.is_settled, asset.read = holding, True, None
        return differs

    def to_balances(self) -> dict[str, AssetBalance]:
        """The balances as values, without assets that have neither an amount nor a debt."""
        return {
            name: AssetBalance(name, *asset.holding, *(asset.debt or (None, None)))
            for name, asset in self._assets.items()
            if any(asset.holding) or any(asset.debt or ())
        }


def _holding_of(row: BalanceRow | None) -> _Holding:
    return _NOTHING if row is None else (row.free, row.locked)
