"""The margin account that an event belongs to, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from binance_margin_stream.exceptions import ApiValueError

__all__ = ["CROSS", "NO_ACCOUNT", "Account", "isolated"]

_MAX_SYMBOL_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Account:
    """One margin account: `CROSS`, or `isolated("BTCUSDT")` for the account of one isolated pair.

    `str(account)` is a short text such as ``cross`` or ``isolated:BTCUSDT``, which `Account.parse` reads back.
    """

    kind: Literal["cross", "isolated", "none"]
    symbol: str | None = None

    def __post_init__(self) -> None:
        if (self.kind == "isolated") != (self.symbol is not None):
            raise ApiValueError("only an isolated account has a symbol, and it needs one")

    def __str__(self) -> str:
        return self.kind if self.symbol is None else f"{self.kind}:{self.symbol}"

    def __repr__(self) -> str:
        if self.symbol is not None:
            return f"isolated({self.symbol!r})"
        return "CROSS" if self.kind == "cross" else "NO_ACCOUNT"

    @classmethod
    def parse(cls, text: str) -> Account:
        """The account for the text that `str` returns. Raises `ApiValueError` for any other text."""
        kind, colon, symbol = text.partition(":")
        if kind == "isolated" and colon and str(account := isolated(symbol)) == text:
            return account
        if text in _BY_NAME:
            return _BY_NAME[text]
        raise ApiValueError("not an account: expected 'cross', or 'isolated:' and a symbol")


CROSS = Account("cross")
"""The cross margin account."""

NO_ACCOUNT = Account("none")
"""No account: for an event about a connection as a whole, or one whose account is not known yet."""

_BY_NAME = {str(account): account for account in (CROSS, NO_ACCOUNT)}


def isolated(symbol: str) -> Account:
    """The isolated margin account of a pair, such as ``BTCUSDT``; ``btc/usdt`` and ``BTC-USDT`` name the same one.

    Raises `ApiValueError` for what cannot be a symbol. Whether it exists is known once the exchange is asked.
    """
    normalized = symbol.replace("/", "").replace("-", "").upper()
    if not 0 < len(normalized) <= _MAX_SYMBOL_LENGTH or not all(each.isalnum() or each in "_." for each in normalized):
        raise ApiValueError(f"not a symbol: {symbol[:_MAX_SYMBOL_LENGTH]!r}, expected one such as 'BTCUSDT'")
    return Account("isolated", normalized)
