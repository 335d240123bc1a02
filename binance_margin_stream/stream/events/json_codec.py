"""Values as JSON can hold them, and back, without the loss of a digit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from binance_margin_stream.stream.events.field_types import JsonValue

__all__ = ["plain", "revived"]

_NUMBER = "$number"


def plain(value: JsonValue) -> JsonValue:
    """`value` for JSON: a fractional number becomes ``{"$number": "1.50"}``.

    JSON readers turn numbers with a fraction into floats, and a string would come back as a string. An object
    of the exchange that already looks like that is wrapped once more, so that `revived` cannot mistake it.
    """
    if isinstance(value, Decimal):
        return {_NUMBER: str(value)}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        entries = {key: plain(entry) for key, entry in value.items()}
        return {_NUMBER: entries} if entries.keys() == {_NUMBER} else entries
    return value


def revived(value: JsonValue) -> JsonValue:
    """What `plain` was given; raises `ValueError` or `ArithmeticError` for what it never writes."""
    if isinstance(value, list):
        return [revived(entry) for entry in value]
    if isinstance(value, dict):
        return _revived_object(value)
    return value


def _revived_object(value: Mapping[str, JsonValue]) -> JsonValue:
    if value.keys() == {_NUMBER}:
        inner = value[_NUMBER]
        if isinstance(inner, str):
            return Decimal(inner)
        if not isinstance(inner, dict):
            raise ValueError("is not a number")
        return {key: revived(entry) for key, entry in inner.items()}
    return {key: revived(entry) for key, entry in value.items()}
