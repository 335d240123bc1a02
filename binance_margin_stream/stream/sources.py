"""Stream sources: how a credential is created, renewed and used, as values.

The exchange retired two sources within one year. The state machine therefore knows none of them: it reads
everything about a source from its `Source` value. `AUTO_SOURCES` lists the ones that ``source="auto"`` tries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import binance_margin_stream.api as api  # a lazy package: a class of it is imported when it is first used
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
    "CallKind",
    "Credential",
    "CredentialKind",
    "HostProtocol",
    "RenewalMode",
    "Source",
    "get_source",
    "resolve_sources",
]


class CallKind(Enum):
    """What a REST call does to a credential."""

    CREATE = "create"
    KEEPALIVE = "keepalive"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One REST call. The arguments may hold a secret."""

    kind: CallKind
    make_api: Callable[[Any], object]
    """Makes the API object for an `ApiClient`."""
    operation: str
    """The method of the API object."""
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """A listen token or a listen key. Times are in seconds of the state machine's clock."""

    secret: str = field(repr=False)
    obtained_at: float
    expires_at: float
    confirmed_at: float
    """When it was last known to be valid: when the call that confirmed it was sent."""

    def is_fresh(self, now: float) -> bool:
        """Whether enough of its lifetime is left to subscribe with it."""
        return now < self.expires_at - 0.1 * (self.expires_at - self.obtained_at)


class RenewalMode(Enum):
    """How a credential is kept from expiring."""

    REPLACE = "replace"
    """A new credential is created, and the account is subscribed with it again on the same connection."""
    KEEP_ALIVE = "keep alive"
    """A REST call extends the credential. Nothing is sent on the connection."""


class CredentialKind(Enum):
    """The kind of a credential, which decides how long it is valid."""

    LISTEN_TOKEN = "listen token"  # noqa: S105  # a kind, not a secret
    LISTEN_KEY = "listen key"


@dataclass(frozen=True, slots=True)
class HostProtocol:
    """The request messages and limits of one kind of WebSocket host."""

    name: str
    assigns_ids: bool
    """Whether the host gives each subscription an id. Otherwise the credential identifies it."""
    max_batch: int
    """The most credentials in one subscribe message."""
    message_rate: float
    """The most messages per second."""
    shares_rate_limit: bool
    """Whether the rate counts all connections of an IP address together."""

    def build_subscribe_message(self, request_id: int, secrets: Sequence[str]) -> str:
        """The text that subscribes with these credentials."""
        if not self.assigns_ids:
            return json.dumps({"method": "SUBSCRIBE", "params": list(secrets), "id": request_id})
        (token,) = secrets
        method = "userDataStream.subscribe.listenToken"
        return json.dumps({"id": request_id, "method": method, "params": {"listenToken": token}})

    def build_list_message(self, request_id: int) -> str:
        """The text that requests the ids of the active subscriptions."""
        return json.dumps({"id": request_id, "method": "session.subscriptions"})

    def build_unsubscribe_message(self, request_id: int, subscription_id: int | str) -> str:
        """The text that ends one subscription."""
        if not self.assigns_ids:
            return json.dumps({"method": "UNSUBSCRIBE", "params": [subscription_id], "id": request_id})
        params = {"subscriptionId": subscription_id}
        return json.dumps({"id": request_id, "method": "userDataStream.unsubscribe", "params": params})


WEBSOCKET_API = HostProtocol("WebSocket API", assigns_ids=True, max_batch=1, message_rate=25.0, shares_rate_limit=True)
"""The WebSocket API. A subscribe has weight 2, so 25 per second use half of the 6000 per minute of an IP address."""

STREAM_HOST = HostProtocol("stream host", assigns_ids=False, max_batch=50, message_rate=2.5, shares_rate_limit=False)
"""A host of combined streams. It allows 5 messages per second on a connection, pongs included."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stream source. The `build_..._call` functions build its REST calls for an account."""

    name: str
    protocol: HostProtocol
    renewal_mode: RenewalMode
    credential_kind: CredentialKind
    supports_isolated: bool
    """Whether it serves isolated accounts. Every source serves cross margin."""
    has_risk_events: bool
    """Whether it may deliver margin calls and liability changes."""
    build_url: Callable[[Endpoints], str] = field(repr=False)
    """The WebSocket address."""
    build_create_call: Callable[[Account, float], ApiCall] = field(repr=False)
    """The call that creates a credential with a lifetime in seconds."""
    build_keepalive_call: Callable[[Account, str], ApiCall] | None = field(repr=False, default=None)
    """The call that extends a credential, if there is one."""
    build_delete_call: Callable[[Account, str], ApiCall] | None = field(repr=False, default=None)
    """The call that deletes a credential, for every client of the account. Only made on request."""

    def supports(self, account: Account) -> bool:
        """Whether this source has the events of `account`."""
        return account.symbol is None or self.supports_isolated


_VERBS = {CallKind.CREATE: "post", CallKind.KEEPALIVE: "put", CallKind.DELETE: "delete"}


def _make_call(
    kind: CallKind, make_api: Callable[[Any], object], operation: str, arguments: Mapping[str, object]
) -> ApiCall:
    return ApiCall(kind, make_api, f"{operation}_{_VERBS[kind]}", MappingProxyType(arguments))


def _build_token_call(account: Account, validity: float) -> ApiCall:
    arguments: dict[str, object] = {"validity": round(validity * 1000)}
    if account.symbol is not None:
        arguments |= {"is_isolated": True, "symbol": account.symbol}
    return _make_call(
        CallKind.CREATE, lambda client: api.ListenTokenApi(client), "sapi_v1_user_listen_token", arguments
    )


def _build_listen_key_call(kind: CallKind, account: Account, **arguments: object) -> ApiCall:
    if account.symbol is None:
        return _make_call(kind, lambda client: api.MarginStreamApi(client), "sapi_v1_user_data_stream", arguments)
    arguments = {"symbol": account.symbol} | arguments
    return _make_call(
        kind, lambda client: api.IsolatedMarginStreamApi(client), "sapi_v1_user_data_stream_isolated", arguments
    )


def _make_cross_key_source(
    name: str,
    build_url: Callable[[Endpoints], str],
    make_api: Callable[[Any], object],
    operation: str,
    *,
    can_delete: bool = True,
) -> Source:
    """A source of the cross account with its risk events, whose listen key is kept alive."""

    def build_call(kind: CallKind, **arguments: object) -> ApiCall:
        return _make_call(kind, make_api, operation, arguments)

    return Source(
        name=name,
        protocol=STREAM_HOST,
        renewal_mode=RenewalMode.KEEP_ALIVE,
        credential_kind=CredentialKind.LISTEN_KEY,
        supports_isolated=False,
        has_risk_events=True,
        build_url=build_url,
        build_create_call=lambda _account, _validity: build_call(CallKind.CREATE),
        build_keepalive_call=lambda _account, key: build_call(CallKind.KEEPALIVE, listen_key=key),
        build_delete_call=(lambda _account, _key: build_call(CallKind.DELETE)) if can_delete else None,
    )


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
"""The documented source since October 2025: one token per account, subscribed on the WebSocket API."""

LISTEN_KEY_V2 = _make_cross_key_source(
    "listen-key-v2",
    lambda endpoints: f"{endpoints.listen_key_v2 or endpoints.margin_stream}/stream",
    lambda client: api.MarginListenKeyApi(client),
    "sapi_v2_margin_listen_key",
)
"""The second kind of listen key, in the exchange's own SDK since October 2026. Its host is not documented."""

LISTEN_KEY_UTA = _make_cross_key_source(
    "listen-key-uta",
    lambda endpoints: f"{endpoints.listen_key_uta or endpoints.margin_stream}/stream",
    lambda client: api.UtaListenKeyApi(client),
    "sapi_v2_margin_uta_listen_key",
)
"""The listen key of a unified account. Undocumented: one client reports it, so it is not in `AUTO_SOURCES`."""

RISK_LISTEN_KEY = _make_cross_key_source(
    "risk",
    lambda endpoints: f"{endpoints.margin_stream}/stream",
    lambda client: api.RiskStreamApi(client),
    "sapi_v1_margin_listen_key",
    can_delete=False,
)
"""Margin calls and liability changes. Deleting its key has weight 3000, so the key is left to expire."""

LISTEN_KEY = Source(
    name="listen-key",
    protocol=STREAM_HOST,
    renewal_mode=RenewalMode.KEEP_ALIVE,
    credential_kind=CredentialKind.LISTEN_KEY,
    supports_isolated=True,
    has_risk_events=False,
    build_url=lambda endpoints: f"{endpoints.stream}/stream",
    build_create_call=lambda account, _validity: _build_listen_key_call(CallKind.CREATE, account),
    build_keepalive_call=lambda account, key: _build_listen_key_call(CallKind.KEEPALIVE, account, listen_key=key),
    build_delete_call=lambda account, key: _build_listen_key_call(CallKind.DELETE, account, listen_key=key),
)
"""The first kind of listen key. The exchange removed it on 2026-02-20; other hosts still serve it."""

AUTO_SOURCES = (LISTEN_TOKEN, LISTEN_KEY_V2)
"""The sources that ``source="auto"`` tries, in this order."""

_BY_NAME = {
    source.name: source for source in (LISTEN_TOKEN, LISTEN_KEY_V2, LISTEN_KEY_UTA, RISK_LISTEN_KEY, LISTEN_KEY)
}


def get_source(name: str) -> Source:
    """The source with that name. Raises `ValueError` that lists all names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"no source {name!r}: expected 'auto', {', '.join(map(repr, _BY_NAME))}") from None


def resolve_sources(name: str) -> tuple[Source, ...]:
    """The sources to try in turn: `AUTO_SOURCES` for ``auto``, else the source with that name."""
    return AUTO_SOURCES if name == "auto" else (get_source(name),)
