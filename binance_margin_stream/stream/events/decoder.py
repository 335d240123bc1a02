"""From one WebSocket frame to one typed event, or to the exchange's response to a request.

Nearly every frame is decoded in one pass over its bytes. What that pass refuses, or what is not in the event as it
came, is read anew by `exact_reader`, which is slower and decides. An event is the same either way.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast, get_args

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import force_setattr

from binance_margin_stream.stream.accounts import NO_ACCOUNT, Account
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.exact_reader import parse_json, read_event
from binance_margin_stream.stream.events.field_types import JsonValue
from binance_margin_stream.stream.events.frame_check import make_frame_check
from binance_margin_stream.stream.events.models import AnyEvent, KnownEvent
from binance_margin_stream.stream.events.responses import ResponseFrame, is_response, parse_response

__all__ = ["EventFrame", "Frame", "ResponseFrame", "Route", "decode"]

Route: TypeAlias = int | str | None
"""What a frame says about its way: a subscription id, the name of a combined stream, or nothing (None)."""

_NO_ACCOUNTS: Final[Mapping[Route, Account]] = MappingProxyType({})


class EventFrame(Struct, frozen=True, gc=False):
    """An event and the way it came: `route` is the key under which its account was looked for."""

    event: AnyEvent
    route: Route

    def __repr__(self) -> str:
        """Without the name of a combined stream, which is a listen key."""
        return f"EventFrame({self.event!r}, route={'***' if isinstance(self.route, str) else self.route!r})"


Frame: TypeAlias = EventFrame | ResponseFrame


class _SubscriptionFrame(EventFrame, frozen=True, forbid_unknown_fields=True, rename={"route": "subscriptionId"}):
    """How the WebSocket API sends an event."""

    event: KnownEvent
    route: int


class _CombinedFrame(EventFrame, frozen=True, forbid_unknown_fields=True, rename={"event": "data", "route": "stream"}):
    """How a stream host sends an event."""

    event: KnownEvent
    route: str


_make_money: Final = cast(Callable[[type, Any], Any], operator.call)
"""Amounts are the only type that msgspec does not know: calls `Money` with the text."""
_decode_subscription: Final = Decoder(_SubscriptionFrame, dec_hook=_make_money).decode
_decode_combined: Final = Decoder(_CombinedFrame, dec_hook=_make_money).decode
_decode_bare: Final[Any] = Decoder(KnownEvent, dec_hook=_make_money).decode

_SUBSCRIPTION_CHECKS: Final = {
    kind: make_frame_check(kind, b'{"subscriptionId":,"event":{}}') for kind in get_args(KnownEvent)
}
_COMBINED_CHECKS: Final = {kind: make_frame_check(kind, b'{"stream":"","data":{}}') for kind in get_args(KnownEvent)}
_BARE_CHECKS: Final = {kind: make_frame_check(kind, b"{}") for kind in get_args(KnownEvent)}


def decode(frame: bytes | str, accounts: Mapping[Route, Account] = _NO_ACCOUNTS) -> Frame:
    """The event or the response in one WebSocket frame; raises `MalformedFrameError` and nothing else.

    `accounts` says to which account each route leads: a subscription id of the WebSocket API, the name of a
    combined stream, or None for events that come bare. An event whose route it does not name gets `NO_ACCOUNT`:
    `event.with_account(account)` gives it the right one once the response with the subscription id is there.
    """
    raw = frame if type(frame) is bytes else _encode(frame)
    found: EventFrame | None = None
    checks = _BARE_CHECKS
    try:
        if raw.startswith(b'{"subscriptionId":'):
            checks = _SUBSCRIPTION_CHECKS
            found = _decode_subscription(raw)
        elif raw.startswith(b'{"stream":'):
            checks = _COMBINED_CHECKS
            found = _decode_combined(raw)
        else:
            found = EventFrame(_decode_bare(raw), None)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        pass
    if found is None or not checks[type(found.event)].holds_all(raw, found.event):
        return _decode_exactly(raw, accounts)
    force_setattr(found.event, "account", accounts.get(found.route, NO_ACCOUNT))  # nobody else has the event yet
    return found


def _decode_exactly(raw: bytes, accounts: Mapping[Route, Account] = _NO_ACCOUNTS) -> Frame:
    payload = parse_json(raw)
    if not isinstance(payload, dict):
        raise MalformedFrameError("frame: not a JSON object")
    route: Route = None
    if "e" in payload:
        event = read_event(payload)
    elif "event" in payload:
        event, route = read_event(payload["event"]), _read_subscription(payload)
    elif "stream" in payload and "data" in payload:
        event, route = read_event(payload["data"]), _read_stream(payload)
    elif is_response(payload):
        return parse_response(payload)
    else:
        raise MalformedFrameError("frame: neither an event nor a response")
    return EventFrame(event.with_account(accounts.get(route, NO_ACCOUNT)), route)


def _read_subscription(envelope: Mapping[str, JsonValue]) -> int | None:
    subscription = envelope.get("subscriptionId")
    if isinstance(subscription, bool) or not isinstance(subscription, int | None):
        raise MalformedFrameError("frame: the subscription id is not an integer")
    return subscription


def _read_stream(envelope: Mapping[str, JsonValue]) -> str:
    stream = envelope["stream"]
    if not isinstance(stream, str):
        raise MalformedFrameError("frame: the name of the stream is not a string")
    return stream


def _encode(frame: bytes | str) -> bytes:
    try:
        return frame.encode() if isinstance(frame, str) else bytes(frame)
    except UnicodeEncodeError:
        return b""
