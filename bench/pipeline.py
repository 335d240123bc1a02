"""The path from socket to user code: events per second, and the cost of a thousand accounts.

Every figure is compared with a plain `websockets` loop with `json.loads`: the same frames, the same server, alternating
rounds within one run. The server runs in a process of its own on loopback.
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
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from report import BenchTarget
from websockets.asyncio.client import connect

from binance_margin_stream import ApiKeyAuth, Endpoints
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import ExecutionReport
from binance_margin_stream.stream.settings import StreamSettings, with_limits
from binance_margin_stream.stream.sync_stream import MarginStream

SUBSCRIBE = {"id": "1", "method": "userDataStream.subscribe.listenToken", "params": {"listenToken": "cross:1"}}
ACCOUNT_COUNT = 1000


class StubServer:
    """The addresses of the stub exchange."""

    def __init__(self, rest: int, stream: int) -> None:
        self.rest = f"http://127.0.0.1:{rest}"
        self.stream = f"ws://127.0.0.1:{stream}"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.rest, self.stream, self.stream, self.stream)

    async def call(self, target: str) -> float:
        def get() -> bytes:
            with urllib.request.urlopen(self.rest + target, timeout=300) as response:
                return response.read()

        return float(json.loads(await asyncio.to_thread(get)) or 0)


@contextlib.contextmanager
def run_stub_exchange() -> Iterator[StubServer]:
    command = [sys.executable, str(Path(__file__).with_name("stub_exchange.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield StubServer(*json.loads(process.stdout.readline()))
        process.stdin.close()


def make_accounts(count: int) -> list[Account]:
    return [CROSS, *(isolated(f"X{number:04}USDT") for number in range(1, count))]


FAST_SETTINGS = with_limits(StreamSettings(rest_rate=2000, buffer_size=1_000_000), message_rate_factor=100)
"""Subscribes a thousand accounts at once, for measurements that do not include subscribing."""


@contextlib.asynccontextmanager
async def open_stream(
    server: StubServer, count: int, settings: StreamSettings = FAST_SETTINGS
) -> AsyncIterator[AsyncMarginStream]:
    auth = ApiKeyAuth("bench-key")
    async with AsyncMarginStream(auth, make_accounts(count), endpoints=server.endpoints, settings=settings) as stream:
        yield stream


async def measure_baseline(server: StubServer, events: int, parse: Callable[[bytes], object] = json.loads) -> float:
    """Events per second of a plain loop that parses JSON to a dict."""
    async with connect(server.stream, compression=None, max_queue=None) as socket:
        await socket.send(json.dumps(SUBSCRIBE))
        await socket.recv()
        burst = asyncio.create_task(server.call(f"/send-burst?events={events}&accounts=1"))
        await socket.recv()
        started = time.perf_counter()
        for _ in range(events - 1):
            parse(await socket.recv(decode=False))
        seconds = time.perf_counter() - started
        await burst
    return (events - 1) / seconds


async def measure_stream(server: StubServer, events: int, count: int) -> float:
    """Events per second of the stream, as typed events in user code."""
    async with open_stream(server, count) as stream:
        burst = asyncio.create_task(server.call(f"/send-burst?events={events}&accounts={count}"))
        await anext(stream)
        started = time.perf_counter()
        for _ in range(events - 1):
            assert type(await anext(stream)) is ExecutionReport
        seconds = time.perf_counter() - started
        await burst
    return (events - 1) / seconds


def measure_sync_stream(server: StubServer, events: int) -> float:
    """The same for the stream of programs with threads."""
    auth = ApiKeyAuth("bench-key")
    with (
        MarginStream(auth, endpoints=server.endpoints, settings=FAST_SETTINGS) as stream,
        ThreadPoolExecutor(1) as executor,
    ):
        executor.submit(asyncio.run, server.call(f"/send-burst?events={events}&accounts=1"))
        next(stream)
        started = time.perf_counter()
        for count, item in enumerate(stream, 1):
            assert type(item) is ExecutionReport
            if count == events - 1:
                break
        return (events - 1) / (time.perf_counter() - started)


async def measure_memory(server: StubServer) -> float:
    """Bytes of memory for each further account."""
    async with open_stream(server, 1) as stream:  # initializes everything that is shared
        await server.call("/send-burst?events=1&accounts=1")
        await anext(stream)
    sizes = []
    for count in (1, ACCOUNT_COUNT):
        gc.collect()
        tracemalloc.start()
        async with open_stream(server, count):
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    return (sizes[1] - sizes[0]) / (ACCOUNT_COUNT - 1)


async def measure_idle(server: StubServer, seconds: float) -> float:
    """The fraction of a core that a thousand idle accounts take."""
    async with open_stream(server, ACCOUNT_COUNT):
        await asyncio.sleep(2)
        before = time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - before) / seconds


async def measure_latency(server: StubServer, *, renewing: bool) -> tuple[float, float, float]:
    """p50 and p99 of the time from send to user code, in milliseconds, with a thousand accounts; and the renewals.

    With `renewing`, listen tokens expire after two minutes and the stream renews them with its default settings.
    """
    rate, seconds = 300, 80 if renewing else 20
    await server.call(f"/validity?ms={120_000 if renewing else 86_400_000}")
    before = await server.call("/renewals")
    latencies = []
    async with open_stream(server, ACCOUNT_COUNT, StreamSettings() if renewing else FAST_SETTINGS) as stream:
        sender = asyncio.create_task(
            server.call(f"/send-slowly?events={rate * seconds}&accounts={ACCOUNT_COUNT}&rate={rate}")
        )
        for _ in range(rate * seconds):
            event = await anext(stream)
            assert isinstance(event, ExecutionReport)
            latencies.append((time.monotonic_ns() - int(event.client_order_id or 0)) / 1e6)
        await sender
    await server.call("/validity?ms=86400000")
    return (
        statistics.median(latencies),
        statistics.quantiles(latencies, n=100)[98],
        await server.call("/renewals") - before,
    )


async def _measure_all(server: StubServer, events: int, rounds: int) -> list[BenchTarget]:
    turns = [
        (
            await measure_baseline(server, events),
            await measure_stream(server, events, 1),
            await measure_stream(server, events, ACCOUNT_COUNT),
            await measure_baseline(server, events, msgspec.json.decode),
            await asyncio.to_thread(measure_sync_stream, server, events),
        )
        for _ in range(rounds)
    ]
    baseline, one, _, _, _ = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(turn[1] / turn[0] for turn in turns)
    flat = statistics.median(turn[2] / turn[1] for turn in turns)
    limit = statistics.median(turn[3] / turn[0] for turn in turns)
    sync = statistics.median(turn[4] / turn[0] for turn in turns)
    kib, idle_cpu = await measure_memory(server) / 1024, await measure_idle(server, 20)
    quiet, busy = await measure_latency(server, renewing=False), await measure_latency(server, renewing=True)
    return [
        BenchTarget(
            "events per second to user code, relative to a plain `websockets` loop",
            f"{ratio:.2f} ({one:,.0f} against {baseline:,.0f})",
            "at least 1.15",
            ratio >= 1.15,
        ),
        BenchTarget("the same for `MarginStream`", f"{sync:.2f}", "at least 1.00", sync >= 1.00),
        BenchTarget("the same for a `websockets` loop with `msgspec.json.decode`", f"{limit:.2f}"),
        BenchTarget(f"the same with {ACCOUNT_COUNT} accounts, of one account", f"{flat:.2f}", "about 1", flat >= 0.85),
        BenchTarget("memory of a further account", f"{kib:.1f} KiB", "below 20 KiB", kib < 20),
        BenchTarget(f"idle CPU, {ACCOUNT_COUNT} accounts", f"{idle_cpu:.2%} of a core", "below 1 %", idle_cpu < 0.01),
        BenchTarget(
            f"latency with {ACCOUNT_COUNT} accounts, no renewals", f"p50 {quiet[0]:.2f} ms, p99 {quiet[1]:.2f} ms"
        ),
        BenchTarget(f"latency during renewals ({busy[2]:.0f} renewals)", f"p50 {busy[0]:.2f} ms, p99 {busy[1]:.2f} ms"),
    ]


def measure(events: int = 40_000, rounds: int = 5) -> list[BenchTarget]:
    """All figures of the path from socket to user code."""
    with run_stub_exchange() as server:
        return asyncio.run(_measure_all(server, events, rounds))
