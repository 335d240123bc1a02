"""Accounts of the sandbox exchange and the API keys that open them."""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass, field

__all__ = ["CROSS", "Accounts", "ApiAccount", "random_text", "well_formed"]

CROSS = "cross"
"""Name of the cross margin account; an isolated one goes by its symbol."""

_LENGTH = 64
_FORMAT = re.compile(rf"[A-Za-z0-9]{{{_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class ApiAccount:
    """One user of the exchange: a key and a secret that work in this sandbox and nowhere else."""

    uid: int
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)


class Accounts:
    """The users by API key."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._by_key: dict[str, ApiAccount] = {}
        self._revoked: set[str] = set()
        self._last_uid = 0

    def add(self) -> ApiAccount:
        """Open an account with a fresh key."""
        self._last_uid += 1
        account = ApiAccount(
            uid=self._last_uid,
            api_key=self._text("SandboxKeyNotARealOne"),
            api_secret=self._text("SandboxSecretNotARealOne"),
        )
        self._by_key[account.api_key] = account
        return account

    def find(self, api_key: str) -> ApiAccount | None:
        """The account that a key opens, or None where the key is unknown or revoked."""
        return None if api_key in self._revoked else self._by_key.get(api_key)

    def opened(self, api_key: str) -> ApiAccount:
        """The account that was opened with a key, revoked or not.

        Raises:
            KeyError: no such key; the message does not show it.

        """
        account = self._by_key.get(api_key)
        if account is None:
            raise KeyError("no account has this API key")
        return account

    def revoke(self, uid: int) -> None:
        """Take a user's key away; the account stays."""
        self._revoked.update(key for key, account in self._by_key.items() if account.uid == uid)

    def all(self) -> list[ApiAccount]:
        """Every user, in the order they came."""
        return list(self._by_key.values())

    def is_revoked(self, api_key: str) -> bool:
        """Whether a key was taken away."""
        return api_key in self._revoked

    def _text(self, prefix: str) -> str:
        alphabet = string.ascii_letters + string.digits
        return prefix + random_text(self._source, alphabet, _LENGTH - len(prefix))


def well_formed(api_key: str) -> bool:
    """Whether a text has the form of an API key, which decides between -2014 and -2015."""
    return _FORMAT.fullmatch(api_key) is not None


def random_text(source: random.Random, alphabet: str, length: int) -> str:
    """A text of the given length; the same source in the same state gives the same text."""
    return "".join(source.choice(alphabet) for _ in range(length))
