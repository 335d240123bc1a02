"""What symbols trade at, and what assets are worth."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["HOME", "Prices"]

HOME = "USDT"
"""What a cross account is valued in, and what its forced liquidation trades against."""

_DOLLARS = (HOME, "USDC", "FDUSD")
_ONE = Decimal(1)


class Prices:
    """The prices that were set; a symbol without one has an opening price, at which nothing matches by itself."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._set: dict[str, Decimal] = {}

    def set(self, symbol: str, price: Decimal) -> None:
        """Let a symbol trade at a price from now on."""
        self._set[symbol] = price

    def known(self, symbol: str) -> Decimal | None:
        """The price that was set, or None."""
        return self._set.get(symbol)

    def of(self, symbol: str) -> Decimal:
        """The price that was set, or the opening one."""
        return self._set.get(symbol, self._rules.opening_price)

    def unit_value(self, account: str, asset: str) -> Decimal:
        """What one unit of an asset is worth: in USDT in a cross account, in the quote asset in an isolated one."""
        if account != CROSS:
            assets = self._rules.assets_of(account)
            return self.of(account) if assets is not None and asset == assets[0] else _ONE
        if asset in _DOLLARS:
            return _ONE
        for dollar in _DOLLARS:
            if f"{asset}{dollar}" in self._set:
                return self._set[f"{asset}{dollar}"]
        if f"{HOME}{asset}" in self._set:
            return _ONE / self._set[f"{HOME}{asset}"]
        return self._rules.opening_price
