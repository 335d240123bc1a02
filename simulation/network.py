"""The network between the life cycle and the exchange: delays, order, and what breaks on the way."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.faults import DeferredFault
from binance_margin_stream.sandbox.messages import Abort, Accepted, Close, Frame, Ping, Pong, Request, Response, Text

T = TypeVar("T")

__all__ = ["EPOCH_MS", "Network", "NetworkListener", "SimulatedConnection"]

EPOCH_MS = 1_577_836_800_000
"""When every month begins: long past, so that no clock of this machine can play a part."""

_PONG_TIMEOUT = 80.0
_MAX_SLOW_DELAY = 4.0


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
        """The client knows that it is gone."""
        self.dead = False
        """Nothing passes any more, and nobody is told."""
        self.truncate_until = 0.0
        """The next event that is sent before arrives by half."""

    @property
    def is_open(self) -> bool:
        """Whether the client believes in it."""
        return not (self.closed_by_client or self.known_closed)


class NetworkListener(Protocol):
    """What the network delivers to."""

    def on_frame(self, connection: SimulatedConnection, frame: Frame) -> None:
        """A frame arrived."""

    def on_handshake(self, connection: SimulatedConnection, response: Response | None) -> None:
        """The handshake was answered: refused, or accepted with None."""


class Network:
    """Carries requests and frames between one client and the exchange, under the clock of the month."""

    def __init__(
        self, rules: ExchangeRules, rng: random.Random, call_at: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self.exchange = Exchange(rules, rng)
        self.user = self.exchange.add_user()
        self.now = 0.0
        self.slow_until = 0.0
        self.connections: dict[int, SimulatedConnection] = {}
        self.on_connection_ending: Callable[[SimulatedConnection], None] = lambda connection: None
        """Called when the exchange, or the network, is about to end a connection."""
        self.on_text: Callable[[SimulatedConnection, Text], None] = lambda connection, frame: None
        """Called with each text that the exchange sends."""
        self._rng = rng
        self._call_at = call_at
        self._listener: NetworkListener | None = None
        self._by_exchange_number: dict[int, SimulatedConnection] = {}

    def attach(self, listener: NetworkListener) -> None:
        """Deliver to this client."""
        self._listener = listener

    @property
    def epoch_ms(self) -> int:
        """The exchange's time."""
        return EPOCH_MS + round(self.now * 1000)

    def sample_delay(self) -> float:
        """How long something is under way: some milliseconds, or seconds where the network is slow."""
        if self.now < self.slow_until and self._rng.random() < 0.3:
            return self._rng.uniform(0.1, _MAX_SLOW_DELAY)
        return self._rng.uniform(0.002, 0.12)

    def advance(self) -> None:
        """Let happen at the exchange what is due."""
        self.exchange.advance(self.epoch_ms)
        self.flush_outputs()

    def flush_outputs(self) -> None:
        """Send what the exchange has to say."""
        for number, frame in self.exchange.take_outputs():
            connection = self._by_exchange_number.get(number)
            if connection is not None:
                self._send_to_client(connection, frame)

    def connect(self, connection: SimulatedConnection, target: str, fault: DeferredFault | None) -> None:
        """Begin a handshake."""
        self.connections[connection.number] = connection
        self._call_at(self.now + self.sample_delay(), lambda: self._process_handshake(connection, target, fault))

    def send(self, connection: SimulatedConnection, frame: Frame, fault: DeferredFault | None = None) -> None:
        """Send a frame to the exchange."""
        connection.uplink_busy_until = max(connection.uplink_busy_until, self.now + self.sample_delay())
        self._call_at(connection.uplink_busy_until, lambda: self._deliver_to_exchange(connection, frame, fault))

    def close(self, connection: SimulatedConnection) -> None:
        """The client ends a connection."""
        connection.closed_by_client = True
        self.connections.pop(connection.number, None)
        if not connection.dead:
            self._call_at(self.now + self.sample_delay(), lambda: self.on_client_gone(connection))

    def on_client_gone(self, connection: SimulatedConnection) -> None:
        """The exchange notices that a client is gone."""
        if connection.exchange_number is not None:
            self.exchange.on_disconnected(connection.exchange_number, self.epoch_ms)
            self._by_exchange_number.pop(connection.exchange_number, None)
            self.flush_outputs()

    def call_rest(self, request: Request, fault: DeferredFault | None) -> Response:
        """Make a call that has arrived; the fault strikes it and nothing else."""
        response = self._with_fault(fault, lambda: self.exchange.handle_rest(request, self.epoch_ms))
        self.flush_outputs()
        return response

    def reset(self, connection: SimulatedConnection) -> None:
        """Reset a connection: both sides notice, and what was under way is lost."""
        self.on_connection_ending(connection)
        connection.dead = True
        self._call_at(self.now + self.sample_delay(), lambda: self._notify_closed(connection, Abort("reset")))
        self.on_client_gone(connection)

    def make_half_open(self, connection: SimulatedConnection) -> None:
        """Let nothing pass any more; the exchange notices after its pings, the client has to notice by itself."""
        self.on_connection_ending(connection)
        connection.dead = True
        self._call_at(self.now + _PONG_TIMEOUT, lambda: self.on_client_gone(connection))

    def _process_handshake(self, connection: SimulatedConnection, target: str, fault: DeferredFault | None) -> None:
        if connection.closed_by_client:
            return
        request = Request("GET", target)
        response = self._with_fault(fault, lambda: self.exchange.handle_handshake(request, self.epoch_ms))
        self.flush_outputs()
        if isinstance(response, Accepted):
            connection.exchange_number = response.connection_id
            self._by_exchange_number[response.connection_id] = connection
        connection.downlink_busy_until = self.now + self.sample_delay() + response.delay_ms / 1000
        refusal = response if isinstance(response, Response) else None
        self._call_at(connection.downlink_busy_until, lambda: self._on_handshake_response(connection, refusal))

    def _on_handshake_response(self, connection: SimulatedConnection, refusal: Response | None) -> None:
        if self._listener is not None and connection.is_open and not connection.dead:
            self._listener.on_handshake(connection, refusal)

    def _deliver_to_exchange(self, connection: SimulatedConnection, frame: Frame, fault: DeferredFault | None) -> None:
        if connection.dead or connection.exchange_number is None:
            return
        number = connection.exchange_number
        self._with_fault(fault, lambda: self.exchange.receive(number, frame, self.epoch_ms))
        self.flush_outputs()

    def _with_fault(self, fault: DeferredFault | None, action: Callable[[], T]) -> T:
        if fault is None:
            return action()
        self.exchange.inject_fault(fault, self.epoch_ms)
        try:
            return action()
        finally:
            self.exchange.clear_faults()

    def _send_to_client(self, connection: SimulatedConnection, frame: Frame) -> None:
        if isinstance(frame, Close | Abort):
            self.on_connection_ending(connection)
        elif isinstance(frame, Text):
            self.on_text(connection, frame)
            if self.now < connection.truncate_until and '"E":' in frame.text:
                connection.truncate_until = 0.0
                frame = Text(frame.text[: len(frame.text) // 2])
        if frame == Abort("reset"):
            self._call_at(self.now + self.sample_delay(), lambda: self._notify_closed(connection, frame))
            return
        connection.downlink_busy_until = max(connection.downlink_busy_until, self.now + self.sample_delay())
        self._call_at(connection.downlink_busy_until, lambda: self._deliver_to_client(connection, frame))

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
