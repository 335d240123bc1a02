"""`MarginStream`: the events of margin accounts for programs with threads."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.coverage import SubscriptionCoverage
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.engine import Engine, EngineConfig, Item
from binance_margin_stream.stream.io.rest_calls import monotonic
from binance_margin_stream.stream.options import BaseStream, check_account
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
        """Wait until every account is subscribed. Raises `StreamError` if that fails for good, or under gevent."""
        _require_real_threads()
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
        take = worker.take
        while worker.wait_for_items():
            with suppress(IndexError):  # the batch is empty: this thread or another one took its items
                while True:
                    yield take()

    def __next__(self) -> Item:
        """Wait for the next event or gap. Ends when the stream is closed; raises `StreamError` when it failed."""
        worker = self._require_worker()
        while worker.wait_for_items():
            with suppress(IndexError):  # another thread took the items
                return worker.take()
        raise StopIteration

    def get(self, timeout: float | None = None) -> Item:
        """The next event or gap. Raises `TimeoutError` if none comes within `timeout` seconds.

        Raises `StreamError` when the stream has ended. Several threads may call it. A call that is interrupted takes
        no item.
        """
        worker = self._require_worker()
        deadline = None if timeout is None else time.monotonic() + timeout
        while worker.wait_for_items(deadline):
            with suppress(IndexError):  # another thread took the items
                return worker.take()
        raise StreamError("the stream is closed")

    def add(self, account: Account) -> None:
        """Follow one more account. Returns once it is subscribed.

        Raises `StreamError` that names the account if it is refused, or not subscribed within `enter_timeout`. The
        stream then goes on without it.
        """
        check_account(account, self._config.sources)
        self._require_worker().add(account)

    def remove(self, account: Account) -> None:
        """Follow an account no longer. What is buffered of it still comes. Raises `StreamError` for the last one."""
        self._require_worker().remove(account)

    def coverage(self) -> tuple[SubscriptionCoverage, ...]:
        """What each subscription has received: those that are active, and those that ended within ten minutes."""
        return self._worker.coverage() if self._worker is not None else ()

    @property
    def covered_until(self) -> Mapping[Account, int]:
        """Up to when nothing is missing: everything before was taken, or lies in a gap that was taken.

        Epoch milliseconds of this machine's clock, by account; an account that was never live is not in it. Proved by
        what arrives and by pongs, and for each account the least over its sources.
        """
        return self._worker.covered_until() if self._worker is not None else {}

    def _require_worker(self) -> _Worker:
        if self._worker is None:
            raise StreamError("enter the stream first: with MarginStream(...) as stream")
        return self._worker

    def account(self, account: Account) -> AccountSnapshot:
        """The account as it is: balances, debts, open orders, last trades. Any thread may call this at any moment.

        Raises `ApiValueError` for an account that the stream does not follow, and `StreamError` if it does not
        recover, since only a stream that recovers reads accounts.
        """
        recovery = self._require_recovery(None if self._worker is None else self._worker.engine)
        return recovery.snapshot(self._find_account(account))

    def commit(self) -> None:
        """State that all items that were taken are handled, and write the checkpoint file of `Recovery`.

        What was taken later comes again after a restart. Returns when the file is on the disk. Raises
        `CheckpointError` if it cannot be written.
        """
        self._require_recovery(None if self._worker is None else self._worker.engine).commit()

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


_PATCHED_BY_GEVENT = ("threading", "select", "socket")


def _require_real_threads() -> None:
    """Raise `StreamError` if gevent has replaced what an event loop in a thread of its own needs."""
    gevent = sys.modules.get("gevent.monkey")
    patched = [name for name in _PATCHED_BY_GEVENT if gevent is not None and gevent.is_module_patched(name)]
    if patched:
        raise StreamError(
            f"gevent has replaced {', '.join(patched)}, which a stream needs: run the stream in a process without "
            "monkey.patch_all(), or pass thread=False, select=False, socket=False to it"
        )


class _Worker:
    """The background thread of a stream, with its event loop. It does not keep the stream alive."""

    def __init__(self, config: EngineConfig) -> None:
        self.engine = Engine(config)
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._close_lock = threading.RLock()  # reentrant: a signal handler may interrupt a close and close, too
        self._close_task: asyncio.Task[None] | None = None
        self.batch: deque[Item] = deque()
        recovery = self.engine.recovery
        self.take = self.batch.popleft if recovery is None or not recovery.keeps_progress else self._take_and_note
        """Removes and returns an item of `batch` for the consumer. Raises `IndexError` if it is empty."""
        self._batch_arrival: float | None = None
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
        await self.engine.enter()

    def wait_for_items(self, deadline: float | None = None) -> bool:
        """Wait until there are items in `batch`. Returns False when the stream is closed.

        Raises `TimeoutError` at `deadline`, a time of `time.monotonic`.
        """
        if self.batch and self._pid == os.getpid():
            return True
        try:
            return self._run_in_loop(self._wait_for_items, deadline)
        except StreamError:
            if self._thread.is_alive() or self.engine.state is not State.CLOSED:
                raise
            return False

    def _take_and_note(self) -> Item:
        item = self.batch.popleft()
        if self.engine.recovery is not None:
            self.engine.recovery.on_taken(item)
        return item

    async def _wait_for_items(self) -> bool:
        """Move items to `batch`, where they stay if the consumer is interrupted."""
        if self.batch:
            return True
        arrival = self.engine.first_arrival
        self._batch_arrival = monotonic() if arrival is None else arrival
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

    def add(self, account: Account) -> None:
        """Follow one more account."""
        self._run_in_loop(lambda: self.engine.add(account))

    def remove(self, account: Account) -> None:
        """Follow an account no longer."""

        async def remove() -> None:
            self.engine.remove(account)

        self._run_in_loop(remove)

    def coverage(self) -> tuple[SubscriptionCoverage, ...]:
        """What each subscription has received."""

        async def read() -> tuple[SubscriptionCoverage, ...]:
            return self.engine.coverage()

        return self._run_in_loop(read) if self._thread.is_alive() else self.engine.coverage()

    def covered_until(self) -> dict[Account, int]:
        """Up to when nothing of each account is missing."""

        async def read() -> dict[Account, int]:
            return self._covered_until()

        return self._run_in_loop(read) if self._thread.is_alive() else self._covered_until()

    def _covered_until(self) -> dict[Account, int]:
        waiting = list(self.batch)
        covered = self.engine.covered_until(self._batch_arrival if waiting else None)
        for item in waiting:
            if isinstance(item, StreamGap) and item.account in covered:
                covered[item.account] = min(covered[item.account], item.since)
        return covered

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
        if self.engine.recovery is not None:
            self.batch.extend(self.engine.recovery.pop_recovered())
        while (item := self.engine.next_item_nowait()) is not None:
            self.batch.append(item)  # what was received before the end can still be taken
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        self._loop.call_soon(self._loop.stop)

    def _run_in_loop(self, make_coroutine: Callable[[], Coroutine[Any, Any, T]], deadline: float | None = None) -> T:
        """Run a coroutine in the loop and wait for its result, so that Ctrl-C interrupts the wait on every system."""
        if self._pid != os.getpid():
            raise StreamError("a stream cannot be used after a fork: create a new one in the child process")
        future: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(self._submit, make_coroutine, future)
        except RuntimeError:
            raise StreamError("the stream is closed") from None
        try:
            return self._wait_for_result(future, deadline)
        except CancelledError:
            raise StreamError("the stream is closed") from None
        except BaseException:
            future.cancel()  # and with it the coroutine, which nobody waits for any more
            raise

    def _wait_for_result(self, future: Future[T], deadline: float | None) -> T:
        while True:
            wait = _POLL_INTERVAL if deadline is None else min(_POLL_INTERVAL, max(0.0, deadline - time.monotonic()))
            try:
                return future.result(wait)
            except FutureTimeoutError:
                if future.done():
                    return future.result()
                if not self._thread.is_alive():
                    raise StreamError("the stream is closed") from None
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError("no item came within the timeout") from None

    def _submit(self, make_coroutine: Callable[[], Coroutine[Any, Any, T]], future: Future[T]) -> None:
        task = self._loop.create_task(make_coroutine())
        task.add_done_callback(partial(_copy_result, future))
        future.add_done_callback(partial(self._cancel_if_cancelled, task))

    def _cancel_if_cancelled(self, task: asyncio.Task[T], future: Future[T]) -> None:
        if future.cancelled():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(task.cancel)


def _copy_result(future: Future[T], task: asyncio.Task[T]) -> None:
    if future.cancelled() or not future.set_running_or_notify_cancel():
        return
    if task.cancelled():
        future.set_exception(CancelledError())
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
