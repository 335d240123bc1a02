"""What is known of each field of a record: its names, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from msgspec import NODEFAULT, Struct, field
from msgspec.structs import fields as struct_fields

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.field_types import (
    SENT,
    Integer,
    IntegerOrText,
    Money,
    OptionalTime,
    TextOrNull,
    Time,
    TimeOrText,
    read_flag,
    read_integer,
    read_money,
    read_text,
    read_time,
)
from binance_margin_stream.stream.events.json_codec import ExtraFields

__all__ = ["RecordField", "fields_by_name", "local_field"]

_LOCAL: Final = " "  # begins the wire name of a field that is never on the wire


@dataclass(frozen=True, slots=True)
class RecordField:
    """One field of a record, as its type describes it."""

    name: str
    wire_name: str | None
    """None for a field that is never on the wire."""
    read: Callable[[Any], Any]
    """The value from every spelling whose meaning is certain; raises `ValueError` for the rest."""
    json_types: tuple[type, ...]
    """The JSON types that the exchange documents. A value of another type is a problem, even where it can be read."""
    is_required: bool
    """Whether every record has it: the exchange always sends it, or the user has to give it."""
    allows_none: bool
    row_type: type[Struct] | None = None
    """The type of each entry, where the field is a list of records."""

    @property
    def is_text(self) -> bool:
        """Whether the exchange sends text here: text, or an amount."""
        return self.json_types[0] is str

    @property
    def allows_null(self) -> bool:
        """Whether null is what the exchange documents."""
        return not self.is_required or NoneType in self.json_types

    def is_documented(self, value: Any, found: Any) -> bool:
        """Whether `value`, which was read as `found`, has the type that the exchange documents, and its unit."""
        return type(value) in self.json_types and (not isinstance(found, int) or int(value) == found)


def local_field(name: str, default: Any) -> Any:
    """A field that is never on the wire."""
    return field(default=default, name=_LOCAL + name)


@cache
def fields_by_name(cls: type[Struct]) -> Mapping[str, RecordField]:
    """The fields of a class by their full names, in order."""
    return {
        info.name: _describe_field(info.name, info.encode_name, info.type, info.default) for info in struct_fields(cls)
    }


def _describe_field(name: str, encode_name: str, hint: Any, default: object) -> RecordField:
    hint, allows_none = _split_none(hint)
    row_type = get_args(hint)[0] if get_origin(hint) is tuple else None
    read, json_types = _find_reader(hint)
    wire_name = None if encode_name.startswith(_LOCAL) else encode_name
    return RecordField(name, wire_name, read, json_types, default is NODEFAULT, allows_none, row_type)


def _split_none(hint: Any) -> tuple[Any, bool]:
    """The type without what says that a field may be None, and whether anything says so."""
    arguments = get_args(hint)
    if SENT in arguments:
        rest = tuple(each for each in arguments if each != SENT)
        return (rest[0] if len(rest) == 1 else Annotated[rest]), True
    if NoneType in arguments:
        return next(each for each in arguments if each is not NoneType), True
    return hint, False


def _find_reader(hint: Any) -> tuple[Callable[[Any], Any], tuple[type, ...]]:
    if hint in _READERS:
        return _READERS[hint]
    if get_origin(hint) is Literal:
        return partial(_read_literal, get_args(hint)), (str,)
    if get_origin(hint) is tuple:
        return partial(_read_entries, get_args(hint)[0]), (list,)
    return _READERS[get_args(hint)[0]]  # text that is annotated with its enumeration


def _read_literal(choices: tuple[str, ...], value: object) -> str:
    if value not in choices:
        raise ValueError(f"is not {' or '.join(map(repr, choices))}")
    return str(value)


def _read_entries(entry_type: type, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("is not a list")
    return tuple(_read_entry(entry_type, entry) for entry in value)


def _read_entry(entry_type: type, value: object) -> object:
    if isinstance(value, Mapping):
        value = entry_type(**value)
    if not isinstance(value, entry_type):
        raise ValueError(f"holds an entry that is no {entry_type.__name__}")
    return value


def _read_account(value: object) -> Account:
    return value if isinstance(value, Account) else Account.parse(read_text(value))


def _read_extra(value: object) -> ExtraFields:
    if isinstance(value, ExtraFields):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("is not a mapping of wire names to values")
    return ExtraFields(value)


_INTEGER, _TEXT, _NUMBER = (int,), (str,), (str, int, Decimal)
_READERS: Final[Mapping[Any, tuple[Callable[[Any], Any], tuple[type, ...]]]] = {
    Money: (read_money, _NUMBER),
    Integer: (read_integer, _INTEGER),
    IntegerOrText: (read_integer, (int, str)),
    Time: (read_time, _INTEGER),
    TimeOrText: (read_time, (int, str)),
    OptionalTime: (partial(read_time, least=-1), _INTEGER),
    bool: (read_flag, (bool,)),
    str: (read_text, _TEXT),
    TextOrNull: (read_text, (str, NoneType)),
    Account: (_read_account, _TEXT),
    ExtraFields: (_read_extra, (dict,)),
}
