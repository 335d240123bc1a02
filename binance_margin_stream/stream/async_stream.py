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
from binance_margin_stream.stream.io.engine import Engine, Item, Settings
from binance_margin_stream.stream.io.rest_calls import PATIENCE, Calls
from binance_margin_stream.stream.protocol.actions import Change, State
from binance_margin_stream.stream.settings import StreamRules
from binance_margin_stream.stream.sources import RISK_LISTEN_KEY, Source, sources_for

__all__ = ["AsyncMarginStream", "settings_of"]

_RULES = StreamRules()


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
        on_change: Callable[[Change], None] | None = None,
        rules: StreamRules = _RULES,
        timeout: Timeout = PATIENCE,
        configuration: Configuration | None = None,
        tls: ssl.SSLContext | None = None,
        give_up_keys: bool = False,
    ) -> None:
        """Raise `ApiValueError` for accounts or a source that cannot be; nothing is sent yet."""
        self._settings = settings_of(
            auth,
            accounts,
            endpoints=endpoints,
            source=source,
            risk=risk,
            on_change=on_change,
            rules=rules,
            timeout=timeout,
            configuration=configuration,
            tls=tls,
            give_up_keys=give_up_keys,
        )
        self._engine: Engine | None = None
        self._finalizer: weakref.finalize[[Engine], AsyncMarginStream] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Wait until every account is subscribed. Raises `StreamError` if that cannot be."""
        if self._engine is not None or self._closed:
            raise StreamError("a stream is entered once: make a new one")
        self._engine = engine = Engine(self._settings)
        self._finalizer = weakref.finalize(self, _abandon, engine)
        try:
            engine.start()
            await engine.until(lambda: engine.state is State.LIVE)
            engine.raise_failure()
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
        item = self._engine.take()
        if item is None and (item := await self._engine.next()) is None:
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
        accounts = ", ".join(dict.fromkeys(str(account) for account, _ in self._settings.feeds))
        return f"<{type(self).__name__} {accounts}: {self.state.value}>"


def settings_of(
    auth: ApiKeyAuth,
    accounts: Iterable[Account],
    *,
    endpoints: Endpoints | None,
    source: str,
    risk: bool,
    on_change: Callable[[Change], None] | None,
    rules: StreamRules,
    timeout: Timeout,
    configuration: Configuration | None,
    tls: ssl.SSLContext | None,
    give_up_keys: bool,
) -> Settings:
    """The settings of a stream, checked. Raises `ApiValueError`."""
    _check_types(auth=(auth, ApiKeyAuth), endpoints=(endpoints, Endpoints), rules=(rules, StreamRules))
    if configuration is not None and endpoints is None:
        raise ApiValueError("a configuration says where the REST calls go: give endpoints, too, for the WebSocket")
    endpoints = Endpoints.production() if endpoints is None else endpoints
    return Settings(
        feeds=_feeds(accounts, source, risk),
        endpoints=endpoints,
        rules=rules,
        tls=tls or create_ssl_context(endpoints.ca_file),
        proxy=configuration.proxy if configuration is not None else None,
        make_calls=partial(Calls, auth, configuration or endpoints, timeout),
        on_change=on_change,
        give_up_keys=give_up_keys,
    )


def _feeds(accounts: Iterable[Account], source: str, risk: bool) -> tuple[tuple[Account, tuple[Source, ...]], ...]:
    wanted = tuple(dict.fromkeys(accounts)) if isinstance(accounts, Iterable) else (accounts,)
    for account in wanted:
        if not isinstance(account, Account):
            raise ApiTypeError(f"accounts takes CROSS and isolated('BTCUSDT'), not {type(account).__name__}")
    if not wanted or any(account.kind == "none" for account in wanted):
        raise ApiValueError("a stream follows CROSS, isolated('BTCUSDT') and the like: at least one of them")
    sources = _sources(source)
    for account in wanted:
        if not any(each.carries(account) for each in sources):
            raise ApiValueError(f"{account!r} has no events through {source!r}: take source='auto'")
    if risk and CROSS not in wanted:
        raise ApiValueError("risk events are those of the cross account: add CROSS to the accounts")
    feeds = tuple((account, sources) for account in wanted)
    return (*feeds, (CROSS, (RISK_LISTEN_KEY,))) if risk else feeds


def _check_types(**settings: tuple[object, type]) -> None:
    for name, (value, expected) in settings.items():
        if value is not None and not isinstance(value, expected):
            raise ApiTypeError(f"{name} has to be of type {expected.__name__}, not {type(value).__name__}")


def _sources(name: str) -> tuple[Source, ...]:
    try:
        return sources_for(name)
    except ValueError as error:
        raise ApiValueError(str(error)) from None


def _abandon(engine: Engine) -> None:
    """The stream was forgotten without being closed: stop what it left running."""
    loop = engine.loop
    try:
        if loop is not None:
            loop.call_soon_threadsafe(engine.close_soon)
    except RuntimeError:
        pass  # the loop is closed, and with it all that ran there
