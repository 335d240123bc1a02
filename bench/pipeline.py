"""From socket to user code: events a second, and what a thousand accounts cost.

    python bench/pipeline.py [--events 40000] [--rounds 5]

The peer of every figure is a bare `websockets` loop with `json.loads`, on the same frames, from the same server, in
turns within one run. The server is a process of its own on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from websockets.asyncio.client import connect

from binance_margin_stream import ApiKeyAuth, Endpoints
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.events import ExecutionReport
from binance_margin_stream.stream.rules import StreamRules
from binance_margin_stream.stream.session import AsyncMarginStream

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
    command = [sys.executable, str(Path(__file__).with_name("exchange.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield Server(*json.loads(process.stdout.readline()))
        process.stdin.close()


def accounts(count: int) -> list[Account]:
    return [CROSS, *(isolated(f"X{number:04}USDT") for number in range(1, count))]


FAST = StreamRules(rest_rate=2000, message_speed=100, buffered=1_000_000)
"""Subscribes a thousand accounts at once, where that is not what is measured."""


@contextlib.asynccontextmanager
async def following(server: Server, count: int, rules: StreamRules = FAST) -> AsyncIterator[AsyncMarginStream]:
    auth = ApiKeyAuth("bench-key")
    async with AsyncMarginStream(auth, accounts(count), endpoints=server.endpoints, rules=rules) as stream:
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
    async with following(server, MANY, StreamRules() if renewing else FAST) as stream:
        drip = asyncio.create_task(server.ask(f"/drip?events={rate * seconds}&accounts={MANY}&rate={rate}"))
        for _ in range(rate * seconds):
            event = await anext(stream)
            taken.append((time.monotonic_ns() - int(event.client_order_id)) / 1e6)
        await drip
    await server.ask("/validity?ms=86400000")
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98], await server.ask("/renewals") - before


async def measure(server: Server, events: int, rounds: int) -> None:
    turns = [
        (await bare(server, events), await ours(server, events, 1), await ours(server, events, MANY))
        for _ in range(rounds)
    ]
    plain, one, many = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(mine / its for its, mine, _ in turns)
    print(f"bare websockets + json.loads   {plain:8.0f} events/s")
    print(f"stream, 1 account              {one:8.0f} events/s   {ratio:.2f} of bare (goal >= 0.60)")
    flat = statistics.median(thousand / single for _, single, thousand in turns)
    print(f"stream, {MANY} accounts          {many:8.0f} events/s   {flat:.2f} of one account (goal: flat)")
    print(f"memory of a further account    {await memory(server) / 1024:8.1f} KiB (goal < 20)")
    print(f"idle CPU, {MANY} accounts        {await idle(server, 20):8.2%} of a core (goal < 1 %)")
    quiet, busy = await latency(server, renewing=False), await latency(server, renewing=True)
    print(f"latency, nobody renews         p50 {quiet[0]:.2f} ms, p99 {quiet[1]:.2f} ms")
    print(
        f"latency, all renew             p50 {busy[0]:.2f} ms, p99 {busy[1]:.2f} ms, {busy[2]:.0f} renewals meanwhile"
    )
    print(f"peak memory of the run         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with running() as server:
        asyncio.run(measure(server, asked.events, asked.rounds))


if __name__ == "__main__":
    main()
