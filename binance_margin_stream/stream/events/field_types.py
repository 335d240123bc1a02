"""The types of an event's fields, and how a value is read as one of them.

A type says what the exchange documents, so the decoder takes nothing else. `read_…` functions take every spelling
whose meaning is certain: an integer as text, money as a number, microseconds. They raise `ValueError` for the rest.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import (
    Clamped,
    Context,
    Decimal,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    Subnormal,
)
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, TypeVar

from msgspec import Meta

__all__ = [
    "SENT",
    "Integer",
    "IntegerOrText",
    "JsonValue",
    "Money",
    "OptionalTime",
    "Sent",
    "TextOrNull",
    "Time",
    "TimeOrText",
    "format_value",
    "read_flag",
    "read_integer",
    "read_money",
    "read_text",
    "read_time",
    "to_datetime",
    "to_key",
    "to_optional_datetime",
]

JsonValue: TypeAlias = "bool | int | str | Decimal | float | list[JsonValue] | dict[str, JsonValue] | None"
"""A value of a field that this version does not know. Fractional numbers are `Decimal`, with all their digits."""

_EXACT: Final = Context(
    prec=64,
    Emin=-100,
    Emax=100,
    traps=[Clamped, FloatOperation, Inexact, InvalidOperation, Overflow, Rounded, Subnormal],
)
"""Makes a Decimal with all its digits or raises. A larger exponent would make ``format(amount, "f")`` fill memory."""

T = TypeVar("T")
SENT: Final = "None where what came cannot be read"

if TYPE_CHECKING:
    Money: TypeAlias = Decimal
    """An amount, a price or a quantity. Never a float, never NaN or infinite."""

    Sent: TypeAlias = T | None
    """What the exchange always sends: the decoder takes nothing else, and a field is None where it cannot be read."""
else:

    class _MoneyType(type):
        __call__ = _EXACT.create_decimal
        __instancecheck__ = _EXACT.is_finite

    class Money(metaclass=_MoneyType):
        """A finite Decimal: ``Money("1.50")`` makes one or raises, and ``isinstance(amount, Money)`` tells one."""

    Sent = Annotated[T, SENT]


_INT64_MAX: Final = 2**63 - 1
_LAST_MILLISECOND: Final = 253_402_300_799_999  # of the year 9999, where datetime ends
_FIRST_MICROSECOND: Final = 10**15  # the year 2001 in microseconds; milliseconds never get there
_LAST_MICROSECOND: Final = _LAST_MILLISECOND * 1000 + 999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_integer_text: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)

Integer: TypeAlias = Annotated[int, Meta(ge=-_INT64_MAX - 1, le=_INT64_MAX)]
"""An id or a count of up to 64 bits; -1 where the exchange means none."""

IntegerOrText: TypeAlias = Annotated[int, Meta(ge=-_INT64_MAX - 1, le=_INT64_MAX), "or text"]
"""The same, where the exchange's own SDK showed text in its versions before 8.6.1."""

Time: TypeAlias = Annotated[int, Meta(ge=0, le=_LAST_MILLISECOND)]
"""Milliseconds since 1970-01-01 UTC."""

TimeOrText: TypeAlias = Annotated[int, Meta(ge=0, le=_LAST_MILLISECOND), "or text"]
"""The same, where the exchange documents text."""

OptionalTime: TypeAlias = Annotated[int, Meta(ge=-1, le=_LAST_MILLISECOND)]
"""Milliseconds since 1970-01-01 UTC; -1 where the exchange means none."""

TextOrNull: TypeAlias = Annotated[str, "or null"]
"""Text where the exchange documents null, too."""


def read_money(value: object) -> Decimal:
    """An amount from text or a number. Floats are refused: their digits are already lost."""
    if isinstance(value, str) and not value.isascii():
        raise ValueError("is not a decimal number in ASCII digits")
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("is not a decimal number, as text or Decimal")
    try:
        amount = _EXACT.create_decimal(value)
    except ArithmeticError:
        raise ValueError("is not a decimal number of at most 64 digits") from None
    if not amount.is_finite():
        raise ValueError("is not a finite number")
    return amount


def read_integer(value: object, least: int = -_INT64_MAX - 1, largest: int = _INT64_MAX) -> int:
    """An integer of up to 64 bits, also as text."""
    if isinstance(value, str) and _integer_text.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= largest:
        raise ValueError(f"is not an integer from {least} to {largest}")
    return value


def read_time(value: object, least: int = 0) -> int:
    """A time in milliseconds. Microseconds are known by their size, and rounded down."""
    time = read_integer(value, least, _LAST_MICROSECOND)
    if time >= _FIRST_MICROSECOND:
        return time // 1000
    if time > _LAST_MILLISECOND:
        raise ValueError("is not a time in milliseconds")
    return time


def read_flag(value: object) -> bool:
    """True or false, nothing that resembles them."""
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def read_text(value: object) -> str:
    """Any text. Of a member of an enumeration, its value."""
    if not isinstance(value, str):
        raise ValueError("is not text")
    return str(value)


def to_datetime(milliseconds: int) -> datetime:
    """The moment, in UTC, to the millisecond: no float takes part."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def to_optional_datetime(milliseconds: int | None) -> datetime | None:
    """The moment, in UTC, or None where the time is absent or -1."""
    return None if milliseconds is None or milliseconds < 0 else to_datetime(milliseconds)


def format_value(value: Decimal | int | str | None) -> str:
    """A value for a person: amounts without an exponent and without zeros at the end, and ``?`` for None."""
    if not isinstance(value, Decimal):
        return "?" if value is None else str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_key(value: Decimal | int | str | None) -> int | str:
    """A value as part of an identity: equal amounts give equal text, and None gives empty text."""
    if isinstance(value, Decimal):
        return format_value(abs(value) if value == 0 else value)
    return "" if value is None else value
