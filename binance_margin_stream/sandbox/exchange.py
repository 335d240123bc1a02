"""The exchange: pure, without I/O and without a clock of its own.

Every method takes the time in milliseconds of exchange time, which must not go backwards. Requests get their response
at once; frames for WebSocket connections are collected by `take_outputs`; scheduled actions (pings, expiries,
the end after 24 hours) run in `advance`. The same calls at the same times with the same random generator give the
same results.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Literal

from binance_margin_stream.sandbox.api import handshakes, rest, stream_host, websocket_api
from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.config import ExchangeRules, ListenKeyKind
from binance_margin_stream.sandbox.delivery.publishing import EventPayload, publish
from binance_margin_stream.sandbox.fault_actions import FaultScheduler, FaultScope, delete_listen_keys, revoke_api_key
from binance_margin_stream.sandbox.faults.types import Fault, WrongCertificate
from binance_margin_stream.sandbox.messages import (
    Accepted,
    Binary,
    Close,
    Frame,
    LoggedRequest,
    Output,
    Ping,
    Pong,
    Request,
    Response,
    Text,
)
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.metrics import Metrics, RestCall
from binance_margin_stream.sandbox.model.public_keys import parse_public_key
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import User
from binance_margin_stream.sandbox.snapshot import build_snapshot
from binance_margin_stream.sandbox.trading.service import TradingService

__all__ = ["Exchange"]

_MAX_STEPS_PER_JUMP = 50_000


class Exchange:
    """One exchange with its users, credentials, connections, limits and orders."""

    def __init__(self, rules: ExchangeRules, rng: random.Random) -> None:
        self._state = ExchangeState.create(rules, rng)
        self._faults = FaultScheduler(self._state)
        self.trading = TradingService(self._state)
        """Orders, balances, debt and prices."""

    def handle_rest(self, request: Request, now: int) -> Response:
        """The response to a REST request, however malformed it is."""
        self.advance(now)
        return rest.handle_request(self._state, request, now)

    def handle_handshake(self, request: Request, now: int) -> Accepted | Response:
        """Accept a WebSocket handshake, or refuse it with an HTTP response."""
        self.advance(now)
        return handshakes.handle_handshake(self._state, request, now)

    def receive(self, connection_id: int, frame: Frame, now: int) -> None:
        """Handle a frame from a client; frames of closed or frozen connections are ignored."""
        self.advance(now)
        connection = self._state.connections.find(connection_id)
        if connection is None or connection.frozen:
            return
        self._state.metrics.frames_received += 1
        if not stream_host.enforce_message_rate(self._state, connection, now):
            self._handle_frame(connection, frame, now)

    def on_disconnected(self, connection_id: int, now: int) -> None:
        """Handle the end of a client's connection; may be called twice."""
        self.advance(now)
        self._state.connections.on_client_gone(connection_id)

    def advance(self, now: int) -> None:
        """Run everything that is due by now, in order of its time."""
        self._state.scheduler.run_due(now)

    def check_jump(self, now: int, until: int) -> None:
        """Check that `advance` from one time (ms) to another is a limited amount of work.

        Raises:
            ValueError: a time after the year 9999, or too many scheduled actions until then.

        """
        if until > MAX_TIME_MS:
            raise ValueError("the exchange's time ends with the year 9999")
        random_faults = self._faults.expected_random_faults(until - now)
        interest_charges = self.trading.expected_interest_charges(now, until)
        prices = self.trading.price_feeds.expected_steps(until - now)
        if random_faults + interest_charges + prices > _MAX_STEPS_PER_JUMP:
            raise ValueError(
                f"about {random_faults} random faults, {prices} prices and {interest_charges} interest charges are due "
                f"until then: advance in shorter steps, with at most {_MAX_STEPS_PER_JUMP} each"
            )

    def next_deadline(self) -> int | None:
        """When `advance` has something to do next, or None."""
        return self._state.scheduler.next_due_at()

    def take_outputs(self) -> list[Output]:
        """Take the frames to send, in order."""
        return self._state.connections.take_outputs()

    def add_user(self, api_key: str | None = None, api_secret: str | None = None) -> User:
        """Add a user, with a given API key and secret or new ones.

        Raises:
            ValueError: there are too many API keys, or the given one is invalid.

        """
        return self._state.users.add(api_key, api_secret)

    def add_key(self, user: User, public_key: str) -> str:
        """Add an API key that signs with a key pair; `public_key` is in PEM format. Returns the key.

        Raises:
            ValueError: there are too many API keys, or this is no public key of an Ed25519 or RSA key pair.
            ImportError: `cryptography` is missing.

        """
        return self._state.users.add_key(user, parse_public_key(public_key)).value

    def set_permissions(self, api_key: str, permissions: Sequence[str]) -> None:
        """Set what an API key may do: some of reading, trading and loan_and_transfer.

        Raises:
            KeyError: there is no such key.
            ValueError: an unknown permission.

        """
        self._state.users.set_permissions(api_key, permissions)

    def get_user(self, api_key: str) -> User:
        """The user of an API key, revoked or not.

        Raises:
            KeyError: there is none; the message does not show the key.

        """
        return self._state.users.get(api_key)

    def users(self) -> list[User]:
        """All users, oldest first."""
        return self._state.users.all()

    def revoke_api_key(self, api_key: str, now: int) -> None:
        """Revoke all API keys of the user of this one.

        The listen keys go silent, and the WebSocket API sends an unsolicited 401.

        Raises:
            KeyError: there is no such key.

        """
        self.advance(now)
        revoke_api_key(self._state, self._state.users.get(api_key).uid, now)

    def delete_listen_key(self, uid: int, account: str, kind: ListenKeyKind | None, now: int) -> bool:
        """Delete an account's listen key as another client's DELETE would; None deletes every kind.

        Returns False if there was none.
        """
        self.advance(now)
        return delete_listen_keys(self._state, kind, uid, account)

    def delete_named_listen_key(self, listen_key: str, now: int) -> bool:
        """Delete the listen key with this value; False if there is none."""
        self.advance(now)
        key = self._state.listen_keys.find(listen_key)
        if key is None:
            return False
        self._state.listen_keys.remove(key)
        return True

    def send_event(self, event: EventPayload, uid: int, account: str, now: int) -> int:
        """Send an event unchanged to all subscribers of an account; returns the number of frames.

        Raises:
            TypeError: the event has no JSON equivalent.

        """
        # Also where nobody is subscribed, for whom it would not be encoded.
        json.dumps(event)
        self.advance(now)
        return publish(self._state, uid, account, event)

    def retire_endpoint(self, path: str) -> None:
        """Respond 410 on a REST path from now on, or -1020 to a WebSocket API method."""
        self._state.retired_paths.add(path)

    def restore_endpoint(self, path: str) -> None:
        """Serve a path again that `retire_endpoint` or the rules retired."""
        self._state.retired_paths.discard(path)

    def disable_account(self, uid: int, account: str) -> None:
        """Refuse an account's calls, with -11001 or -3003, and stop its events without notice."""
        self._state.availability.disable(uid, account)

    def enable_account(self, uid: int, account: str) -> None:
        """Undo `disable_account`."""
        self._state.availability.enable(uid, account)

    def delist_symbol(self, symbol: str) -> None:
        """Refuse a symbol with -1121, and stop the events of its isolated accounts without notice."""
        self._state.availability.delist(symbol)

    def relist_symbol(self, symbol: str) -> None:
        """Undo `delist_symbol`."""
        self._state.availability.relist(symbol)

    def inject_fault(
        self,
        fault: Fault | str,
        now: int,
        *,
        path: str | None = None,
        account: str | None = None,
        times: int | None = 1,
        duration_ms: int | None = None,
        connection: int | None = None,
        at_ms: int | None = None,
        probability: float = 1.0,
    ) -> None:
        """Inject a fault: see `FaultScope`.

        Raises:
            ValueError: an unknown fault, times below 1, or a probability outside 0 to 1.

        """
        self.advance(now)
        scope = FaultScope(path, account, times, duration_ms, connection, at_ms, probability)
        self._faults.inject(fault, scope, now)

    def start_random_faults(
        self, seed: int, every_seconds: float, now: int, faults: Sequence[str] | None = None
    ) -> None:
        """Inject faults at random times until `stop_random_faults`; replaces earlier random faults.

        Raises:
            ValueError: `every_seconds` is below 0.001, or an unknown fault.

        """
        self.advance(now)
        self._faults.start_random(seed, every_seconds, now, faults)

    def stop_random_faults(self) -> None:
        """Stop random faults; pending faults stay pending."""
        self._faults.stop_random()

    def clear_faults(self) -> None:
        """Remove all pending, scheduled and random faults. Frozen, slow and half-open connections stay so."""
        self._faults.clear()

    def take_certificate_problem(self, now: int) -> Literal["unknown_ca", "wrong_host", "expired"] | None:
        """The fault of the certificate for a TLS handshake that starts now, or None."""
        self.advance(now)
        fault = self._state.pending_faults.take_matching((WrongCertificate,), "")
        return None if fault is None else fault.problem

    def metrics(self) -> Metrics:
        """A snapshot of the counters since the start."""
        return self._state.metrics.snapshot(len(self._state.connections))

    def rest_log(self) -> list[RestCall]:
        """The last REST calls, oldest first."""
        return list(self._state.metrics.rest_log)

    def request_log(self) -> list[LoggedRequest]:
        """The last requests, oldest first: REST calls, handshakes and messages of WebSocket connections."""
        return list(self._state.metrics.request_log)

    def log_request(self, request: LoggedRequest) -> None:
        """Add a request to the log that the server answered itself."""
        self._state.metrics.record_request(request)

    def set_request_listener(self, on_request: Callable[[LoggedRequest], None] | None) -> None:
        """Have a function called with every logged request; it must not raise, and must not block."""
        self._state.metrics.on_request = on_request

    @property
    def executed_calls(self) -> int:
        """How many REST calls have run to their end; a refused call has no effect."""
        return self._state.metrics.executed_calls

    def set_signing_times(self, read_times: Callable[[], tuple[int, int]] | None) -> None:
        """Judge the timestamps of signed requests by the earliest and latest time (ms) that this returns.

        By default, both are the exchange's time.
        """
        self._state.signing_clock.read_times = read_times

    def snapshot(self, now: int) -> dict[str, object]:
        """The state as a JSON object, without secrets."""
        self.advance(now)
        return build_snapshot(self._state, now)

    def is_silent(self, connection_id: int) -> bool:
        """Whether a fault made a connection silent: nothing is sent or read while its socket stays open."""
        return self._state.connections.is_silent(connection_id)

    def is_awaiting_pong(self) -> bool:
        """Whether a connection that is not frozen has an unanswered ping."""
        return any(c.unanswered_pings and not c.frozen for c in self._state.connections.all())

    def _handle_frame(self, connection: ServerConnection, frame: Frame, now: int) -> None:
        match frame:
            case Text(text=text) if connection.host == "websocket_api":
                websocket_api.handle_request(self._state, connection, text, now)
            case Text(text=text):
                stream_host.handle_request(self._state, connection, text, now)
            case Binary():
                self._state.connections.close(connection, Close(1003, "Text frames only"))
            case Ping(data=data):
                self._state.connections.send(connection, Pong(data))
            case Pong(data=data):
                self._state.connections.on_pong(connection, data)
            case _:
                self._state.connections.remove(connection)
