"""Drives the state machine on one event loop: opens connections, makes calls, runs timers, reports changes."""

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

from binance_margin_stream.account.items import RecoveredItem
from binance_margin_stream.account.reads.requests import SendRead
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import StreamError
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.coverage import SubscriptionCoverage
from binance_margin_stream.stream.events.decoder import Route
from binance_margin_stream.stream.events.models import AccountEvent, AnyItem
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.account_reads import ReadResult
from binance_margin_stream.stream.io.dispatcher import Dispatcher, log, make_notifier
from binance_margin_stream.stream.io.recovery import RecoveryConfig, StreamRecovery
from binance_margin_stream.stream.io.rest_calls import RestCaller, RestResult, monotonic, to_epoch_ms
from binance_margin_stream.stream.io.websocket import WebSocketConnection
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
    Terminate,
)
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import Source
from binance_margin_stream.stream.state import State, StatusChange

__all__ = ["Engine", "EngineConfig", "Item"]

Item: TypeAlias = AnyItem | RecoveredItem
"""An item of a stream."""

P = ParamSpec("P")

_CLOSE_TIMEOUT = 4.0
_NO_ACCOUNTS: Mapping[Route, Account] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The configuration of an engine, made from validated options."""

    feeds: tuple[tuple[Account, tuple[Source, ...]], ...]
    endpoints: Endpoints
    settings: StreamSettings
    tls: ssl.SSLContext | None
    proxy: str | None
    """An HTTP or SOCKS proxy for the WebSocket. None uses the proxy of the environment, if there is one."""
    make_rest_caller: Callable[[], RestCaller]
    on_change: Callable[[StatusChange], None] | None
    close_listen_keys: bool
    recovery: RecoveryConfig | None = None
    sources: tuple[Source, ...]
    """The sources to try in turn for an account that is added later."""
    partial: bool
    enter_timeout: float | None


def _fail_on_error(method: Callable[Concatenate[Engine, P], None]) -> Callable[Concatenate[Engine, P], None]:
    """End the stream with an error if the method raises, so that a defect never makes it stop silently."""

    @functools.wraps(method)
    def guarded(engine: Engine, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(engine, *args, **kwargs)
        except Exception as error:
            engine._on_internal_error(error)

    return guarded


class Engine:
    """A running stream. Everything but the constructor must be called in the event loop that it was started in."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._rest = config.make_rest_caller()
        self._lifecycle: Lifecycle[AccountEvent] = Lifecycle(
            config.feeds,
            settings=config.settings,
            jitter=random.SystemRandom().uniform,
            to_epoch_ms=to_epoch_ms,
            partial=config.partial,
            enter_timeout=config.enter_timeout,
        )
        self._connections: dict[int, WebSocketConnection] = {}
        self._accounts_by_connection: dict[int, Mapping[Route, Account]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._notify = make_notifier(config.on_change)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._failure: Failure | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._actions = self._lifecycle.actions
        self._dispatcher = Dispatcher(self._lifecycle)
        self._recovery = (
            None
            if config.recovery is None
            else StreamRecovery(config.recovery, self._lifecycle, self._run_recovery_later)
        )
        # A bound method instead of a `def`, since it is called for every event: see bench/pipeline.py.
        self.next_item_nowait: Callable[[], Item | None] = (
            self._lifecycle.next_item if self._recovery is None else self._recovery.next_item
        )
        """Removes and returns the next item, None if there is none."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it was started in, None before the start."""
        return self._loop

    @property
    def recovery(self) -> StreamRecovery | None:
        """What recovers the events of gaps, None if nothing does."""
        return self._recovery

    @property
    def lifecycle(self) -> Lifecycle[AccountEvent]:
        """The state machine, for inspection."""
        return self._lifecycle

    @property
    def failure(self) -> Failure | None:
        """What ended the stream, None if it has not failed."""
        return self._failure

    @property
    def state(self) -> State:
        """The state of the stream."""
        return self._lifecycle.state

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended."""
        return self._lifecycle.state in (State.CLOSED, State.FAILED)

    def health(self) -> Health:
        """The health of the stream."""
        return self._lifecycle.health(monotonic())

    def start(self) -> None:
        """Start in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._lifecycle.start(monotonic())
        self._run_actions()

    async def enter(self) -> None:
        """Start, and wait until every account is live, or as many as the user accepts. Raises `StreamError`."""
        self.start()
        await self.wait_for(lambda: self._lifecycle.is_entered)
        self.raise_if_failed()

    async def add(self, account: Account) -> None:
        """Follow one more account, and wait until it is live. Raises `StreamError`, and then does not follow it."""
        membership = self._lifecycle.coordinator.membership
        self._require_running()
        if account in self.accounts:
            raise StreamError(f"the stream follows account {account} already")
        self._lifecycle.add(account, self._config.sources, monotonic())
        self._run_actions()
        try:
            await self.wait_for(lambda: not membership.is_joining(account))
        finally:
            if membership.is_joining(account) and not self.is_over:
                self._lifecycle.remove(account, monotonic())
                self._run_actions()
        self._require_running()
        failure = membership.take_join_failure(account)
        if failure is not None:
            raise StreamError(failure.detail) from failure.cause

    def remove(self, account: Account) -> None:
        """Follow an account no longer. Raises `StreamError` for the last one, and for one that is not followed."""
        self._require_running()
        if account not in self.accounts:
            raise StreamError(f"the stream does not follow account {account}")
        if len(self.accounts) == 1:
            raise StreamError(f"account {account} is the only one: close the stream instead")
        self._lifecycle.remove(account, monotonic())
        self._run_actions()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that the stream follows."""
        return tuple(dict.fromkeys(feed.account for feed in self._lifecycle.coordinator.feeds))

    def check_loop(self) -> None:
        """Raise `StreamError` in another event loop than the one that the stream was entered in."""
        if self._loop is not asyncio.get_running_loop():
            raise StreamError("the stream belongs to another event loop: enter and use it in the same one")

    def _require_running(self) -> None:
        self.raise_if_failed()
        if self._loop is None or self.is_over:
            raise StreamError("the stream is not running: enter it first, and use it before it is closed")

    @_fail_on_error
    def send_pings(self) -> None:
        """Ping every open connection."""
        self._lifecycle.send_pings(monotonic())
        self._run_actions()

    def coverage(self) -> tuple[SubscriptionCoverage, ...]:
        """What each subscription has received."""
        return self._lifecycle.coverage(monotonic())

    def covered_until(self, taken_until: float | None = None) -> dict[Account, int]:
        """Up to when nothing of each account is missing, as `Lifecycle.covered_until` defines it."""
        return self._lifecycle.covered_until(monotonic(), taken_until)

    @property
    def first_arrival(self) -> float | None:
        """When the first item arrived that waits in the buffer."""
        return self._lifecycle.buffer.first_arrival

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true or the stream has ended. The condition is checked after every change."""
        while not (condition() or self.is_over):
            await self._wait_for_change()

    async def next_item(self) -> Item | None:
        """Wait for the next item. Returns None when the stream is closed; raises `StreamError` when it failed."""
        while (item := self.next_item_nowait()) is None:
            if self.is_over:
                self.raise_if_failed()
                return None
            await self._wait_for_change()
        return item

    def raise_if_failed(self) -> None:
        """Raise `StreamError` if the stream has failed."""
        if self._failure is not None:
            raise StreamError(f"the stream failed: {self._failure.detail}") from self._failure.cause

    async def close(self) -> None:
        """Close everything within five seconds. May be called again, and from several tasks."""
        if self._recovery is not None:
            self._recovery.close()
        if self._loop is not None:
            self._lifecycle.close(monotonic(), close_listen_keys=self._config.close_listen_keys)
            self._run_actions()
        deadline = monotonic() + _CLOSE_TIMEOUT
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_CLOSE_TIMEOUT)
        while self._pending_calls() and monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._rest.close()

    def _pending_calls(self) -> int:
        return self._rest.pending_count + (0 if self._recovery is None else self._recovery.pending_count)

    def schedule_close(self) -> None:
        """Start closing, without waiting for it."""
        if self._loop is not None and self._close_task is None:
            self._close_task = self._loop.create_task(self.close(), name="margin stream closing")

    async def _wait_for_change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter.cancelled() and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    @_fail_on_error
    def on_open(self, connection_id: int) -> None:
        """The handshake succeeded."""
        self._lifecycle.on_open(connection_id, monotonic())
        self._run_actions()

    def on_text(self, connection_id: int, data: bytes) -> None:
        """A text message arrived."""
        try:
            self._dispatch_text(connection_id, data)
        except Exception as error:
            self._on_internal_error(error)

    def _dispatch_text(self, connection_id: int, data: bytes) -> None:
        accounts = self._accounts_by_connection.get(connection_id, _NO_ACCOUNTS)
        if not self._dispatcher.on_text(connection_id, data, accounts, monotonic()) or self._actions:
            self._run_actions()
        elif self._waiters:
            self._wake_waiters()

    @_fail_on_error
    def on_binary(self, connection_id: int) -> None:
        """A binary message arrived, which the exchange never sends."""
        self._dispatcher.on_binary(connection_id, monotonic())
        self._run_actions()

    @_fail_on_error
    def on_ping(self, connection_id: int) -> None:
        """A ping arrived."""
        self._lifecycle.on_ping(connection_id, monotonic())

    @_fail_on_error
    def on_pong(self, connection_id: int) -> None:
        """The pong of the last ping arrived."""
        self._lifecycle.on_pong(connection_id, monotonic())
        self._run_actions()

    @_fail_on_error
    def on_close(self, connection_id: int, failure: Failure) -> None:
        """A connection was closed, or could not be opened."""
        if connection_id in self._connections:
            self._remove_connection(connection_id)
            self._lifecycle.on_close(connection_id, failure, monotonic())
            self._run_actions()

    def _remove_connection(self, connection_id: int) -> WebSocketConnection:
        self._accounts_by_connection.pop(connection_id, None)
        return self._connections.pop(connection_id)

    def _run_actions(self) -> None:
        while True:
            for action in self._lifecycle.pop_actions():
                self._execute(action)
            if self._recovery is not None:
                self._recovery.run_actions(self._on_read_done, monotonic())
            if not self._lifecycle.actions:
                break
        self._set_timer()
        self._wake_waiters()

    def _run_recovery_later(self) -> None:
        if self._loop is not None:
            self._loop.call_soon(self._run_guarded)

    @_fail_on_error
    def _run_guarded(self) -> None:
        if not self.is_over:
            self._run_actions()

    def _execute(self, action: Action) -> None:
        match action:
            case SendText(connection_id=number, text=text):
                self._connections[number].send(text)
            case SendPing(connection_id=number):
                self._connections[number].ping()
            case OpenConnection():
                self._open_connection(action)
            case CloseConnection(connection_id=number):
                self._remove_connection(number).close()
            case RestRequest():
                self._rest.submit(action, self._make_result_callback(action))
            case StatusChange():
                self._notify(action)
                if self._recovery is not None:
                    self._recovery.on_change(action, monotonic())
            case Terminate(failure=failure):
                self._failure = failure
                if self._recovery is not None:
                    self._recovery.close()

    def _open_connection(self, action: OpenConnection) -> None:
        connection_id = action.connection_id
        self._connections[connection_id] = connection = WebSocketConnection(
            connection_id,
            action.source.build_url(self._config.endpoints),
            self,
            open_timeout=self._config.settings.open_timeout,
            tls=self._config.tls,
            proxy=self._config.proxy,
        )
        self._accounts_by_connection[connection_id] = self._lifecycle.accounts_by_subscription(connection_id)
        task = connection.open()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _make_result_callback(self, request: RestRequest) -> Callable[[int, RestResult], None]:
        """A callback that passes a result from the thread of its call to the event loop, if that still runs."""
        loop = self._loop

        def on_result(request_id: int, result: RestResult) -> None:
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._on_rest_result, request, result)
            except RuntimeError:
                pass  # the loop is closed, so the result is not needed

        return on_result

    @_fail_on_error
    def _on_rest_result(self, request: RestRequest, result: RestResult) -> None:
        if not self.is_over:
            self._dispatcher.on_rest_result(request, result, monotonic())
            self._run_actions()

    def _on_read_done(self, action: SendRead, result: ReadResult) -> None:
        """A read ended, in the thread of its call."""
        loop = self._loop
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._on_read_result, action, result)
        except RuntimeError:
            pass  # the loop is closed, so the result is not needed

    @_fail_on_error
    def _on_read_result(self, action: SendRead, result: ReadResult) -> None:
        if self._recovery is not None and not self.is_over:
            self._recovery.on_result(action, result, monotonic())
            self._run_actions()

    def _on_internal_error(self, error: Exception) -> None:
        name = type(error).__name__
        log.error("internal error (%s): the stream is closed", name)
        self._failure = Failure(FailureKind.INTERNAL_ERROR, f"internal error ({name}), please report it", cause=error)
        self._lifecycle.fail(self._failure, monotonic())
        for action in self._lifecycle.pop_actions():
            with contextlib.suppress(Exception):
                self._execute(action)
        self._set_timer()
        self._wake_waiters()

    def _next_timer_at(self) -> float | None:
        moments = [self._lifecycle.next_timer_at()]
        if self._recovery is not None and not self.is_over:
            moments.append(self._recovery.manager.next_timer_at(monotonic()))
        return min((at for at in moments if at is not None), default=None)

    def _set_timer(self) -> None:
        timer_at = self._next_timer_at()
        if timer_at == self._timer_at or (timer_at is None and self._timer is None):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, float("inf")
        if timer_at is not None and self._loop is not None:
            self._timer_at = timer_at
            self._timer = self._loop.call_later(max(0.0, timer_at - monotonic()), self._on_timer)

    @_fail_on_error
    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._lifecycle.on_timer(monotonic())
        if self._recovery is not None and not self.is_over:
            self._recovery.manager.on_timer(monotonic())
        self._run_actions()
