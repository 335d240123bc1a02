"""Subjects and keys in the broker, for names and symbols of every alphabet. No I/O.

A part of a subject keeps ASCII letters, digits, ``_`` and ``-``; every other byte of its UTF-8 form is ``=`` and two
hexadecimal digits. So parts can be read back, sort like their text, and are valid in key-value keys, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.errors import StoredFormError
from binance_margin_stream.stream.accounts import Account

__all__ = ["Subjects", "decode_account", "decode_part", "encode_account", "encode_part", "validate_name"]

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ENCODED = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_MAX_NAME_BYTES = 64


def encode_part(text: str) -> str:
    """One part of a subject. Raises `ApiValueError` for an empty text."""
    if not text:
        raise ApiValueError("a name in a subject may not be empty")
    return "".join(chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in text.encode())


def decode_part(part: str) -> str:
    """What `encode_part` was given. Raises `StoredFormError`."""
    try:
        if _ENCODED.fullmatch(part):
            pieces = re.split(r"=([0-9A-F]{2})", part)
            data = b"".join(
                bytes.fromhex(piece) if index % 2 else piece.encode("ascii") for index, piece in enumerate(pieces)
            )
            return data.decode()
    except UnicodeDecodeError:
        pass
    raise StoredFormError("a subject of the stream is not one that this package writes")


def encode_account(account: Account) -> str:
    """The part of a subject that names an account."""
    return account.kind if account.symbol is None else f"{account.kind}-{encode_part(account.symbol)}"


def decode_account(part: str) -> Account:
    """What `encode_account` was given. Raises `StoredFormError`."""
    kind, dash, symbol = part.partition("-")
    try:
        return Account.parse(f"{kind}:{decode_part(symbol)}" if dash else kind)
    except ApiValueError:
        pass
    raise StoredFormError("a subject of the stream names no account")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects below one prefix, such as ``margin`` or ``desk1.margin``. Raises `ApiValueError` for another."""

    prefix: str = "margin"

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix) or self.prefix.startswith("$"):
            raise ApiValueError("a prefix consists of ASCII letters, digits, '_', '-' and dots between them")

    @property
    def all_events(self) -> str:
        """Every event and gap."""
        return f"{self.prefix}.>"

    def filter(self, name: str | None = None, account: Account | None = None) -> str:
        """Every event and gap of one name, or of one account of it."""
        if name is None:
            return self.all_events if account is None else f"{self.prefix}.*.{encode_account(account)}.*"
        if account is None:
            return f"{self.prefix}.{encode_part(name)}.>"
        return f"{self.prefix}.{encode_part(name)}.{encode_account(account)}.*"

    def event(self, name: str, account: Account, event_id: str) -> str:
        """One event or gap."""
        return f"{self.prefix}.{encode_part(name)}.{encode_account(account)}.{event_id}"

    def parse_event(self, subject: str) -> tuple[str, Account, str]:
        """Name, account and identifier of a subject. Raises `StoredFormError`."""
        parts = subject.removeprefix(f"{self.prefix}.").split(".")
        if len(parts) != 3:
            raise StoredFormError("a subject of the stream is not one that this package writes")
        return decode_part(parts[0]), decode_account(parts[1]), parts[2]

    @staticmethod
    def entry_key(name: str, account: Account) -> str:
        """The key of an account's frontier entry."""
        return f"{encode_part(name)}.{encode_account(account)}"


def validate_name(name: str) -> str:
    """The name of a key, if it can be one. Raises `ApiValueError`."""
    if not name or len(name.encode()) > _MAX_NAME_BYTES or not name.isprintable():
        raise ApiValueError(f"a name has 1 to {_MAX_NAME_BYTES} bytes and no control characters")
    return name
