"""Injection of faults: when they apply, and what immediate faults do to connections and credentials."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import exact
from binance_margin_stream.sandbox.api import websocket_api
from binance_margin_stream.sandbox.clock import MAX_TIME_MS, to_milliseconds
from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.delivery.publishing import expire_key, expire_subscription
from binance_margin_stream.sandbox.delivery.time_units import convert_event
from binance_margin_stream.sandbox.faults.random import ScheduledFault, random_faults
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS, create_fault
from binance_margin_stream.sandbox.faults.trading import TradingFault, UnexpectedTrade
from binance_margin_stream.sandbox.faults.types import (
    BinaryFrame,
    ConnectionFault,
    DeferredFault,
    DelayFrames,
    DeleteListenKeys,
    DropConnections,
    EventFault,
    ExpireCredentials,
    Fault,
    FreezeConnections,
    HalfOpenConnections,
    ImmediateFault,
    MalformedFrame,
    RestFault,
    RevokeApiKey,
    ShutdownNotice,
    SubscribeFault,
)
from binance_margin_stream.sandbox.messages import Abort, Binary, Close, Text
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.pending_faults import PendingFault
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.follow_up import check_account
from binance_margin_stream.sandbox.trading.matching import place_order

__all__ = ["FaultScheduler", "FaultScope", "delete_listen_keys", "revoke_api_key"]


@dataclass(frozen=True, slots=True)
class FaultScope:
    """What a fault applies to, and when.

    Deferred faults apply to `times` matching requests or events, each with a probability, for `duration_ms` at most;
    on one path or all, of one account or all. Immediate faults apply once, to one connection or all. `at_ms` delays
    either, in exchange time.
    """

    path: str | None = None
    account: str | None = None
    times: int | None = 1
    """Until cleared where None."""
    duration_ms: int | None = None
    connection: int | None = None
    at_ms: int | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        """Validate the values.

        Raises:
            ValueError: times below 1, a probability outside 0 to 1, or a time after the year 9999.

        """
        if self.at_ms is not None and self.at_ms > MAX_TIME_MS:
            raise ValueError("at_ms takes milliseconds since 1970, up to the year 9999")
        if self.times is not None and self.times < 1:
            raise ValueError("times takes a whole number from 1, or None: until cleared")
        if not 0 < self.probability <= 1:
            raise ValueError("probability takes a number above 0, up to 1")


class FaultScheduler:
    """Injects faults now, later, or at random."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self._random_faults: Iterator[ScheduledFault] | None = None
        self._interval_ms = 0.0

    def inject(self, fault: Fault | str, scope: FaultScope, now: int) -> None:
        """Apply a fault, make it pending, or schedule it.

        Raises:
            ValueError: an unknown fault, or an account or duration for a fault that has none.

        """
        fault = create_fault(fault) if isinstance(fault, str) else fault
        _check_scope(fault, scope)
        generation = self._state.pending_faults.generation

        def apply_if_current(_: int, then: int) -> None:
            if generation == self._state.pending_faults.generation:
                # Too many pending faults: nobody is left to report it to.
                with contextlib.suppress(ValueError):
                    self._apply(fault, scope, then)

        if scope.at_ms is None or scope.at_ms <= now:
            self._apply(fault, scope, now)
        else:
            self._state.scheduler.call_at(scope.at_ms, apply_if_current)

    def start_random(self, seed: int, every_seconds: float, now: int, faults: Sequence[str] | None = None) -> None:
        """Inject faults at random times until `stop_random`; replaces earlier random faults.

        Raises:
            ValueError: `every_seconds` is below 0.001, or an unknown fault.

        """
        self._random_faults = random_faults(seed, every_seconds, faults)
        self._interval_ms = every_seconds * 1000
        self._schedule_next(self._random_faults, now)

    def stop_random(self) -> None:
        """Stop random faults; pending faults stay pending."""
        self._random_faults = None

    def expected_random_faults(self, milliseconds: int) -> int:
        """The average number of random faults in a time."""
        return 0 if self._random_faults is None else int(milliseconds / self._interval_ms)

    def clear(self) -> None:
        """Remove pending faults, cancel scheduled ones, and stop random faults."""
        self._state.pending_faults.clear()
        self.stop_random()

    def _apply(self, fault: Fault, scope: FaultScope, now: int) -> None:
        if isinstance(fault, DeferredFault):
            expires_at = None if scope.duration_ms is None else now + scope.duration_ms
            pending = PendingFault(fault, scope.path, scope.account, scope.times, expires_at, scope.probability)
            self._state.pending_faults.add(pending)
        elif self._state.pending_faults.roll(scope.probability):
            connections = [c for c in self._state.connections.all() if scope.connection in (None, c.id)]
            _apply_immediate(self._state, fault, connections, now)

    def _schedule_next(self, plan: Iterator[ScheduledFault], since: int) -> None:
        planned = next(plan)

        def apply_next(due: int, now: int) -> None:
            if plan is not self._random_faults:
                return
            fault = NAMED_FAULTS[planned.name]()
            # A fault that is still pending is not added a second time.
            if not self._state.pending_faults.is_pending(fault):
                self._apply(fault, FaultScope(), now)
            self._schedule_next(plan, due)

        self._state.scheduler.call_at(since + planned.delay_ms, apply_next)


def _check_scope(fault: Fault, scope: FaultScope) -> None:
    if scope.duration_ms is not None and not isinstance(fault, DeferredFault):
        raise ValueError("this fault applies once, at once: it takes no duration")
    if scope.account is not None and not isinstance(fault, RestFault | SubscribeFault | EventFault | TradingFault):
        raise ValueError("only faults of REST calls, subscribes and events can be limited to an account")


def revoke_api_key(state: ExchangeState, uid: int, now: int) -> None:
    """Revoke a user's API key: listen keys go silent, the WebSocket API sends an unsolicited 401."""
    state.users.revoke(uid)
    for key in state.listen_keys.find_for_user(uid):
        state.listen_keys.remove(key)
    for token in state.listen_tokens.all():
        if token.uid == uid:
            state.listen_tokens.remove(token)
    websocket_api.notify_key_revoked(state, uid, now)


def delete_listen_keys(
    state: ExchangeState, kind: ListenKeyKind | None, uid: int | None = None, account: str | None = None
) -> bool:
    """Delete the listen keys of a kind, user and account, or of all, without notifying their subscribers.

    Returns False if there was none.
    """
    keys = [
        key
        for key in state.listen_keys.all()
        if kind in (None, key.kind) and uid in (None, key.uid) and account in (None, key.account)
    ]
    for key in keys:
        state.listen_keys.remove(key)
    return bool(keys)


def _apply_immediate(
    state: ExchangeState, fault: ImmediateFault, connections: list[ServerConnection], now: int
) -> None:
    state.metrics.record_fault(fault)
    match fault:
        case ExpireCredentials():
            _expire_credentials(state, fault, now)
        case DeleteListenKeys(kind=kind):
            delete_listen_keys(state, kind)
        case RevokeApiKey(uid=uid):
            revoke_api_key(state, uid, now)
        case UnexpectedTrade():
            _trade_unexpectedly(state, fault, now)
        case _:
            for connection in connections:
                _apply_to_connection(state, fault, connection, now)


@exact
def _trade_unexpectedly(state: ExchangeState, fault: UnexpectedTrade, now: int) -> None:
    if state.rules.split_symbol(fault.symbol) is None:
        return
    price = state.prices.open_market(fault.symbol, now)
    draft = Order(0, "", fault.uid, CROSS, fault.symbol, "BUY", "MARKET", Decimal(1), price, now)
    place_order(state, draft, now)
    check_account(state, fault.uid, CROSS, now)


def _apply_to_connection(state: ExchangeState, fault: ConnectionFault, connection: ServerConnection, now: int) -> None:
    match fault:
        case DropConnections(mode="close", code=code):
            state.connections.close(connection, Close(code))
        case DropConnections(mode="reset" | "eof" as kind):
            state.connections.close(connection, Abort(kind))
        case FreezeConnections():
            connection.frozen = True
        case HalfOpenConnections():
            state.connections.drop_silently(connection)
        case DelayFrames(seconds=seconds):
            connection.frame_delay_ms = to_milliseconds(seconds)
        case MalformedFrame(text=text):
            state.connections.send(connection, Text(text))
        case BinaryFrame(data=data):
            state.connections.send(connection, Binary(data))
        case ShutdownNotice():
            _send_shutdown_notice(state, fault, connection, now)


def _send_shutdown_notice(state: ExchangeState, fault: ShutdownNotice, connection: ServerConnection, now: int) -> None:
    notice: dict[str, object] = {"e": "serverShutdown", "E": now}
    if connection.time_unit == "us":
        notice = convert_event(notice)
    envelope = _default_envelope(connection) if fault.envelope == "host" else fault.envelope
    wrapped: dict[str, object] = dict(notice)
    if envelope == "event":
        wrapped = {"event": notice}
    elif envelope == "combined":
        wrapped = {"stream": next(iter(connection.streams), ""), "data": notice}
    state.connections.send(connection, Text(json.dumps(wrapped, separators=(",", ":"))))
    if fault.close_after_seconds is not None:
        due = now + to_milliseconds(fault.close_after_seconds)
        state.scheduler.call_at(due, lambda _, __: state.connections.close(connection, Close(1001)))


def _default_envelope(connection: ServerConnection) -> str:
    if connection.host == "websocket_api":
        return "event"
    return "combined" if connection.combined else "bare"


def _expire_credentials(state: ExchangeState, fault: ExpireCredentials, now: int) -> None:
    if fault.credentials != "listen_keys":
        for token in state.listen_tokens.all():
            state.listen_tokens.remove(token)
        for connection in state.connections.all():
            for subscription in list(connection.subscriptions.values()):
                expire_subscription(state, connection, subscription, now)
    if fault.credentials != "listen_tokens":
        for key in state.listen_keys.all():
            expire_key(state, key, now)
