"""One REST request as a value: its parameters go into the query, and are signed if the spec says so."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from urllib.parse import quote, urlencode

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.exceptions import ApiValueError

__all__ = ["API_KEY_HEADER", "API_KEY_SCHEME", "HttpRequest", "Query", "SigningPolicy", "get_signing_policy"]

API_KEY_HEADER = "X-MBX-APIKEY"
API_KEY_SCHEME = "ApiKeyAuth"
"""The security scheme of the spec for calls that need an API key."""

_SECRET_PARAMETERS = frozenset({"listenKey", "signature"})


class SigningPolicy(Enum):
    """Whether a call is signed. The values are security schemes of the spec."""

    NEVER = ""
    OPTIONAL = "OptionalSignature"
    """Signed if there is a secret or a private key."""
    REQUIRED = "Signature"


def get_signing_policy(schemes: Iterable[str]) -> SigningPolicy:
    """Return the policy of a call from the names of its security schemes."""
    return next((policy for policy in SigningPolicy if policy.value in schemes), SigningPolicy.NEVER)


@dataclass(frozen=True, slots=True)
class Query:
    """The query parameters of a call, in the order in which they are sent."""

    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    policy: SigningPolicy = SigningPolicy.NEVER


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to send. `path` is the path below the address of the exchange."""

    method: str
    url: str
    path: str
    headers: dict[str, str] = field(repr=False)
    query: Query
    body: object = field(default=None, repr=False)

    def sign(self, auth: ApiKeyAuth | None, timestamp: int) -> HttpRequest:
        """Return the request with a timestamp, in epoch milliseconds, and a signature, if the policy says so.

        A signature of the caller is left unchanged. Raises `ApiValueError` if the call must be signed and cannot be.
        """
        given = dict(self.query.parameters)
        if self.query.policy is SigningPolicy.NEVER or "signature" in given:
            return self
        if auth is None or not auth.can_sign:
            if self.query.policy is SigningPolicy.OPTIONAL:
                return self
            call = f"{self.method} {self.path}"
            raise ApiValueError(f"{call} must be signed: pass a secret or a private key to ApiKeyAuth")
        given.setdefault("timestamp", str(timestamp))
        given["signature"] = auth.sign(_encode(given.items()))
        return replace(self, query=Query(tuple(given.items()), self.query.policy))

    @property
    def target(self) -> str:
        """The URL with the query."""
        separator = "&" if "?" in self.url else "?"
        return f"{self.url}{separator}{_encode(self.query.parameters)}" if self.query.parameters else self.url

    @property
    def content(self) -> str | None:
        """The body as JSON text."""
        return None if self.body is None else json.dumps(self.body)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must not be shown."""
        values = (value for name, value in self.query.parameters if name in _SECRET_PARAMETERS)
        return (self.headers.get(API_KEY_HEADER, ""), *values)


def _encode(parameters: Iterable[tuple[str, str]]) -> str:
    """Percent-encode parameters. The signature covers the text that is sent, so both use this."""
    return urlencode(list(parameters), quote_via=quote, safe="")
