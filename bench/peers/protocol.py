"""What a contestant is asked, and how it answers: each runs in an interpreter of its own and prints lines of JSON.

    python bench/peers/ccxt_pro.py call http://127.0.0.1:8080

Standard library only, apart from urllib3 for `call`, which every contestant brings along.
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

KEY = "bench-key-of-nobody-0123456789-0123456789-0123456789-0123456789"
SECRET = "bench-secret-of-nobody"
BATCH, ROUNDS = 50, 40
ACCOUNTS = 50


class Contestant:
    """One library. What it cannot do stays as it is here, and `cannot` says why."""

    package = ""
    """Its name on PyPI."""
    imports: dict[str, str] = {}
    """What a program has to run before it has: the bare package, a REST client, a stream."""
    path = ""
    """The REST call that is timed: the one that gets what a stream needs."""

    def cannot(self) -> dict[str, str]:
        """The measurements that make no sense for it, with the reason."""
        return {}

    def call(self, url: str) -> Callable[[], object]:
        """One REST call, on connections that are kept."""
        raise NotImplementedError

    def decoder(self) -> Callable[[bytes], object]:
        """From the bytes of a frame to what user code gets."""
        raise NotImplementedError

    async def follow(self, places: dict[str, Any], handler: Handler) -> None:
        """Follow the cross margin account for ever."""
        raise NotImplementedError

    async def hold(self, places: dict[str, Any], symbols: list[str]) -> object:
        """Follow these isolated accounts for as long as the answer is kept."""
        raise NotImplementedError


def say(**what: object) -> None:
    """One line to the runner, with the time on the clock that all processes share."""
    os.write(1, json.dumps({"at": time.monotonic(), **what}).encode() + b"\n")


class Handler:
    """User code, as small as can be: it is handed events and tells the runner."""

    def __init__(self, counted: int | None) -> None:
        """`counted` events are told one by one when it is None, else only what they cost together."""
        self._left = counted
        self._counted = counted

    def event(self, number: int) -> None:
        """An execution report of the order with this number."""
        if self._left is None or self._counted is None:
            say(event=number)
            return
        if self._left == self._counted:
            say(event=number)
            self._started = time.process_time()
        self._left -= 1
        if self._left == 0:
            spent = time.process_time() - self._started
            say(cpu=spent / (self._counted - 1) * 1e6, kib=_resident())

    def told(self, what: str) -> None:
        """Anything else that user code is told."""
        say(told=what[:80])

    def raw(self, event: object) -> None:
        """An event with the exchange's own names."""
        if isinstance(event, dict) and event.get("e") == "executionReport":
            self.event(int(event["i"]))
        elif isinstance(event, dict):
            self.told(str(event.get("e") or event))


def _resident() -> int:
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def per_call(call: Callable[[], object]) -> tuple[float, float]:
    """Microseconds of CPU and of time, of one call."""
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(BATCH):
        call()
    return (time.process_time_ns() - cpu) / BATCH / 1000, (time.perf_counter_ns() - wall) / BATCH / 1000


def timed_call(contestant: Contestant, url: str) -> None:
    """The contestant and raw urllib3 in turns, in one process: the median of the ratios."""
    import urllib3

    pool = urllib3.PoolManager()
    target, headers = url + contestant.path, {"X-MBX-APIKEY": KEY}
    own, raw = contestant.call(url), lambda: pool.request("POST", target, headers=headers).json()
    turns = [(per_call(raw), per_call(own)) for _ in range(ROUNDS + 3)][3:]
    ratios = [statistics.median(mine[index] / its[index] for its, mine in turns) for index in (0, 1)]
    say(cpu=ratios[0], wall=ratios[1], microseconds=statistics.median(mine[0] for _, mine in turns))


def timed_decoding(contestant: Contestant, rounds: int) -> None:
    """The contestant and `json.loads` in turns, on frames from standard input."""
    frames = [line.encode() for line in sys.stdin.read().splitlines()]

    def mean(decode: Callable[[bytes], object]) -> float:
        start = time.perf_counter_ns()
        for frame in frames:
            decode(frame)
        return (time.perf_counter_ns() - start) / len(frames) / 1000

    own = contestant.decoder()
    turns = [(mean(json.loads), mean(own)) for _ in range(rounds + 1)][1:]
    say(
        ratio=statistics.median(mine / loads for loads, mine in turns),
        microseconds=statistics.median(t for _, t in turns),
    )


async def held(contestant: Contestant, places: dict[str, Any]) -> None:
    """What each of fifty accounts takes, once all that is built a single time is built."""
    kept = [await contestant.hold(places, ["X0000USDT"])]
    gc.collect()
    before = _resident()
    kept.append(await contestant.hold(places, [f"X{number:04}USDT" for number in range(1, ACCOUNTS + 1)]))
    gc.collect()
    say(kib=(_resident() - before) / ACCOUNTS)
    os._exit(0)  # what was opened here need not be closed in order


async def followed(contestant: Contestant, places: dict[str, Any]) -> None:
    """What ends the following is told, too: an exception is how many libraries say that something is wrong."""
    handler = Handler(places["counted"])
    try:
        await contestant.follow(places, handler)
    except Exception as error:
        handler.told(f"raises {type(error).__name__}")


def stay_on_this_machine() -> None:
    """Let no name but loopback's be looked up: some libraries call home, or the real exchange, when they start."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: object, *args: object, **options: object) -> object:
        if host not in ("127.0.0.1", "localhost", "::1"):
            raise socket.gaierror(socket.EAI_NONAME, "this measurement stays on loopback")
        return look_up(host, *args, **options)  # type: ignore[arg-type]

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]


def answer(contestant: Contestant) -> None:
    """Do what the command line asks."""
    stay_on_this_machine()
    command, *rest = sys.argv[1:]
    if command == "describe":
        say(version=version(contestant.package), imports=contestant.imports, cannot=contestant.cannot())
    elif command == "call":
        timed_call(contestant, rest[0])
    elif command == "decode":
        timed_decoding(contestant, int(rest[0]))
    elif command == "follow":
        asyncio.run(followed(contestant, json.loads(rest[0])))
    elif command == "hold":
        asyncio.run(held(contestant, json.loads(rest[0])))
    else:
        sys.exit(f"{command} is none of describe, call, decode, follow, hold")
