"""`MarginStream`: the events of margin accounts for programs with threads."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.engine import Engine, EngineConfig, Item
from binance_margin_stream.stream.options import BaseStream
from binance_margin_stream.stream.state import State

__all__ = ["MarginStream"]

T = TypeVar("T")

_BATCH_SIZE = 2000
_POLL_INTERVAL = 0.5
_CLOSE_TIMEOUT = 4.8


class MarginStream(BaseStream):
    """Follows margin accounts: a context manager, and an iterator of events and gaps.

    ::

        with MarginStream(ApiKeyAuth.from_env(), accounts=[CROSS, isolated("BTCUSDT")]) as stream:
            for event in stream:
                ...

    Entering waits until every account is subscribed. Take a snapshot then, and no event is missed. A `StreamGap`
    marks every place where events may be missing. A failure that cannot be retried, such as a rejected key, raises
    `StreamError` out of the iteration, with the cause attached.

    A background thread does the network I/O and calls `on_change`. Any thread may iterate, read `health`, and call
    `close`, which ends the iteration of another thread. A stream belongs to the process that entered it: after a
    fork, create a new one in the child process.
    """

    def _set_up(self) -> None:
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        """Wait until every account is subscribed. Raises `StreamError` if that fails for good."""
        with self._lock:
            if self._worker is not None or self._closed:
                raise StreamError("a stream can be entered only once: create a new one")
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
        """Iterate over events and gaps. Ends when the stream is closed; raises `StreamError` when it failed."""
        worker = self._require_worker()
        take = worker.batch.popleft
        while worker.wait_for_items():
            with suppress(IndexError):  # the batch is empty: this thread or another one took its items
                while True:
                    yield take()

    def __next__(self) -> Item:
        """Wait for the next event or gap. Ends when the stream is closed; raises `StreamError` when it failed."""
        worker = self._require_worker()
        while worker.wait_for_items():
            with suppress(IndexError):  # another thread took the items
                return worker.batch.popleft()
        raise StopIteration

    def _require_worker(self) -> _Worker:
        if self._worker is None:
            raise StreamError("enter the stream first: with MarginStream(...) as stream")
        return self._worker

    def close(self) -> None:
        """End the iteration, and close connections and REST calls, within five seconds. May be called again."""
        self._closed = True
        if self._worker is not None:
            self._worker.close()

    @property
    def state(self) -> State:
        """The state of the stream."""
        if self._worker is not None:
            return self._worker.engine.state
        return super().state

    @property
    def health(self) -> Health:
        """The health of the stream at this moment. Raises `StreamError` before it is entered."""
        if self._worker is None:
            raise StreamError("health is available after the stream is entered")
        return self._worker.health()


class _Worker:
    """The background thread of a stream, with its event loop. It does not keep the stream alive."""

    def __init__(self, config: EngineConfig) -> None:
        self.engine = Engine(config)
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._close_lock = threading.RLock()  # reentrant: a signal handler may interrupt a close and close, too
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
        """Wait until every account is subscribed. Raises `StreamError` if that fails for good."""
        self._run_in_loop(self._start)

    async def _start(self) -> None:
        self.engine.start()
        await self.engine.wait_for(lambda: self.engine.state is State.LIVE)
        self.engine.raise_if_failed()

    def wait_for_items(self) -> bool:
        """Wait until there are items in `batch`. Returns False when the stream is closed."""
        if self.batch and self._pid == os.getpid():
            return True
        try:
            return self._run_in_loop(self._wait_for_items)
        except StreamError:
            if self._thread.is_alive() or self.engine.state is not State.CLOSED:
                raise
            return False

    async def _wait_for_items(self) -> bool:
        """Move items to `batch`, where they stay if the consumer is interrupted."""
        if self.batch:
            return True
        item = await self.engine.next_item()
        while item is not None:
            self.batch.append(item)
            item = self.engine.next_item_nowait() if len(self.batch) < _BATCH_SIZE else None
        return bool(self.batch)

    def health(self) -> Health:
        """The health of the stream, read in the background thread."""
        if self._thread.is_alive():
            with suppress(StreamError):  # the thread ended meanwhile
                return self._run_in_loop(self._read_health)
        return self.engine.health()

    async def _read_health(self) -> Health:
        return self.engine.health()

    def close(self) -> None:
        """Close the stream and end the thread. Does nothing in a forked child: everything belongs to the parent."""
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
        """Run a coroutine in the loop and wait for its result, so that Ctrl-C interrupts the wait on every system."""
        if self._pid != os.getpid():
            raise StreamError("a stream cannot be used after a fork: create a new one in the child process")
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
