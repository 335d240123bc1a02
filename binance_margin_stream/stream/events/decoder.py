"""From one WebSocket frame to one typed event, or to the exchange's response to a request.

Nearly every frame is decoded in one pass over its bytes. What that pass refuses, or what may not be in the event as
it came, is read anew by `exact_reader`, which is slower and decides. An event is the same either way.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, TypeAlias

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import force_setattr

from binance_margin_stream.stream.accounts import NO_ACCOUNT, Account
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.exact_reader import parse_json, read_event
from binance_margin_stream.stream.events.field_types import JsonValue
from binance_margin_stream.stream.events.models import AnyEvent, KnownEvent
from binance_margin_stream.stream.events.responses import ResponseFrame, is_response, parse_response
from binance_margin_stream.stream.events.wire_count import WireCount

__all__ = ["EventFrame", "Frame", "ResponseFrame", "Route", "decode"]

Route: TypeAlias = int | str | None
"""What a frame says about its way: a subscription id, the name of a combined stream, or nothing (None)."""

_NO_ACCOUNTS: Final[Mapping[Route, Account]] = MappingProxyType({})


class EventFrame(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event and the way it came: `route` is the key under which its account was looked for."""

    event: AnyEvent
    route: Route = None

    def __repr__(self) -> str:
        """Without the name of a combined stream, which is a listen key."""
        return f"EventFrame({self.event!r}, route={'***' if isinstance(self.route, str) else self.route!r})"


Frame: TypeAlias = EventFrame | ResponseFrame


class _SubscriptionFrame(EventFrame, rename={"route": "subscriptionId"}):
    """The WebSocket API names the subscription."""

    event: KnownEvent
    route: int


class _CombinedFrame(EventFrame, rename={"event": "data", "route": "stream"}):
    """A stream host names the stream."""

    event: KnownEvent
    route: str
