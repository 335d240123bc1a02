"""A NATS server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One server for all tests of a process; each test uses names of its own."""
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        yield server
