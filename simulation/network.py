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

__all__ = ["EPOCH", "Client", "Network", "Pipe"]

EPOCH = 1_577_836_800_000
"""When every month begins: long past, so that no clock of this machine can play a part."""

_SILENCE_SEEN = 80.0
_SLOW = 4.0


class Pipe:
    """One TCP connection. Frames of one direction arrive in the order in which they were sent."""

    __slots__ = ("at_exchange", "closed", "dead", "down_at", "number", "over", "ready", "truncate_until", "up_at")

    def __init__(self, number: int) -> None:
        self.number = number
        self.at_exchange: int | None = None
        self.up_at = self.down_at = 0.0
        self.closed = False
        """The client has closed it."""
        self.ready = False
        """The handshake is done."""
        self.over = False
        """The client knows that it is gone."""
        self.dead = False
        """Nothing passes any more, and nobody is told."""
        self.truncate_until = 0.0
        """The next event that is sent before arrives by half."""

    @property
    def is_open(self) -> bool:
        """Whether the client believes in it."""
        return not (self.closed or self.over)


class Client(Protocol):
    """What the network delivers to."""

    def frame(self, pipe: Pipe, frame: Frame) -> None:
        """A frame arrived."""

    def handshake(self, pipe: Pipe, answer: Response | None) -> None:
        """The handshake was answered: refused, or accepted with None."""


class Network:
    """Carries requests and frames between one client and the exchange, under the clock of the month."""

    def __init__(
        self, rules: ExchangeRules, dice: random.Random, at: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self.exchange = Exchange(rules, dice)
        self.user = self.exchange.add_user()
        self.now = 0.0
        self.slow_until = 0.0
        self.pipes: dict[int, Pipe] = {}
        self.ended: Callable[[Pipe], None] = lambda pipe: None
        """Called when the exchange, or the network, is about to end a connection."""
        self.told: Callable[[Pipe, Text], None] = lambda pipe, frame: None
        """Called with each text that the exchange sends."""
        self._dice = dice
        self._at = at
        self._client: Client | None = None
        self._by_exchange: dict[int, Pipe] = {}

    def serve(self, client: Client) -> None:
        """Deliver to this client."""
        self._client = client

    @property
    def milliseconds(self) -> int:
        """The exchange's time."""
        return EPOCH + round(self.now * 1000)

    def delay(self) -> float:
        """How long something is under way: some milliseconds, or seconds where the network is slow."""
        if self.now < self.slow_until and self._dice.random() < 0.3:
            return self._dice.uniform(0.1, _SLOW)
        return self._dice.uniform(0.002, 0.12)

    def advance(self) -> None:
        """Let happen at the exchange what is due."""
        self.exchange.advance(self.milliseconds)
        self.pump()

    def pump(self) -> None:
        """Send what the exchange has to say."""
        for number, frame in self.exchange.take_outputs():
            pipe = self._by_exchange.get(number)
            if pipe is not None:
                self._down(pipe, frame)

    def connect(self, pipe: Pipe, target: str, fault: DeferredFault | None) -> None:
        """Begin a handshake."""
        self.pipes[pipe.number] = pipe
        self._at(self.now + self.delay(), lambda: self._handshake(pipe, target, fault))

    def send(self, pipe: Pipe, frame: Frame, fault: DeferredFault | None = None) -> None:
        """Send a frame to the exchange."""
        pipe.up_at = max(pipe.up_at, self.now + self.delay())
        self._at(pipe.up_at, lambda: self._receive(pipe, frame, fault))

    def close(self, pipe: Pipe) -> None:
        """The client ends a connection."""
        pipe.closed = True
        self.pipes.pop(pipe.number, None)
        if not pipe.dead:
            self._at(self.now + self.delay(), lambda: self.forget(pipe))

    def forget(self, pipe: Pipe) -> None:
        """The exchange notices that a client is gone."""
        if pipe.at_exchange is not None:
            self.exchange.on_disconnected(pipe.at_exchange, self.milliseconds)
            self._by_exchange.pop(pipe.at_exchange, None)
            self.pump()

    def rest(self, request: Request, fault: DeferredFault | None) -> Response:
        """Make a call that has arrived; the fault strikes it and nothing else."""
        answer = self._struck(fault, lambda: self.exchange.handle_rest(request, self.milliseconds))
        self.pump()
        return answer

    def cut(self, pipe: Pipe) -> None:
        """Reset a connection: both sides notice, and what was under way is lost."""
        self.ended(pipe)
        pipe.dead = True
        self._at(self.now + self.delay(), lambda: self._over(pipe, Abort("reset")))
        self.forget(pipe)

    def half_open(self, pipe: Pipe) -> None:
        """Let nothing pass any more; the exchange notices after its pings, the client has to notice by itself."""
        self.ended(pipe)
        pipe.dead = True
        self._at(self.now + _SILENCE_SEEN, lambda: self.forget(pipe))

    def _handshake(self, pipe: Pipe, target: str, fault: DeferredFault | None) -> None:
        if pipe.closed:
            return
        request = Request("GET", target)
        found = self._struck(fault, lambda: self.exchange.handle_handshake(request, self.milliseconds))
        self.pump()
        if isinstance(found, Accepted):
            pipe.at_exchange = found.connection_id
            self._by_exchange[found.connection_id] = pipe
        pipe.down_at = self.now + self.delay() + found.delay_ms / 1000
        refusal = found if isinstance(found, Response) else None
        self._at(pipe.down_at, lambda: self._answered(pipe, refusal))

    def _answered(self, pipe: Pipe, refusal: Response | None) -> None:
        if self._client is not None and pipe.is_open and not pipe.dead:
            self._client.handshake(pipe, refusal)

    def _receive(self, pipe: Pipe, frame: Frame, fault: DeferredFault | None) -> None:
        if pipe.dead or pipe.at_exchange is None:
            return
        number = pipe.at_exchange
        self._struck(fault, lambda: self.exchange.receive(number, frame, self.milliseconds))
        self.pump()

    def _struck(self, fault: DeferredFault | None, what: Callable[[], T]) -> T:
        if fault is None:
            return what()
        self.exchange.inject_fault(fault, self.milliseconds)
        try:
            return what()
        finally:
            self.exchange.clear_faults()

    def _down(self, pipe: Pipe, frame: Frame) -> None:
        if isinstance(frame, Close | Abort):
            self.ended(pipe)
        elif isinstance(frame, Text):
            self.told(pipe, frame)
            if self.now < pipe.truncate_until and '"E":' in frame.text:
                pipe.truncate_until = 0.0
                frame = Text(frame.text[: len(frame.text) // 2])
        if frame == Abort("reset"):
            self._at(self.now + self.delay(), lambda: self._over(pipe, frame))
            return
        pipe.down_at = max(pipe.down_at, self.now + self.delay())
        self._at(pipe.down_at, lambda: self._arrive(pipe, frame))

    def _arrive(self, pipe: Pipe, frame: Frame) -> None:
        if pipe.dead or not pipe.is_open or self._client is None:
            return
        if isinstance(frame, Close | Abort):
            self._over(pipe, frame)
        elif isinstance(frame, Ping):
            self.send(pipe, Pong(frame.data))
            self._client.frame(pipe, frame)
        else:
            self._client.frame(pipe, frame)

    def _over(self, pipe: Pipe, frame: Frame) -> None:
        if pipe.is_open and self._client is not None:
            pipe.over = True
            self.pipes.pop(pipe.number, None)
            self._client.frame(pipe, frame)
