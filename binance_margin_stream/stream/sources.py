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
    "AUTO_SOURCES",
    "LISTEN_KEY",
    "LISTEN_KEY_UTA",
    "LISTEN_KEY_V2",
    "LISTEN_TOKEN",
    "RISK_LISTEN_KEY",
    "STREAM_HOST",
    "WEBSOCKET_API",
    "ApiCall",
    "Credential",
    "CredentialKind",
    "HostProtocol",
    "RenewalMode",
    "Source",
    "get_source",
    "resolve_sources",
]


@dataclass(frozen=True, slots=True)
class ApiCall:
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
    confirmed_at: float
    """When it was last known to be good: when the request that showed it was sent."""

    def is_fresh(self, now: float) -> bool:
        """Whether enough of its life remains to attach with it."""
        return now < self.expires_at - 0.1 * (self.expires_at - self.obtained_at)


class RenewalMode(Enum):
    """How a credential is kept from expiring."""

    REPLACE = "replaced"
    """A new one is obtained, and attached again on the same connection."""
    KEEP_ALIVE = "kept alive"
    """A call extends it; nothing is said on the connection."""


class CredentialKind(Enum):
    """Which validity of the rules applies."""

    LISTEN_TOKEN = "token"  # noqa: S105 - a kind of life, not a secret
    LISTEN_KEY = "key"


@dataclass(frozen=True, slots=True)
class HostProtocol:
    """How one kind of host is spoken to."""

    name: str
    assigns_ids: bool
    """Whether the host gives each subscription an id; else its name is the credential itself."""
    max_batch: int
    """How many credentials one message may attach."""
    message_rate: float
    """Messages a second."""
    shares_rate_limit: bool
    """Whether the limit counts all connections of an address together."""

    def build_subscribe_message(self, request_id: int, secrets: Sequence[str]) -> str:
        """The text that attaches credentials."""
        if not self.assigns_ids:
            return json.dumps({"method": "SUBSCRIBE", "params": list(secrets), "id": request_id})
        (token,) = secrets
        method = "userDataStream.subscribe.listenToken"
        return json.dumps({"id": request_id, "method": method, "params": {"listenToken": token}})

    def build_list_message(self, request_id: int) -> str:
        """The text that asks for the ids of the active subscriptions."""
        return json.dumps({"id": request_id, "method": "session.subscriptions"})

    def build_unsubscribe_message(self, request_id: int, subscription_id: int | str) -> str:
        """The text that ends one subscription."""
        if not self.assigns_ids:
            return json.dumps({"method": "UNSUBSCRIBE", "params": [subscription_id], "id": request_id})
        params = {"subscriptionId": subscription_id}
        return json.dumps({"id": request_id, "method": "userDataStream.unsubscribe", "params": params})


WEBSOCKET_API = HostProtocol("WebSocket API", assigns_ids=True, max_batch=1, message_rate=25.0, shares_rate_limit=True)
"""The WebSocket API: a subscribe weighs 2; 25 a second are half of the 6000 that an address has each minute."""

STREAM_HOST = HostProtocol("stream host", assigns_ids=False, max_batch=50, message_rate=2.5, shares_rate_limit=False)
"""A host of combined streams: at most 5 messages a second on a connection, pongs among them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One way in. `obtain`, `extend` and `give_up` name the REST calls for an account."""

    name: str
    protocol: HostProtocol
    renewal_mode: RenewalMode
    credential_kind: CredentialKind
    supports_isolated: bool
    """Whether isolated accounts have it too; cross margin always has."""
    has_risk_events: bool
    """Whether it may bring margin calls and liability changes."""
    build_url: Callable[[Endpoints], str] = field(repr=False)
    """Where to connect."""
    build_create_call: Callable[[Account, float], ApiCall] = field(repr=False)
    """How to get a credential that lives this many seconds."""
    build_keepalive_call: Callable[[Account, str], ApiCall] | None = field(repr=False, default=None)
    """How to keep one alive, where that is done by a call."""
    build_delete_call: Callable[[Account, str], ApiCall] | None = field(repr=False, default=None)
    """How to end one, for every client of the account; only ever on request."""

    def supports(self, account: Account) -> bool:
        """Whether this way in has the events of `account`."""
        return account.symbol is None or self.supports_isolated


def _build_token_call(account: Account, validity: float) -> ApiCall:
    arguments: dict[str, object] = {"validity": round(validity * 1000)}
    if account.symbol is not None:
        arguments |= {"is_isolated": True, "symbol": account.symbol}
    return ApiCall("ListenTokenApi", "sapi_v1_user_listen_token_post", MappingProxyType(arguments))


def _build_listen_key_call(verb: str, account: Account, **arguments: object) -> ApiCall:
    if account.symbol is None:
        return ApiCall("MarginStreamApi", f"sapi_v1_user_data_stream_{verb}", MappingProxyType(arguments))
    operation = f"sapi_v1_user_data_stream_isolated_{verb}"
    return ApiCall("IsolatedMarginStreamApi", operation, MappingProxyType({"symbol": account.symbol} | arguments))


def _build_listen_key_v2_call(verb: str, **arguments: object) -> ApiCall:
    return ApiCall("MarginListenKeyApi", f"sapi_v2_margin_listen_key_{verb}", MappingProxyType(arguments))


def _build_listen_key_uta_call(verb: str, **arguments: object) -> ApiCall:
    return ApiCall("UtaListenKeyApi", f"sapi_v2_margin_uta_listen_key_{verb}", MappingProxyType(arguments))


def _build_risk_listen_key_call(verb: str, **arguments: object) -> ApiCall:
    return ApiCall("RiskStreamApi", f"sapi_v1_margin_listen_key_{verb}", MappingProxyType(arguments))


LISTEN_TOKEN = Source(
    name="token",
    protocol=WEBSOCKET_API,
    renewal_mode=RenewalMode.REPLACE,
    credential_kind=CredentialKind.LISTEN_TOKEN,
    supports_isolated=True,
    has_risk_events=False,
    build_url=lambda endpoints: endpoints.websocket_api,
    build_create_call=_build_token_call,
)
"""The documented way in since October 2025: a token for each account, subscribed on the WebSocket API."""

LISTEN_KEY_V2 = Source(
    name="listen-key-v2",
    protocol=STREAM_HOST,
    renewal_mode=RenewalMode.KEEP_ALIVE,
    credential_kind=CredentialKind.LISTEN_KEY,
    supports_isolated=False,
    has_risk_events=True,
    build_url=lambda endpoints: f"{endpoints.listen_key_v2 or endpoints.margin_stream}/stream",
    build_create_call=lambda _account, _validity: _build_listen_key_v2_call("post"),
    build_keepalive_call=lambda _account, key: _build_listen_key_v2_call("put", listen_key=key),
    build_delete_call=lambda _account, _key: _build_listen_key_v2_call("delete"),
)
"""The second kind of listen key, in the exchange's own SDK since October 2026; its host is not documented."""

LISTEN_KEY_UTA = Source(
    name="listen-key-uta",
    protocol=STREAM_HOST,
    renewal_mode=RenewalMode.KEEP_ALIVE,
    credential_kind=CredentialKind.LISTEN_KEY,
    supports_isolated=False,
    has_risk_events=True,
    build_url=lambda endpoints: f"{endpoints.listen_key_uta or endpoints.margin_stream}/stream",
    build_create_call=lambda _account, _validity: _build_listen_key_uta_call("post"),
    build_keepalive_call=lambda _account, key: _build_listen_key_uta_call("put", listen_key=key),
    build_delete_call=lambda _account, _key: _build_listen_key_uta_call("delete"),
)
"""The listen key of a unified account. Undocumented: one client reports it, so it is not in `AUTO_SOURCES`."""

RISK_LISTEN_KEY = Source(
    name="risk",
    protocol=STREAM_HOST,
    renewal_mode=RenewalMode.KEEP_ALIVE,
    credential_kind=CredentialKind.LISTEN_KEY,
    supports_isolated=False,
    has_risk_events=True,
    build_url=lambda endpoints: f"{endpoints.margin_stream}/stream",
    build_create_call=lambda _account, _validity: _build_risk_listen_key_call("post"),
    build_keepalive_call=lambda _account, key: _build_risk_listen_key_call("put", listen_key=key),
)
"""Margin calls and changes of liability. To end its key weighs 3000, so it is left to expire."""

LISTEN_KEY = Source(
    name="listen-key",
    protocol=STREAM_HOST,
    renewal_mode=RenewalMode.KEEP_ALIVE,
    credential_kind=CredentialKind.LISTEN_KEY,
    supports_isolated=True,
    has_risk_events=False,
    build_url=lambda endpoints: f"{endpoints.stream}/stream",
    build_create_call=lambda account, _validity: _build_listen_key_call("post", account),
    build_keepalive_call=lambda account, key: _build_listen_key_call("put", account, listen_key=key),
    build_delete_call=lambda account, key: _build_listen_key_call("delete", account, listen_key=key),
)
"""The first kind of listen key; the exchange removed it on 2026-02-20, other hosts still serve it."""

AUTO_SOURCES = (LISTEN_TOKEN, LISTEN_KEY_V2)
"""What ``source="auto"`` tries, in this order."""

_BY_NAME = {
    source.name: source for source in (LISTEN_TOKEN, LISTEN_KEY_V2, LISTEN_KEY_UTA, RISK_LISTEN_KEY, LISTEN_KEY)
}


def get_source(name: str) -> Source:
    """The source of that name; raises `ValueError` that lists them all."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"no source {name!r}: expected 'auto', {', '.join(map(repr, _BY_NAME))}") from None


def resolve_sources(name: str) -> tuple[Source, ...]:
    """The sources to try in turn: all of `AUTO` for ``auto``, else the one of that name."""
    return AUTO_SOURCES if name == "auto" else (get_source(name),)
