"""`Record`: a frozen group of named fields.

A record that the decoder makes was checked while its frame was read. One that is made by name, as in a test, is
checked here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct, StructMeta

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.redaction import redact
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.field_types import JsonValue
from binance_margin_stream.stream.events.json_codec import ExtraFields, to_jsonable
from binance_margin_stream.stream.events.record_fields import RecordField, fields_by_name

__all__ = ["NO_EXTRA", "Record", "make_unchecked"]

NO_EXTRA: Final = ExtraFields()
_OMITTED_IF_EMPTY: Final = frozenset({"extra", "problems"})


class _RecordType(StructMeta):
    """Checks what a record is made of."""

    if not TYPE_CHECKING:  # type checkers take the signature from the fields

        def __call__(cls, *args: object, **values: object) -> object:  # noqa: N805
            if args:
                raise ApiTypeError(f"{cls.__name__} takes keyword arguments only")
            return make_unchecked(cls, _read_values(cls, values))


class Record(Struct, metaclass=_RecordType, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A frozen group of named fields.

    It is not tracked for garbage collection: it holds values that come from JSON, which make no cycles.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """The fields that are set, without anything that may be a listen key or a token."""
        return [
            (name, _Unquoted(redact(repr(value))) if isinstance(value, ExtraFields) else value)
            for name, value in self._fields()
        ]

    def _fields(self) -> Iterator[tuple[str, object]]:
        for name in self.__struct_fields__:
            value = getattr(self, name, None)  # not set in a traceback of an incomplete copy
            if value is not None and (value or name not in _OMITTED_IF_EMPTY):
                yield name, value

    def _to_jsonable(self) -> dict[str, JsonValue]:
        return {name: _to_jsonable(value) for name, value in self._fields()}


class _Unquoted(str):
    """Text that stands in a repr without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def make_unchecked(cls: type, values: Mapping[str, object]) -> Any:
    """A record of values that were read already."""
    return StructMeta.__call__(cls, **values)


def _to_jsonable(value: object) -> JsonValue:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Account):
        return str(value)
    if isinstance(value, ExtraFields):
        return {wire_name: to_jsonable(inner) for wire_name, inner in value.items()}
    if isinstance(value, tuple):
        return [_to_jsonable(entry) for entry in cast(tuple[object, ...], value)]
    return value._to_jsonable() if isinstance(value, Record) else cast(JsonValue, value)


def _read_values(cls: type[Record], values: Mapping[str, object]) -> dict[str, object]:
    fields = fields_by_name(cls)
    found = {name: _read_value(cls, fields, name, value) for name, value in values.items()}
    missing = [name for name, known in fields.items() if known.is_required and name not in values]
    if missing:
        raise ApiTypeError(f"{cls.__name__} needs {', '.join(missing)}")
    return found


def _read_value(cls: type[Record], fields: Mapping[str, RecordField], name: str, value: object) -> object:
    if name not in fields:
        close = difflib.get_close_matches(name, fields, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(fields)}"
        raise ApiTypeError(f"{cls.__name__} has no field {name!r}: {hint}")
    if value is None and fields[name].allows_none:
        return None
    try:
        return fields[name].read(value)
    except ValueError as error:
        reason = str(error)
    raise ApiValueError(f"{cls.__name__}: {name} {reason}")  # out here, so that it carries no other error
