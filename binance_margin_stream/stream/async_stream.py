"""`AsyncMarginStream`: the events of margin accounts for asyncio programs."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.coverage import SubscriptionCoverage
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.engine import Engine, Item
from binance_margin_stream.stream.options import BaseStream, check_account
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
            await engine.enter()
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
        if self._engine is None and self._closed:
            raise StopAsyncIteration
        engine = self._require_engine()
        engine.check_loop()
        item: Item | None = engine.next_item_nowait()
        if item is None and (item := await engine.next_item()) is None:
            raise StopAsyncIteration
        recovery = engine.recovery
        if recovery is not None and recovery.keeps_progress:
            recovery.on_taken(item)
        return item

    def account(self, account: Account) -> AccountSnapshot:
        """The account as it is: balances, debts, open orders, last trades. Any thread may call this at any moment.

        Raises `ApiValueError` for an account that the stream does not follow, and `StreamError` if it does not
        recover, since only a stream that recovers reads accounts.
        """
        return self._require_recovery(self._engine).snapshot(self._find_account(account))

    async def commit(self) -> None:
        """State that all items that were taken are handled, and write the checkpoint file of `Recovery`.

        What was taken later comes again after a restart. Returns when the file is on the disk. Raises
        `CheckpointError` if it cannot be written.
        """
        await asyncio.to_thread(self._require_recovery(self._engine).commit)

    async def get(self, timeout: float | None = None) -> Item:
        """The next event or gap. Raises `TimeoutError` if none comes within `timeout` seconds.

        Raises `StreamError` when the stream has ended. Several tasks may call it. A call that is cancelled takes no
        item.
        """
        engine = self._require_engine()
        engine.check_loop()
        item: Item | None = engine.next_item_nowait()
        if item is None:
            async with asyncio.timeout(timeout):
                item = await engine.next_item()
        if item is None:
            raise StreamError("the stream is closed")
        return item

    async def add(self, account: Account) -> None:
        """Follow one more account. Returns once it is subscribed.

        Raises `StreamError` that names the account if it is refused, or not subscribed within `enter_timeout`. The
        stream then goes on without it.
        """
        engine = self._require_engine()
        engine.check_loop()
        check_account(account, self._config.sources)
        await engine.add(account)

    async def remove(self, account: Account) -> None:
        """Follow an account no longer. What is buffered of it still comes. Raises `StreamError` for the last one."""
        engine = self._require_engine()
        engine.check_loop()
        engine.remove(account)

    def send_pings(self) -> None:
        """Ping every connection now. `coverage` shows the sending time once the pong has arrived.

        The exchange pings by itself, but only a pong proves that everything before has arrived. An account without
        events needs one now and then to be known to be complete. A connection that awaits a pong is not pinged again.
        """
        self._require_engine().send_pings()

    def coverage(self) -> tuple[SubscriptionCoverage, ...]:
        """What each subscription has received: those that are active, and those that ended within ten minutes."""
        return self._engine.coverage() if self._engine is not None else ()

    @property
    def covered_until(self) -> Mapping[Account, int]:
        """Up to when nothing is missing: everything before was taken, or lies in a gap that was taken.

        Epoch milliseconds of this machine's clock, by account; an account that was never live is not in it. Proved by
        what arrives and by pongs, and for each account the least over its sources.
        """
        return self._engine.covered_until() if self._engine is not None else {}

    def _require_engine(self) -> Engine:
        if self._engine is None:
            raise StreamError("enter the stream first: async with AsyncMarginStream(...) as stream")
        return self._engine

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
