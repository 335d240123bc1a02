"""Users of the sandbox exchange and their API keys."""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass, field

__all__ = ["CROSS", "User", "Users", "is_well_formed", "random_string"]

CROSS = "cross"
"""Name of the cross margin account; an isolated account has the name of its symbol."""

_KEY_LENGTH = 64
_KEY_FORMAT = re.compile(rf"[A-Za-z0-9]{{{_KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class User:
    """A user, with an API key and a secret that are valid in this sandbox only."""

    uid: int
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)


class Users:
    """All users, by API key."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._by_key: dict[str, User] = {}
        self._revoked: set[str] = set()
        self._last_uid = 0

    def add(self) -> User:
        """Add a user with a new API key."""
        self._last_uid += 1
        user = User(
            uid=self._last_uid,
            api_key=self._generate_credential("SandboxKeyNotARealOne"),
            api_secret=self._generate_credential("SandboxSecretNotARealOne"),
        )
        self._by_key[user.api_key] = user
        return user

    def find_active(self, api_key: str) -> User | None:
        """The user of an API key; None if the key is unknown or revoked."""
        return None if api_key in self._revoked else self._by_key.get(api_key)

    def get(self, api_key: str) -> User:
        """The user of an API key, revoked or not.

        Raises:
            KeyError: no such key; the message does not show it.

        """
        user = self._by_key.get(api_key)
        if user is None:
            raise KeyError("no user has this API key")
        return user

    def revoke(self, uid: int) -> None:
        """Revoke a user's API key."""
        self._revoked.update(key for key, user in self._by_key.items() if user.uid == uid)

    def all(self) -> list[User]:
        """All users, oldest first."""
        return list(self._by_key.values())

    def is_revoked(self, api_key: str) -> bool:
        """Whether an API key is revoked."""
        return api_key in self._revoked

    def _generate_credential(self, prefix: str) -> str:
        alphabet = string.ascii_letters + string.digits
        return prefix + random_string(self._rng, alphabet, _KEY_LENGTH - len(prefix))


def is_well_formed(api_key: str) -> bool:
    """Whether a string has the form of an API key, which decides between -2014 and -2015."""
    return _KEY_FORMAT.fullmatch(api_key) is not None


def random_string(rng: random.Random, alphabet: str, length: int) -> str:
    """A random string; the same generator state gives the same string."""
    return "".join(rng.choice(alphabet) for _ in range(length))
