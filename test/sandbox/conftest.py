"""A running sandbox, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_client import Client

from binance_margin_stream.sandbox import Rules, Sandbox


@pytest.fixture
def exchange() -> Iterator[Sandbox]:
    with Sandbox(rules=Rules(retired_calls="served")) as exchange:
        yield exchange


@pytest.fixture
def client(exchange: Sandbox) -> Client:
    return Client(exchange)


@pytest.fixture
def standing() -> Iterator[Client]:
    """A client of an exchange whose time stands still."""
    with Sandbox(rules=Rules(retired_calls="served"), speed=0, start_ms=1_795_381_200_000) as exchange:
        yield Client(exchange)
