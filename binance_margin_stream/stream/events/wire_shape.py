"""Whether an event holds all of its frame.

The decoder is silent about a name that occurs twice, and about an amount that is true or a list. So the quotes and
colons of a frame are compared with those that the fields of its event stand for: a name is two quotes and a colon,
and a text, such as an amount, is two quotes. Backslashes and letters outside ASCII stay in, and match nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.events.record_fields import RecordField, fields_by_name

__all__ = ["ShapeCheck", "make_shape_checks", "to_shape"]

ShapeCheck: TypeAlias = Callable[[bytes, Any], bool]
"""Whether an event holds all of a frame of this shape."""

_NAME, _TEXT = b'"":', b'""'
_NOT_IN_SHAPE: Final = bytes(each for each in range(128) if each not in b'":\\')


def to_shape(frame: bytes) -> bytes:
    """The quotes and colons of a frame; and its backslashes, and whatever is not ASCII."""
    return frame.translate(None, _NOT_IN_SHAPE)


def make_shape_checks(kinds: Iterable[type[Struct]], envelope: bytes) -> Mapping[type[Struct], ShapeCheck]:
    """A check for each class. `envelope` is what surrounds an event, such as ``{"event":}``."""
    opening = to_shape(envelope) + _NAME + _TEXT  # the name of the event
    checks: dict[type[Struct], ShapeCheck] = {kind: _Shape(kind, opening).matches for kind in kinds}
    return checks | {ExecutionReport: _ReportShape(opening).matches}


class _Shape:
    """The shape of the frames of one class: `usual` where all fields stand in their documented order."""

    def __init__(self, kind: type[Struct], opening: bytes) -> None:
        fields = [known for known in fields_by_name(kind).values() if known.wire_name is not None]
        self.usual = opening + b"".join(_shape_of(known) for known in fields if known.is_required)
        self._opening = opening
        self._fields = fields

    def matches(self, shape: bytes, event: Any) -> bool:
        """Whether the event holds all of a frame of this shape."""
        return shape == self.usual or self.matches_in_any_order(shape, event)

    def matches_in_any_order(self, shape: bytes, event: Any) -> bool:
        """The same for frames with other fields, with rows, or in another order: by the number of names and texts."""
        expected = self._opening + b"".join(_shapes_of(self._fields, event))
        return len(shape) == len(expected) and shape.count(b":") == expected.count(b":") and b"\\" not in shape ...


def _shapes_of(fields: Iterable[RecordField], record: Any) -> Iterable[bytes]:
    for known in fields:
        value = getattr(record, known.name)
        if known.row_type is not None
