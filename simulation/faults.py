"""Injects the planned faults: which faults are active, which wait for a trigger, and what each one does."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.faults import DeferredFault, RefuseHandshake, SilentConnection, StaticResponse
from binance_margin_stream.stream.accounts import Account
from simulation.checks import ExpectedGaps
from simulation.fault_catalog import (
    CREDENTIAL_SELECTIONS,
    HANDSHAKE_FAULTS,
    IMMEDIATE_FAULTS,
    REST_FAULTS,
    SUBSCRIBE_FAULTS,
    FaultFactory,
)
from simulation.network import Network, SimulatedConnection, VirtualClock
from simulation.plan import PlannedFault, ScenarioPlan

__all__ = ["ActiveFaults", "SimulatedFaultInjector"]

_CONNECT_ERRORS = {
    "connection refused": "connection refused",
    "wrong certificate": "TLS failed: certificate verify failed",
}
_LIMIT_STATUSES = frozenset({403, 418, 429})
_FATAL_RESPONSES = frozenset({"blocked country"})
_RESPONSE_DEADLINE = 20.0
_TRIGGER_TIMEOUT = 14_400.0


class ActiveFaults:
    """The faults that last, the faults that wait for a trigger, and until when a fault had an effect."""

    def __init__(self, rng: random.Random, clock: VirtualClock) -> None:
        self.fault_window_end = float("-inf")
        """Until when faults have an effect, in seconds since the start of the month."""
        self.fatal_at: float | None = None
        """When the first fault occurred that must end the stream."""
        self.counts: Counter[str] = Counter()
        self.on_open: Callable[[SimulatedConnection], None] = lambda connection: None
        """Called when a connection is open."""
        self.on_due: Callable[[PlannedFault], None] = lambda planned: None
        """Called when a planned fault is to be injected."""
        self._rng = rng
        self._clock = clock
        self._waiting: list[PlannedFault] = []
        self._delayed = 0
        self._windows: dict[str, tuple[float, float]] = {}
        self._last_window_end = self._injected_limit_until = float("-inf")

    @property
    def has_pending(self) -> bool:
        """Whether a fault waits for its trigger, so that it may be injected at any time."""
        return bool(self._delayed or self._waiting)

    def start(self, planned: PlannedFault) -> None:
        """The time of a planned fault has come: inject it, or wait for its trigger for up to four hours."""
        if planned.trigger:
            self._waiting.append(planned)
            self._clock.call_later(_TRIGGER_TIMEOUT, lambda: self._cancel(planned))
        else:
            self.on_due(planned)

    def _cancel(self, planned: PlannedFault) -> None:
        if planned in self._waiting:
            self._waiting.remove(planned)

    def on_trigger(self, name: str) -> None:
        """An event occurred that faults may wait for. Its name is one of `TRIGGERS`."""
        for planned in [each for each in self._waiting if each.trigger == name]:
            self._waiting.remove(planned)
            self._delayed += 1
            self._clock.call_later(planned.delay, partial(self._on_delay_over, planned))

    def _on_delay_over(self, planned: PlannedFault) -> None:
        self._delayed -= 1
        self.on_due(planned)

    def activate(self, planned: PlannedFault) -> None:
        """Let a fault last for its duration, or for ever if it has none."""
        until = self._clock.now + planned.duration if planned.duration else float("inf")
        known = self._windows.get(planned.name, (until, 0.0))
        self._last_window_end = max(self._last_window_end, until)
        self._windows[planned.name] = max(known[0], until), max(known[1], planned.probability)

    def extend_fault_window(self, until: float) -> None:
        """A fault has an effect at least until this time."""
        self.fault_window_end = max(self.fault_window_end, until)

    def mark_fatal(self) -> None:
        """A fault occurred that must end the stream."""
        if self.fatal_at is None:
            self.fatal_at = self._clock.now

    def is_injected_refusal(self) -> bool:
        """Whether a rate limit or a ban that the client sees now is an injected fault."""
        return self._clock.now <= self._injected_limit_until

    def choose_rest_fault(self) -> DeferredFault | None:
        """The fault of a REST request that arrives now."""
        return self._choose_fault(REST_FAULTS)

    def choose_handshake_fault(self) -> DeferredFault | None:
        """The fault of a handshake that starts now."""
        return self._choose_fault(HANDSHAKE_FAULTS)

    def choose_subscribe_fault(self) -> DeferredFault | None:
        """The fault of a subscribe request that is sent now."""
        return self._choose_fault(SUBSCRIBE_FAULTS)

    def choose_connect_error(self) -> str | None:
        """Why a TCP connection that is opened now fails, None if it succeeds."""
        if self._clock.now >= self._last_window_end:
            return None
        return next((text for name, text in _CONNECT_ERRORS.items() if self._hits(name)), None)

    def _hits(self, name: str) -> bool:
        until, probability = self._windows.get(name, (float("-inf"), 0.0))
        return self._clock.now < until and self._rng.random() < probability

    def _choose_fault(self, factories: Mapping[str, FaultFactory]) -> DeferredFault | None:
        if self._clock.now >= self._last_window_end:
            return None
        name = next((name for name in self._windows if name in factories and self._hits(name)), None)
        if name is None:
            return None
        fault = factories[name](self._rng)
        if isinstance(fault, StaticResponse | RefuseHandshake) and fault.status in _LIMIT_STATUSES:
            self._injected_limit_until = self._clock.now + _RESPONSE_DEADLINE
        if name in _FATAL_RESPONSES:
            self.mark_fatal()
        if isinstance(fault, SilentConnection):
            self.extend_fault_window(self._clock.now)
        return fault


class SimulatedFaultInjector:
    """Injects one planned fault after the other into connections, credentials and requests."""

    def __init__(
        self,
        plan: ScenarioPlan,
        network: Network,
        clock: VirtualClock,
        active_faults: ActiveFaults,
        expected_gaps: ExpectedGaps,
    ) -> None:
        self.ended_accounts: dict[Account, float] = {}
        """The accounts that the exchange refuses for good, each with the time of its end."""
        self.duplicates_left = 0
        """How many of the next events are sent twice."""
        self.stalled_until = float("-inf")
        """Until when the consumer takes no items."""
        self._plan = plan
        self._network = network
        self._clock = clock
        self._active_faults = active_faults
        self._expected_gaps = expected_gaps
        self._handlers: Mapping[str, Callable[[PlannedFault], None]] = {
            "reset": self._reset,
            "half-open": self._half_open,
            "truncate": self._truncate,
            "delay": self._delay,
            "slow handshake": self._slow_handshake,
            "duplicate": self._duplicate,
            "expire credentials": self._expire_credentials,
            "delete listen key": self._delete_listen_key,
            "retire listen token": self._retire_listen_token,
            "slow consumer": self._slow_consumer,
            "end of an account": self._end_account,
            "revoke API key": self._revoke_api_key,
        } | dict.fromkeys(IMMEDIATE_FAULTS, self._inject_immediate)

    def inject(self, planned: PlannedFault) -> None:
        """Inject a fault now."""
        self._active_faults.counts[planned.name] += 1
        self._active_faults.extend_fault_window(self._clock.now + planned.duration)
        self._handlers.get(planned.name, self._active_faults.activate)(planned)

    def _inject_immediate(self, planned: PlannedFault) -> None:
        fault = IMMEDIATE_FAULTS[planned.name](random.Random(planned.seed))
        for connection in self._choose_connections(planned):
            self._network.exchange.inject_fault(fault, self._clock.epoch_ms, connection=connection.exchange_number)
            if isinstance(fault, faults.ShutdownNotice):
                self._active_faults.extend_fault_window(self._clock.now + (fault.close_after_seconds or 0.0))
            else:
                self._expected_gaps.mark_connection(connection)
            self._network.flush_outputs()
            if isinstance(fault, faults.MalformedFrame | faults.BinaryFrame):
                self._expected_gaps.mark_connection(connection, connection.downlink_busy_until)

    def _choose_connections(self, planned: PlannedFault) -> list[SimulatedConnection]:
        """One open connection, or all of them."""
        connections = [
            connection
            for connection in self._network.connections.values()
            if connection.exchange_number is not None and not connection.dead
        ]
        if not connections or planned.seed % 3 == 0:
            return connections
        return [connections[planned.seed // 3 % len(connections)]]

    def _reset(self, planned: PlannedFault) -> None:
        if planned.seed % 2:
            self._active_faults.activate(
                PlannedFault(self._clock.now, "reset", duration=10.0, probability=planned.probability)
            )
            self._active_faults.extend_fault_window(self._clock.now + 10.0)
        for connection in self._choose_connections(planned):
            self._network.reset(connection)

    def _half_open(self, planned: PlannedFault) -> None:
        for connection in self._choose_connections(planned):
            self._network.make_half_open(connection)

    def _truncate(self, planned: PlannedFault) -> None:
        self._active_faults.activate(planned)
        for connection in self._choose_connections(planned):
            connection.truncate_until = self._clock.now + planned.duration

    def _delay(self, planned: PlannedFault) -> None:
        self._active_faults.activate(planned)
        self._network.slow_until = max(self._network.slow_until, self._clock.now + planned.duration)
        self._active_faults.extend_fault_window(self._clock.now + planned.duration + 10.0)

    def _slow_handshake(self, planned: PlannedFault) -> None:
        self._active_faults.activate(planned)
        self._active_faults.extend_fault_window(self._clock.now + planned.duration + self._plan.settings.open_timeout)

    def _duplicate(self, planned: PlannedFault) -> None:
        self.duplicates_left += 1 + planned.seed % 5

    def _expire_credentials(self, planned: PlannedFault) -> None:
        fault = faults.ExpireCredentials(CREDENTIAL_SELECTIONS[planned.seed % 3])
        for account in self._plan.accounts:
            self._expected_gaps.mark_account(account)
        self._network.exchange.inject_fault(fault, self._clock.epoch_ms)
        self._network.flush_outputs()

    def _delete_listen_key(self, planned: PlannedFault) -> None:
        account = self._plan.accounts[planned.seed % len(self._plan.accounts)]
        exchange, now = self._network.exchange, self._clock.epoch_ms
        if exchange.delete_listen_key(self._network.user.uid, account.symbol or "cross", None, now):
            self._expected_gaps.mark_account(account)

    def _retire_listen_token(self, planned: PlannedFault) -> None:
        self._network.exchange.retire_endpoint("/sapi/v1/userListenToken")

    def _end_account(self, planned: PlannedFault) -> None:
        """Disable an account, or delist its symbol, while the stream follows it. At least one account is left."""
        accounts = self._plan.accounts
        account = accounts[planned.seed % len(accounts)]
        if account in self.ended_accounts or len(self.ended_accounts) + 1 == len(accounts):
            return
        self._expected_gaps.mark_account(account)
        self.ended_accounts[account] = self._clock.now
        if account.symbol is not None and planned.seed % 2:
            self._network.exchange.delist_symbol(account.symbol)
        else:
            self._network.exchange.disable_account(self._network.user.uid, account.symbol or "cross")

    def _slow_consumer(self, planned: PlannedFault) -> None:
        self.stalled_until = self._clock.now + planned.duration

    def _revoke_api_key(self, planned: PlannedFault) -> None:
        self._active_faults.mark_fatal()
        for account in self._plan.accounts:
            self._expected_gaps.mark_account(account)
        self._network.exchange.revoke_api_key(self._network.user.api_key, self._clock.epoch_ms)
        self._network.flush_outputs()
