"""From socket to user code: events a second, and what a thousand accounts cost.

The peer of every figure is a bare `websockets` loop with `json.loads`, on the same frames, from the same server, in
turns within one run. The server is a process of its own on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from report import Goal
from websockets.asyncio.client import connect

from binance_margin_stream import ApiKeyAuth, Endpoints
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import ExecutionReport
from binance_margin_stream.stream.settings import StreamSettings

SUBSCRIBE = {"id": "1", "method": "userDataStream.subscribe.listenToken", "params": {"listenToken": "cross:1"}}
MANY = 1000


class Server:
    """The exchange that does next to nothing, and its addresses."""

    def __init__(self, rest: int, stream: int) -> None:
        self.rest = f"http://127.0.0.1:{rest}"
        self.stream = f"ws://127.0.0.1:{stream}"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.rest, self.stream, self.stream, self.stream)

    async def ask(self, target: str) -> float:
        def get() -> bytes:
            with urllib.request.urlopen(self.rest + target, timeout=300) as answer:
                return answer.read()

        return float(json.loads(await asyncio.to_thread(get)) or 0)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    command = [sys.executable, str(Path(__file__).with_name("stub_exchange.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield Server(*json.loads(process.stdout.readline()))
        process.stdin.close()


def accounts(count: int) -> list[Account]:
    return [CROSS, *(isolated(f"X{number:04}USDT") for number in range(1, count))]


FAST = StreamSettings(rest_rate=2000, message_rate_factor=100, buffer_size=1_000_000)
"""Subscribes a thousand accounts at once, where that is not what is measured."""


@contextlib.asynccontextmanager
async def following(server: Server, count: int, rules: StreamSettings = FAST) -> AsyncIterator[AsyncMarginStream]:
    auth = ApiKeyAuth("bench-key")
    async with AsyncMarginStream(auth, accounts(count), endpoints=server.endpoints, settings=rules) as stream:
        yield stream


async def bare(server: Server, events: int) -> float:
    """Events a second of the plain loop."""
    async with connect(server.stream, compression=None, max_queue=None) as socket:
        await socket.send(json.dumps(SUBSCRIBE))
        await socket.recv()
        blast = asyncio.create_task(server.ask(f"/blast?events={events}&accounts=1"))
        await socket.recv()
        started = time.perf_counter()
        for _ in range(events - 1):
            json.loads(await socket.recv(decode=False))
        seconds = time.perf_counter() - started
        await blast
    return (events - 1) / seconds


async def ours(server: Server, events: int, count: int) -> float:
    """Events a second of the stream, as typed events in user code."""
    async with following(server, count) as stream:
        blast = asyncio.create_task(server.ask(f"/blast?events={events}&accounts={count}"))
        await anext(stream)
        started = time.perf_counter()
        for _ in range(events - 1):
            assert type(await anext(stream)) is ExecutionReport
        seconds = time.perf_counter() - started
        await blast
    return (events - 1) / seconds


async def memory(server: Server) -> float:
    """Bytes for each further account."""
    async with following(server, 1) as stream:  # what is built once for all is built now
        await server.ask("/blast?events=1&accounts=1")
        await anext(stream)
    held = []
    for count in (1, MANY):
        gc.collect()
        tracemalloc.start()
        async with following(server, count):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    return (held[1] - held[0]) / (MANY - 1)


async def idle(server: Server, seconds: float) -> float:
    """Part of a core that a thousand silent accounts take."""
    async with following(server, MANY):
        await asyncio.sleep(2)
        before = time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - before) / seconds


async def latency(server: Server, *, renewing: bool) -> tuple[float, float, float]:
    """p50 and p99 in milliseconds from send to user code, with a thousand accounts; and renewals meanwhile.

    Those that renew keep to the stream's own pace, and live for two minutes, so that all of them do so in time.
    """
    rate, seconds = 300, 80 if renewing else 20
    await server.ask(f"/validity?ms={120_000 if renewing else 86_400_000}")
    before = await server.ask("/renewals")
    taken = []
    async with following(server, MANY, StreamSettings() if renewing else FAST) as stream:
        drip = asyncio.create_task(server.ask(f"/drip?events={rate * seconds}&accounts={MANY}&rate={rate}"))
        for _ in range(rate * seconds):
            event = await anext(stream)
            taken.append((time.monotonic_ns() - int(event.client_order_id)) / 1e6)
        await drip
    await server.ask("/validity?ms=86400000")
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98], await server.ask("/renewals") - before


async def _measured(server: Server, events: int, rounds: int) -> list[Goal]:
    turns = [
        (await bare(server, events), await ours(server, events, 1), await ours(server, events, MANY))
        for _ in range(rounds)
    ]
    plain, one, _ = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(mine / its for its, mine, _ in turns)
    flat = statistics.median(thousand / single for _, single, thousand in turns)
    held, awake = await memory(server) / 1024, await idle(server, 20)
    quiet, busy = await latency(server, renewing=False), await latency(server, renewing=True)
    return [
        Goal(
            "events a second to user code, of a bare `websockets` loop",
            f"{ratio:.2f} ({one:,.0f} against {plain:,.0f})",
            "at least 0.60",
            ratio >= 0.60,
        ),
        Goal(f"the same with {MANY} accounts, of one account", f"{flat:.2f}", "about 1", flat >= 0.85),
        Goal("memory of a further account", f"{held:.1f} KiB", "below 20 KiB", held < 20),
        Goal(f"idle CPU, {MANY} accounts", f"{awake:.2%} of a core", "below 1 %", awake < 0.01),
        Goal(f"latency with {MANY} accounts, nobody renews", f"p50 {quiet[0]:.2f} ms, p99 {quiet[1]:.2f} ms"),
        Goal(f"latency while they renew ({busy[2]:.0f} renewals)", f"p50 {busy[0]:.2f} ms, p99 {busy[1]:.2f} ms"),
    ]


def measured(events: int = 40_000, rounds: int = 5) -> list[Goal]:
    """All figures of the way from socket to user code."""
    with running() as server:
        return asyncio.run(_measured(server, events, rounds))
