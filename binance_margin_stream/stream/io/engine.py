"""Obeys the life cycle on one event loop: opens connections, makes calls, keeps time, tells of changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeAlias

from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.decoder import Route
from binance_margin_stream.stream.events.models import Event, StreamGap
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.clock import clock, wall
from binance_margin_stream.stream.io.dispatcher import Reading
from binance_margin_stream.stream.io.notifications import log, teller
from binance_margin_stream.stream.io.rest_calls import Calls, Outcome
from binance_margin_stream.stream.io.websocket import Connection
from binance_margin_stream.stream.protocol.actions import (
    Action,
    Change,
    CloseConnection,
    Fail,
    Failure,
    OpenConnection,
    Request,
    SendPing,
    SendText,
    State,
    Trouble,
)
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamRules
from binance_margin_stream.stream.sources import Source

__all__ = ["Engine", "Item", "Settings"]

Item: TypeAlias = Event | StreamGap
"""What a stream hands over."""

P = ParamSpec("P")

_CLOSING = 4.0
_NOWHERE: Mapping[Route, Account] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a stream was told."""

    feeds: tuple[tuple[Account, tuple[Source, ...]], ...]
    endpoints: Endpoints
    rules: StreamRules
    tls: ssl.SSLContext | None
    proxy: str | None
    """An HTTP or SOCKS proxy for the WebSocket; None for that of the environment, if there is one."""
    make_calls: Callable[[], Calls]
    on_change: Callable[[Change], None] | None
    give_up_keys: bool


def _surfacing(report: Callable[Concatenate[Engine, P], None]) -> Callable[Concatenate[Engine, P], None]:
    """Let a mistake of this program end the stream with an error: what it must never do is to stop in silence."""

    @functools.wraps(report)
    def guarded(engine: Engine, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            report(engine, *args, **kwargs)
        except Exception as error:
            engine._crash(error)

    return guarded


class Engine:
    """One stream at work. Everything but the constructor belongs to the event loop that it was started in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = settings.make_calls()
        self._life: Lifecycle[Event] = Lifecycle(
            settings.feeds, rules=settings.rules, jitter=random.SystemRandom().uniform, wall=wall
        )
        self._connections: dict[int, Connection] = {}
        self._accounts: dict[int, Mapping[Route, Account]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._tell = teller(settings.on_change)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = float("inf")
        self._failure: Failure | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_task: asyncio.Task[None] | None = None
        self._actions = self._life.actions
        self._reading = Reading(self._life)
        self._read = self._reading.frame
        self.take = self._life.take

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Where it was started, None before."""
        return self._loop

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._life.state

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self._life.state in (State.CLOSED, State.FAILED)

    def health(self) -> Health:
        """How it is doing."""
        return self._life.health(clock())

    def start(self) -> None:
        """Bring every account to life, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._life.start(clock())
        self._obey()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true, which is looked at after every change; or until all is over."""
        while not (condition() or self.is_over):
            await self._change()

    async def next(self) -> Item | None:
        """The next item; None when the stream is closed. Raises `StreamError` when it failed."""
        while (item := self.take()) is None:
            if self.is_over:
                self.raise_failure()
                return None
            await self._change()
        return item

    def raise_failure(self) -> None:
        """Raise what ended the stream, if anything did."""
        if self._failure is not None:
            raise StreamError(f"the stream cannot go on: {self._failure.detail}") from self._failure.error

    async def close(self) -> None:
        """Stop, within five seconds; may be called again, and from several tasks."""
        if self._loop is not None:
            self._life.close(clock(), give_up=self._settings.give_up_keys)
            self._obey()
        deadline = clock() + _CLOSING
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_CLOSING)
        while self._calls.under_way and clock() < deadline:
            await asyncio.sleep(0.01)
        self._calls.close()

    def close_soon(self) -> None:
        """Stop without anyone who waits for it."""
        if self._loop is not None and self._last_task is None:
            self._last_task = self._loop.create_task(self.close(), name="margin stream closing")

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter.cancelled() and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    @_surfacing
    def opened(self, number: int) -> None:
        """The handshake succeeded."""
        self._life.opened(number, clock())
        self._obey()

    def frame(self, number: int, data: bytes) -> None:
        """A text message came."""
        try:
            self._frame(number, data)
        except Exception as error:
            self._crash(error)

    def _frame(self, number: int, data: bytes) -> None:
        if not self._read(number, data, self._accounts.get(number, _NOWHERE), clock()) or self._actions:
            self._obey()
        elif self._waiters:
            self._wake()

    @_surfacing
    def binary(self, number: int) -> None:
        """A binary message came, which the exchange never sends."""
        self._reading.binary(number, clock())
        self._obey()

    @_surfacing
    def pinged(self, number: int) -> None:
        """A ping came."""
        self._life.pinged(number, clock())

    @_surfacing
    def ponged(self, number: int) -> None:
        """The pong of the last ping came."""
        self._life.ponged(number, clock())
        self._obey()

    @_surfacing
    def closed(self, number: int, failure: Failure) -> None:
        """A connection is gone."""
        if number in self._connections:
            self._forget(number)
            self._life.closed(number, failure, clock())
            self._obey()

    def _forget(self, number: int) -> Connection:
        self._accounts.pop(number, None)
        return self._connections.pop(number)

    def _obey(self) -> None:
        while self._life.actions:
            for action in self._life.take_actions():
                self._do(action)
        self._set_timer()
        self._wake()

    def _do(self, action: Action) -> None:
        match action:
            case SendText(connection=number, text=text):
                self._connections[number].send(text)
            case SendPing(connection=number):
                self._connections[number].ping()
            case OpenConnection():
                self._open(action)
            case CloseConnection(connection=number):
                self._forget(number).close()
            case Request():
                self._calls.make(action, self._answer_for(action))
            case Change():
                self._tell(action)
            case Fail(failure=failure):
                self._failure = failure

    def _open(self, action: OpenConnection) -> None:
        number = action.connection
        self._connections[number] = connection = Connection(
            number,
            action.source.address(self._settings.endpoints),
            self,
            open_timeout=self._settings.rules.open_timeout,
            tls=self._settings.tls,
            proxy=self._settings.proxy,
        )
        self._accounts[number] = self._life.accounts_on(number)
        task = connection.open()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer_for(self, request: Request) -> Callable[[int, Outcome], None]:
        """Takes an answer from the thread of a call to the event loop, if that is still there."""
        loop = self._loop

        def answered(number: int, outcome: Outcome) -> None:
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._answered, request, outcome)
            except RuntimeError:
                pass  # the loop is closed: nobody waits for this any more

        return answered

    @_surfacing
    def _answered(self, request: Request, outcome: Outcome) -> None:
        if not self.is_over:
            self._reading.answered(request, outcome, clock())
            self._obey()

    def _crash(self, error: Exception) -> None:
        name = type(error).__name__
        log.error("internal error (%s): the stream stops", name)
        self._failure = Failure(Trouble.INTERNAL, f"internal error ({name}), please report it", error=error)
        self._life.fail(self._failure)
        for action in self._life.take_actions():
            with contextlib.suppress(Exception):
                self._do(action)
        self._set_timer()
        self._wake()

    def _set_timer(self) -> None:
        due = self._life.next_wakeup()
        if due == self._timer_due or (due is None and self._timer is None):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, float("inf")
        if due is not None and self._loop is not None:
            self._timer_due = due
            self._timer = self._loop.call_later(max(0.0, due - clock()), self._due)

    @_surfacing
    def _due(self) -> None:
        self._timer, self._timer_due = None, float("inf")
        self._life.wake(clock())
        self._obey()
