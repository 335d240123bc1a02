"""A NATS server for tests, and what talks to it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from binance_margin_stream.relay.broker.connection import BrokerConnection, BrokerOptions
from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
from binance_margin_stream.relay.broker.store import EventStore, StoreOptions
from binance_margin_stream.relay.subjects import Subjects

_numbers = itertools.count(1)


def make_store_options(**settings: Any) -> StoreOptions:
    """Names that no other test of this server uses."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "stream": f"EVENTS_{number}",
        "bucket": f"FRONTIER_{number}",
        "subjects": Subjects(f"test{number}.margin"),
    }
    return StoreOptions(**{**defaults, **settings})


@asynccontextmanager
async def connected(server: EmbeddedServer, **options: Any) -> AsyncIterator[BrokerConnection]:
    """A connection, for a while."""
    connection = BrokerConnection(BrokerOptions(servers=(server.url,), **options))
    await connection.connect()
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def opened_store(server: EmbeddedServer, options: StoreOptions | None = None) -> AsyncIterator[EventStore]:
    """A store of one's own, for a while."""
    async with connected(server) as connection:
        store = EventStore(connection, options or make_store_options())
        await store.open()
        yield store


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run the body of an asynchronous test."""
    asyncio.run(asyncio.wait_for(coroutine, 50))


async def wait_until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for something, and fail when it does not happen."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def restart(server: EmbeddedServer, directory: Path) -> EmbeddedServer:
    """A new server on the data and the port of one that was stopped."""
    return EmbeddedServer(directory, port=int(server.url.rpartition(":")[2])).start()
