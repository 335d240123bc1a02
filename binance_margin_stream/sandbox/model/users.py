"""Users of the sandbox exchange and their API keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from binance_margin_stream.sandbox.model.credential_generator import API_KEY_LENGTH, CredentialGenerator
from binance_margin_stream.sandbox.model.public_keys import PublicKey

__all__ = ["CROSS", "PERMISSIONS", "SPOT", "ApiKey", "Permission", "User", "Users", "is_well_formed"]

CROSS = "cross"
"""Name of the cross margin account; an isolated account has the name of its symbol."""

SPOT = "spot"
"""Name of a user's spot wallet."""

Permission = Literal["reading", "trading", "loan_and_transfer"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
"""What an API key may be allowed to do."""

_MAX_KEYS = 100_000
_MAX_SECRET_LENGTH = 1000
_KEY_FORMAT = re.compile(rf"[A-Za-z0-9]{{{API_KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class User:
    """A user, with an API key and a secret that are valid in this sandbox only."""

    uid: int
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of a user: with a secret (HMAC), or with the public key of a key pair."""

    value: str = field(repr=False)
    user: User
    public_key: PublicKey | None = None
    """None for the user's first key, which signs with `User.api_secret`."""


class Users:
    """All users and their API keys."""

    def __init__(self, generator: CredentialGenerator) -> None:
        self._generator = generator
        self._keys: dict[str, ApiKey] = {}
        self._users: list[User] = []
        self._revoked: set[str] = set()
        self._permissions: dict[str, frozenset[str]] = {}

    def add(self, api_key: str | None = None, api_secret: str | None = None) -> User:
        """Add a user, with a given API key and secret or new ones.

        Raises:
            ValueError: there are too many API keys, or the given one is invalid.

        """
        if api_key is not None and not is_well_formed(api_key):
            raise ValueError(f"api_key takes {API_KEY_LENGTH} letters and digits")
        if api_secret is not None and not _is_usable_secret(api_secret):
            raise ValueError(f"api_secret takes 1 to {_MAX_SECRET_LENGTH} ASCII characters")
        key = self._generator.api_key() if api_key is None else api_key
        secret = self._generator.api_secret() if api_secret is None else api_secret
        user = User(len(self._users) + 1, key, secret)
        self._add_key(ApiKey(key, user))
        self._users.append(user)
        return user

    def add_key(self, user: User, public_key: PublicKey) -> ApiKey:
        """Add an API key for a user that signs with a key pair.

        Raises:
            ValueError: there are too many API keys.

        """
        key = ApiKey(self._generator.api_key(), user, public_key)
        self._add_key(key)
        return key

    def find_active(self, api_key: str) -> ApiKey | None:
        """The API key with this value; None if it is unknown or revoked."""
        return None if api_key in self._revoked else self._keys.get(api_key)

    def get(self, api_key: str) -> User:
        """The user of an API key, revoked or not.

        Raises:
            KeyError: no such key; the message does not show it.

        """
        key = self._keys.get(api_key)
        if key is None:
            raise KeyError("no user has this API key")
        return key.user

    def set_permissions(self, api_key: str, permissions: Iterable[str]) -> None:
        """Set what an API key may do; a new key may do everything.

        Raises:
            KeyError: no such key; the message does not show it.
            ValueError: an unknown permission.

        """
        self.get(api_key)
        allowed = frozenset(permissions)
        if not allowed <= frozenset(PERMISSIONS):
            raise ValueError(f"permissions takes some of {', '.join(PERMISSIONS)}")
        self._permissions[api_key] = allowed

    def has_permission(self, key: ApiKey, permission: Permission) -> bool:
        """Whether an API key may do something."""
        return permission in self._permissions.get(key.value, PERMISSIONS)

    def revoke(self, uid: int) -> None:
        """Revoke all API keys of a user."""
        self._revoked.update(value for value, key in self._keys.items() if key.user.uid == uid)

    def all(self) -> list[User]:
        """All users, oldest first."""
        return list(self._users)

    def all_keys(self) -> list[ApiKey]:
        """All API keys, oldest first."""
        return list(self._keys.values())

    def is_revoked(self, api_key: str) -> bool:
        """Whether an API key is revoked."""
        return api_key in self._revoked

    def _add_key(self, key: ApiKey) -> None:
        if len(self._keys) >= _MAX_KEYS:
            raise ValueError(f"the sandbox has {_MAX_KEYS} API keys already")
        self._keys[key.value] = key


def _is_usable_secret(secret: str) -> bool:
    return secret.isascii() and secret.isprintable() and 1 <= len(secret) <= _MAX_SECRET_LENGTH


def is_well_formed(api_key: str) -> bool:
    """Whether a string has the form of an API key, which decides between -2014 and -2015."""
    return _KEY_FORMAT.fullmatch(api_key) is not None
