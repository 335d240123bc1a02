"""Follows the accounts of one key, stores what comes, and claims what is covered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.relay.broker.spool import SpooledMessage
from binance_margin_stream.relay.broker.tasks import cancel_tasks
from binance_margin_stream.relay.coverage import CoverageTracker
from binance_margin_stream.relay.occurrences import OccurrenceCounter
from binance_margin_stream.relay.service.context import RelayContext
from binance_margin_stream.relay.service.frontier_keeper import FrontierKeeper
from binance_margin_stream.relay.stored_item import encode_event
from binance_margin_stream.relay.stream_view import FollowedStream, TakenItem
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import AccountLost, Event, StreamGap
from binance_margin_stream.stream.state import GapReason

__all__ = ["KeyWorker", "StreamFactory"]

log = logging.getLogger(__name__)

StreamFactory = Callable[[], AbstractAsyncContextManager[FollowedStream]]
"""Makes the stream of a key; entering it subscribes."""

_OBSERVE_INTERVAL = 0.25
_MAX_HELD = 10_000
_FIRST_RETRY = 1.0
_LONGEST_RETRY = 60.0

_SUBSCRIPTION_ENDED = frozenset(
    {
        GapReason.DISCONNECTED,
        GapReason.FROZEN,
        GapReason.CREDENTIAL_EXPIRED,
        GapReason.CREDENTIAL_GONE,
        GapReason.SUBSCRIPTION_TERMINATED,
        GapReason.ACCOUNT_LOST,
    }
)
"""Reasons of a gap that lies between two subscriptions. After any other one, coverage begins anew."""


class KeyWorker:
    """One key, from `start` to `stop`. A stream that fails is made again, unless there is an `on_failure`."""

    def __init__(
        self,
        name: str,
        make_stream: StreamFactory,
        context: RelayContext,
        on_failure: Callable[[StreamError], None] | None = None,
    ) -> None:
        self.name = name
        self._make_stream = make_stream
        self._context = context
        self._on_failure = on_failure
        self._tracker = self._make_tracker()
        self._keepers: dict[Account, FrontierKeeper] = {}
        self._keeper_tasks: list[asyncio.Task[None]] = []
        self._held: dict[Account, deque[TakenItem]] = {}
        self._stream: FollowedStream | None = None
        self._sources: dict[int, str] = {}
        self._occurrences = OccurrenceCounter()
        self._task: asyncio.Task[None] | None = None

    def _make_tracker(self) -> CoverageTracker:
        settings = self._context.settings
        return CoverageTracker(
            latency_bound_ms=settings.latency_bound_ms, clock_error_bound_ms=settings.clock_error_bound_ms
        )

    @property
    def is_live(self) -> bool:
        """Whether every account is subscribed at the moment."""
        return self._stream is not None and self._stream.is_live

    @property
    def reconnects(self) -> int:
        """Reconnects of the stream that runs now."""
        return self._stream.reconnects if self._stream is not None else 0

    @property
    def covered_until(self) -> dict[tuple[Account, str], int]:
        """Up to when each account's content is stored, as this reader last saw it: milliseconds of the exchange."""
        return {
            (account, content): each.covered_until
            for account, keeper in self._keepers.items()
            if keeper.entry is not None
            for content, each in keeper.entry.contents.items()
        }

    async def start(self) -> None:
        """Follow the key from now on."""
        self._task = asyncio.create_task(self._run(), name=f"relay of {self.name}")

    async def stop(self) -> None:
        """End the stream, store what it brought, and claim it; bounded by the drain timeout."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        await self._finish()

    async def _finish(self) -> None:
        """What is stored is claimed, so that stopping leaves no gap but the time after it."""
        position = self._context.publisher.position
        try:
            async with asyncio.timeout(self._context.settings.drain_timeout):
                while self._context.publisher.acknowledged < position:
                    await asyncio.sleep(0.01)
                self._tracker.on_acknowledged(self._context.publisher.acknowledged)
                await self._stop_keepers()
                for keeper in self._keepers.values():
                    await keeper.step()
        except Exception as error:  # the process ends: whatever is wrong with the broker, the frontier reports it
            log.warning("%s: not everything that was received could be claimed (%s)", self.name, type(error).__name__)
        finally:
            await self._stop_keepers()

    async def _stop_keepers(self) -> None:
        with contextlib.suppress(
            Exception
        ):  # what a keeper could not write is written by the last step, or logged there
            await cancel_tasks(self._keeper_tasks)
        self._keeper_tasks = []

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with self._make_stream() as stream:
                    failures = 0
                    self._stream = stream
                    await self._follow(stream)
            except StreamError as error:
                failures += 1
                self._context.counters.stream_restarts += 1
                log.error("%s: %s", self.name, error)
                if self._on_failure is not None:
                    self._on_failure(error)
                    return
            finally:
                self._stream = None
                self._end_subscriptions()
            await asyncio.sleep(min(_FIRST_RETRY * 2 ** min(failures, 10), _LONGEST_RETRY))

    async def _follow(self, stream: FollowedStream) -> None:
        loop = asyncio.get_running_loop()
        observed_at = pinged_at = 0.0
        while True:
            taken = await stream.take(_OBSERVE_INTERVAL)
            if taken is not None:
                self._take(taken, stream)
            if loop.time() - observed_at >= _OBSERVE_INTERVAL and stream.is_drained:
                observed_at = loop.time()
                self._observe(stream)
            if loop.time() - pinged_at >= self._context.settings.ping_interval:
                pinged_at = loop.time()
                stream.send_pings()

    def _observe(self, stream: FollowedStream) -> None:
        clock, publisher = self._context.clock, self._context.publisher
        views = stream.coverage()
        self._sources = {view.subscription: view.source for view in views}
        self._tracker.observe(views, stream.covered_until, clock.to_server_time, clock.now())
        for account, _ in self._tracker.accounts():
            if account not in self._keepers:
                self._keep(account)
        self._release_held()
        self._checkpoint()
        for account in self._tracker.on_acknowledged(publisher.acknowledged):
            if account in self._keepers:
                self._keepers[account].wake()

    def _checkpoint(self) -> None:
        if not any(self._held.values()):
            self._tracker.checkpoint(self._context.publisher.position)

    def _end_subscriptions(self) -> None:
        """The stream is gone, and its numbers begin anew."""
        self._tracker.end_stream()
        self._checkpoint()
        self._sources.clear()
        self._occurrences.clear()

    def _keep(self, account: Account) -> None:
        keeper = FrontierKeeper(self.name, account, self._tracker, self._context)
        self._keepers[account] = keeper
        self._keeper_tasks.append(asyncio.create_task(keeper.run(), name=f"frontier of {self.name} {account}"))

    def _take(self, taken: TakenItem, stream: FollowedStream) -> None:
        item = taken.item
        if isinstance(item, AccountLost):
            self._context.counters.accounts_lost += 1
            log.error("%s: %s is lost: %s %s", self.name, item.account, item.reason, item.error)
        elif isinstance(item, StreamGap):
            if item.reason not in _SUBSCRIPTION_ENDED:
                self._break(item.account)
        elif isinstance(item, Event):
            self._context.counters.received += 1
            if taken.subscription is not None and taken.subscription not in self._sources:
                self._register(stream)
            keeper = self._keepers.get(item.account)
            if keeper is not None and keeper.is_ready and not self._held.get(item.account):
                self._publish(taken)
            else:
                self._hold(taken)

    def _hold(self, taken: TakenItem) -> None:
        """Before the entry of a new account exists, nothing of it may be stored."""
        held = self._held.setdefault(taken.item.account, deque())
        if len(held) < _MAX_HELD:
            held.append(taken)
        else:
            self._context.counters.discarded += 1
            self._break(taken.item.account)

    def _release_held(self) -> None:
        for account, held in self._held.items():
            keeper = self._keepers.get(account)
            while held and keeper is not None and keeper.is_ready:
                self._publish(held.popleft())

    def _publish(self, taken: TakenItem) -> None:
        event = taken.item
        if not isinstance(event, Event):
            return
        event_time = getattr(event, "event_time", None)
        is_covered = (
            isinstance(event_time, int)
            and taken.subscription is not None
            and self._tracker.covers(taken.subscription, event_time)
        )
        stored = encode_event(
            self._context.store.options.subjects,
            self.name,
            event,
            occurrence=self._occurrences.count(
                (event.account, event.identity), taken.subscription, is_covered=is_covered
            ),
            source=self._sources.get(taken.subscription, "unknown") if taken.subscription is not None else "unknown",
            origin="live",
        )
        if self._context.publisher.submit(SpooledMessage(stored.subject, stored.headers, stored.payload)) is None:
            self._break(event.account)
            return
        if isinstance(event_time, int) and taken.subscription is not None:
            self._tracker.on_item(taken.subscription, event.account, event_time)
            self._measure_latency(event_time)

    def _register(self, stream: FollowedStream) -> None:
        views = stream.coverage()
        self._sources = {view.subscription: view.source for view in views}
        self._tracker.register(views, self._context.clock.to_server_time)

    def _measure_latency(self, event_time: int) -> None:
        now = self._context.clock.to_server_time(self._context.clock.now())
        if now is not None:
            counters = self._context.counters
            counters.largest_latency_ms = max(counters.largest_latency_ms, now - event_time)

    def _break(self, account: Account) -> None:
        self._tracker.break_spans(account)
