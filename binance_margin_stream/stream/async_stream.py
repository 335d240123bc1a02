"""`AsyncMarginStream`: the events of margin accounts, for as long as they are wanted."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Self

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.configuration import Configuration
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import ApiTypeError, ApiValueError, StreamError
from binance_margin_stream.http.transport import Timeout, create_ssl_context
from binance_margin_stream.stream.accounts import CROSS, Account
from binance_margin_stream.stream.health import Health
from binance_margin_stream.stream.io.engine import Engine, EngineConfig, Item
from binance_margin_stream.stream.io.rest_calls import DEFAULT_TIMEOUT, RestCaller
from binance_margin_stream.stream.protocol.actions import State, StatusChange
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import RISK_LISTEN_KEY, Source, resolve_sources

__all__ = ["AsyncMarginStream", "build_config"]

_DEFAULT_SETTINGS = StreamSettings()


class AsyncMarginStream:
    """Follows margin accounts: an async context manager, and an async iterator of events and gaps.

    ::

        async with AsyncMarginStream(ApiKeyAuth.from_env(), accounts=[CROSS, isolated("BTCUSDT")]) as stream:
            async for event in stream:
                ...

    Entering returns when every account is subscribed: take a snapshot then, and nothing is missed. A `StreamGap`
    stands wherever events may be missing. What no repeat can mend, such as a rejected key, raises `StreamError`
    out of the iteration, with the cause.

    `source` is ``auto``, the first way in that the exchange has not retired, or the name of one. `risk` adds
    margin calls and liability changes of the cross account. `on_change` is called with every `Change`, in the
    event loop. Listen keys are left to expire when the stream closes, since they belong to the account and
    others may use them, too; `give_up_keys` ends them. A `configuration` of the REST client takes the place of
    the endpoints' REST address; `tls` is for certificates of one's own on ``wss://``, where the endpoints' `ca_file`
    does not say enough.
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
        self._engine: Engine | None = None
        self._finalizer: weakref.finalize[[Engine], AsyncMarginStream] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Wait until every account is subscribed. Raises `StreamError` if that cannot be."""
        if self._engine is not None or self._closed:
            raise StreamError("a stream is entered once: make a new one")
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
        """Itself."""
        return self

    async def __anext__(self) -> Item:
        """The next event or gap. Ends when the stream is closed; raises `StreamError` when it failed."""
        if self._engine is None:
            if self._closed:
                raise StopAsyncIteration
            raise StreamError("enter the stream first: async with AsyncMarginStream(...) as stream")
        item = self._engine.next_item_nowait()
        if item is None and (item := await self._engine.next_item()) is None:
            raise StopAsyncIteration
        return item

    async def close(self) -> None:
        """Stop, within five seconds: the iteration ends, connections and calls are closed. May be called again."""
        self._closed = True
        if self._engine is not None:
            await self._engine.close()
        if self._finalizer is not None:
            self._finalizer.detach()

    @property
    def state(self) -> State:
        """Where the stream is in its life."""
        if self._engine is not None:
            return self._engine.state
        return State.CLOSED if self._closed else State.CONNECTING

    @property
    def health(self) -> Health:
        """How the stream is doing at this moment. Raises `StreamError` before it is entered."""
        if self._engine is None:
            raise StreamError("a stream has no health before it is entered")
        return self._engine.health()

    def __repr__(self) -> str:
        accounts = ", ".join(dict.fromkeys(str(account) for account, _ in self._config.feeds))
        return f"<{type(self).__name__} {accounts}: {self.state.value}>"


def build_config(
    auth: ApiKeyAuth,
    accounts: Iterable[Account],
    *,
    endpoints: Endpoints | None,
    source: str,
    risk: bool,
    on_change: Callable[[StatusChange], None] | None,
    settings: StreamSettings,
    timeout: Timeout,
    configuration: Configuration | None,
    tls: ssl.SSLContext | None,
    close_listen_keys: bool,
) -> EngineConfig:
    """The settings of a stream, checked. Raises `ApiValueError`."""
    _check_types(auth=(auth, ApiKeyAuth), endpoints=(endpoints, Endpoints), settings=(settings, StreamSettings))
    if configuration is not None and endpoints is None:
        raise ApiValueError("a configuration says where the REST calls go: give endpoints, too, for the WebSocket")
    endpoints = Endpoints.production() if endpoints is None else endpoints
    return EngineConfig(
        feeds=_build_feeds(accounts, source, risk),
        endpoints=endpoints,
        settings=settings,
        tls=tls or create_ssl_context(endpoints.ca_file),
        proxy=configuration.proxy if configuration is not None else None,
        make_rest_caller=partial(RestCaller, auth, configuration or endpoints, timeout),
        on_change=on_change,
        close_listen_keys=close_listen_keys,
    )


def _build_feeds(
    accounts: Iterable[Account], source: str, risk: bool
) -> tuple[tuple[Account, tuple[Source, ...]], ...]:
    unique = tuple(dict.fromkeys(accounts)) if isinstance(accounts, Iterable) else (accounts,)
    for account in unique:
        if not isinstance(account, Account):
            raise ApiTypeError(f"accounts takes CROSS and isolated('BTCUSDT'), not {type(account).__name__}")
    if not unique or any(account.kind == "none" for account in unique):
        raise ApiValueError("a stream follows CROSS, isolated('BTCUSDT') and the like: at least one of them")
    sources = _resolve_sources(source)
    for account in unique:
        if not any(each.supports(account) for each in sources):
            raise ApiValueError(f"{account!r} has no events through {source!r}: take source='auto'")
    if risk and CROSS not in unique:
        raise ApiValueError("risk events are those of the cross account: add CROSS to the accounts")
    feeds = tuple((account, sources) for account in unique)
    return (*feeds, (CROSS, (RISK_LISTEN_KEY,))) if risk else feeds


def _check_types(**arguments: tuple[object, type]) -> None:
    for name, (value, expected) in arguments.items():
        if value is not None and not isinstance(value, expected):
            raise ApiTypeError(f"{name} has to be of type {expected.__name__}, not {type(value).__name__}")


def _resolve_sources(name: str) -> tuple[Source, ...]:
    try:
        return resolve_sources(name)
    except ValueError as error:
        raise ApiValueError(str(error)) from None


def _close_on_gc(engine: Engine) -> None:
    """The stream was forgotten without being closed: stop what it left running."""
    loop = engine.loop
    try:
        if loop is not None:
            loop.call_soon_threadsafe(engine.schedule_close)
    except RuntimeError:
        pass  # the loop is closed, and with it all that ran there
