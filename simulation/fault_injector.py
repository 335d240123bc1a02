"""Lets a fault strike: what it does to connections, credentials and calls at its moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.faults import ImmediateFault
from simulation.active_faults import ActiveFaults
from simulation.expected_gaps import ExpectedGaps
from simulation.network import Network, SimulatedConnection
from simulation.plan import PlannedFault, ScenarioPlan

__all__ = ["IMMEDIATE_FAULTS", "SimulatedFaultInjector"]

CredentialSelection = Literal["all", "listen_tokens", "listen_keys"]
_CREDENTIAL_SELECTIONS: tuple[CredentialSelection, ...] = get_args(CredentialSelection)

IMMEDIATE_FAULTS: Mapping[str, Callable[[random.Random], ImmediateFault]] = {
    "drop": lambda rng: faults.DropConnections(rng.choice(("close", "close", "eof", "reset"))),
    "freeze": lambda rng: faults.FreezeConnections(),
    "malformed": lambda rng: faults.MalformedFrame(rng.choice(('{"subscriptionId":0,"event":{"e":', "}{", "[]"))),
    "binary": lambda rng: faults.BinaryFrame(b"\x00\xff"),
    "shutdown notice": lambda rng: faults.ShutdownNotice(rng.choice((None, 0.5, 5.0, 60.0, 120.0))),
}
"""Faults that the sandbox has for open connections."""


class SimulatedFaultInjector:
    """The hand of the adversary. What is wrong for a while is left to the weather."""

    def __init__(
        self, plan: ScenarioPlan, network: Network, active_faults: ActiveFaults, expected_gaps: ExpectedGaps
    ) -> None:
        self.duplicates_left = 0
        """How many of the next events are sent twice."""
        self.stalled_until = float("-inf")
        """Until when the consumer takes nothing."""
        self.revoked_at: float | None = None
        self._plan = plan
        self._network = network
        self._active_faults = active_faults
        self._expected_gaps = expected_gaps
        self._handlers: Mapping[str, Callable[[PlannedFault], None]] = {
            "reset": self._reset,
            "half-open": self._half_open,
            "truncate": self._truncate,
            "delay": self._delay,
            "slow handshake": self._slow_handshake,
            "duplicate": self._duplicate,
            "expire": self._expire_credentials,
            "delete the key": self._delete_key,
            "retire": self._retire_listen_token,
            "slow consumer": self._slow_consumer,
            "revoke the API key": self._revoke_api_key,
        } | dict.fromkeys(IMMEDIATE_FAULTS, self._apply_immediate)

    @property
    def _now(self) -> float:
        return self._network.now

    def apply(self, planned: PlannedFault) -> None:
        """Let it strike now."""
        self._active_faults.fault_counts[planned.name] += 1
        self._active_faults.extend_fault_window(self._now + planned.duration)
        self._handlers.get(planned.name, self._active_faults.activate)(planned)

    def _apply_immediate(self, planned: PlannedFault) -> None:
        fault = IMMEDIATE_FAULTS[planned.name](random.Random(planned.seed))
        for connection in self._choose_connections(planned):
            self._network.exchange.inject_fault(fault, self._network.epoch_ms, connection=connection.exchange_number)
            if isinstance(fault, faults.ShutdownNotice):
                self._active_faults.extend_fault_window(self._now + (fault.close_after_seconds or 0.0))
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
                PlannedFault(self._now, "reset", duration=10.0, probability=planned.probability)
            )
            self._active_faults.extend_fault_window(self._now + 10.0)
        for connection in self._choose_connections(planned):
            self._network.reset(connection)

    def _half_open(self, planned: PlannedFault) -> None:
        for connection in self._choose_connections(planned):
            self._network.make_half_open(connection)

    def _truncate(self, planned: PlannedFault) -> None:
        self._active_faults.activate(planned)
        for connection in self._choose_connections(planned):
            connection.truncate_until = self._now + planned.duration

    def _delay(self, planned: PlannedFault) -> None:
        self._active_faults.activate(planned)
        self._network.slow_until = max(self._network.slow_until, self._now + planned.duration)
        self._active_faults.extend_fault_window(self._now + planned.duration + 10.0)

    def _slow_handshake(self, planned: PlannedFault) -> None:
        self._active_faults.activate(planned)
        self._active_faults.extend_fault_window(self._now + planned.duration + self._plan.settings.open_timeout)

    def _duplicate(self, planned: PlannedFault) -> None:
        self.duplicates_left += 1 + planned.seed % 5

    def _expire_credentials(self, planned: PlannedFault) -> None:
        which: CredentialSelection = _CREDENTIAL_SELECTIONS[planned.seed % 3]
        for account in self._plan.accounts:
            self._expected_gaps.mark_account(account)
        self._network.exchange.inject_fault(faults.ExpireCredentials(which), self._network.epoch_ms)
        self._network.flush_outputs()

    def _delete_key(self, planned: PlannedFault) -> None:
        account = self._plan.accounts[planned.seed % len(self._plan.accounts)]
        exchange, now = self._network.exchange, self._network.epoch_ms
        if exchange.delete_listen_key(self._network.user.uid, account.symbol or "cross", None, now):
            self._expected_gaps.mark_account(account)

    def _retire_listen_token(self, planned: PlannedFault) -> None:
        self._network.exchange.retire_endpoint("/sapi/v1/userListenToken")

    def _slow_consumer(self, planned: PlannedFault) -> None:
        self.stalled_until = self._now + planned.duration

    def _revoke_api_key(self, planned: PlannedFault) -> None:
        self.revoked_at = self._now
        for account in self._plan.accounts:
            self._expected_gaps.mark_account(account)
        self._network.exchange.revoke_api_key(self._network.user.api_key, self._network.epoch_ms)
        self._network.flush_outputs()
