"""What is wrong at the moment, and what waits for its occasion."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from binance_margin_stream.sandbox.faults import DeferredFault, RefuseHandshake, SilentConnection, StaticResponse
from simulation.fault_catalog import HANDSHAKE_FAULTS, REST_FAULTS, SUBSCRIBE_FAULTS, FaultFactory
from simulation.network import SimulatedConnection
from simulation.plan import PlannedFault

__all__ = ["ActiveFaults"]

_CONNECT_ERRORS = {"refuse": "connection refused", "wrong certificate": "TLS failed: certificate verify failed"}
_LIMIT_STATUSES = frozenset({403, 418, 429})
_RESPONSE_DEADLINE = 20.0


class ActiveFaults:
    """The faults that last, the strikes that wait, and until when there was trouble."""

    def __init__(self, rng: random.Random, now: Callable[[], float]) -> None:
        self.fault_window_end = float("-inf")
        self.pending: list[PlannedFault] = []
        self.fault_counts: Counter[str] = Counter()
        self.fatal_sent_at: float | None = None
        self.on_open: Callable[[SimulatedConnection], None] = lambda connection: None
        self.on_due: Callable[[PlannedFault], None] = lambda planned: None
        self._rng = rng
        self._now = now
        self._windows: dict[str, tuple[float, float]] = {}
        self._last_window_end = self._injected_limit_until = float("-inf")

    def activate(self, planned: PlannedFault) -> None:
        """Let something be wrong for a while; what is fatal lasts for ever."""
        until = self._now() + planned.duration if planned.duration else float("inf")
        known = self._windows.get(planned.name, (until, 0.0))
        self._last_window_end = max(self._last_window_end, until)
        self._windows[planned.name] = max(known[0], until), max(known[1], planned.probability)

    def extend_fault_window(self, until: float) -> None:
        """There is trouble until a moment at least."""
        self.fault_window_end = max(self.fault_window_end, until)

    def on_trigger(self, name: str) -> None:
        """Something happens that strikes may have waited for."""
        if not self.pending:
            return
        for planned in [each for each in self.pending if each.trigger == name]:
            self.pending.remove(planned)
            self.on_due(planned)

    def is_injected_refusal(self) -> bool:
        """Whether a refusal that comes now was made up by a strike, not by the exchange's own limits."""
        return self._now() <= self._injected_limit_until

    def applies_now(self, name: str) -> bool:
        """Whether something is wrong at the moment, and hits this time."""
        until, share = self._windows.get(name, (float("-inf"), 0.0))
        return self._now() < until and self._rng.random() < share

    def choose_rest_fault(self) -> DeferredFault | None:
        """What strikes a call that arrives now."""
        return self._choose_fault(REST_FAULTS)

    def choose_handshake_fault(self) -> DeferredFault | None:
        """What strikes a handshake that begins now."""
        return self._choose_fault(HANDSHAKE_FAULTS)

    def choose_subscribe_fault(self) -> DeferredFault | None:
        """What strikes a subscribe that is sent now."""
        return self._choose_fault(SUBSCRIBE_FAULTS)

    def connect_error(self) -> str | None:
        """Why no TCP connection comes about, None if it does."""
        if self._now() >= self._last_window_end:
            return None
        return next((text for name, text in _CONNECT_ERRORS.items() if self.applies_now(name)), None)

    def _choose_fault(self, factories: Mapping[str, FaultFactory]) -> DeferredFault | None:
        if self._now() >= self._last_window_end:
            return None
        name = next((name for name in self._windows if name in factories and self.applies_now(name)), None)
        if name is None:
            return None
        fault = factories[name](self._rng)
        if isinstance(fault, StaticResponse | RefuseHandshake):
            self._record_refusal(fault.status, name)
        if isinstance(fault, SilentConnection):
            self.extend_fault_window(self._now())
        return fault

    def _record_refusal(self, status: int, name: str) -> None:
        if status in _LIMIT_STATUSES:
            self._injected_limit_until = self._now() + _RESPONSE_DEADLINE
        if name in ("country", "no such symbol") and self.fatal_sent_at is None:
            self.fatal_sent_at = self._now()
