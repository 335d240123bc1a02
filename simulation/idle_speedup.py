"""What is spared while nothing is wrong: single pings, and frequent proofs of listen keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings
from simulation.network import Network, SimulatedConnection

__all__ = ["FAULT_LEAD_SECONDS", "IdleSpeedup"]

FAULT_LEAD_SECONDS = 2220.0
"""How long before a strike the stream's own rule for proofs holds again, in seconds."""

_PING_INTERVAL = 20.0
_IDLE_VERIFY_INTERVAL = 1800.0


class IdleSpeedup:
    """Tells pings ahead until something may go wrong, and one by one from then on.

    `stormy` says whether something is wrong or may be at any moment, `quiet_until` until when nothing is planned.
    """

    def __init__(
        self,
        lifecycle: Lifecycle[Event],
        network: Network,
        settings: StreamSettings,
        *,
        faults_possible: Callable[[], bool],
        next_fault_at: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], None],
        exchange_pings: bool,
    ) -> None:
        self._lifecycle = lifecycle
        self._network = network
        self._settings = settings
        self._faults_possible = faults_possible
        self._next_fault_at = next_fault_at
        self._call_later = call_later
        self._exchange_pings = exchange_pings
        self._pinging = False
        self._verify_interval = settings.health_check_interval
        self._set_verify_interval(_IDLE_VERIFY_INTERVAL)

    def on_open(self, connection: SimulatedConnection) -> None:
        """A connection is open."""
        if not self._pinging and not self._exchange_pings:
            self._lifecycle.on_ping(connection.number, self._ping_until())

    def on_faults_near(self) -> None:
        """Strikes come near: prove listen keys as often as the stream does by itself."""
        self._set_verify_interval(self._verify_interval)

    def resume_pings(self) -> None:
        """Something is wrong: from now on ping by ping."""
        if not self._pinging and not self._exchange_pings:
            self._pinging = True
            self._send_pings()

    def _send_pings(self) -> None:
        self._pinging = self._faults_possible()
        ping_until = self._network.now if self._pinging else self._ping_until()
        for connection in list(self._network.connections.values()):
            if connection.handshake_done and not connection.dead and not self._is_frozen(connection):
                self._lifecycle.on_ping(connection.number, ping_until)
        if self._pinging:
            self._call_later(_PING_INTERVAL, self._send_pings)
        elif self._next_fault_at() > self._network.now + FAULT_LEAD_SECONDS:
            self._set_verify_interval(_IDLE_VERIFY_INTERVAL)

    def _ping_until(self) -> float:
        return max(self._network.now, self._next_fault_at())

    def _set_verify_interval(self, seconds: float) -> None:
        self._lifecycle.context.settings = replace(self._settings, health_check_interval=seconds)

    def _is_frozen(self, connection: SimulatedConnection) -> bool:
        return connection.exchange_number is None or self._network.exchange.is_silent(connection.exchange_number)
