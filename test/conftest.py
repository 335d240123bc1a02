"""Fixtures for tests of the REST client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from api_methods import API_KEY
from raw_server import RawServer
from secret_leak_plugin import pytest_configure, pytest_runtest_makereport  # noqa: F401  # hooks

import binance_margin_stream as sdk

QUICK_RETRY = sdk.RetryPolicy(max_attempts=3, backoff_initial=0.001, backoff_max=0.002)


@pytest.fixture
def make_client() -> Iterator[Callable[..., sdk.ApiClient]]:
    """Creates clients of a server, and closes them."""
    with ExitStack() as stack:

        def make(peer: RawServer, **settings: Any) -> sdk.ApiClient:
            settings = {"auth": sdk.ApiKeyAuth(API_KEY), "retry": QUICK_RETRY, "timeout": sdk.Timeout(2, 2)} | settings
            return stack.enter_context(sdk.ApiClient(endpoints=peer.endpoints, **settings))

        yield make


@pytest.fixture
def start_server() -> Iterator[Callable[..., RawServer]]:
    """Starts servers that send the given responses, and stops them."""
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(RawServer(*script))
