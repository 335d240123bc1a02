"""The ways in, as values: how a credential is had, where it is used, what its refusal means.

The exchange retired a way in twice within one year. So none is wired into the stream: the life cycle reads
everything that it needs to know about a way in from its `Source`, and `AUTO` lists those to try in turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.stream.accounts import Account

__all__ = [
    "AUTO",
    "LISTEN_KEY",
    "LISTEN_KEY_V2",
    "LISTEN_TOKEN",
    "RISK_LISTEN_KEY",
    "STREAM_HOST",
    "WEBSOCKET_API",
    "Call",
    "Credential",
    "Dialect",
    "Lifetime",
    "Renewal",
    "Source",
    "source_named",
    "sources_for",
]


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call: the API class, its method and the arguments, which may hold a secret."""

    api: str
    operation: str
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """A listen token or a listen key with its life, in seconds of the life cycle's clock."""

    secret: str = field(repr=False)
    obtained_at: float
    expires_at: float
    proved_at: float
    """When it was last known to be good: when the request that showed it was sent."""

    def is_fresh(self, now: float) -> bool:
        """Whether enough of its life remains to attach with it."""
        return now < self.expires_at - 0.1 * (self.expires_at - self.obtained_at)


class Renewal(Enum):
    """How a credential is kept from expiring."""

    REPLACED = "replaced"
    """A new one is obtained, and attached again on the same connection."""
    KEPT_ALIVE = "kept alive"
    """A call extends it; nothing is said on the connection."""


class Lifetime(Enum):
    """Which validity of the rules applies."""

    TOKEN = "token"  # noqa: S105 - a kind of life, not a secret
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of host is spoken to."""

    name: str
    names_subscriptions: bool
    """Whether the host gives each subscription an id; else its name is the credential itself."""
    batch: int
    """How many credentials one message may attach."""
    rate: float
    """Messages a second."""
    shared_pace: bool
    """Whether the limit counts all connections of an address together."""

    def attach(self, request: int, secrets: Sequence[str]) -> str:
        """The text that attaches credentials."""
        if not self.names_subscriptions:
            return json.dumps({"method": "SUBSCRIBE", "params": list(secrets), "id": request})
        (token,) = secrets
        method = "userDataStream.subscribe.listenToken"
        return json.dumps({"id": request, "method": method, "params": {"listenToken": token}})

    def list_subscriptions(self, request: int) -> str:
        """The text that asks for the ids of the active subscriptions."""
        return json.dumps({"id": request, "method": "session.subscriptions"})

    def detach(self, request: int, subscription: int | str) -> str:
        """The text that ends one subscription."""
        if not self.names_subscriptions:
            return json.dumps({"method": "UNSUBSCRIBE", "params": [subscription], "id": request})
        params = {"subscriptionId": subscription}
        return json.dumps({"id": request, "method": "userDataStream.unsubscribe", "params": params})


WEBSOCKET_API = Dialect("WebSocket API", names_subscriptions=True, batch=1, rate=25.0, shared_pace=True)
"""The WebSocket API: a subscribe weighs 2; 25 a second are half of the 6000 that an address has each minute."""

STREAM_HOST = Dialect("stream host", names_subscriptions=False, batch=50, rate=2.5, shared_pace=False)
"""A host of combined streams: at most 5 messages a second on a connection, pongs among them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One way in. `obtain`, `extend` and `give_up` name the REST calls for an account."""

    name: str
    dialect: Dialect
    renewal: Renewal
    lifetime: Lifetime
    isolated: bool
    """Whether isolated accounts have it too; cross margin always has."""
    notices: bool
    """Whether it may bring margin calls and liability changes."""
    address: Callable[[Endpoints], str] = field(repr=False)
    """Where to connect."""
    obtain: Callable[[Account, float], Call] = field(repr=False)
    """How to get a credential that lives this many seconds."""
    extend: Callable[[Account, str], Call] | None = field(repr=False, default=None)
    """How to keep one alive, where that is done by a call."""
    give_up: Callable[[Account, str], Call] | None = field(repr=False, default=None)
    """How to end one, for every client of the account; only ever on request."""

    def carries(self, account: Account) -> bool:
        """Whether this way in has the events of `account`."""
        return account.symbol is None or self.isolated


def _token(account: Account, validity: float) -> Call:
    arguments: dict[str, object] = {"validity": round(validity * 1000)}
    if account.symbol is not None:
        arguments |= {"is_isolated": True, "symbol": account.symbol}
    return Call("ListenTokenApi", "sapi_v1_user_listen_token_post", MappingProxyType(arguments))


def _old_key(verb: str, account: Account, **arguments: object) -> Call:
    if account.symbol is None:
        return Call("MarginStreamApi", f"sapi_v1_user_data_stream_{verb}", MappingProxyType(arguments))
    operation = f"sapi_v1_user_data_stream_isolated_{verb}"
    return Call("IsolatedMarginStreamApi", operation, MappingProxyType({"symbol": account.symbol} | arguments))


def _v2_key(verb: str, **arguments: object) -> Call:
    return Call("MarginListenKeyApi", f"sapi_v2_margin_listen_key_{verb}", MappingProxyType(arguments))


def _risk_key(verb: str, **arguments: object) -> Call:
    return Call("RiskStreamApi", f"sapi_v1_margin_listen_key_{verb}", MappingProxyType(arguments))


LISTEN_TOKEN = Source(
    name="token",
    dialect=WEBSOCKET_API,
    renewal=Renewal.REPLACED,
    lifetime=Lifetime.TOKEN,
    isolated=True,
    notices=False,
    address=lambda endpoints: endpoints.websocket_api,
    obtain=_token,
)
"""The documented way in since October 2025: a token for each account, subscribed on the WebSocket API."""

LISTEN_KEY_V2 = Source(
    name="listen-key-v2",
    dialect=STREAM_HOST,
    renewal=Renewal.KEPT_ALIVE,
    lifetime=Lifetime.KEY,
    isolated=False,
    notices=True,
    address=lambda endpoints: f"{endpoints.listen_key_v2 or endpoints.margin_stream}/stream",
    obtain=lambda _account, _validity: _v2_key("post"),
    extend=lambda _account, key: _v2_key("put", listen_key=key),
    give_up=lambda _account, _key: _v2_key("delete"),
)
"""The second kind of listen key, in the exchange's own SDK since October 2026; its host is not documented."""

RISK_LISTEN_KEY = Source(
    name="risk",
    dialect=STREAM_HOST,
    renewal=Renewal.KEPT_ALIVE,
    lifetime=Lifetime.KEY,
    isolated=False,
    notices=True,
    address=lambda endpoints: f"{endpoints.margin_stream}/stream",
    obtain=lambda _account, _validity: _risk_key("post"),
    extend=lambda _account, key: _risk_key("put", listen_key=key),
)
"""Margin calls and changes of liability. To end its key weighs 3000, so it is left to expire."""

LISTEN_KEY = Source(
    name="listen-key",
    dialect=STREAM_HOST,
    renewal=Renewal.KEPT_ALIVE,
    lifetime=Lifetime.KEY,
    isolated=True,
    notices=False,
    address=lambda endpoints: f"{endpoints.stream}/stream",
    obtain=lambda account, _validity: _old_key("post", account),
    extend=lambda account, key: _old_key("put", account, listen_key=key),
    give_up=lambda account, key: _old_key("delete", account, listen_key=key),
)
"""The first kind of listen key; the exchange removed it on 2026-02-20, other hosts still serve it."""

AUTO = (LISTEN_TOKEN, LISTEN_KEY_V2)
"""What ``source="auto"`` tries, in this order."""

_NAMED = {source.name: source for source in (LISTEN_TOKEN, LISTEN_KEY_V2, RISK_LISTEN_KEY, LISTEN_KEY)}


def source_named(name: str) -> Source:
    """The source of that name; raises `ValueError` that lists them all."""
    try:
        return _NAMED[name]
    except KeyError:
        raise ValueError(f"no source {name!r}: expected 'auto', {', '.join(map(repr, _NAMED))}") from None


def sources_for(name: str) -> tuple[Source, ...]:
    """The sources to try in turn: all of `AUTO` for ``auto``, else the one of that name."""
    return AUTO if name == "auto" else (source_named(name),)
