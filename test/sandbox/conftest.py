"""A running sandbox, and clients for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from sandbox_client import SandboxClient
from trading_client import TradingClient

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


@pytest.fixture
def make_trader() -> Iterator[Callable[..., TradingClient]]:
    """Starts sandboxes with rules, and returns a client that trades on each."""
    with ExitStack() as stack:

        def make(*, speed: float = 1.0, **rules: object) -> TradingClient:
            exchange = stack.enter_context(Sandbox(rules=ExchangeRules(**rules), speed=speed))  # type: ignore[arg-type]
            return stack.enter_context(closing(TradingClient(exchange)))

        yield make


@pytest.fixture
def trader(make_trader: Callable[..., TradingClient]) -> TradingClient:
    return make_trader()
