"""The types of an event's fields: exact, strict about what the exchange promises, open where it is.

Every type has two readings with one meaning. The JSON reading takes only the usual spelling and never leaves
pydantic's core, which makes it fast. The Python reading takes every spelling that is allowed: money as a string or
a number, integers as integers or strings. A frame that the first refuses is given to the second.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Any, TypeAlias

from pydantic_core import CoreSchema, core_schema

from binance_margin_stream.stream.accounts import Account

__all__ = [
    "AccountField",
    "Flag",
    "Integer",
    "JsonValue",
    "Money",
    "OptionalTime",
    "Schema",
    "Text",
    "Time",
    "to_datetime",
    "to_optional_datetime",
]

JsonValue: TypeAlias = "bool | int | str | Decimal | float | list[JsonValue] | dict[str, JsonValue] | None"
"""A value of a field that this version does not know. Fractional numbers are `Decimal`, with all their digits."""

_LONGEST_MONEY = 64
_LARGEST_EXPONENT = 200
_MONEY = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"
_money = re.compile(_MONEY, re.ASCII)
_integer = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_LARGEST_INTEGER = 2**63 - 1
_LAST_MILLISECOND = 253_402_300_799_999  # of the year 9999, where datetime ends
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Schema:
    """Tells pydantic, inside `Annotated`, to validate with this schema and not with one that it derives."""

    def __init__(self, schema: CoreSchema) -> None:
        self._schema = schema

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        """The schema."""
        return self._schema


def _decimal(value: object) -> Decimal:
    """Money from a string or a number; floats are refused, since their digits are already lost."""
    if isinstance(value, str):
        value = Decimal(value) if len(value) <= 3 * _LARGEST_EXPONENT and _money.fullmatch(value) else None
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST_MONEY:
        value = Decimal(value)
    if isinstance(value, Decimal) and _is_sane(value):
        return value
    raise ValueError("is not a decimal number")


def _is_sane(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent > -_LARGEST_EXPONENT and value.adjusted() < _LARGEST_EXPONENT


def _integer_between(least: int, largest: int) -> Schema:
    def read(value: object) -> int:
        if isinstance(value, str) and _integer.fullmatch(value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= largest:
            return value
        raise ValueError("is not an integer of the expected size")

    return _two_readings(core_schema.int_schema(strict=True, ge=least, le=largest), read)


def _account(value: object) -> Account:
    return value if isinstance(value, Account) else Account.parse(str(value))


def _two_readings(from_json: CoreSchema, from_python: Callable[[Any], object]) -> Schema:
    return Schema(
        core_schema.json_or_python_schema(from_json, core_schema.no_info_plain_validator_function(from_python))
    )


# A context's method reads a string in three quarters of the time of Decimal's constructor, and both in less than
# pydantic's decimal schema. It never rounds: it has a digit for each character that the pattern lets through.
_exactly = Context(prec=_LONGEST_MONEY, traps=[InvalidOperation, Inexact]).create_decimal
_MONEY_FROM_JSON = core_schema.no_info_after_validator_function(
    _exactly, core_schema.str_schema(strict=True, max_length=_LONGEST_MONEY, pattern=_MONEY)
)

Money: TypeAlias = Annotated[Decimal, _two_readings(_MONEY_FROM_JSON, _decimal)]
"""An amount, a price or a quantity: a decimal string on the wire. Never a float, never NaN or infinite."""

Integer: TypeAlias = Annotated[int, _integer_between(-_LARGEST_INTEGER - 1, _LARGEST_INTEGER)]
"""An id or a count of up to 64 bits; -1 where the exchange means none."""

Time: TypeAlias = Annotated[int, _integer_between(0, _LAST_MILLISECOND)]
"""Milliseconds since 1970-01-01 UTC."""

OptionalTime: TypeAlias = Annotated[int, _integer_between(-1, _LAST_MILLISECOND)] | None
"""Milliseconds since 1970-01-01 UTC, None where absent, -1 where the exchange means none."""

Flag: TypeAlias = Annotated[bool, Schema(core_schema.bool_schema(strict=True))]
"""True or false, nothing that resembles them."""

Text = Schema(core_schema.str_schema(strict=True))
"""For `Annotated`: any string. Enumerations are open, so their known values are for the reader alone."""

AccountField: TypeAlias = Annotated[Account, Schema(core_schema.no_info_plain_validator_function(_account))]
"""An account, or its text."""


def to_datetime(milliseconds: int) -> datetime:
    """The moment, in UTC, to the millisecond: no float takes part."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def to_optional_datetime(milliseconds: int | None) -> datetime | None:
    """The moment, in UTC, or None where the time is absent or -1."""
    return None if milliseconds is None or milliseconds < 0 else to_datetime(milliseconds)
