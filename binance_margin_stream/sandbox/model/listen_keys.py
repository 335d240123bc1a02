"""Listen keys and listen tokens: who may listen to what, and until when."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, field
from typing import Literal

from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.model.users import random_text

__all__ = ["KeyKind", "ListenKey", "ListenKeys", "ListenToken", "ListenTokens"]

KeyKind = Literal["listen_key", "listen_key_v2", "risk_listen_key"]

_ALPHABET = string.ascii_letters + string.digits


@dataclass(slots=True)
class ListenKey:
    """A listen key of one account; it lives until `expires_at` (ms) unless it is closed before."""

    text: str = field(repr=False)
    kind: KeyKind
    uid: int
    account: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class ListenToken:
    """A listen token of one account; it cannot be extended, only replaced."""

    text: str = field(repr=False)
    uid: int
    account: str
    expires_at: int


class ListenKeys:
    """The live listen keys: one for each kind and account, shared by all of the account's clients."""

    def __init__(self, rules: Rules, source: random.Random) -> None:
        self._source = source
        self._live: dict[str, ListenKey] = {}
        self._of_account: dict[tuple[KeyKind, int, str], ListenKey] = {}
        self._validity: dict[KeyKind, int] = {
            "listen_key": rules.listen_key_validity_ms,
            "listen_key_v2": rules.listen_key_v2_validity_ms,
            "risk_listen_key": rules.risk_listen_key_validity_ms,
        }

    def create(self, kind: KeyKind, uid: int, account: str, now: int) -> tuple[ListenKey, bool]:
        """The account's key, extended if it has one, and whether it is a new one."""
        key = self._of_account.get((kind, uid, account))
        if key is not None:
            self.extend(key, now)
            return key, False
        key = ListenKey(_opaque(self._source, 60), kind, uid, account, now + self._validity[kind])
        self._live[key.text] = self._of_account[kind, uid, account] = key
        return key, True

    def extend(self, key: ListenKey, now: int) -> None:
        """Give a key its full validity from now."""
        key.expires_at = now + self._validity[key.kind]

    def end(self, key: ListenKey) -> None:
        """Forget a key, expired or closed."""
        self._live.pop(key.text, None)
        self._of_account.pop((key.kind, key.uid, key.account), None)

    def find(self, text: str) -> ListenKey | None:
        """The live key with this text."""
        return self._live.get(text)

    def of_account(self, kind: KeyKind, uid: int, account: str) -> ListenKey | None:
        """The live key of an account."""
        return self._of_account.get((kind, uid, account))

    def of_uid(self, uid: int) -> list[ListenKey]:
        """All live keys of a user."""
        return [key for key in self._live.values() if key.uid == uid]

    def live(self) -> list[ListenKey]:
        """All live keys."""
        return list(self._live.values())


class ListenTokens:
    """The tokens that have not expired."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._live: dict[str, ListenToken] = {}

    def create(self, uid: int, account: str, expires_at: int) -> ListenToken:
        """A new token; those made before stay valid."""
        token = ListenToken(_opaque(self._source, 88), uid, account, expires_at)
        self._live[token.text] = token
        return token

    def find(self, text: str) -> ListenToken | None:
        """The token with this text, unless it is over."""
        return self._live.get(text)

    def end(self, token: ListenToken) -> None:
        """Forget a token."""
        self._live.pop(token.text, None)

    def live(self) -> list[ListenToken]:
        """All tokens that have not expired."""
        return list(self._live.values())


def _opaque(source: random.Random, length: int) -> str:
    """Text with a `+` and a `/` in it: legal, and fatal to a client that does not percent-encode."""
    plain = random_text(source, _ALPHABET, length - 2)
    third = length // 3
    return f"{plain[:third]}+{plain[third : 2 * third]}/{plain[2 * third :]}"
