"""Reports network input to the state machine, and its status changes to the log and the user's callback."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from binance_margin_stream.redaction import redact
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, Route, decode
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.events.models import (
    AccountEvent,
    AnyEvent,
    Event,
    EventStreamTerminated,
    ListenKeyExpired,
    ServerShutdown,
    UnknownEvent,
)
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.io.rest_calls import RestResult
from binance_margin_stream.stream.protocol.actions import RestRequest
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.sources import CallKind
from binance_margin_stream.stream.state import StatusChange

__all__ = ["Dispatcher", "log", "make_notifier"]

log = logging.getLogger("binance_margin_stream.stream")

_CONTROL_EVENTS: frozenset[type[Event]] = frozenset({ServerShutdown, EventStreamTerminated, ListenKeyExpired})
_MAX_FRAME_EXCERPT = 500
_SUBSCRIPTION_ID = re.compile(rb'\{"subscriptionId":\s*(\d{1,9}),')


class Dispatcher:
    """Decodes network input and passes it to one state machine. `now` is in seconds of the state machine's clock."""

    __slots__ = ("_lifecycle", "_reported_problems")

    def __init__(self, lifecycle: Lifecycle[AccountEvent]) -> None:
        self._lifecycle = lifecycle
        self._reported_problems: set[tuple[str, str]] = set()

    def on_text(self, connection_id: int, data: bytes, accounts: Mapping[Route, Account], now: float) -> bool:
        """A text message arrived. Returns True for an account event, False for anything about the stream itself."""
        try:
            frame = decode(data, accounts)
        except MalformedFrameError as error:
            self._on_malformed_frame(connection_id, data, str(error), now)
            return False
        if isinstance(frame, ResponseFrame):
            self._lifecycle.on_response(connection_id, frame, now)
            return False
        event = frame.event
        if event.problems:
            self._on_problems(event)
        if type(event) in _CONTROL_EVENTS:
            self._on_control_event(connection_id, event, frame.route, now)
            return False
        self._lifecycle.on_event(connection_id, frame.route, event, now)  # type: ignore[arg-type]  # no control event
        if event.problems and isinstance(event, UnknownEvent):
            self._on_unreadable_event(connection_id, frame, now)
            return False
        return True

    def on_binary(self, connection_id: int, now: float) -> None:
        """A binary message arrived, which the exchange never sends."""
        self._on_malformed_frame(connection_id, b"", "a binary message", now)

    def on_rest_result(self, request: RestRequest, result: RestResult, now: float) -> None:
        """A REST call ended."""
        if isinstance(result, Failure):
            self._lifecycle.on_request_failed(request.id, result, now)
        elif result.secret is not None:
            self._lifecycle.on_credential(request.id, result.secret, result.expiration_time, now)
        elif request.call.kind is CallKind.KEEPALIVE:
            self._lifecycle.on_keepalive_ok(request.id, now)
        else:
            failure = Failure(FailureKind.SERVER_ERROR, "the response contains no credential")
            self._lifecycle.on_request_failed(request.id, failure, now)

    def _on_control_event(self, connection_id: int, event: AnyEvent, subscription_id: Route, now: float) -> None:
        if isinstance(event, ServerShutdown):
            self._lifecycle.on_server_shutdown(connection_id, now)
        elif isinstance(event, ListenKeyExpired):
            self._lifecycle.on_listen_key_expired(
                connection_id, event.listen_key if subscription_id is None else subscription_id, now
            )
        else:
            self._lifecycle.on_subscription_terminated(connection_id, subscription_id, now)

    def _on_problems(self, event: AnyEvent) -> None:
        """Warn once of each field that is not what the exchange documents."""
        for name in event.problems:
            if (event.event_type, name) not in self._reported_problems:
                self._reported_problems.add((event.event_type, name))
                log.warning("%s: %s is not as documented, see event.problems and event.extra", event.event_type, name)

    def _on_unreadable_event(self, connection_id: int, frame: EventFrame, now: float) -> None:
        """An event was delivered as an `UnknownEvent`, since what it is about cannot be read."""
        subscription_id = frame.route if isinstance(frame.route, int) else None
        self._lifecycle.on_malformed_frame(connection_id, now, subscription_id)

    def _on_malformed_frame(self, connection_id: int, data: bytes, reason: str, now: float) -> None:
        log.warning("malformed frame on connection %d: %s", connection_id, reason)
        match = _SUBSCRIPTION_ID.match(data)
        excerpt = redact(data.decode(errors="replace"))[:_MAX_FRAME_EXCERPT]
        self._lifecycle.on_malformed_frame(connection_id, now, int(match[1]) if match else None, frame=excerpt or None)


def make_notifier(on_change: Callable[[StatusChange], None] | None) -> Callable[[StatusChange], None]:
    """A function that logs a status change and then calls `on_change`. An error of the callback is only logged.

    A log record has the kind of the change and the account as attributes ``change`` and ``account``.
    """

    def notify(change: StatusChange) -> None:
        account = "" if change.account is None else str(change.account)
        detail = f"({change.detail})" if change.detail else ""
        text = " ".join(filter(None, (change.kind, account, detail)))
        log.log(change.severity, "%s", text, extra={"change": change.kind.value, "account": account})
        if on_change is None:
            return
        try:
            on_change(change)
        except Exception:
            log.exception("the on_change callback raised an error")

    return notify
