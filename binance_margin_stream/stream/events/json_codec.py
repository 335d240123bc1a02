"""Values as JSON can hold them, and back, without the loss of a digit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from binance_margin_stream.stream.events.field_types import JsonValue

__all__ = ["ExtraFields", "from_jsonable", "to_jsonable"]

_NUMBER_KEY = "$number"


class ExtraFields(Mapping[str, JsonValue]):
    """Fields of an event by their wire names: those that this version does not know or could not read."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, JsonValue] | None = None) -> None:
        self._fields: Mapping[str, JsonValue] = dict(fields) if fields else {}

    def __getitem__(self, wire_name: str) -> JsonValue:
        """The value as it came."""
        return self._fields[wire_name]

    def __iter__(self) -> Iterator[str]:
        """The wire names."""
        return iter(self._fields)

    def __len__(self) -> int:
        """How many fields these are."""
        return len(self._fields)

    def __repr__(self) -> str:
        fields = getattr(self, "_fields", None)  # not set in a traceback of the constructor
        return "ExtraFields()" if fields is None else repr(fields)


def to_jsonable(value: JsonValue) -> JsonValue:
    """`value` for JSON: a fractional number becomes ``{"$number": "1.50"}``.

    JSON readers turn numbers with a fraction into floats, and a string would come back as a string. An object
    of the exchange that already looks like that is wrapped once more, so that `from_jsonable` cannot mistake it.
    """
    if isinstance(value, Decimal):
        return {_NUMBER_KEY: str(value)}
    if isinstance(value, list):
        return [to_jsonable(entry) for entry in value]
    if isinstance(value, dict):
        entries = {key: to_jsonable(entry) for key, entry in value.items()}
        return {_NUMBER_KEY: entries} if entries.keys() == {_NUMBER_KEY} else entries
    return value


def from_jsonable(value: JsonValue) -> JsonValue:
    """The value that `to_jsonable` was given; raises `ValueError` or `ArithmeticError` for what it never writes."""
    if isinstance(value, list):
        return [from_jsonable(entry) for entry in value]
    if isinstance(value, dict):
        return _object_from_jsonable(value)
    return value


def _object_from_jsonable(value: Mapping[str, JsonValue]) -> JsonValue:
    if value.keys() == {_NUMBER_KEY}:
        inner = value[_NUMBER_KEY]
        if isinstance(inner, str):
            return Decimal(inner)
        if not isinstance(inner, dict):
            raise ValueError("is not a number")
        return {key: from_jsonable(entry) for key, entry in inner.items()}
    return {key: from_jsonable(entry) for key, entry in value.items()}
