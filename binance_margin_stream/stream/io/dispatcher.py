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
from binance_margin_stream.stream.io.rest_calls import RestResult
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, RestRequest
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle

__all__ = ["Dispatcher"]

_CONTROL_EVENTS = frozenset({ServerShutdown, EventStreamTerminated, ListenKeyExpired})
_SUBSCRIPTION_ID = re.compile(rb'\{"subscriptionId":\s*(\d{1,9}),')


class Dispatcher:
    """What comes from the network to one life cycle; `now` is in seconds of the life cycle's clock."""

    __slots__ = ("_lifecycle", "_on_event")

    def __init__(self, lifecycle: Lifecycle[Event]) -> None:
        self._lifecycle = lifecycle
        self._on_event = lifecycle.on_event

    def on_text(self, connection_id: int, data: bytes, accounts: Mapping[Route, Account], now: float) -> bool:
        """Take a text message of a connection; True if it was an event, and nothing that concerns the stream itself."""
        try:
            frame = decode(data, accounts)
        except MalformedFrameError as error:
            self._on_malformed_frame(connection_id, data, str(error), now)
            return False
        if type(frame) is not EventFrame:
            if isinstance(frame, ResponseFrame):
                self._lifecycle.on_response(connection_id, frame, now)
            return False
        event, subscription_id = frame
        if type(event) in _CONTROL_EVENTS:
            self._on_control_event(connection_id, event, subscription_id, now)
            return False
        self._on_event(connection_id, subscription_id, event, now)
        return True

    def on_binary(self, connection_id: int, now: float) -> None:
        """Take a binary message, which the exchange never sends."""
        self._on_malformed_frame(connection_id, b"", "a binary message", now)

    def on_rest_result(self, request: RestRequest, result: RestResult, now: float) -> None:
        """Take what became of a call."""
        if isinstance(result, Failure):
            self._lifecycle.on_request_failed(request.id, result, now)
        elif result.secret is not None:
            self._lifecycle.on_credential(request.id, result.secret, result.expiration_time, now)
        elif request.call.operation.endswith("_put"):
            self._lifecycle.on_keepalive_ok(request.id, now)
        else:
            failure = Failure(FailureKind.SERVER_ERROR, "the answer holds no credential")
            self._lifecycle.on_request_failed(request.id, failure, now)

    def _on_control_event(self, connection_id: int, event: Event, subscription_id: Route, now: float) -> None:
        if isinstance(event, ServerShutdown):
            self._lifecycle.on_server_shutdown(connection_id, now)
        elif isinstance(event, ListenKeyExpired):
            self._lifecycle.on_listen_key_expired(
                connection_id, event.listen_key if subscription_id is None else subscription_id, now
            )
        else:
            self._lifecycle.on_subscription_terminated(connection_id, subscription_id, now)

    def _on_malformed_frame(self, connection_id: int, data: bytes, reason: str, now: float) -> None:
        log.warning("malformed frame on connection %d: %s", connection_id, reason)
        match = _SUBSCRIPTION_ID.match(data)
        self._lifecycle.on_malformed_frame(connection_id, now, int(match[1]) if match else None)
