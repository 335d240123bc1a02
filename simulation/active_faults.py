"""What is wrong at the moment, and what waits for its occasion."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from binance_margin_stream.sandbox.faults import DeferredFault, RefuseHandshake, SilentConnection, StaticResponse
from simulation.fault_catalog import CALLS, HANDSHAKES, SUBSCRIBES, Make
from simulation.network import Pipe
from simulation.plan import Strike

__all__ = ["Weather"]

_BROKEN = {"refuse": "connection refused", "wrong certificate": "TLS failed: certificate verify failed"}
_LIMITS = frozenset({403, 418, 429})
_ANSWERED_BY_NOW = 20.0


class Weather:
    """The faults that last, the strikes that wait, and until when there was trouble."""

    def __init__(self, dice: random.Random, now: Callable[[], float]) -> None:
        self.trouble_until = float("-inf")
        self.pending: list[Strike] = []
        self.struck: Counter[str] = Counter()
        self.fatal_told_at: float | None = None
        self.opened: Callable[[Pipe], None] = lambda pipe: None
        self.due: Callable[[Strike], None] = lambda strike: None
        self._dice = dice
        self._now = now
        self._windows: dict[str, tuple[float, float]] = {}
        self._last_until = self._limited_until = float("-inf")

    def begin(self, strike: Strike) -> None:
        """Let something be wrong for a while; what is fatal lasts for ever."""
        until = self._now() + strike.lasts if strike.lasts else float("inf")
        known = self._windows.get(strike.name, (until, 0.0))
        self._last_until = max(self._last_until, until)
        self._windows[strike.name] = max(known[0], until), max(known[1], strike.share)

    def troubled(self, until: float) -> None:
        """There is trouble until a moment at least."""
        self.trouble_until = max(self.trouble_until, until)

    def occasion(self, name: str) -> None:
        """Something happens that strikes may have waited for."""
        if not self.pending:
            return
        for strike in [each for each in self.pending if each.occasion == name]:
            self.pending.remove(strike)
            self.due(strike)

    def is_at_fault(self) -> bool:
        """Whether a refusal that comes now was made up by a strike, not by the exchange's own limits."""
        return self._now() <= self._limited_until

    def is_on(self, name: str) -> bool:
        """Whether something is wrong at the moment, and hits this time."""
        until, share = self._windows.get(name, (float("-inf"), 0.0))
        return self._now() < until and self._dice.random() < share

    def strikes_call(self) -> DeferredFault | None:
        """What strikes a call that arrives now."""
        return self._one_of(CALLS)

    def strikes_handshake(self) -> DeferredFault | None:
        """What strikes a handshake that begins now."""
        return self._one_of(HANDSHAKES)

    def strikes_subscribe(self) -> DeferredFault | None:
        """What strikes a subscribe that is sent now."""
        return self._one_of(SUBSCRIBES)

    def breaks_connecting(self) -> str | None:
        """Why no TCP connection comes about, None if it does."""
        if self._now() >= self._last_until:
            return None
        return next((text for name, text in _BROKEN.items() if self.is_on(name)), None)

    def _one_of(self, kinds: Mapping[str, Make]) -> DeferredFault | None:
        if self._now() >= self._last_until:
            return None
        name = next((name for name in self._windows if name in kinds and self.is_on(name)), None)
        if name is None:
            return None
        fault = kinds[name](self._dice)
        if isinstance(fault, StaticResponse | RefuseHandshake):
            self._note(fault.status, name)
        if isinstance(fault, SilentConnection):
            self.troubled(self._now())
        return fault

    def _note(self, status: int, name: str) -> None:
        if status in _LIMITS:
            self._limited_until = self._now() + _ANSWERED_BY_NOW
        if name in ("country", "no such symbol") and self.fatal_told_at is None:
            self.fatal_told_at = self._now()
