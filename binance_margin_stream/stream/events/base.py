"""What a stream hands over: events and gaps, and what all of them can do.

A field has its wire name, such as ``E``, only while a frame is decoded; everywhere else it has its full name. For
each time ``some_time``, an integer in milliseconds, there is ``some_datetime``, an aware `datetime` in UTC.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binance_margin_stream.redaction import redact
from binance_margin_stream.stream.accounts import NO_ACCOUNT, Account
from binance_margin_stream.stream.events.errors import MalformedFrameError, reason_of
from binance_margin_stream.stream.events.field_types import AccountField, Integer, JsonValue, Text, Time, to_datetime
from binance_margin_stream.stream.events.json_codec import from_jsonable, to_jsonable

__all__ = [
    "AccountLost",
    "Event",
    "FrozenModel",
    "GapReason",
    "Identity",
    "StreamGap",
    "StreamItem",
    "TimedEvent",
    "set_subscription",
]

Identity: TypeAlias = tuple[str | int, ...]
"""Strings and integers, equal in every process that saw the same event: a key for sets, files and databases."""


_NOT_IN_IDENTITY = ("account", "event_type")  # in the identity by itself; spelled in two ways for some events
_Item = TypeVar("_Item", bound="StreamItem")


class FrozenModel(BaseModel, frozen=True):
    """A frozen group of named fields that keeps those that it does not know, too."""

    model_config = ConfigDict(
        extra="allow",
        defer_build=True,
        # Wire names count only for the decoder, which asks for them: a new wire field may be called like ours.
        validate_by_alias=False,
        validate_by_name=True,
    )

    @property
    def extra(self) -> Mapping[str, JsonValue]:
        """The fields that the exchange sent and this version does not know, by their wire names."""
        return MappingProxyType(getattr(self, "__pydantic_extra__", None) or {})

    def __eq__(self, other: object) -> bool:
        """Whether both are of one class and hold the same."""
        if type(other) is not type(self):
            return NotImplemented
        mine, theirs = dict(self._fields()), dict(other._fields())
        return mine == theirs and self.extra == other.extra

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """The fields that are set, without anything that may be a listen key or a token."""
        yield from self._fields()
        if self.extra:
            yield "extra", _Shown(redact(repr(dict(self.extra))))

    def _fields(self) -> Iterator[tuple[str, object]]:
        for name in type(self).model_fields:
            value = getattr(self, name, None)  # not set yet in a traceback out of the constructor
            if value is not None:
                yield name, value

    def _to_jsonable(self) -> dict[str, JsonValue]:
        fields = {name: _field_to_jsonable(value) for name, value in self._fields()}
        if self.extra:
            fields["extra"] = to_jsonable(dict(self.extra))
        return fields


class StreamItem(FrozenModel, frozen=True):
    """Anything that a stream hands over: an `Event`, or a `StreamGap` where events may be missing."""

    account: AccountField = Field(default=NO_ACCOUNT, validation_alias=" account")  # never on the wire
    """The account that this is about. `NO_ACCOUNT` where it is about the connection as a whole."""

    subscription: ClassVar[int | None] = None
    """The number of the subscription by which it came, unique within its stream; None for what the stream made itself.

    It is not part of what the item says: it does not count when items are compared, and is not stored.
    """

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
        return _validate(kind, fields)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """What `to_json` wrote. Raises `MalformedFrameError`."""
        data = _parse_json(text)
        if not isinstance(data, dict):
            raise MalformedFrameError("not the stored form of a stream's item: not a JSON object")
        return cls.from_dict(data)


class Event(StreamItem, frozen=True):
    """Something that happened on an account, or to the stream itself.

    Two events are equal when all that they hold is equal, the account included.
    """

    event_type: str = Field(validation_alias="e")
    """The exchange's name for this kind of event, as it came."""

    @property
    def identity(self) -> Identity:
        """Equal for the same event on every connection and in every process, to merge two readers of an account.

        An execution is known by its ids. The exchange gives no id to any other event, so its identity is all its
        content, the event time included, as a digest. When one connection delivers two events with one identity,
        such as two equal deposits in the same millisecond, both happened: pair the first with the first of the
        other reader and the second with the second, and do not drop the second.
        """
        content = {name: value for name, value in self._to_jsonable().items() if name not in _NOT_IN_IDENTITY}
        return type(self).__name__, str(self.account), _digest(content)

    def with_account(self, account: Account) -> Self:
        """The same event as one of this account."""
        return self.model_copy(update={"account": account})

    def __hash__(self) -> int:
        return hash((type(self), self.account, self.event_type))


class TimedEvent(Event, frozen=True):
    """An event that says when the exchange made it."""

    event_time: Time = Field(validation_alias="E")
    """When the exchange made this event: milliseconds since 1970-01-01 UTC."""

    @property
    def event_datetime(self) -> datetime:
        """`event_time`, in UTC."""
        return to_datetime(self.event_time)

    def __hash__(self) -> int:
        return hash((type(self), self.account, self.event_time))


GapReason: TypeAlias = (
    Literal[
        "disconnected", "frozen", "expired", "terminated", "shutdown", "retired", "malformed frame", "slow consumer"
    ]
    | str
)
"""Why events may be missing; an open set."""


class StreamGap(StreamItem, frozen=True):
    """Between these two moments, events of the account may be missing: compare with a fresh snapshot.

    It stands in the stream at the place where the missing events would have been.
    """

    since: Time
    """The last moment at which nothing was missing; milliseconds since 1970-01-01 UTC."""

    until: Time
    """The first moment from which nothing is missing again; milliseconds since 1970-01-01 UTC."""

    reason: Annotated[GapReason, Text]
    """Why, such as ``disconnected`` or ``slow consumer``."""

    dropped: Integer = 0
    """How many events are known to be missing; 0 where nobody can know."""

    source: str | None = None
    """The source whose events may be missing, such as ``risk``; None if it may be any source of the account."""

    @property
    def since_datetime(self) -> datetime:
        """`since`, in UTC."""
        return to_datetime(self.since)

    @property
    def until_datetime(self) -> datetime:
        """`until`, in UTC."""
        return to_datetime(self.until)

    def __hash__(self) -> int:
        return hash((self.account, self.since, self.until, self.reason, self.dropped))


class AccountLost(StreamItem, frozen=True):
    """An account that this stream no longer follows, for a reason that no retry can change. Other accounts go on.

    A `StreamGap` from `since` precedes it if the account was live before.
    """

    source: str
    """The name of the source that is lost, such as ``token``."""

    since: Time
    """The last moment at which nothing was missing; milliseconds since 1970-01-01 UTC."""

    reason: Annotated[str, Text]
    """Why, such as ``account unavailable`` or ``retired``; an open set."""

    error: Annotated[str, Text] = ""
    """The refusal of the exchange, on one line."""

    code: Integer | None = None
    """The error code of the exchange, such as -1121 for a symbol that was delisted; None if there is none."""

    @property
    def since_datetime(self) -> datetime:
        """`since`, in UTC."""
        return to_datetime(self.since)

    def __hash__(self) -> int:
        return hash((self.account, self.source, self.since, self.reason))


def set_subscription(item: object, number: int) -> None:
    """Set `StreamItem.subscription` of an item that no other code has yet."""
    item.__dict__["subscription"] = number


class _Shown(str):
    """Text that stands in a repr without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _field_to_jsonable(value: object) -> JsonValue:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Account):
        return str(value)
    if isinstance(value, tuple):
        return [record._to_jsonable() for record in cast(tuple[FrozenModel, ...], value)]
    return cast(JsonValue, value)


def _digest(content: Mapping[str, JsonValue]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _find_class(cls: type[_Item], name: object) -> type[_Item] | None:
    if cls.__name__ == name:
        return cls
    found = (_find_class(below, name) for below in cls.__subclasses__())
    return next(filter(None, found), None)


def _validate(kind: type[_Item], fields: dict[str, Any]) -> _Item:
    try:
        item = kind.model_validate(fields, by_alias=False, by_name=True)
        _restore_extra(item)
        return item
    except ValidationError as error:
        reason = reason_of(kind.__name__, error)
    except (ValueError, ArithmeticError, RecursionError):
        reason = f"{kind.__name__}: what stands under 'extra' is not what to_dict writes"
    raise MalformedFrameError(reason)  # out here, so that it carries no other error, which would hold the content


def _restore_extra(record: FrozenModel) -> None:
    """Unwraps the unknown fields of a record that was just read and that nobody else has seen yet."""
    extra = cast(dict[str, JsonValue], record.__pydantic_extra__)
    wrapped = extra.pop("extra", {})
    if extra or not isinstance(wrapped, dict):
        raise ValueError("holds a field that to_dict does not write")
    extra.update({key: from_jsonable(value) for key, value in wrapped.items()})
    for value in record.__dict__.values():
        for inner in value if isinstance(value, tuple) else ():
            _restore_extra(inner)


def _parse_json(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
