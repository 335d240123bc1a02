"""The exchange of the lab: a sandbox, a steady load of events, and a record of what really happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

__all__ = ["HappenedEvent", "LoadedExchange"]

_EQUAL_EVERY = 10


@dataclass(frozen=True, slots=True)
class HappenedEvent:
    """A change of a balance. Two with equal fields are two deposits in one millisecond."""

    name: str
    event_time: int
    delta: str


class LoadedExchange:
    """Sends events to the accounts of these names in turn, each name an API key of its own.

    Every tenth event happens twice, and the second copy may come a moment later, when a fault has begun.
    """

    def __init__(self, names: Sequence[str], rate: float) -> None:
        self.sandbox = Sandbox(
            rules=ExchangeRules(
                ping_interval_ms=1000, connection_attempt_limit=100_000, active_subscription_limit=10_000
            )
        )
        self._names = names
        self._interval = 1 / rate
        self._keys: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._is_stopped = threading.Event()
        self._number = 0
        self.happened: list[HappenedEvent] = []
        self.largest_delay_ms = 0
        """The largest time from an event's own time until it was sent (L)."""

    def start(self) -> None:
        """Start the exchange, without load."""
        self.sandbox.start()
        self._keys[self._names[0]] = self.sandbox.api_key
        for name in self._names[1:]:
            self._keys[name] = self.sandbox.add_user().api_key

    def api_key(self, name: str) -> str:
        """The key of a name."""
        return self._keys[name]

    @property
    def now(self) -> int:
        """The exchange's time in milliseconds."""
        return self.sandbox.now

    def start_load(self) -> None:
        """Send events from now on."""
        self._is_stopped.clear()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop_load(self) -> None:
        """Send no more."""
        self._is_stopped.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def close(self) -> None:
        """End the load and the exchange."""
        self.stop_load()
        self.sandbox.close()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._is_stopped.is_set():
            self._number += 1
            self.emit(self._names[self._number % len(self._names)], 2 if self._number % _EQUAL_EVERY == 0 else 1)
            due += self._interval
            self._is_stopped.wait(max(0.0, due - time.monotonic()))

    def emit(self, name: str, copies: int = 1) -> None:
        """Let one deposit, or several equal ones, happen now."""
        event_time = self.sandbox.now
        delta = str(self._number)
        event = {"e": "balanceUpdate", "E": event_time, "a": "BTC", "d": delta, "T": event_time}
        for _ in range(copies):
            self.happened.append(HappenedEvent(name, event_time, delta))
            self.sandbox.send_event(event, api_key=self._keys[name])
            self.largest_delay_ms = max(self.largest_delay_ms, self.sandbox.now - event_time)
