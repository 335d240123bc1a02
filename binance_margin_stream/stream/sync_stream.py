"""`MarginStream`: the same stream for programs with threads."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.configuration import Configuration
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.http.transport import Timeout
from binance_margin_stream.stream.accounts import CROSS, Account
from binance_margin_stream.stream.async_stream import build_config
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.engine import Engine, EngineConfig, Item
from binance_margin_stream.stream.io.rest_calls import DEFAULT_TIMEOUT
from binance_margin_stream.stream.protocol.actions import State, StatusChange
from binance_margin_stream.stream.settings import StreamSettings

__all__ = ["MarginStream"]

T = TypeVar("T")

_DEFAULT_SETTINGS = StreamSettings()
_BATCH_SIZE = 2000
_POLL_INTERVAL = 0.5
_CLOSE_TIMEOUT = 4.8


class MarginStream:
    """Follows margin accounts: a context manager, and an iterator of events and gaps.

    ::

        with MarginStream(ApiKeyAuth.from_env(), accounts=[CROSS, isolated("BTCUSDT")]) as stream:
            for event in stream:
                ...

    All that `AsyncMarginStream` says holds here, too. The network is looked after by one thread in the
    background. Any thread may iterate, look at `health` and `close`, which ends the iteration of another one;
    `on_change` is called in the background thread. A stream belongs to the process that entered it: after a
    fork, make a new one in the child.
    """

    def __init__(
        self,
        auth: ApiKeyAuth,
        accounts: Iterable[Account] = (CROSS,),
        *,
        endpoints: Endpoints | None = None,
        source: str = "auto",
        risk: bool = False,
        on_change: Callable[[StatusChange], None] | None = None,
        settings: StreamSettings = _DEFAULT_SETTINGS,
        timeout: Timeout = DEFAULT_TIMEOUT,
        configuration: Configuration | None = None,
        tls: ssl.SSLContext | None = None,
        close_listen_keys: bool = False,
    ) -> None:
        """Raise `ApiValueError` for accounts or a source that cannot be; nothing is sent yet."""
        self._config = build_config(
            auth,
            accounts,
            endpoints=endpoints,
            source=source,
            risk=risk,
            on_change=on_change,
            settings=settings,
            timeout=timeout,
            configuration=configuration,
            tls=tls,
            close_listen_keys=close_listen_keys,
        )
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._closed = False

    def __enter__(self) -> Self:
        """Wait until every account is subscribed. Raises `StreamError` if that cannot be."""
        with self._lock:
            if self._worker is not None or self._closed:
                raise StreamError("a stream is entered once: make a new one")
            self._worker = worker = _Worker(self._config)
        weakref.finalize(self, worker.close)
        try:
            worker.start()
        except BaseException:
            self.close()
            raise
        if self._closed:
            raise StreamError("the stream was closed while it was being entered")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Item]:
        """The events and gaps from now on. Ends when the stream is closed; raises `StreamError` when it failed."""
        worker = self._require_worker()
        take = worker.batch.popleft
        while worker.wait_for_items():
            with suppress(IndexError):  # all is taken, by this thread or by another
                while True:
                    yield take()

    def __next__(self) -> Item:
        """The next event or gap. Ends when the stream is closed; raises `StreamError` when it failed."""
        worker = self._require_worker()
        while worker.wait_for_items():
            with suppress(IndexError):  # another thread was faster
                return worker.batch.popleft()
        raise StopIteration

    def _require_worker(self) -> _Worker:
        if self._worker is None:
            raise StreamError("enter the stream first: with MarginStream(...) as stream")
        return self._worker

    def close(self) -> None:
        """Stop, within five seconds: the iteration ends, connections and calls are closed. May be called again."""
        self._closed = True
        if self._worker is not None:
            self._worker.close()

    @property
    def state(self) -> State:
        """Where the stream is in its life."""
        if self._worker is not None:
            return self._worker.engine.state
        return State.CLOSED if self._closed else State.CONNECTING

    @property
    def health(self) -> Health:
        """How the stream is doing at this moment. Raises `StreamError` before it is entered."""
        if self._worker is None:
            raise StreamError("a stream has no health before it is entered")
        return self._worker.health()

    def __repr__(self) -> str:
        accounts = ", ".join(dict.fromkeys(str(account) for account, _ in self._config.feeds))
        return f"<{type(self).__name__} {accounts}: {self.state.value}>"


class _Worker:
    """The thread behind a stream, with its event loop. It knows nothing of the stream, so that may be forgotten."""

    def __init__(self, config: EngineConfig) -> None:
        self.engine = Engine(config)
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._close_lock = threading.RLock()  # a signal's handler may close, too, in the midst of it
        self._close_task: asyncio.Task[None] | None = None
        self.batch: deque[Item] = deque()
        self._thread = threading.Thread(target=self._run, name="margin stream", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        executor = ThreadPoolExecutor(2, "margin stream name resolution")
        self._loop.set_default_executor(executor)
        try:
            self._loop.run_forever()
        finally:
            executor.shutdown(cancel_futures=True)
            self._loop.close()

    def start(self) -> None:
        """Wait until every account is subscribed, or raise."""
        self._run_in_loop(self._start)

    async def _start(self) -> None:
        self.engine.start()
        await self.engine.wait_for(lambda: self.engine.state is State.LIVE)
        self.engine.raise_if_failed()

    def wait_for_items(self) -> bool:
        """Wait until there is something in `batch`; False when the stream is closed."""
        if self.batch and self._pid == os.getpid():
            return True
        try:
            return self._run_in_loop(self._wait_for_items)
        except StreamError:
            if self._thread.is_alive() or self.engine.state is not State.CLOSED:
                raise
            return False

    async def _wait_for_items(self) -> bool:
        """Puts what has come where an interrupted consumer finds it again."""
        if self.batch:
            return True
        item = await self.engine.next_item()
        while item is not None:
            self.batch.append(item)
            item = self.engine.next_item_nowait() if len(self.batch) < _BATCH_SIZE else None
        return bool(self.batch)

    def health(self) -> Health:
        """How the stream is doing, as the thread that knows sees it."""
        if self._thread.is_alive():
            with suppress(StreamError):  # it ended meanwhile
                return self._run_in_loop(self._read_health)
        return self.engine.health()

    async def _read_health(self) -> Health:
        return self.engine.health()

    def close(self) -> None:
        """Stop the stream and the thread. In a forked child nothing is touched: it all belongs to the parent."""
        if self._pid != os.getpid():
            return
        if threading.current_thread() is self._thread:
            self._schedule_close()
            return
        with self._close_lock:
            with suppress(RuntimeError):  # the loop may be closed already
                self._loop.call_soon_threadsafe(self._schedule_close)
            self._thread.join(_CLOSE_TIMEOUT)

    def _schedule_close(self) -> None:
        if self._close_task is None:
            self._close_task = self._loop.create_task(self._close())

    async def _close(self) -> None:
        await self.engine.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        self._loop.call_soon(self._loop.stop)

    def _run_in_loop(self, make_coroutine: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Let the loop do something and wait for it, but so that Ctrl-C gets through on every system."""
        if self._pid != os.getpid():
            raise StreamError("a stream does not survive a fork: make a new one in the child process")
        future: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(self._submit, make_coroutine, future)
        except RuntimeError:
            raise StreamError("the stream is closed") from None
        while True:
            try:
                return future.result(_POLL_INTERVAL)
            except FutureTimeoutError:
                if not self._thread.is_alive() and not future.done():
                    raise StreamError("the stream is closed") from None
            except CancelledError:
                raise StreamError("the stream is closed") from None

    def _submit(self, make_coroutine: Callable[[], Coroutine[Any, Any, T]], future: Future[T]) -> None:
        task = self._loop.create_task(make_coroutine())
        task.add_done_callback(partial(_copy_result, future))


def _copy_result(future: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        future.cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
