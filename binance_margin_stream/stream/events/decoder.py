"""From one WebSocket frame to one typed event, or to the exchange's answer to a request.

Nearly every frame takes the first way: pydantic's core parses the JSON and builds the event in one pass. Whatever
that way refuses, or cannot vouch for, goes the second, which is slower and decides: strict JSON without duplicate
names, numbers with all their digits, integers that arrive as strings. An event is the same on both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, cast, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, from_json

from binance_margin_stream.stream.accounts import NO_ACCOUNT, Account
from binance_margin_stream.stream.events.errors import MalformedFrameError, reason_of
from binance_margin_stream.stream.events.execution_report import UsualReport
from binance_margin_stream.stream.events.field_types import JsonValue
from binance_margin_stream.stream.events.models import (
    BalanceUpdate,
    Event,
    EventStreamTerminated,
    ExecutionReport,
    ExternalLockUpdate,
    ListenKeyExpired,
    ListStatus,
    MarginLevelStatusChange,
    OutboundAccountPosition,
    ServerShutdown,
    UnknownEvent,
    UserLiabilityChange,
)
from binance_margin_stream.stream.events.responses import ResponseFrame, is_response, parse_response

__all__ = ["EventFrame", "Frame", "ResponseFrame", "Route", "decode"]

Route: TypeAlias = int | str | None
"""What a frame says about its way: a subscription id, the name of a combined stream, or nothing (None)."""

_KNOWN_EVENT: Any = Annotated[
    ExecutionReport
    | OutboundAccountPosition
    | BalanceUpdate
    | ExternalLockUpdate
    | ListStatus
    | ListenKeyExpired
    | EventStreamTerminated
    | ServerShutdown
    | MarginLevelStatusChange
    | UserLiabilityChange,
    Field(discriminator="event_type"),
]
_CLASSES: Final[Mapping[str, type[Event]]] = {
    name: known
    for known in get_args(get_args(_KNOWN_EVENT)[0])
    for name in get_args(known.model_fields["event_type"].annotation)
}
_SUBSCRIBED = b',"event":'
_EXECUTION = b'{"e":"executionReport",'
_subscription = re.compile(rb'\{"subscriptionId":(0|[1-9][0-9]{0,8})')
_combined = re.compile(rb'\{"stream":"([!#-\[\]-~]*)","data":')
_BARE = b'{"e":'
_LONGEST_OPENING = 40  # what is longer is no subscription, and shall not fill the cache
_CLOSING = ord("}")
_set_past_the_freeze = object.__setattr__
_new_tuple = tuple.__new__  # half the time of a named tuple's own
_INEXACT = (float, list, dict)  # pydantic's core rounds numbers and drops repeated names in these
_NOWHERE: Final[Mapping[Route, Account]] = MappingProxyType({})


class EventFrame(NamedTuple):
    """An event and the way it came: `route` is the key under which its account was looked for."""

    event: Event
    route: Route = None

    def __repr__(self) -> str:
        """Without the name of a combined stream, which is a listen key."""
        return f"EventFrame({self.event!r}, route={'***' if isinstance(self.route, str) else self.route!r})"


Frame: TypeAlias = EventFrame | ResponseFrame


def decode(frame: bytes | str, accounts: Mapping[Route, Account] = _NOWHERE) -> Frame:
    """The event or the answer in one WebSocket frame; raises `MalformedFrameError` and nothing else.

    `accounts` says to which account each route leads: a subscription id of the WebSocket API, the name of a
    combined stream, or None for events that come bare. An event whose route it does not name gets `NO_ACCOUNT`:
    `event.with_account(account)` gives it the right one once the answer with the subscription id is there.
    """
    raw = frame if type(frame) is bytes else _utf8(frame)
    opening, marker, body = raw.partition(_SUBSCRIBED)
    route: Route = _subscription_in(opening) if marker and len(opening) < _LONGEST_OPENING else None
    event = _quickly(body[:-1]) if route is not None and raw[-1] == _CLOSING else None
    if event is None:
        found = _thoroughly(raw) if route is not None else _without_subscription(raw)
        if isinstance(found, ResponseFrame):
            return found
        event, route = found
    # The event was made a moment ago and nobody else has it yet; from here on it is frozen.
    event.__dict__["account"] = accounts.get(route, NO_ACCOUNT)  # pyright: ignore[reportIndexIssue]
    return _new_tuple(EventFrame, (event, route))


@lru_cache(maxsize=2048)
def _subscription_in(opening: bytes) -> int | None:
    found = _subscription.fullmatch(opening)
    return int(found[1]) if found else None


def _without_subscription(raw: bytes) -> Frame:
    """A frame of a stream host, or anything else."""
    combined = _combined.match(raw)
    if combined and raw[-1] == _CLOSING:
        event = _quickly(raw[combined.end() : -1])
        route = combined[1].decode()
    else:
        event = _quickly(raw) if raw.startswith(_BARE) else None
        route = None
    return _thoroughly(raw) if event is None else EventFrame(event, route)


def _quickly(body: bytes) -> Event | None:
    """The event, without its envelope, in the usual spelling; None where `_thoroughly` has to look."""
    try:
        event = _usual_report()(body) if body.startswith(_EXECUTION) else None
        if event is not None and not event.__pydantic_extra__:
            _set_past_the_freeze(event, "__class__", ExecutionReport)
        else:
            event = _any_event()(body, by_alias=True, by_name=False)
    except ValidationError:
        return None
    # Each name of a JSON object is followed by a colon. With no more colons than names, no name occurred twice.
    colons = body.count(b":") - len(event.__pydantic_fields_set__)
    return event if not (colons or event.__pydantic_extra__) or _holds_all(event, colons) else None


@cache
def _usual_report() -> Callable[..., Event]:
    """Built with the first frame, not on import."""
    UsualReport.model_rebuild(force=True)
    return cast(SchemaValidator, UsualReport.__pydantic_validator__).validate_json


@cache
def _any_event() -> Callable[..., Event]:
    adapter: TypeAdapter[Event] = TypeAdapter(_KNOWN_EVENT)
    return cast(SchemaValidator, adapter.validator).validate_json


def _holds_all(event: Event, colons: int) -> bool:
    """Whether the names in the records below explain the colons that are left, and unknown fields came exactly.

    More colons than names may be part of a string, and only a thorough look can tell.
    """
    extra = event.__pydantic_extra__ or {}
    inexact = any(isinstance(value, _INEXACT) for value in extra.values())
    return not inexact and _names_below(event) == colons


def _names_below(event: Event) -> int:
    rows = [row for value in event.__dict__.values() if isinstance(value, tuple) for row in value]
    if any(row.__pydantic_extra__ for row in rows):
        return -1  # never right: look thoroughly
    return sum(len(row.__pydantic_fields_set__) for row in rows)


def _utf8(frame: bytes | str) -> bytes:
    try:
        return frame.encode() if isinstance(frame, str) else bytes(frame)
    except UnicodeEncodeError:
        return b""


def _thoroughly(raw: bytes) -> Frame:
    payload = _strict_json(raw)
    if not isinstance(payload, dict):
        raise MalformedFrameError("frame: not a JSON object")
    if "e" in payload:
        return EventFrame(_event_of(payload))
    if "event" in payload:
        return EventFrame(_event_of(payload["event"]), _subscription_of(payload))
    if "stream" in payload and "data" in payload:
        return EventFrame(_event_of(payload["data"]), _stream_of(payload))
    if is_response(payload):
        return parse_response(payload)
    raise MalformedFrameError("frame: neither an event nor an answer")


def _strict_json(raw: bytes) -> JsonValue:
    try:
        # First a parser that refuses what Python's lets through: lone surrogates, NaN, other encodings than UTF-8,
        # and depths and lengths without end. It would round numbers, so its result is not used.
        from_json(raw, allow_inf_nan=False, cache_strings="none")
        return cast(JsonValue, json.loads(raw, parse_float=Decimal, object_pairs_hook=_unique))
    except MalformedFrameError:
        raise
    except (ValueError, ArithmeticError, RecursionError):
        pass
    raise MalformedFrameError("frame: not JSON in UTF-8 of a sane depth and size")


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise MalformedFrameError("frame: a name occurs twice in one object")
    return names


def _event_of(payload: JsonValue) -> Event:
    if not isinstance(payload, dict):
        raise MalformedFrameError("frame: the event is not a JSON object")
    name = payload.get("e")
    if not isinstance(name, str):
        raise MalformedFrameError("frame: the event has no name")
    kind = _CLASSES.get(name, UnknownEvent)
    try:
        return kind.model_validate(payload, by_alias=True, by_name=False)
    except ValidationError as error:
        reason = reason_of(kind.__name__, error)
    raise MalformedFrameError(reason)  # out here, so that it carries no other error, which would hold the content


def _subscription_of(envelope: Mapping[str, JsonValue]) -> int | None:
    subscription = envelope.get("subscriptionId")
    if isinstance(subscription, bool) or not isinstance(subscription, int | None):
        raise MalformedFrameError("frame: the subscription id is not an integer")
    return subscription


def _stream_of(envelope: Mapping[str, JsonValue]) -> str:
    stream = envelope["stream"]
    if not isinstance(stream, str):
        raise MalformedFrameError("frame: the name of the stream is not a string")
    return stream
