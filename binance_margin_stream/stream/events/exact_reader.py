"""The exact way of decoding: for every frame that the decoder's usual way refuses or cannot vouch for.

It is slower and it decides: strict JSON without duplicate names, numbers with all their digits, unknown fields kept.
A field that is not what the exchange documents costs that field, and not the event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast, get_args

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import fields as struct_fields

from binance_margin_stream.stream.events.enumerations import ExecutionType
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.field_types import JsonValue
from binance_margin_stream.stream.events.json_codec import ExtraFields
from binance_margin_stream.stream.events.models import AnyEvent, KnownEvent, UnknownEvent
from binance_margin_stream.stream.events.record import Record, make_unchecked
from binance_margin_stream.stream.events.record_fields import RecordField, fields_by_name

__all__ = ["event_classes", "parse_json", "read_event"]

_parse_strictly: Final = Decoder(float_hook=str).decode
_TRADE_ESSENTIALS: Final = ("trade_id", "last_executed_quantity", "last_executed_price")


def parse_json(raw: bytes) -> JsonValue:
    """The value in a frame; fractional numbers are `Decimal`. Raises `MalformedFrameError`."""
    try:
        # First a parser that refuses what Python's lets through: lone surrogates, NaN, other encodings than UTF-8.
        # Its result is not used, since it does not see names that occur twice.
        _parse_strictly(raw)
        return cast(JsonValue, json.loads(raw, parse_float=Decimal, object_pairs_hook=_to_unique_names))
    except MalformedFrameError:
        raise
    except (ValueError, ArithmeticError, RecursionError):
        pass
    raise MalformedFrameError("frame: not JSON in UTF-8 of a sane depth and size")


def read_event(payload: JsonValue) -> AnyEvent:
    """The event of a JSON object, whatever its fields are; raises `MalformedFrameError` where it is no object."""
    if not isinstance(payload, dict):
        raise MalformedFrameError("frame: the event is not a JSON object")
    name = payload.get("e")
    if not isinstance(name, str) or not name:
        return _make_unknown("", payload, ("event_type",))
    fields = {wire_name: value for wire_name, value in payload.items() if wire_name != "e"}
    kind = event_classes().get(name)
    if kind is None:
        return _make_unknown(name, fields, ())
    reading = _read_fields(kind, fields)
    unreadable = tuple(each for each in _find_essentials(kind, reading.values) if reading.values[each] is None)
    if unreadable:
        return _make_unknown(name, fields, unreadable)
    return cast(AnyEvent, reading.make_record(kind, event_type=name, problems=tuple(reading.problems)))


@cache
def event_classes() -> Mapping[str, type[Record]]:
    """The classes by the names of their events on the wire."""
    return {
        name: kind
        for kind in get_args(KnownEvent)
        for known in struct_fields(kind)
        if known.name == "event_type"
        for name in get_args(known.type)
    }


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of one JSON object."""

    values: dict[str, Any]
    """By full names."""
    extra: dict[str, JsonValue]
    """What stays as it came, by wire names."""
    problems: list[str]
    """Full names of fields that are not what the exchange documents."""

    def read_field(self, known: RecordField, wire_name: str, value: JsonValue) -> None:
        """Take one field; what is documented leaves `extra`."""
        if value is None and known.allows_null:
            self.values[known.name] = None
            del self.extra[wire_name]
        elif known.row_type is not None and isinstance(value, list) and all(isinstance(row, dict) for row in value):
            self.values[known.name] = self._read_rows(known.name, known.row_type, value)
            del self.extra[wire_name]
        else:
            self.values[known.name] = found = _read_value(known, value)
            if found is not None and known.is_documented(value, found):
                del self.extra[wire_name]
            else:
                self.problems.append(known.name)

    def _read_rows(self, name: str, row_type: type[Struct], rows: list[Any]) -> tuple[Any, ...]:
        readings = [_read_fields(row_type, row) for row in rows]
        self.problems.extend(dict.fromkeys(f"{name}.{each}" for reading in readings for each in reading.problems))
        return tuple(reading.make_record(row_type) for reading in readings)

    def make_record(self, kind: type[Struct], **values: object) -> Record:
        """The record of a class."""
        return cast(Record, make_unchecked(kind, self.values | values | {"extra": ExtraFields(self.extra)}))


def _read_fields(kind: type[Struct], sent: Mapping[str, JsonValue]) -> _Reading:
    reading = _Reading({}, dict(sent), [])
    for known in fields_by_name(kind).values():
        if known.wire_name is not None and known.wire_name in sent:
            reading.read_field(known, known.wire_name, sent[known.wire_name])
        elif known.wire_name is not None and known.is_required:
            reading.values[known.name] = None
            reading.problems.append(known.name)
    return reading


def _read_value(known: RecordField, value: JsonValue) -> object:
    if known.row_type is not None:
        return None  # no list of objects
    try:
        return known.read(value)
    except ValueError:
        return None


def _find_essentials(kind: type[Record], values: Mapping[str, object]) -> list[str]:
    """The fields without which an event is of no use."""
    essentials = [known.name for known in fields_by_name(kind).values() if known.wire_name and not known.allows_none]
    return [*essentials, *_TRADE_ESSENTIALS] if values.get("execution_type") == ExecutionType.TRADE else essentials


def _make_unknown(name: str, fields: Mapping[str, JsonValue], problems: tuple[str, ...]) -> UnknownEvent:
    values = {"event_type": name, "extra": ExtraFields(fields), "problems": problems}
    return cast(UnknownEvent, make_unchecked(UnknownEvent, values))


def _to_unique_names(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise MalformedFrameError("frame: a name occurs twice in one object")
    return names
