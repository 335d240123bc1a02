"""Tells the life cycle what came: frames as they are on the wire, and what became of calls. Pure, like it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, Route, decode
from binance_margin_stream.stream.events.models import (
    Event,
    EventStreamTerminated,
    ListenKeyExpired,
    MalformedFrameError,
    ServerShutdown,
)
from binance_margin_stream.stream.io.notifications import log
from binance_margin_stream.stream.io.rest_calls import Outcome
from binance_margin_stream.stream.protocol.actions import Failure, Request, Trouble
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle

__all__ = ["Reading"]

_CONTROL = frozenset({ServerShutdown, EventStreamTerminated, ListenKeyExpired})
_ROUTE = re.compile(rb'\{"subscriptionId":\s*(\d{1,9}),')


class Reading:
    """What comes from the network to one life cycle; `now` is in seconds of the life cycle's clock."""

    __slots__ = ("_event", "_life")

    def __init__(self, life: Lifecycle[Event]) -> None:
        self._life = life
        self._event = life.event

    def frame(self, number: int, data: bytes, accounts: Mapping[Route, Account], now: float) -> bool:
        """Take a text message of a connection; True if it was an event, and nothing that concerns the stream itself."""
        try:
            found = decode(data, accounts)
        except MalformedFrameError as error:
            self._malformed(number, data, str(error), now)
            return False
        if type(found) is not EventFrame:
            if isinstance(found, ResponseFrame):
                self._life.answer(number, found, now)
            return False
        event, route = found
        if type(event) in _CONTROL:
            self._control(number, event, route, now)
            return False
        self._event(number, route, event, now)
        return True

    def binary(self, number: int, now: float) -> None:
        """Take a binary message, which the exchange never sends."""
        self._malformed(number, b"", "a binary message", now)

    def answered(self, request: Request, outcome: Outcome, now: float) -> None:
        """Take what became of a call."""
        if isinstance(outcome, Failure):
            self._life.refused(request.number, outcome, now)
        elif outcome.secret is not None:
            self._life.obtained(request.number, outcome.secret, outcome.expires, now)
        elif request.call.operation.endswith("_put"):
            self._life.extended(request.number, now)
        else:
            nothing = Failure(Trouble.SERVER, "the answer holds no credential")
            self._life.refused(request.number, nothing, now)

    def _control(self, number: int, event: Event, route: Route, now: float) -> None:
        if isinstance(event, ServerShutdown):
            self._life.shutdown(number, now)
        elif isinstance(event, ListenKeyExpired):
            self._life.key_expired(number, event.listen_key if route is None else route, now)
        else:
            self._life.terminated(number, route, now)

    def _malformed(self, number: int, data: bytes, why: str, now: float) -> None:
        log.warning("malformed frame on connection %d: %s", number, why)
        named = _ROUTE.match(data)
        self._life.malformed(number, now, int(named[1]) if named else None)
