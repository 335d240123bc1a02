"""`AsyncMarginStream`: the events of margin accounts for asyncio programs."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Self

from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.engine import Engine, Item
from binance_margin_stream.stream.options import BaseStream
from binance_margin_stream.stream.state import State

__all__ = ["AsyncMarginStream"]


class AsyncMarginStream(BaseStream):
    """Follows margin accounts: an async context manager, and an async iterator of events and gaps.

    ::

        async with AsyncMarginStream(ApiKeyAuth.from_env(), accounts=[CROSS, isolated("BTCUSDT")]) as stream:
            async for event in stream:
                ...

    Entering waits until every account is subscribed. Take a snapshot then, and no event is missed. A `StreamGap`
    marks every place where events may be missing. A failure that cannot be retried, such as a rejected key, raises
    `StreamError` out of the iteration, with the cause attached. `on_change` is called in the event loop.
    """

    def _set_up(self) -> None:
        self._engine: Engine | None = None
        self._finalizer: weakref.finalize[[Engine], AsyncMarginStream] | None = None

    async def __aenter__(self) -> Self:
        """Wait until every account is subscribed. Raises `StreamError` if that fails for good."""
        if self._engine is not None or self._closed:
            raise StreamError("a stream can be entered only once: create a new one")
        self._engine = engine = Engine(self._config)
        self._finalizer = weakref.finalize(self, _close_on_gc, engine)
        try:
            engine.start()
            await engine.wait_for(lambda: engine.state is State.LIVE)
            engine.raise_if_failed()
            if self._closed:
                raise StreamError("the stream was closed while it was being entered")
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> Item:
        """Wait for the next event or gap. Ends when the stream is closed; raises `StreamError` when it failed."""
        if self._engine is None:
            if self._closed:
                raise StopAsyncIteration
            raise StreamError("enter the stream first: async with AsyncMarginStream(...) as stream")
        item = self._engine.next_item_nowait()
        if item is None and (item := await self._engine.next_item()) is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """End the iteration, and close connections and REST calls, within five seconds. May be called again."""
        self._closed = True
        if self._engine is not None:
            await self._engine.close()
        if self._finalizer is not None:
            self._finalizer.detach()

    @property
    def state(self) -> State:
        """The state of the stream."""
        if self._engine is not None:
            return self._engine.state
        return super().state

    @property
    def health(self) -> Health:
        """The health of the stream at this moment. Raises `StreamError` before it is entered."""
        if self._engine is None:
            raise StreamError("health is available after the stream is entered")
        return self._engine.health()


def _close_on_gc(engine: Engine) -> None:
    """Close the engine of a stream that was garbage-collected without being closed."""
    loop = engine.loop
    try:
        if loop is not None:
            loop.call_soon_threadsafe(engine.schedule_close)
    except RuntimeError:
        pass  # the loop is closed, and its tasks with it
