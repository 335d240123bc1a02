"""The stored form of an account's entry: JSON that is read back exactly, or refused."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TypeVar

from binance_margin_stream.relay.errors import StoredFormError
from binance_margin_stream.relay.frontier import AccountEntry, FrontierEntry, TimeRange

__all__ = ["entry_from_json", "entry_to_json"]

_VERSION = 1
T = TypeVar("T")


def entry_to_json(entry: AccountEntry) -> bytes:
    """The stored form of an entry."""
    contents = {
        content: {
            "frontier": each.frontier,
            "origin": each.origin,
            "islands": [[island.start, island.end] for island in each.islands],
            "pending": [[gap.start, gap.end] for gap in each.pending],
        }
        for content, each in sorted(entry.contents.items())
    }
    stored = {"version": _VERSION, "is_recreated": entry.is_recreated, "contents": contents}
    return json.dumps(stored, separators=(",", ":")).encode()


def entry_from_json(data: bytes) -> AccountEntry:
    """What `entry_to_json` wrote. Raises `StoredFormError` for anything else: nothing of it is guessed."""
    try:
        stored = json.loads(data)
        if stored["version"] != _VERSION or stored.keys() != {"version", "is_recreated", "contents"}:
            raise ValueError
        contents = {content: _parse_content(each) for content, each in stored["contents"].items()}
        entry = AccountEntry(MappingProxyType(contents), _check(stored["is_recreated"], bool))
        if entry_to_json(entry) != data:
            raise ValueError
        return entry
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise StoredFormError(
        "a frontier entry is not in the form that this version writes: stop every relay and purge the key, after which "
        "one gap reports the whole past"
    )


def _parse_content(stored: dict[str, object]) -> FrontierEntry:
    if stored.keys() != {"frontier", "origin", "islands", "pending"}:
        raise ValueError
    return FrontierEntry(
        frontier=_check(stored["frontier"], int),
        origin=_check(stored["origin"], int),
        islands=_parse_intervals(stored["islands"]),
        pending=_parse_intervals(stored["pending"]),
    )


def _parse_intervals(stored: object) -> tuple[TimeRange, ...]:
    return tuple(TimeRange(_check(start, int), _check(end, int)) for start, end in _check(stored, list))


def _check(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError
    return value
