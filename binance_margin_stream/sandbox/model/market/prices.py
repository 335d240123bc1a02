"""Prices of symbols, their history, and the value of assets."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.market.candles import PublicTrade, Tape
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
        self._tapes: dict[str, Tape] = {}

    def set_price(self, symbol: str, price: Decimal, now: int) -> None:
        """Set a symbol's price."""
        self._prices[symbol] = price
        self.get_tape(symbol).record_price(price, now)

    def open_market(self, symbol: str, now: int) -> Decimal:
        """A symbol's price, at which orders match from now on."""
        if symbol not in self._prices:
            self.set_price(symbol, self._rules.opening_price, now)
        return self._prices[symbol]

    def record_trade(self, symbol: str, trade: PublicTrade) -> None:
        """Record a trade; it does not change the price."""
        self.get_tape(symbol).record_trade(trade)

    def get_tape(self, symbol: str) -> Tape:
        """The history of a symbol."""
        return self._tapes.setdefault(symbol, Tape(self._rules.opening_price))

    def symbols(self) -> list[str]:
        """The symbols that ``exchangeInfo`` shows: those of the rules, and those that were used."""
        if self._rules.symbols is not None:
            return sorted(self._rules.symbols)
        served = (symbol for symbol in self._rules.listed_symbols if self._rules.split_symbol(symbol) is not None)
        return list(dict.fromkeys([*served, *self._tapes]))

    def assets(self) -> list[str]:
        """The assets of all symbols."""
        pairs = (self._rules.split_symbol(symbol) for symbol in self.symbols())
        return list(dict.fromkeys(asset for pair in pairs if pair is not None for asset in pair))

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
