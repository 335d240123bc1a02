"""Listen keys and listen tokens, with their accounts and expiry."""

from __future__ import annotations

from dataclasses import dataclass, field

from binance_margin_stream.sandbox.config import ExchangeRules, ListenKeyKind
from binance_margin_stream.sandbox.model.credential_generator import CredentialGenerator

__all__ = ["ListenKey", "ListenKeys", "ListenToken", "ListenTokens"]


@dataclass(slots=True)
class ListenKey:
    """A listen key of one account; valid until `expires_at` (ms) unless closed before."""

    value: str = field(repr=False)
    kind: ListenKeyKind
    uid: int
    account: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class ListenToken:
    """A listen token of one account; it cannot be extended."""

    value: str = field(repr=False)
    uid: int
    account: str
    expires_at: int


class ListenKeys:
    """The valid listen keys: one per kind and account, shared by all clients of the account."""

    def __init__(self, rules: ExchangeRules, generator: CredentialGenerator) -> None:
        self._generator = generator
        self._by_value: dict[str, ListenKey] = {}
        self._by_account: dict[tuple[ListenKeyKind, int, str], ListenKey] = {}
        self._validity_ms: dict[ListenKeyKind, int] = {
            "listen_key": rules.listen_key_validity_ms,
            "listen_key_v2": rules.listen_key_v2_validity_ms,
            "risk_listen_key": rules.risk_listen_key_validity_ms,
        }

    def create(self, kind: ListenKeyKind, uid: int, account: str, now: int) -> tuple[ListenKey, bool]:
        """The account's key, extended if it exists, and whether it is new."""
        key = self._by_account.get((kind, uid, account))
        if key is not None:
            self.extend(key, now)
            return key, False
        key = ListenKey(self._generator.listen_key(), kind, uid, account, now + self._validity_ms[kind])
        self._by_value[key.value] = self._by_account[kind, uid, account] = key
        return key, True

    def extend(self, key: ListenKey, now: int) -> None:
        """Extend a key by its full validity from now."""
        key.expires_at = now + self._validity_ms[key.kind]

    def remove(self, key: ListenKey) -> None:
        """Remove a key that expired or was closed."""
        self._by_value.pop(key.value, None)
        self._by_account.pop((key.kind, key.uid, key.account), None)

    def find(self, value: str) -> ListenKey | None:
        """The valid key with this value."""
        return self._by_value.get(value)

    def find_for_account(self, kind: ListenKeyKind, uid: int, account: str) -> ListenKey | None:
        """The valid key of an account."""
        return self._by_account.get((kind, uid, account))

    def find_for_user(self, uid: int) -> list[ListenKey]:
        """All valid keys of a user."""
        return [key for key in self._by_value.values() if key.uid == uid]

    def all(self) -> list[ListenKey]:
        """All valid keys."""
        return list(self._by_value.values())


class ListenTokens:
    """The tokens that have not expired."""

    def __init__(self, generator: CredentialGenerator) -> None:
        self._generator = generator
        self._by_value: dict[str, ListenToken] = {}

    def create(self, uid: int, account: str, expires_at: int) -> ListenToken:
        """Create a token; earlier tokens stay valid."""
        token = ListenToken(self._generator.listen_token(), uid, account, expires_at)
        self._by_value[token.value] = token
        return token

    def find(self, value: str) -> ListenToken | None:
        """The token with this value, unless it has expired."""
        return self._by_value.get(value)

    def remove(self, token: ListenToken) -> None:
        """Remove a token."""
        self._by_value.pop(token.value, None)

    def all(self) -> list[ListenToken]:
        """All tokens that have not expired."""
        return list(self._by_value.values())
