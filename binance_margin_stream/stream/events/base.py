"""The items that a stream delivers, and what all of them can do.

A field has its wire name, such as ``E``, only while a frame is decoded; everywhere else it has its full name. For
each time ``some_time``, an integer in milliseconds, there is ``some_datetime``, an aware `datetime` in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

from msgspec import field
from msgspec.structs import force_setattr, replace

from binance_margin_stream.exceptions import ApiTypeError
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.stream.accounts import NO_ACCOUNT, Account
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.field_types import (
    Integer,
    JsonValue,
    Sent,
    Time,
    to_datetime,
    to_key,
    to_optional_datetime,
)
from binance_margin_stream.stream.events.json_codec import ExtraFields, from_jsonable
from binance_margin_stream.stream.events.record import NO_EXTRA, Record
from binance_margin_stream.stream.events.record_fields import fields_by_name, local_field

__all__ = [
    "AccountLost",
    "Event",
    "Identity",
    "StreamGap",
    "StreamItem",
    "TimedEvent",
    "set_subscription",
]

Identity: TypeAlias = tuple[str | int, ...]
"""Strings and integers, equal in every process that saw the same event: a key for sets, files and databases."""

_MAX_LINE = 1000
_Record = TypeVar("_Record", bound=Record)
_Item = TypeVar("_Item", bound="StreamItem")


class StreamItem(Record, frozen=True, kw_only=True):
    """Anything that a stream delivers: an `Event`, or a `StreamGap` where events may be missing.

    ``str(item)`` is one line for a person, of at most 1000 characters; ``repr(item)`` is complete.
    """

    account: Account = local_field("account", NO_ACCOUNT)
    """The account that this is about. `NO_ACCOUNT` where it is about the connection as a whole."""

    subscription: Integer | None = local_field("subscription", None)
    """The number of the subscription by which it came, unique within its stream; None for what the stream made itself.

    It is not part of what the item says: it does not count when items are compared, and is neither stored nor shown.
    """

    def __eq__(self, other: object) -> bool:
        """Whether both are of one class and say the same."""
        if type(other) is not type(self):
            return NotImplemented
        names = (name for name in self.__struct_fields__ if name != "subscription")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash((type(self), self.account))

    def _fields(self) -> Iterator[tuple[str, object]]:
        return ((name, value) for name, value in Record._fields(self) if name != "subscription")

    def __str__(self) -> str:
        return truncate(f"{self.account} {self.summary}", _MAX_LINE)

    @property
    def summary(self) -> str:
        """One line for a person, without the account."""
        return type(self).__name__

    def to_dict(self) -> dict[str, JsonValue]:
        """All of it under full names, as JSON can hold it; `from_dict` reads it back, digit for digit.

        Decimals are strings. ``kind`` is the name of the class, ``account`` the text of the account. What is None
        is left out. Fields that this version does not know stand under ``extra``, by their wire names; fractional
        numbers among them are written ``{"$number": "1.50"}``. A listen key is replaced by its fingerprint.
        """
        return {"kind": type(self).__name__, **self._to_jsonable()}

    def to_json(self) -> str:
        """`to_dict` as compact JSON text."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote: of this class, or of one below it.

        So `StreamItem.from_dict` reads everything and `Event.from_dict` every event. Raises `MalformedFrameError`.
        """
        fields = dict(data)
        kind = _find_class(cls, fields.pop("kind", None))
        if kind is None:
            raise MalformedFrameError(f"not the stored form of {cls.__name__}: no such kind")
        try:
            return _restore(kind, fields, fields.get("problems", ()))
        except (ValueError, ApiTypeError) as error:
            reason = redact(str(error))
        except (ArithmeticError, AttributeError, TypeError, RecursionError):
            reason = f"{kind.__name__}: what stands under 'extra' is not what to_dict writes"
        raise MalformedFrameError(reason)  # out here, so that it carries no other error, which may hold the content

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What `to_json` wrote. Raises `MalformedFrameError`."""
        data = _parse_json(text)
        if not isinstance(data, dict):
            raise MalformedFrameError("not the stored form of a stream's item: not a JSON object")
        return cls.from_dict(data)


class Event(StreamItem, frozen=True, kw_only=True):
    """Something that happened on an account, or to the stream itself.

    Two events are equal when all that they hold is equal, the account included.
    """

    extra: ExtraFields = local_field("extra", NO_EXTRA)
    """Fields by their wire names, as they came: those that this version does not know, and those of `problems`."""
    problems: tuple[str, ...] = local_field("problems", ())
    """Fields that were not what the exchange documents. Each is None, or was read from another spelling."""
    event_type: str = local_field("event_type", "")
    """The exchange's name for this kind of event, as it came."""

    is_repeatable: ClassVar[bool] = False
    """Whether events with equal identities may be several: else they are one, delivered more than once."""

    @property
    def identity(self) -> Identity:
        """Equal for the same event on every connection and in every process.

        It is made of the class and its key fields: the account, what happened to what, ids, and the moment. Equal
        amounts count as equal however many zeros they end in; `extra` and `problems` do not count.
        """
        return type(self).__name__, str(self.account), *map(to_key, self._key())

    def _key(self) -> tuple[Decimal | int | str | None, ...]:
        """The key fields of this class, without the account."""
        return (self.event_type,)

    def with_account(self, account: Account) -> Self:
        """The same event as one of this account."""
        return replace(self, account=account)

    def __hash__(self) -> int:
        return hash((type(self), self.account, self.event_type))


class TimedEvent(Event, frozen=True, kw_only=True):
    """An event that says when the exchange made it."""

    event_time: Sent[Time] = field(name="E")
    """When the exchange made this event: milliseconds since 1970-01-01 UTC."""

    @property
    def event_datetime(self) -> datetime | None:
        """`event_time`, in UTC."""
        return to_optional_datetime(self.event_time)

    def __hash__(self) -> int:
        return hash((type(self), self.account, self.event_time))


class StreamGap(StreamItem, frozen=True, kw_only=True):
    """Between these two moments, events of the account may be missing: compare with a fresh snapshot.

    It stands in the stream at the place where the missing events would have been.
    """

    since: Time
    """The last moment at which nothing was missing; milliseconds since 1970-01-01 UTC."""

    until: Time
    """The first moment from which nothing is missing again; milliseconds since 1970-01-01 UTC."""

    reason: str
    """Why, such as ``disconnected`` or ``slow consumer``; an open set."""

    dropped: Integer = 0
    """How many events are known to be missing; 0 where nobody can know."""

    frame: str | None = None
    """The first 500 characters of a frame that could not be read, with secrets masked; None for other reasons."""
    source: str | None = None
    """The source whose events may be missing, such as ``risk``; None if it may be any source of the account."""

    id: Integer = 0
    """Counts the gaps of a stream that recovers, from 1 on; a `GapClosed` names it. 0 for one that does not."""

    def with_id(self, id_: int) -> Self:
        """The same gap with a number."""
        return replace(self, id=id_)

    @property
    def since_datetime(self) -> datetime:
        """`since`, in UTC."""
        return to_datetime(self.since)

    @property
    def until_datetime(self) -> datetime:
        """`until`, in UTC."""
        return to_datetime(self.until)

    @property
    def summary(self) -> str:
        """How long events may be missing, and why."""
        return f"events of {self.until - self.since} ms may be missing ({self.reason}): reconcile"

    def __hash__(self) -> int:
        return hash((self.account, self.since, self.until, self.reason, self.dropped))


class AccountLost(StreamItem, frozen=True, kw_only=True):
    """An account that this stream no longer follows, for a reason that no retry can change. Other accounts go on.

    A `StreamGap` from `since` precedes it if the account was live before.
    """

    source: str
    """The name of the source that is lost, such as ``token``."""

    since: Time
    """The last moment at which nothing was missing; milliseconds since 1970-01-01 UTC."""

    reason: str
    """Why, such as ``account unavailable`` or ``retired``; an open set."""

    error: str = ""
    """The refusal of the exchange, on one line."""

    code: Integer | None = None
    """The error code of the exchange, such as -1121 for a symbol that was delisted; None if there is none."""

    @property
    def since_datetime(self) -> datetime:
        """`since`, in UTC."""
        return to_datetime(self.since)

    @property
    def summary(self) -> str:
        """Which source is lost, and why."""
        return f"no longer followed through {self.source}: {self.error or self.reason}"

    def __hash__(self) -> int:
        return hash((self.account, self.source, self.since, self.reason))


def set_subscription(item: Any, number: int) -> None:
    """Set `StreamItem.subscription` of an item that no other code has yet."""
    force_setattr(item, "subscription", number)


def _find_class(cls: type[_Item], name: object) -> type[_Item] | None:
    if cls.__name__ == name:
        return cls
    found = (_find_class(below, name) for below in cls.__subclasses__())
    return next(filter(None, found), None)


def _restore(cls: type[_Record], stored: Mapping[str, Any], unreadable: Collection[str]) -> _Record:
    """The record that was stored. A field that is absent was None: it could not be read, or null is a value of it."""
    values: dict[str, Any] = dict(stored)
    for name, known in fields_by_name(cls).items():
        if name not in stored:
            if known.is_required and (known.allows_null or name in unreadable):
                values[name] = None
        elif name == "extra":
            values[name] = {wire_name: from_jsonable(value) for wire_name, value in stored[name].items()}
        elif known.row_type is not None and issubclass(known.row_type, Record):
            prefix = f"{name}."
            unreadable_below = {each.removeprefix(prefix) for each in unreadable if each.startswith(prefix)}
            values[name] = [_restore(known.row_type, row, unreadable_below) for row in stored[name]]
    return cls(**values)


def _parse_json(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
