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

from binance_margin_stream.sandbox.api import handshakes, rest, websocket_api
from binance_margin_stream.sandbox.api import stream_host as streams
from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.delivery.publishing import Event, publish
from binance_margin_stream.sandbox.fault_actions import strike
from binance_margin_stream.sandbox.faults.random import Strike, strikes
from binance_margin_stream.sandbox.faults.registry import NAMED, named
from binance_margin_stream.sandbox.faults.types import ArmedFault, Fault, WrongCertificate
from binance_margin_stream.sandbox.messages import (
    Answer,
    Binary,
    Close,
    Frame,
    Opened,
    Output,
    Ping,
    Pong,
    Request,
    Text,
)
from binance_margin_stream.sandbox.model.connections import Connection
from binance_margin_stream.sandbox.model.listen_keys import KeyKind
from binance_margin_stream.sandbox.model.metrics import Counts, RestCall
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.model.users import ApiAccount
from binance_margin_stream.sandbox.revocation import delete_listen_keys, revoke
from binance_margin_stream.sandbox.snapshot import overview
from binance_margin_stream.sandbox.trading.service import Trading

__all__ = ["Exchange"]


class Exchange:
    """One exchange with its users, credentials, connections, limits and orders."""

    def __init__(self, rules: Rules, source: random.Random) -> None:
        self._state = State.fresh(rules, source)
        self._trouble: Iterator[Strike] | None = None
        self.trading = Trading(self._state)
        """Orders, balances, debt: the market, played from outside."""

    def rest(self, request: Request, now: int) -> Answer:
        """Answer a REST request, however malformed it is."""
        self.advance(now)
        return rest.answer(self._state, request, now)

    def connect(self, request: Request, now: int) -> Opened | Answer:
        """Accept a WebSocket handshake, or refuse it with an HTTP answer."""
        self.advance(now)
        return handshakes.connect(self._state, request, now)

    def receive(self, number: int, frame: Frame, now: int) -> None:
        """Take a frame from a client; for a connection that is over, or frozen, nothing happens."""
        self.advance(now)
        connection = self._state.connections.find(number)
        if connection is None or connection.frozen:
            return
        self._state.tally.frames_received += 1
        if not streams.too_many_messages(self._state, connection, now):
            self._take(connection, frame, now)

    def disconnected(self, number: int, now: int) -> None:
        """Note that a client is gone; doing so twice is fine."""
        self.advance(now)
        self._state.connections.left(number)

    def advance(self, now: int) -> None:
        """Let everything happen that is due by now, in the order of its time."""
        self._state.timers.run(now)

    def next_deadline(self) -> int | None:
        """When `advance` has something to do next, or None."""
        return self._state.timers.next_due()

    def take_outputs(self) -> list[Output]:
        """Frames to send, in order; taken once."""
        return self._state.connections.take_outputs()

    def add_account(self) -> ApiAccount:
        """Open an account."""
        return self._state.accounts.add()

    def account(self, api_key: str) -> ApiAccount:
        """The account of an API key, revoked or not.

        Raises:
            KeyError: there is none; the message does not show the key.

        """
        return self._state.accounts.opened(api_key)

    def accounts(self) -> list[ApiAccount]:
        """Every account that was opened, oldest first."""
        return self._state.accounts.all()

    def revoke_api_key(self, api_key: str, now: int) -> None:
        """Take an API key away: its listen keys fall silent, the WebSocket API answers 401 unasked.

        Raises:
            KeyError: there is no such key.

        """
        self.advance(now)
        revoke(self._state, self._state.accounts.opened(api_key).uid, now)

    def delete_listen_key(self, uid: int, account: str, kind: KeyKind | None, now: int) -> bool:
        """Close an account's listen key as another client's DELETE would; None closes every kind.

        Returns False where there was none.
        """
        self.advance(now)
        return delete_listen_keys(self._state, kind, uid, account)

    def delete_named_listen_key(self, listen_key: str, now: int) -> bool:
        """Close the listen key with this text; False where there is none."""
        self.advance(now)
        key = self._state.keys.find(listen_key)
        if key is None:
            return False
        self._state.keys.end(key)
        return True

    def emit(self, event: Event, uid: int, account: str, now: int) -> int:
        """Send an event as it is to all who are subscribed; returns how many frames went out."""
        self.advance(now)
        return publish(self._state, uid, account, event)

    def retire(self, path: str) -> None:
        """Answer 410 on a path from now on, or -1020 to a WebSocket API method."""
        self._state.retired.add(path)

    def reinstate(self, path: str) -> None:
        """Serve a path again that `retire` or the rules took away."""
        self._state.retired.discard(path)

    def fail(
        self,
        fault: Fault | str,
        now: int,
        *,
        path: str | None = None,
        times: int | None = 1,
        connection: int | None = None,
        at: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Arm a fault, or let it strike: on one open connection, or on all; now, or at a later time (ms).

        With a probability, an armed fault passes over occasions; any other fault passes as a whole.

        Raises:
            ValueError: no such fault, times below 1, or a probability outside 0 to 1.

        """
        self.advance(now)
        fault = named(fault) if isinstance(fault, str) else fault
        if times is not None and times < 1:
            raise ValueError("times takes a whole number from 1, or None for: until cleared")
        if not 0 < probability <= 1:
            raise ValueError("probability takes a number above 0, up to 1")
        generation = self._state.faults.generation

        def let_loose(_: int, then: int) -> None:
            if generation == self._state.faults.generation:
                self._let_loose(fault, then, path, times, connection, probability)

        if at is None or at <= now:
            let_loose(now, now)
        else:
            self._state.timers.at(at, let_loose)

    def trouble(self, seed: int, every_seconds: float, now: int, only: Sequence[str] | None = None) -> None:
        """Let faults strike at random times until `stop_trouble`, in place of any trouble before.

        Raises:
            ValueError: no time between faults, or a name that no fault has.

        """
        self.advance(now)
        self._trouble = strikes(seed, every_seconds, only)
        self._plan_trouble(self._trouble, now)

    def stop_trouble(self) -> None:
        """Let no more faults strike at random; those that are armed stay so."""
        self._trouble = None

    def clear_faults(self) -> None:
        """Disarm every fault and stop all trouble. Connections that are frozen, slow or half open stay so."""
        self._state.faults.clear()
        self.stop_trouble()

    def certificate_fault(self, now: int) -> Literal["unknown_ca", "wrong_host", "expired"] | None:
        """What is wrong with the certificate of a TLS handshake that begins now, or None."""
        self.advance(now)
        fault = self._state.faults.take((WrongCertificate,), "")
        return None if fault is None else fault.how

    def _let_loose(
        self,
        fault: Fault,
        now: int,
        path: str | None,
        times: int | None,
        connection: int | None,
        probability: float,
    ) -> None:
        if isinstance(fault, ArmedFault):
            self._state.faults.arm(fault, path, times, probability)
        elif self._state.faults.chance(probability):
            targets = [c for c in self._state.connections.all() if connection in (None, c.id)]
            strike(self._state, fault, targets, now)

    def _plan_trouble(self, plan: Iterator[Strike], since: int) -> None:
        planned = next(plan)

        def strike_next(due: int, now: int) -> None:
            if plan is not self._trouble:
                return
            fault = NAMED[planned.name]()
            # What found no occasion yet does not pile up.
            if not self._state.faults.waits(fault):
                self._let_loose(fault, now, None, 1, None, 1.0)
            self._plan_trouble(plan, due)

        self._state.timers.at(since + planned.after_ms, strike_next)

    def counts(self) -> Counts:
        """Figures since the start."""
        return self._state.tally.snapshot(len(self._state.connections))

    def rest_log(self) -> list[RestCall]:
        """The last REST calls, oldest first."""
        return list(self._state.tally.rest_log)

    def overview(self, now: int) -> dict[str, object]:
        """Everything at a glance, without secrets."""
        self.advance(now)
        return overview(self._state, now)

    def is_frozen(self, number: int) -> bool:
        """Whether a fault made a connection silent: nothing is sent on it, nothing read, and its socket stays."""
        return self._state.connections.is_silent(number)

    def awaits_pong(self) -> bool:
        """Whether a connection that still talks has not answered its last ping."""
        return any(c.unanswered_pings and not c.frozen for c in self._state.connections.all())

    def _take(self, connection: Connection, frame: Frame, now: int) -> None:
        match frame:
            case Text(text=text) if connection.host == "websocket_api":
                websocket_api.receive(self._state, connection, text, now)
            case Text(text=text):
                streams.receive(self._state, connection, text)
            case Binary():
                self._state.connections.end(connection, Close(1003, "Text frames only"))
            case Ping(data=data):
                self._state.connections.send(connection, Pong(data))
            case Pong(data=data):
                self._state.connections.pong(connection, data)
            case _:
                self._state.connections.forget(connection)
