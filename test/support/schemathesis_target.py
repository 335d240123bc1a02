"""The spec as loaded by schemathesis, and a sandbox to check."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import requests.auth
import schemathesis
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

READ_TAGS = ("MarginAccount", "MarginOrders", "MarginRecords", "ServerTime")
"""Calls that the sandbox does not serve."""

SPEC = Path(__file__).parents[2] / "openapi" / "margin-stream.yaml"


TESTNET_SPEC = SPEC.with_name("margin-testnet.yaml")


def load_schema(*modes: GenerationMode, spec: Path = SPEC) -> OpenApiSchema:
    generation = GenerationConfig(modes=list(modes), deterministic=True, with_security_parameters=False)
    projects = ProjectsConfig(default=ProjectConfig(generation=generation))
    schema = schemathesis.openapi.from_path(spec, config=SchemathesisConfig(projects=projects))
    return schema.exclude(tag=list(READ_TAGS))


@dataclass(frozen=True)
class SchemathesisTarget:
    exchange: Sandbox
    session: requests.Session

    @property
    def auth_headers(self) -> dict[str, str]:
        """The header with the API key."""
        return {"X-MBX-APIKEY": self.exchange.api_key}


class SignedRequests(requests.auth.AuthBase):
    """Signs the query and body of every request with HMAC."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        target, _, query = str(request.url).partition("?")
        body = request.body or ""
        text = body.decode() if isinstance(body, bytes) else body
        signed = f"{query}&timestamp={time.time_ns() // 1_000_000}".lstrip("&")
        signature = hmac.new(self._secret.encode(), (signed + text).encode(), hashlib.sha256).hexdigest()
        request.url = f"{target}?{signed}&signature={signature}"
        return request


@contextmanager
def run_target() -> Iterator[SchemathesisTarget]:
    # Without limits: what is tested here are the calls, not how many of them are allowed.
    rules = ExchangeRules(
        retired_endpoints="served",
        ip_weight_limit=10**9,
        uid_weight_limit=10**9,
        websocket_api_weight_limit=10**9,
        order_limit_10_seconds=10**9,
        order_limit_day=10**9,
    )
    with Sandbox(rules=rules, seed=7) as exchange, requests.Session() as session:
        yield SchemathesisTarget(exchange, session)
