"""`RelayReader`: what relays stored, for programs without asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from binance_margin_stream.exceptions import ApiTypeError
from binance_margin_stream.relay.errors import RelayError
from binance_margin_stream.relay.frontier import TimeRange
from binance_margin_stream.relay.reader import AsyncRelayReader, RelayItem, RelayReaderOptions
from binance_margin_stream.stream.accounts import Account

__all__ = ["RelayReader"]

T = TypeVar("T")


class RelayReader:
    """Takes stored items without asyncio: a context manager, and an iterator of `RelayItem`. A thread serves it.

    ::

        with RelayReader(RelayReaderOptions(broker=..., durable="ledger")) as reader:
            for each in reader:
                store(each.id, each.item)
                reader.acknowledge(each)

    What `AsyncRelayReader` promises holds here, too.
    """

    def __init__(self, options: RelayReaderOptions) -> None:
        if not isinstance(options, RelayReaderOptions):
            raise ApiTypeError("a reader takes RelayReaderOptions")
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._reader: AsyncRelayReader | None = None
        self._is_closed = False
        self._close_lock = threading.Lock()

    def __enter__(self) -> Self:
        """Connect. Raises `BrokerError` when that cannot be, or when no relay has made the stream yet."""
        if self._thread is not None:
            raise RelayError("a reader is entered once: make a new one")
        started: queue.Queue[asyncio.AbstractEventLoop] = queue.Queue()
        self._thread = threading.Thread(target=_run_loop, args=(started.put,), name="relay reader", daemon=True)
        self._thread.start()
        self._loop = started.get()
        try:
            self._reader = self._call(_enter(self._options))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> RelayItem:
        """The next item, for as long as it takes; ends when the reader is closed."""
        reader = self._get_reader()
        try:
            return self._call(reader.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        except RelayError:
            if not self._is_closed:
                raise
        raise StopIteration

    def get(self, timeout: float) -> RelayItem:
        """The next item. Raises `TimeoutError` after so many seconds, and `RelayError` when the reader is closed."""
        return self._call(self._get_reader().get(timeout))

    def acknowledge(self, item: RelayItem) -> None:
        """Say that the item is handled. Raises `BrokerError` when that may not have arrived: it may come again."""
        self._call(self._get_reader().acknowledge(item))

    def read_coverage(self, name: str, account: Account) -> Mapping[str, TimeRange]:
        """In which time each kind of content is stored, or lies in a stored gap; see `AsyncRelayReader`."""
        return self._call(self._get_reader().read_coverage(name, account))

    def close(self) -> None:
        """Stop, within seconds, from any thread; what was not acknowledged comes again. May be called again."""
        self._is_closed = True
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with self._close_lock:  # the loop of a reader that another thread closes takes no more coroutines
            if not thread.is_alive():
                return
            if self._reader is not None:
                with contextlib.suppress(TimeoutError, RelayError):
                    self._submit(self._reader.close()).result(5)
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            if threading.current_thread() is not thread:
                thread.join(5)

    def _get_reader(self) -> AsyncRelayReader:
        if self._reader is None:
            raise RelayError("enter the reader first: with RelayReader(...) as reader")
        return self._reader

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = self._submit(coroutine)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except asyncio.CancelledError:
            raise RelayError("the reader is closed: make a new one") from None

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        loop, thread = self._loop, self._thread
        try:
            if loop is not None and thread is not None and thread.is_alive():
                return asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            pass  # the loop was closed a moment ago
        coroutine.close()
        raise RelayError("the reader is closed: make a new one")


async def _enter(options: RelayReaderOptions) -> AsyncRelayReader:
    return await AsyncRelayReader(options).__aenter__()


async def _cancel_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _run_loop(on_start: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    loop = asyncio.new_event_loop()
    loop.call_soon(on_start, loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_cancel_tasks(asyncio.all_tasks(loop)))
    finally:
        loop.close()
