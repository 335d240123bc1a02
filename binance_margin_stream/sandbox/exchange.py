"""The exchange: pure, without I/O and without a clock of its own.

Every call takes the time in milliseconds of exchange time, which must not go backwards. Requests are
answered at once; what is to be sent on WebSocket connections waits in `take_outputs`; what happens by
itself (pings, expiries, the end after 24 hours) happens in `advance`. The same calls at the same times with
the same random source give the same results.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from binance_margin_stream.sandbox.api import handshakes, rest, stream_host, websocket_api
from binance_margin_stream.sandbox.config import ExchangeRules, ListenKeyKind
from binance_margin_stream.sandbox.delivery.publishing import EventPayload, publish
from binance_margin_stream.sandbox.fault_actions import apply_fault
from binance_margin_stream.sandbox.faults.random import ScheduledFault, random_faults
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS, create_fault
from binance_margin_stream.sandbox.faults.types import DeferredFault, Fault, WrongCertificate
from binance_margin_stream.sandbox.messages import (
    Accepted,
    Binary,
    Close,
    Frame,
    Output,
    Ping,
    Pong,
    Request,
    Response,
    Text,
)
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.metrics import Metrics, RestCall
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import User
from binance_margin_stream.sandbox.revocation import delete_listen_keys, revoke_api_key
from binance_margin_stream.sandbox.snapshot import build_snapshot
from binance_margin_stream.sandbox.trading.service import TradingService

__all__ = ["Exchange"]


class Exchange:
    """One exchange with its users, credentials, connections, limits and orders."""

    def __init__(self, rules: ExchangeRules, rng: random.Random) -> None:
        self._state = ExchangeState.create(rules, rng)
        self._random_faults: Iterator[ScheduledFault] | None = None
        self.trading = TradingService(self._state)
        """Orders, balances, debt: the market, played from outside."""

    def handle_rest(self, request: Request, now: int) -> Response:
        """Answer a REST request, however malformed it is."""
        self.advance(now)
        return rest.handle_request(self._state, request, now)

    def handle_handshake(self, request: Request, now: int) -> Accepted | Response:
        """Accept a WebSocket handshake, or refuse it with an HTTP answer."""
        self.advance(now)
        return handshakes.handle_handshake(self._state, request, now)

    def receive(self, connection_id: int, frame: Frame, now: int) -> None:
        """Take a frame from a client; for a connection that is over, or frozen, nothing happens."""
        self.advance(now)
        connection = self._state.connections.find(connection_id)
        if connection is None or connection.frozen:
            return
        self._state.metrics.frames_received += 1
        if not stream_host.enforce_message_rate(self._state, connection, now):
            self._handle_frame(connection, frame, now)

    def on_disconnected(self, connection_id: int, now: int) -> None:
        """Note that a client is gone; doing so twice is fine."""
        self.advance(now)
        self._state.connections.on_client_gone(connection_id)

    def advance(self, now: int) -> None:
        """Let everything happen that is due by now, in the order of its time."""
        self._state.scheduler.run_due(now)

    def next_deadline(self) -> int | None:
        """When `advance` has something to do next, or None."""
        return self._state.scheduler.next_due_at()

    def take_outputs(self) -> list[Output]:
        """Frames to send, in order; taken once."""
        return self._state.connections.take_outputs()

    def add_user(self) -> User:
        """Open an account."""
        return self._state.users.add()

    def get_user(self, api_key: str) -> User:
        """The account of an API key, revoked or not.

        Raises:
            KeyError: there is none; the message does not show the key.

        """
        return self._state.users.get(api_key)

    def users(self) -> list[User]:
        """Every account that was opened, oldest first."""
        return self._state.users.all()

    def revoke_api_key(self, api_key: str, now: int) -> None:
        """Take an API key away: its listen keys fall silent, the WebSocket API answers 401 unasked.

        Raises:
            KeyError: there is no such key.

        """
        self.advance(now)
        revoke_api_key(self._state, self._state.users.get(api_key).uid, now)

    def delete_listen_key(self, uid: int, account: str, kind: ListenKeyKind | None, now: int) -> bool:
        """Close an account's listen key as another client's DELETE would; None closes every kind.

        Returns False where there was none.
        """
        self.advance(now)
        return delete_listen_keys(self._state, kind, uid, account)

    def delete_named_listen_key(self, listen_key: str, now: int) -> bool:
        """Close the listen key with this text; False where there is none."""
        self.advance(now)
        key = self._state.listen_keys.find(listen_key)
        if key is None:
            return False
        self._state.listen_keys.remove(key)
        return True

    def send_event(self, event: EventPayload, uid: int, account: str, now: int) -> int:
        """Send an event as it is to all who are subscribed; returns how many frames went out."""
        self.advance(now)
        return publish(self._state, uid, account, event)

    def retire_endpoint(self, path: str) -> None:
        """Answer 410 on a path from now on, or -1020 to a WebSocket API method."""
        self._state.retired_paths.add(path)

    def restore_endpoint(self, path: str) -> None:
        """Serve a path again that `retire` or the rules took away."""
        self._state.retired_paths.discard(path)

    def inject_fault(
        self,
        fault: Fault | str,
        now: int,
        *,
        path: str | None = None,
        times: int | None = 1,
        connection: int | None = None,
        at_ms: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Arm a fault, or let it strike: on one open connection, or on all; now, or at a later time (ms).

        With a probability, an armed fault passes over occasions; any other fault passes as a whole.

        Raises:
            ValueError: no such fault, times below 1, or a probability outside 0 to 1.

        """
        self.advance(now)
        fault = create_fault(fault) if isinstance(fault, str) else fault
        if times is not None and times < 1:
            raise ValueError("times takes a whole number from 1, or None for: until cleared")
        if not 0 < probability <= 1:
            raise ValueError("probability takes a number above 0, up to 1")
        generation = self._state.pending_faults.generation

        def apply_if_current(_: int, then: int) -> None:
            if generation == self._state.pending_faults.generation:
                self._apply_fault(fault, then, path, times, connection, probability)

        if at_ms is None or at_ms <= now:
            apply_if_current(now, now)
        else:
            self._state.scheduler.call_at(at_ms, apply_if_current)

    def start_random_faults(
        self, seed: int, every_seconds: float, now: int, faults: Sequence[str] | None = None
    ) -> None:
        """Let faults strike at random times until `stop_random_faults`, in place of any trouble before.

        Raises:
            ValueError: no time between faults, or a name that no fault has.

        """
        self.advance(now)
        self._random_faults = random_faults(seed, every_seconds, faults)
        self._schedule_random_fault(self._random_faults, now)

    def stop_random_faults(self) -> None:
        """Let no more faults strike at random; those that are armed stay so."""
        self._random_faults = None

    def clear_faults(self) -> None:
        """Disarm every fault and stop all trouble. Connections that are frozen, slow or half open stay so."""
        self._state.pending_faults.clear()
        self.stop_random_faults()

    def take_certificate_problem(self, now: int) -> Literal["unknown_ca", "wrong_host", "expired"] | None:
        """What is wrong with the certificate of a TLS handshake that begins now, or None."""
        self.advance(now)
        fault = self._state.pending_faults.take_matching((WrongCertificate,), "")
        return None if fault is None else fault.problem

    def _apply_fault(
        self,
        fault: Fault,
        now: int,
        path: str | None,
        times: int | None,
        connection: int | None,
        probability: float,
    ) -> None:
        if isinstance(fault, DeferredFault):
            self._state.pending_faults.add(fault, path, times, probability)
        elif self._state.pending_faults.roll(probability):
            connections = [c for c in self._state.connections.all() if connection in (None, c.id)]
            apply_fault(self._state, fault, connections, now)

    def _schedule_random_fault(self, plan: Iterator[ScheduledFault], since: int) -> None:
        planned = next(plan)

        def apply_next(due: int, now: int) -> None:
            if plan is not self._random_faults:
                return
            fault = NAMED_FAULTS[planned.name]()
            # What found no occasion yet does not pile up.
            if not self._state.pending_faults.is_pending(fault):
                self._apply_fault(fault, now, None, 1, None, 1.0)
            self._schedule_random_fault(plan, due)

        self._state.scheduler.call_at(since + planned.delay_ms, apply_next)

    def metrics(self) -> Metrics:
        """Figures since the start."""
        return self._state.metrics.snapshot(len(self._state.connections))

    def rest_log(self) -> list[RestCall]:
        """The last REST calls, oldest first."""
        return list(self._state.metrics.rest_log)

    def snapshot(self, now: int) -> dict[str, object]:
        """Everything at a glance, without secrets."""
        self.advance(now)
        return build_snapshot(self._state, now)

    def is_silent(self, connection_id: int) -> bool:
        """Whether a fault made a connection silent: nothing is sent on it, nothing read, and its socket stays."""
        return self._state.connections.is_silent(connection_id)

    def is_awaiting_pong(self) -> bool:
        """Whether a connection that still talks has not answered its last ping."""
        return any(c.unanswered_pings and not c.frozen for c in self._state.connections.all())

    def _handle_frame(self, connection: ServerConnection, frame: Frame, now: int) -> None:
        match frame:
            case Text(text=text) if connection.host == "websocket_api":
                websocket_api.handle_request(self._state, connection, text, now)
            case Text(text=text):
                stream_host.handle_request(self._state, connection, text)
            case Binary():
                self._state.connections.close(connection, Close(1003, "Text frames only"))
            case Ping(data=data):
                self._state.connections.send(connection, Pong(data))
            case Pong(data=data):
                self._state.connections.on_pong(connection, data)
            case _:
                self._state.connections.remove(connection)
