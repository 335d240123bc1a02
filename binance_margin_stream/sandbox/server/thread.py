"""The thread and event loop of a running sandbox, and calls into it from other threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import socket
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import TYPE_CHECKING, TypeVar

from binance_margin_stream.sandbox.clock import Clock
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.control.http import ControlInterface
from binance_margin_stream.sandbox.control.operations import CURRENT_OPERATION
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.server.app import Server
from binance_margin_stream.sandbox.server.journal import Journal

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.server.tls import Certificates

__all__ = ["ServerThread"]

_T = TypeVar("_T")

_TIMEOUT_SECONDS = 5.0
_CLOCK_CHECK_SECONDS = 0.25
"""Interval at which `wait_until` reads the clock, which `advance` may have changed."""


class ServerThread:
    """A server and its exchange; while it runs, only its own thread uses either."""

    def __init__(
        self,
        exchange: Exchange,
        rules: ExchangeRules,
        start_ms: int,
        speed: float,
        control: ControlInterface,
        certificates: Certificates | None,
        allowed_names: Collection[str] = (),
        journal: Journal | None = None,
    ) -> None:
        """With a `journal`, everything that takes effect is added to it."""
        self._journal = journal
        self._replay_time: int | None = None
        self._allowed_names = allowed_names
        self._exchange = exchange
        self._certificates = certificates
        self._rules = rules
        self._start_ms = start_ms
        self.speed = speed
        self._control = control
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._lifecycle_lock = threading.Lock()
        self._closed = threading.Event()

    @property
    def state(self) -> str:
        """``not started``, ``running`` or ``closed``."""
        return "closed" if self._closed.is_set() else "running" if self._thread else "not started"

    def start(self, host: str, port: int) -> int | None:
        """Start to listen; returns the port, or None if it is running already.

        Raises:
            OSError: the address cannot be used.
            RuntimeError: it was closed.

        """
        with self._lifecycle_lock:
            if self._closed.is_set():
                raise RuntimeError("this sandbox is closed; create another one")
            return None if self._thread else self._start(host, port)

    def close(self) -> None:
        """Close all connections and stop; takes at most 5 seconds and may be called twice."""
        with self._lifecycle_lock:
            self._closed.set()
            thread, self._thread = self._thread, None
            if thread is not None and self._loop is not None:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._loop.stop)
                thread.join(_TIMEOUT_SECONDS)
            if self._journal is not None:
                self._journal.close()

    def call(self, action: Callable[[int], _T]) -> _T:
        """Run an action with the exchange's present time (ms), and send the resulting frames.

        Raises:
            RuntimeError: it is not running.

        """
        if self._replay_time is not None:
            return self._replay_action(action, self._replay_time)
        server = self._require_running()[1]
        operation = CURRENT_OPERATION.get()

        async def run_action() -> _T:
            now = server.now()
            self._exchange.advance(now)
            try:
                result = action(now)
            finally:
                server.flush_outputs()
            if self._journal is not None and operation is not None:
                self._journal.add_operation(*operation, now)
            return result

        return self._run_in_loop(run_action())

    def read(self, action: Callable[[], _T]) -> _T:
        """Run an action without the time; before the start and after the end, in the calling thread."""
        if self._thread is None and self._replay_time is None:
            return action()
        return self.call(lambda _: action())

    @contextlib.contextmanager
    def replay_at(self, time: int) -> Iterator[None]:
        """Run actions at a past exchange time (ms), before the start; nothing is added to the journal."""
        self._replay_time = time
        try:
            yield
        finally:
            self._replay_time = None

    def _replay_action(self, action: Callable[[int], _T], now: int) -> _T:
        self._exchange.advance(now)
        result = action(now)
        self._exchange.take_outputs()
        return result

    def advance(self, seconds: float) -> None:
        """Advance the clock by seconds of exchange time.

        Raises:
            RuntimeError: it is not running.
            ValueError: a negative time.

        """
        self._run_in_loop(self._require_running()[1].advance(seconds))

    def wait_until(self, due: int) -> None:
        """Wait until an exchange time (ms), or advance to it if the clock is paused.

        Raises:
            RuntimeError: it is not running, or was closed meanwhile.

        """
        while (left_ms := due - self.call(lambda now: now)) > 0:
            if not self.speed:
                self.advance(left_ms / 1000)
            elif self._closed.wait(min(left_ms / 1000 / self.speed, _CLOCK_CHECK_SECONDS)):
                raise RuntimeError("the sandbox was closed meanwhile")

    def _require_running(self) -> tuple[asyncio.AbstractEventLoop, Server]:
        if self._thread is None or self._loop is None or self._server is None:
            raise RuntimeError("the sandbox is not running; use it inside `with Sandbox() as exchange:`")
        return self._loop, self._server

    def _run_in_loop(self, coroutine: Coroutine[object, object, _T]) -> _T:
        loop = self._require_running()[0]
        try:
            # In a context of its own: the caller's decimal context must not change any amount.
            future = contextvars.Context().run(asyncio.run_coroutine_threadsafe, coroutine, loop)
        except RuntimeError:
            # Another thread has just closed the sandbox.
            coroutine.close()
            raise RuntimeError("the sandbox was closed meanwhile") from None
        try:
            return future.result(_TIMEOUT_SECONDS)
        except concurrent.futures.CancelledError:
            raise RuntimeError("the sandbox was closed meanwhile") from None

    def _start(self, host: str, port: int) -> int:
        # Where a test runner blocks sockets, this fails without leaving half an event loop behind.
        socket.socket().close()
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        thread = threading.Thread(
            target=self._run_thread, args=(host, port, started), name="sandbox-exchange", daemon=True
        )
        thread.start()
        try:
            number = started.result(_TIMEOUT_SECONDS)
        except BaseException:
            self._closed.set()
            thread.join(_TIMEOUT_SECONDS)
            raise
        self._thread = thread
        return number

    def _run_thread(self, host: str, port: int, started: concurrent.futures.Future[int]) -> None:
        # Independent of the event loop policy of the user's program.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            self._loop = runner.get_loop()
            try:
                number = runner.run(self._start_server(host, port))
            except Exception as failure:
                started.set_exception(failure)
                return
            started.set_result(number)
            self._loop.run_forever()
            if self._server is not None:
                runner.run(self._server.stop())

    async def _start_server(self, host: str, port: int) -> int:
        clock = Clock(self._start_ms, self.speed, asyncio.get_running_loop().time())
        self._server = Server(
            self._exchange,
            self._rules,
            clock,
            self._control,
            self._certificates,
            self._allowed_names,
            self._journal,
        )
        return await self._server.start(host, port)
