"""The adapter interface of a client, and its command line. Each adapter prints its results as lines of JSON.

    python bench/peers/ccxt_pro.py call http://127.0.0.1:8080

Runs in the environment of the client, so it imports only the standard library, and urllib3 for `call`, which every
client depends on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

KEY = "bench-key-not-a-secret-0123456789-0123456789-0123456789-0123456789"
SECRET = "bench-secret-not-a-secret"
BATCH, ROUNDS = 50, 40
ACCOUNT_COUNT = 50


class ClientAdapter:
    """One client. `unsupported` gives the reason for each method that is not overridden."""

    package = ""
    """The name of its package on PyPI."""
    imports: dict[str, str] = {}
    """Programs that import the bare package, create a REST client, and create a stream."""
    rest_path = ""
    """The path of the REST call that is timed: it creates the credential of a stream."""

    def unsupported(self) -> dict[str, str]:
        """The measurements that do not apply to the client, with the reason."""
        return {}

    def make_call(self, url: str) -> Callable[[], object]:
        """A function that makes one REST call, on a kept connection."""
        raise NotImplementedError

    def make_decoder(self) -> Callable[[bytes], object]:
        """A function that turns the bytes of a frame into what user code receives."""
        raise NotImplementedError

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        """Follow the cross margin account until the process ends."""
        raise NotImplementedError

    async def open_idle_streams(self, config: dict[str, Any], symbols: list[str]) -> object:
        """Follow these isolated accounts for as long as the returned object is kept."""
        raise NotImplementedError


def print_line(**fields: object) -> None:
    """Print one line for the runner, with the time on the clock that all processes share."""
    os.write(1, json.dumps({"at": time.monotonic(), **fields}).encode() + b"\n")


class Handler:
    """Minimal user code: reports events and notifications to the runner."""

    def __init__(self, event_count: int | None) -> None:
        """Report each event if `event_count` is None, and otherwise the total cost of that many events."""
        self._remaining = event_count
        self._event_count = event_count

    def on_event(self, number: int) -> None:
        """An execution report arrived, with this order id."""
        if self._remaining is None or self._event_count is None:
            print_line(event=number)
            return
        if self._remaining == self._event_count:
            print_line(event=number)
            self._started = time.process_time()
        self._remaining -= 1
        if self._remaining == 0:
            spent = time.process_time() - self._started
            print_line(cpu=spent / (self._event_count - 1) * 1e6, kib=_resident_kib())

    def on_notice(self, notice: str) -> None:
        """User code was notified of something other than an event."""
        print_line(notice=notice[:80])

    def on_raw_event(self, event: object) -> None:
        """An event arrived, with the field names of the exchange."""
        if isinstance(event, dict) and event.get("e") == "executionReport":
            self.on_event(int(event["i"]))
        elif isinstance(event, dict):
            self.on_notice(str(event.get("e") or event))


def _resident_kib() -> int:
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def time_call(call: Callable[[], object]) -> tuple[float, float]:
    """The CPU time and the elapsed time of one call, in microseconds."""
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(BATCH):
        call()
    return (time.process_time_ns() - cpu) / BATCH / 1000, (time.perf_counter_ns() - wall) / BATCH / 1000


def measure_call(adapter: ClientAdapter, url: str) -> None:
    """Compare the client with plain urllib3, in one process and alternating rounds: the median of the ratios."""
    import urllib3

    pool = urllib3.PoolManager()
    target, headers = url + adapter.rest_path, {"X-MBX-APIKEY": KEY}
    own, raw = adapter.make_call(url), lambda: pool.request("POST", target, headers=headers).json()
    turns = [(time_call(raw), time_call(own)) for _ in range(ROUNDS + 3)][3:]
    ratios = [
        statistics.median(own_time[index] / reference[index] for reference, own_time in turns) for index in (0, 1)
    ]
    print_line(cpu=ratios[0], wall=ratios[1], microseconds=statistics.median(own_time[0] for _, own_time in turns))


def measure_decoding(adapter: ClientAdapter, rounds: int) -> None:
    """Compare the client with `json.loads`, in alternating rounds, on frames from standard input."""
    frames = [line.encode() for line in sys.stdin.read().splitlines()]

    def mean(decode: Callable[[bytes], object]) -> float:
        start = time.perf_counter_ns()
        for frame in frames:
            decode(frame)
        return (time.perf_counter_ns() - start) / len(frames) / 1000

    own = adapter.make_decoder()
    turns = [(mean(json.loads), mean(own)) for _ in range(rounds + 1)][1:]
    print_line(
        ratio=statistics.median(own_time / loads for loads, own_time in turns),
        microseconds=statistics.median(t for _, t in turns),
    )


async def measure_memory(adapter: ClientAdapter, config: dict[str, Any]) -> None:
    """The memory of each of fifty accounts, after one account has initialized everything that is shared."""
    streams = [await adapter.open_idle_streams(config, ["X0000USDT"])]
    gc.collect()
    before = _resident_kib()
    streams.append(
        await adapter.open_idle_streams(config, [f"X{number:04}USDT" for number in range(1, ACCOUNT_COUNT + 1)])
    )
    gc.collect()
    print_line(kib=(_resident_kib() - before) / ACCOUNT_COUNT)
    os._exit(0)  # skips an orderly close of the streams


async def run_follow(adapter: ClientAdapter, config: dict[str, Any]) -> None:
    """Follow the account. An exception counts as a notification, since many libraries report errors that way."""
    handler = Handler(config["counted"])
    try:
        await adapter.follow(config, handler)
    except Exception as error:
        handler.on_notice(f"raises {type(error).__name__}")


def block_external_hosts() -> None:
    """Resolve loopback names only: some libraries contact their vendor or the real exchange when they start."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: object, *args: object, **options: object) -> object:
        if host not in ("127.0.0.1", "localhost", "::1"):
            raise socket.gaierror(socket.EAI_NONAME, "this measurement uses loopback only")
        return look_up(host, *args, **options)  # type: ignore[arg-type]

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]


def run_adapter(adapter: ClientAdapter) -> None:
    """Run the command of the command line."""
    block_external_hosts()
    command, *rest = sys.argv[1:]
    if command == "describe":
        print_line(version=version(adapter.package), imports=adapter.imports, unsupported=adapter.unsupported())
    elif command == "call":
        measure_call(adapter, rest[0])
    elif command == "decode":
        measure_decoding(adapter, int(rest[0]))
    elif command == "follow":
        asyncio.run(run_follow(adapter, json.loads(rest[0])))
    elif command == "idle":
        asyncio.run(measure_memory(adapter, json.loads(rest[0])))
    else:
        sys.exit(f"unknown command {command}: use describe, call, decode, follow or idle")
