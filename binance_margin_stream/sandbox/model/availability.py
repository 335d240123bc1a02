"""Accounts that are disabled, and symbols that are delisted, while the exchange is running."""

from __future__ import annotations

from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["Availability"]

_NO_MARGIN_ACCOUNT = -3003
_NO_ISOLATED_ACCOUNT = -11001
_INVALID_SYMBOL = -1121


class Availability:
    """Which accounts are refused, and with which error code.

    The exchange sends no event when it disables an account or delists a symbol: subscriptions go silent.
    """

    def __init__(self) -> None:
        self._disabled: set[tuple[int, str]] = set()
        self._delisted: set[str] = set()
        self.last_disabled_at: dict[tuple[int, str], int] = {}
        """When a user's own call has last disabled an isolated account, in milliseconds."""

    def disable(self, uid: int, account: str) -> None:
        """Refuse an account's calls and stop its events."""
        self._disabled.add((uid, account))

    def enable(self, uid: int, account: str) -> None:
        """Undo `disable`."""
        self._disabled.discard((uid, account))

    def delist(self, symbol: str) -> None:
        """Refuse a symbol, and every user's isolated account of it."""
        self._delisted.add(symbol)

    def relist(self, symbol: str) -> None:
        """Undo `delist`."""
        self._delisted.discard(symbol)

    def is_delisted(self, symbol: str) -> bool:
        """Whether a symbol is delisted."""
        return symbol in self._delisted

    def delisted(self) -> list[str]:
        """All delisted symbols."""
        return sorted(self._delisted)

    def find_refusal(self, uid: int, account: str) -> int | None:
        """The error code with which an account is refused, or None."""
        if account in self._delisted:
            return _INVALID_SYMBOL
        if (uid, account) in self._disabled:
            return _NO_MARGIN_ACCOUNT if account == CROSS else _NO_ISOLATED_ACCOUNT
        return None
