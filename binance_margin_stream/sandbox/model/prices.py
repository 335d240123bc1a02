"""Prices of symbols, and the value of assets."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["VALUATION_ASSET", "Prices"]

VALUATION_ASSET = "USDT"
"""The asset in which a cross account is valued and liquidated."""

_STABLECOINS = (VALUATION_ASSET, "USDC", "FDUSD")
_ONE = Decimal(1)


class Prices:
    """The prices that were set; a symbol without one has the opening price, at which no order matches by itself."""

    def __init__(self, rules: ExchangeRules) -> None:
        self._rules = rules
        self._prices: dict[str, Decimal] = {}

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set a symbol's price."""
        self._prices[symbol] = price

    def all(self) -> dict[str, Decimal]:
        """The prices that were set, by symbol."""
        return dict(self._prices)

    def find_price(self, symbol: str) -> Decimal | None:
        """The price that was set, or None."""
        return self._prices.get(symbol)

    def get_price(self, symbol: str) -> Decimal:
        """The price that was set, or the opening price."""
        return self._prices.get(symbol, self._rules.opening_price)

    def get_unit_value(self, account: str, asset: str) -> Decimal:
        """Value of one unit of an asset: in USDT in a cross account, in the quote asset in an isolated one."""
        if account != CROSS:
            assets = self._rules.split_symbol(account)
            return self.get_price(account) if assets is not None and asset == assets[0] else _ONE
        if asset in _STABLECOINS:
            return _ONE
        for stablecoin in _STABLECOINS:
            if f"{asset}{stablecoin}" in self._prices:
                return self._prices[f"{asset}{stablecoin}"]
        if f"{VALUATION_ASSET}{asset}" in self._prices:
            return _ONE / self._prices[f"{VALUATION_ASSET}{asset}"]
        return self._rules.opening_price
