"""The simulated network between client and exchange: a virtual clock, delays, order, and lost connections."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeVar

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.faults import DeferredFault
from binance_margin_stream.sandbox.messages import Abort, Accepted, Close, Frame, Ping, Pong, Request, Response, Text

T = TypeVar("T")

__all__ = ["EPOCH_MS", "Network", "NetworkListener", "SimulatedConnection", "VirtualClock"]

EPOCH_MS = 1_577_836_800_000
"""When every month begins, in epoch milliseconds: long past, so that a use of this machine's clock would show."""

_PONG_TIMEOUT = 80.0
_MAX_SLOW_DELAY = 4.0


class VirtualClock:
    """The time of a simulated month, in seconds since its start, and the callbacks that are due later."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    @property
    def epoch_ms(self) -> int:
        """The time of the exchange, in epoch milliseconds."""
        return EPOCH_MS + round(self.now * 1000)

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Call at a time. Callbacks of the same time run in the order in which they were added."""
        heapq.heappush(self._heap, (when, next(self._order), callback))

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call after some seconds."""
        self.call_at(self.now + seconds, callback)

    def next_at(self) -> float:
        """When the next callback is due."""
        return self._heap[0][0] if self._heap else float("inf")

    def advance_to(self, when: float) -> None:
        """Set the time, which never goes back."""
        self.now = max(self.now, when)

    def run_next(self) -> None:
        """Advance to the next callback and run it."""
        when, _, callback = heapq.heappop(self._heap)
        self.advance_to(when)
        callback()


class SimulatedConnection:
    """One TCP connection. Frames of one direction arrive in the order in which they were sent."""

    __slots__ = (
        "closed_by_client",
        "dead",
        "downlink_busy_until",
        "exchange_number",
        "handshake_done",
        "known_closed",
        "number",
        "truncate_until",
        "uplink_busy_until",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.exchange_number: int | None = None
        self.uplink_busy_until = self.downlink_busy_until = 0.0
        self.closed_by_client = False
        """The client has closed it."""
        self.handshake_done = False
        """The handshake is done."""
        self.known_closed = False
        """The client knows that it is closed."""
        self.dead = False
        """No data passes any more, in either direction."""
        self.truncate_until = 0.0
        """Of the next event that is sent before this time, only the first half arrives."""

    @property
    def is_open(self) -> bool:
        """Whether it is open as far as the client knows."""
        return not (self.closed_by_client or self.known_closed)


class NetworkListener(Protocol):
    """The client side of the network."""

    def on_frame(self, connection: SimulatedConnection, frame: Frame) -> None:
        """A frame arrived."""

    def on_handshake(self, connection: SimulatedConnection, response: Response | None) -> None:
        """The handshake ended: refused with a response, or accepted if it is None."""


class Network:
    """Carries requests and frames between one client and the exchange."""

    def __init__(self, rules: ExchangeRules, rng: random.Random, clock: VirtualClock) -> None:
        self.exchange = Exchange(rules, rng)
        self.user = self.exchange.add_user()
        self.slow_until = 0.0
        self.connections: dict[int, SimulatedConnection] = {}
        self.on_connection_ending: Callable[[SimulatedConnection], None] = lambda connection: None
        """Called before the exchange or the network ends a connection."""
        self.on_text: Callable[[SimulatedConnection, Text], None] = lambda connection, frame: None
        """Called for each text that the exchange sends."""
        self._rng = rng
        self._clock = clock
        self._listener: NetworkListener | None = None
        self._by_exchange_number: dict[int, SimulatedConnection] = {}

    def attach(self, listener: NetworkListener) -> None:
        """Deliver to this client."""
        self._listener = listener

    def sample_delay(self) -> float:
        """A random transmission time in seconds: some milliseconds, or up to four seconds while the network is slow."""
        if self._clock.now < self.slow_until and self._rng.random() < 0.3:
            return self._rng.uniform(0.1, _MAX_SLOW_DELAY)
        return self._rng.uniform(0.002, 0.12)

    def advance(self) -> None:
        """Run the timers of the exchange that are due."""
        self.exchange.advance(self._clock.epoch_ms)
        self.flush_outputs()

    def flush_outputs(self) -> None:
        """Send the frames that the exchange has queued."""
        for number, frame in self.exchange.take_outputs():
            connection = self._by_exchange_number.get(number)
            if connection is not None:
                self._send_to_client(connection, frame)

    def connect(self, connection: SimulatedConnection, target: str, fault: DeferredFault | None) -> None:
        """Start a handshake."""
        self.connections[connection.number] = connection
        self._clock.call_later(self.sample_delay(), lambda: self._process_handshake(connection, target, fault))

    def send(self, connection: SimulatedConnection, frame: Frame, fault: DeferredFault | None = None) -> None:
        """Send a frame to the exchange."""
        connection.uplink_busy_until = max(connection.uplink_busy_until, self._clock.now + self.sample_delay())
        self._clock.call_at(connection.uplink_busy_until, lambda: self._deliver_to_exchange(connection, frame, fault))

    def close(self, connection: SimulatedConnection) -> None:
        """The client closes a connection."""
        connection.closed_by_client = True
        self.connections.pop(connection.number, None)
        if not connection.dead:
            self._clock.call_later(self.sample_delay(), lambda: self.on_client_gone(connection))

    def on_client_gone(self, connection: SimulatedConnection) -> None:
        """The exchange notices that a client has disconnected."""
        if connection.exchange_number is not None:
            self.exchange.on_disconnected(connection.exchange_number, self._clock.epoch_ms)
            self._by_exchange_number.pop(connection.exchange_number, None)
            self.flush_outputs()

    def call_rest(self, request: Request, fault: DeferredFault | None) -> Response:
        """Pass a REST request to the exchange, with a fault for this request only."""
        response = self._with_fault(fault, lambda: self.exchange.handle_rest(request, self._clock.epoch_ms))
        self.flush_outputs()
        return response

    def reset(self, connection: SimulatedConnection) -> None:
        """Reset a connection: both sides notice, and frames in transit are lost."""
        self.on_connection_ending(connection)
        connection.dead = True
        self._clock.call_later(self.sample_delay(), lambda: self._notify_closed(connection, Abort("reset")))
        self.on_client_gone(connection)

    def make_half_open(self, connection: SimulatedConnection) -> None:
        """Let no data pass any more. The exchange notices by its pings; the client has to notice by itself."""
        self.on_connection_ending(connection)
        connection.dead = True
        self._clock.call_later(_PONG_TIMEOUT, lambda: self.on_client_gone(connection))

    def _process_handshake(self, connection: SimulatedConnection, target: str, fault: DeferredFault | None) -> None:
        if connection.closed_by_client:
            return
        request = Request("GET", target)
        response = self._with_fault(fault, lambda: self.exchange.handle_handshake(request, self._clock.epoch_ms))
        self.flush_outputs()
        if isinstance(response, Accepted):
            connection.exchange_number = response.connection_id
            self._by_exchange_number[response.connection_id] = connection
        connection.downlink_busy_until = self._clock.now + self.sample_delay() + response.delay_ms / 1000
        refusal = response if isinstance(response, Response) else None
        self._clock.call_at(connection.downlink_busy_until, lambda: self._on_handshake_response(connection, refusal))

    def _on_handshake_response(self, connection: SimulatedConnection, refusal: Response | None) -> None:
        if self._listener is not None and connection.is_open and not connection.dead:
            self._listener.on_handshake(connection, refusal)

    def _deliver_to_exchange(self, connection: SimulatedConnection, frame: Frame, fault: DeferredFault | None) -> None:
        if connection.dead or connection.exchange_number is None:
            return
        number = connection.exchange_number
        self._with_fault(fault, lambda: self.exchange.receive(number, frame, self._clock.epoch_ms))
        self.flush_outputs()

    def _with_fault(self, fault: DeferredFault | None, action: Callable[[], T]) -> T:
        if fault is None:
            return action()
        self.exchange.inject_fault(fault, self._clock.epoch_ms)
        try:
            return action()
        finally:
            self.exchange.clear_faults()

    def _send_to_client(self, connection: SimulatedConnection, frame: Frame) -> None:
        if isinstance(frame, Close | Abort):
            self.on_connection_ending(connection)
        elif isinstance(frame, Text):
            self.on_text(connection, frame)
            if self._clock.now < connection.truncate_until and '"E":' in frame.text:
                connection.truncate_until = 0.0
                frame = Text(frame.text[: len(frame.text) // 2])
        if frame == Abort("reset"):
            self._clock.call_later(self.sample_delay(), lambda: self._notify_closed(connection, frame))
            return
        connection.downlink_busy_until = max(connection.downlink_busy_until, self._clock.now + self.sample_delay())
        self._clock.call_at(connection.downlink_busy_until, lambda: self._deliver_to_client(connection, frame))

    def _deliver_to_client(self, connection: SimulatedConnection, frame: Frame) -> None:
        if connection.dead or not connection.is_open or self._listener is None:
            return
        if isinstance(frame, Close | Abort):
            self._notify_closed(connection, frame)
        elif isinstance(frame, Ping):
            self.send(connection, Pong(frame.data))
            self._listener.on_frame(connection, frame)
        else:
            self._listener.on_frame(connection, frame)

    def _notify_closed(self, connection: SimulatedConnection, frame: Frame) -> None:
        if connection.is_open and self._listener is not None:
            connection.known_closed = True
            self.connections.pop(connection.number, None)
            self._listener.on_frame(connection, frame)
