"""Whether an event holds all of its frame.

msgspec is silent about a name that occurs twice in an object, and it passes true, a list or a number to the reader of
amounts, which expects text. So the names and the texts of a frame are compared with those that its event accounts
for. A frame that fails may still be fine: the exact reader decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct

from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.events.record_fields import RecordField, fields_by_name

__all__ = ["FrameCheck", "make_frame_check"]

_NAME, _TEXT = b'"":', b'""'
_NOT_IN_SHAPE: Final = bytes(each for each in range(128) if each not in b'":\\')
"""What a shape leaves out. Backslashes and letters outside ASCII stay in, and match nothing."""


class FrameCheck:
    """The check of one class of event. `envelope` is what surrounds the event, such as ``{"event":}``."""

    def __init__(self, kind: type[Struct], envelope: bytes) -> None:
        self._opening: Final = to_shape(envelope) + _NAME + _TEXT  # the name of the event
        self._fields: Final = _FieldCount(kind)
        self._usual: Final = self._opening + _join_shapes(_list_fields(kind), ())

    def holds_all(self, frame: bytes, event: Any) -> bool:
        """Whether every name and every value of the frame is in the event."""
        shape = frame.translate(None, _NOT_IN_SHAPE)
        return shape == self._usual or self._counts_match(shape, event)

    def _counts_match(self, shape: bytes, event: Any) -> bool:
        """The same for fields in any order."""
        names, texts = self._fields.count(event)
        expected = self._opening + _NAME * names + _TEXT * texts
        return (
            len(shape) == len(expected)
            and shape.count(b'"') == expected.count(b'"')
            and shape.count(b'":') == expected.count(b":")
        )


class _ReportCheck(FrameCheck):
    """Most reports have one optional field, and many have no commission asset."""

    def __init__(self, envelope: bytes) -> None:
        super().__init__(ExecutionReport, envelope)
        fields = _list_fields(ExecutionReport)
        self._usual_reports: Final = [
            [self._opening + _join_shapes(fields, {*asset, *time}) for time in ((), ("working_time",))]
            for asset in ((), ("commission_asset",))
        ]

    def holds_all(self, frame: bytes, event: ExecutionReport) -> bool:
        shape = frame.translate(None, _NOT_IN_SHAPE)
        usual = self._usual_reports[event.commission_asset is not None][event.working_time is not None]
        return shape == usual or self._counts_match(shape, event)


def make_frame_check(kind: type[Struct], envelope: bytes) -> FrameCheck:
    """The check of a class. `envelope` is what surrounds its events, such as ``{"event":}``."""
    return _ReportCheck(envelope) if kind is ExecutionReport else FrameCheck(kind, envelope)


def to_shape(frame: bytes) -> bytes:
    """The quotes and colons of a frame; and its backslashes, and whatever is not ASCII."""
    return frame.translate(None, _NOT_IN_SHAPE)


def _list_fields(kind: type[Struct]) -> list[RecordField]:
    return [known for known in fields_by_name(kind).values() if known.wire_name is not None]


def _join_shapes(fields: Iterable[RecordField], present: Iterable[str]) -> bytes:
    """The shape of the required fields and of those that are present, in the order of the class."""
    return b"".join(
        _NAME + (_TEXT if known.is_text and (known.name in present or not known.allows_null) else b"")
        for known in fields
        if known.is_required or known.name in present
    )


class _FieldCount:
    """Counts the names and the texts that the fields of a record stand for on the wire."""

    def __init__(self, kind: type[Struct]) -> None:
        fields = _list_fields(kind)
        nullable = [each.name for each in fields if each.is_required and each.allows_null]
        optional_texts = [each.name for each in fields if not each.is_required and each.is_text]
        others = [each.name for each in fields if not each.is_required and not each.is_text]
        self._names: Final = len(fields)
        self._texts: Final = sum(each.is_text for each in fields)
        self._get_values: Final = _make_getter([*nullable, *optional_texts, *others])
        self._optional: Final = slice(len(nullable), None)
        self._text_values: Final = slice(len(nullable) + len(optional_texts))
        self._rows: Final = [(each.name, _FieldCount(each.row_type)) for each in fields if each.row_type]

    def count(self, record: Struct) -> tuple[int, int]:
        """The number of names, and the number of texts."""
        values = self._get_values(record)
        names = self._names - values[self._optional].count(None)
        texts = self._texts - values[self._text_values].count(None)
        for name, row_count in self._rows:
            for row in getattr(record, name):
                row_names, row_texts = row_count.count(row)
                names += row_names
                texts += row_texts
        return names, texts


def _make_getter(names: list[str]) -> Callable[[Any], tuple[object, ...]]:
    if len(names) < 2:
        return lambda record: tuple(getattr(record, name) for name in names)
    get_values: Callable[[Any], tuple[object, ...]] = attrgetter(*names)
    return get_values
