"""The options that both streams take, their validation, and the constructor that both streams share."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import ApiTypeError, ApiValueError, StreamError
from binance_margin_stream.http.transport import Timeout, create_ssl_context
from binance_margin_stream.stream.accounts import CROSS, Account
from binance_margin_stream.stream.io.account_reads import AccountReader
from binance_margin_stream.stream.io.engine import Engine, EngineConfig
from binance_margin_stream.stream.io.recovery import RecoveryConfig, StreamRecovery
from binance_margin_stream.stream.io.rest_calls import DEFAULT_TIMEOUT, RestCaller, monotonic
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import RISK_LISTEN_KEY, Source, resolve_sources
from binance_margin_stream.stream.state import State, StatusChange

if TYPE_CHECKING:
    from binance_margin_stream.configuration import Configuration

__all__ = ["DEFAULT_ENTER_TIMEOUT", "BaseStream", "StreamOptions", "build_config", "check_account"]

DEFAULT_RECOVERY = Recovery()
_DEFAULT_SETTINGS = StreamSettings()
DEFAULT_ENTER_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The arguments of a stream, as the user passed them. `BaseStream` documents them."""

    auth: ApiKeyAuth
    accounts: Iterable[Account] = (CROSS,)
    endpoints: Endpoints | None = None
    source: str = "auto"
    risk: bool = False
    on_change: Callable[[StatusChange], None] | None = None
    settings: StreamSettings = _DEFAULT_SETTINGS
    timeout: Timeout = DEFAULT_TIMEOUT
    configuration: Configuration | None = None
    tls: ssl.SSLContext | None = None
    close_listen_keys: bool = False
    partial: bool = False
    enter_timeout: float | None = DEFAULT_ENTER_TIMEOUT
    recover: Recovery | None = DEFAULT_RECOVERY
    on_account: Callable[[AccountSnapshot], None] | None = None


class BaseStream:
    """The base class of `MarginStream` and `AsyncMarginStream`, with the constructor that both share."""

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
        partial: bool = False,
        enter_timeout: float | None = DEFAULT_ENTER_TIMEOUT,
        recover: Recovery | None = DEFAULT_RECOVERY,
        on_account: Callable[[AccountSnapshot], None] | None = None,
    ) -> None:
        """Nothing is sent yet. Raises `ApiTypeError` or `ApiValueError` for an invalid argument.

        - `accounts`: the accounts to follow, `CROSS` and any number of ``isolated("BTCUSDT")``.
        - `endpoints`: the addresses of the exchange, production by default.
        - `source`: the name of a stream source, or ``auto`` for the first one that the exchange has not retired.
        - `risk`: whether to add margin calls and liability changes of the cross account.
        - `on_change`, `on_account`: called with every `StatusChange`, and a changed account. They must return soon.
        - `settings`: deadlines, rates and sizes.
        - `timeout`: the timeout of each REST call.
        - `configuration`: a configuration for the REST client, such as a proxy. It replaces the REST address of
          `endpoints`, which must be passed, too.
        - `tls`: a context for ``wss://`` if `Endpoints.ca_file` is not enough.
        - `close_listen_keys`: whether to delete the listen keys when the stream closes. By default they expire by
          themselves, since they belong to the account and other programs may use them.
        - `partial`: whether entering may succeed with a part of the accounts, as long as one is live. An account that
          the exchange refuses is then an `AccountLost` in the stream; the others keep trying.
        - `enter_timeout`: how many seconds entering may take after the last account was subscribed; None for no end.
          The time that a rate limit or a ban requires to wait does not count. `add` uses it, too.
        - `recover`: how events of a gap are recovered, if `auth` can sign. None turns it off.
        """
        self._config = build_config(
            StreamOptions(
                auth=auth,
                accounts=accounts,
                endpoints=endpoints,
                source=source,
                risk=risk,
                on_change=on_change,
                settings=settings,
                timeout=timeout,
                configuration=configuration,
                tls=tls,
                close_listen_keys=close_listen_keys,
                partial=partial,
                enter_timeout=enter_timeout,
                recover=recover,
                on_account=on_account,
            )
        )
        self._closed = False
        self._set_up()

    def _set_up(self) -> None:
        """Set the attributes of a subclass; the subclasses keep the signature of this constructor."""

    @property
    def state(self) -> State:
        """The state of the stream."""
        return State.CLOSED if self._closed else State.CONNECTING

    def _require_recovery(self, engine: Engine | None) -> StreamRecovery:
        if engine is None:
            raise StreamError("enter the stream first")
        if engine.recovery is None:
            raise StreamError("the stream does not read accounts: pass recover=Recovery() and a key that can sign")
        return engine.recovery

    def _find_account(self, account: Account) -> Account:
        if all(account != each for each, _ in self._config.feeds):
            raise ApiValueError(f"{account!r} is not followed by this stream: add it to accounts")
        return account

    def __repr__(self) -> str:
        if "_config" not in vars(self):  # in a traceback out of the constructor
            return f"<{type(self).__name__}, not created>"
        accounts = ", ".join(dict.fromkeys(str(account) for account, _ in self._config.feeds))
        return f"<{type(self).__name__} {accounts}: {self.state.value}>"


def build_config(options: StreamOptions) -> EngineConfig:
    """The configuration of an engine. Raises `ApiTypeError` or `ApiValueError` for invalid options."""
    _check_type("auth", options.auth, ApiKeyAuth)
    _check_type("endpoints", options.endpoints, Endpoints)
    _check_type("settings", options.settings, StreamSettings)
    _check_type("tls", options.tls, ssl.SSLContext)
    _check_type("timeout", options.timeout, Timeout)
    for name in ("risk", "close_listen_keys", "partial"):
        _check_type(name, getattr(options, name), bool)
    _check_callback(options.on_change)
    _check_enter_timeout(options.enter_timeout)
    configuration = options.configuration
    if configuration is not None and options.endpoints is None:
        raise ApiValueError("configuration sets the REST host only: pass endpoints as well, for the WebSocket")
    endpoints = Endpoints.production() if options.endpoints is None else options.endpoints
    _check_addresses(endpoints)
    sources = _resolve_sources(options.source)
    feeds = _build_feeds(options, sources)
    return EngineConfig(
        feeds=feeds,
        endpoints=endpoints,
        settings=options.settings,
        tls=options.tls or create_ssl_context(endpoints.ca_file),
        proxy=configuration.proxy if configuration is not None else None,
        make_rest_caller=partial(RestCaller, options.auth, configuration or endpoints, options.timeout),
        on_change=options.on_change,
        close_listen_keys=options.close_listen_keys,
        sources=sources,
        partial=options.partial,
        enter_timeout=options.enter_timeout,
        recovery=_build_recovery(options, configuration or endpoints, tuple(dict.fromkeys(each for each, _ in feeds))),
    )


def _build_recovery(
    options: StreamOptions, configuration: Configuration | Endpoints, accounts: tuple[Account, ...]
) -> RecoveryConfig | None:
    _check_type("recover", options.recover, Recovery)
    if options.recover is None or not options.auth.can_sign:
        if options.on_account is not None or options.recover not in (None, DEFAULT_RECOVERY):
            raise ApiValueError("the account cannot be read: pass a secret or a private key to ApiKeyAuth")
        return None
    return RecoveryConfig(
        settings=options.recover,
        accounts=accounts,
        host=configuration.rest if isinstance(configuration, Endpoints) else configuration.host,
        make_reader=partial(AccountReader, options.auth, configuration, options.timeout, monotonic),
        on_account=options.on_account,
    )


def _check_type(name: str, value: object, expected: type) -> None:
    if value is not None and not isinstance(value, expected):
        raise ApiTypeError(f"{name} must be of type {expected.__name__}, not {type(value).__name__}")


def _check_addresses(endpoints: Endpoints) -> None:
    """Raise `ApiValueError` for a WebSocket address that could never be connected to."""
    for name in ("websocket_api", "stream", "margin_stream", "listen_key_v2", "listen_key_uta"):
        address = getattr(endpoints, name)
        if address is None:
            continue
        try:
            parts = urlsplit(address)
            is_valid = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # such as a port above 65535
            is_valid = False
        if not is_valid:
            raise ApiValueError(f"endpoints.{name} is no WebSocket address: expected wss://, not {address!r}")


def _check_callback(callback: object) -> None:
    if callback is not None and not callable(callback):
        raise ApiTypeError(f"on_change must be a function, not {type(callback).__name__}")
    if inspect.iscoroutinefunction(callback):
        raise ApiTypeError("on_change must be a plain function: it is called and not awaited")


def _check_enter_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        raise ApiTypeError(f"enter_timeout must be a number of seconds or None, not {type(timeout).__name__}")
    if not 0 < timeout < float("inf"):
        raise ApiValueError("enter_timeout must be a positive number of seconds, or None for no end")


def _build_feeds(options: StreamOptions, sources: tuple[Source, ...]) -> tuple[tuple[Account, tuple[Source, ...]], ...]:
    accounts = options.accounts
    unique = tuple(dict.fromkeys(accounts)) if isinstance(accounts, Iterable) else (accounts,)
    for account in unique:
        if not isinstance(account, Account):
            raise ApiTypeError(f"accounts takes CROSS and isolated('BTCUSDT'), not {type(account).__name__}")
    if not unique or any(account.kind == "none" for account in unique):
        raise ApiValueError("accounts is empty: pass CROSS, isolated('BTCUSDT') or several of them")
    for account in unique:
        if not any(each.supports(account) for each in sources):
            raise ApiValueError(f"{account!r} is not supported by the source {options.source!r}: use source='auto'")
    if options.risk and CROSS not in unique:
        raise ApiValueError("risk adds events of the cross account: add CROSS to accounts")
    feeds = tuple((account, sources) for account in unique)
    return (*feeds, (CROSS, (RISK_LISTEN_KEY,))) if options.risk else feeds


def check_account(account: object, sources: tuple[Source, ...]) -> None:
    """Raise `ApiTypeError` or `ApiValueError` for what is no account that one of the sources has."""
    if not isinstance(account, Account):
        raise ApiTypeError(f"expected CROSS or isolated('BTCUSDT'), not {type(account).__name__}")
    if account.kind == "none" or not any(each.supports(account) for each in sources):
        names = ", ".join(each.name for each in sources)
        raise ApiValueError(f"{account!r} is not supported by {names}: use source='auto'")


def _resolve_sources(name: str) -> tuple[Source, ...]:
    try:
        return resolve_sources(name)
    except ValueError as error:
        raise ApiValueError(str(error)) from None
