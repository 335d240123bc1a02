"""A running sandbox, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_client import SandboxClient

from binance_margin_stream.sandbox import ExchangeRules, Sandbox


@pytest.fixture
def exchange() -> Iterator[Sandbox]:
    rules = ExchangeRules(retired_endpoints="served", listen_key_characters="base64")
    with Sandbox(rules=rules) as exchange:
        yield exchange


@pytest.fixture
def client(exchange: Sandbox) -> SandboxClient:
    return SandboxClient(exchange)


@pytest.fixture
def paused_client() -> Iterator[SandboxClient]:
    """A client of an exchange whose time is paused."""
    with Sandbox(rules=ExchangeRules(retired_endpoints="served"), speed=0, start_ms=1_795_381_200_000) as exchange:
        yield SandboxClient(exchange)
