"""Check that files, threads, tasks and memory do not grow over many lost connections.

    python scripts/leak_check.py [--reconnects 10000] [--plot docs/reconnects.svg]

The stream runs in this process, the sandbox in another. Every 50 reconnects, after a garbage collection, the script
samples open files, threads, asyncio tasks, traced memory and resident memory. The exit code is 1 if the slope of a
straight line through all samples but the first fifth exceeds its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from binance_margin_stream import ApiKeyAuth, Endpoints
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import StreamGap
from binance_margin_stream.stream.settings import StreamSettings, with_limits
from binance_margin_stream.stream.state import State, StatusChange

SETTINGS = with_limits(
    StreamSettings(
        backoff_initial=0.001, backoff_max=0.002, connect_limit=1000, connect_window=1.0, rest_rate=1000.0,
        token_validity=30.0,
    ),
    message_rate_factor=100.0,
)  # fmt: skip
SAMPLE_EVERY = 50
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class TrackedResource:
    """Something that must not grow. `bound` is the most growth over 10,000 reconnects, in `unit`."""

    name: str
    unit: str
    measure: Callable[[], float]
    bound: float


TRACKED_RESOURCES = (
    TrackedResource("open files", "", lambda: len(os.listdir("/proc/self/fd")), 1),
    TrackedResource("threads", "", threading.active_count, 1),
    TrackedResource("tasks", "", lambda: len(asyncio.all_tasks()), 1),
    TrackedResource("traced memory", "MB", lambda: tracemalloc.get_traced_memory()[0] / MEGABYTE, 0.1),
    TrackedResource("resident memory", "MB", lambda: _resident_bytes() / MEGABYTE, 2),
)


@dataclass
class Samples:
    """The samples of each resource, and after how many reconnects they were taken."""

    at: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(
        default_factory=lambda: {resource.name: [] for resource in TRACKED_RESOURCES}
    )

    def record(self, reconnects: int) -> None:
        """Take a sample of each resource."""
        gc.collect()
        self.at.append(reconnects)
        for resource in TRACKED_RESOURCES:
            self.values[resource.name].append(resource.measure())

    def growth(self, resource: TrackedResource) -> float:
        """The growth over 10,000 reconnects, from a straight line through the samples after the warm-up."""
        warm = len(self.at) // 5
        return statistics.linear_regression(self.at[warm:], self.values[resource.name][warm:]).slope * 10_000

    def format_lines(self) -> Iterable[str]:
        """The figures, one line per resource."""
        for resource in TRACKED_RESOURCES:
            values = self.values[resource.name][len(self.at) // 5 :]
            text = f"{resource.name:16} {min(values):.3g} to {max(values):.3g} {resource.unit}"
            yield f"{text}; growth over 10,000 reconnects {self.growth(resource):+.3f} (at most {resource.bound})"


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_sandbox() -> None:
    """Run a sandbox: print its endpoints, and drop all connections for each line of input, in three ways by turns."""
    with Sandbox(rules=ExchangeRules(connection_attempt_limit=10**9, websocket_api_weight_limit=10**9)) as exchange:
        endpoints = exchange.endpoints
        print(json.dumps([exchange.api_key, endpoints.rest, endpoints.websocket_api, endpoints.stream]), flush=True)
        drop_kinds = ("reset", "close", "eof")
        for number, _ in enumerate(sys.stdin):
            exchange.change_balance("USDT", "-1" if number % 2 else "1")
            exchange.inject_fault(faults.DropConnections(drop_kinds[number % len(drop_kinds)]))


async def measure_reconnects(output: IO[str], commands: IO[str], reconnects: int) -> tuple[Samples, int]:
    """Lose `reconnects` connections. Returns the samples and the number of gaps."""
    key, rest, api, host = json.loads(output.readline())
    endpoints = Endpoints(rest=rest, websocket_api=api, stream=host, margin_stream=host)
    samples, gaps, losses = Samples(), 0, 0

    def count(change: StatusChange) -> None:
        nonlocal losses
        losses += change.kind == "connection lost"

    async def consume() -> None:
        nonlocal gaps
        async for item in stream:
            gaps += isinstance(item, StreamGap)

    stream = AsyncMarginStream(
        ApiKeyAuth(key), [CROSS, isolated("BTCUSDT")], endpoints=endpoints, settings=SETTINGS, on_change=count
    )
    async with stream:
        reader = asyncio.create_task(consume())
        for done in range(reconnects):
            if done % SAMPLE_EVERY == 0:
                samples.record(done)
            commands.write("drop\n")
            commands.flush()
            async with asyncio.timeout(30):
                while losses <= done or stream.state is not State.LIVE:
                    await asyncio.sleep(0.001)
        samples.record(reconnects)
    await reader
    return samples, gaps


def draw(samples: Samples, file: Path) -> None:
    """Draw one small chart, readable on a light and on a dark page."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "curves", "font.family": "sans-serif", "font.size": 9}
    mpl.rcParams |= dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), "#808080"
    )
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(TRACKED_RESOURCES), 1, sharex=True, figsize=(7, 6.5), layout="constrained")
    for resource, axis in zip(TRACKED_RESOURCES, axes, strict=True):
        values = samples.values[resource.name]
        axis.plot(samples.at, values, color="#2f81f7", linewidth=1.2)
        axis.set_ylim(0, max(values) * 1.3)
        axis.set_title(f"{resource.name} {f'({resource.unit})' if resource.unit else ''}", loc="left", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("reconnects")
    figure.savefig(file, transparent=True, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--reconnects", type=int, default=10_000)
    parser.add_argument("--plot", type=Path, help="plot the samples into this SVG file")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        run_sandbox()
        return 0
    tracemalloc.start()
    started = time.monotonic()
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as exchange:
        output, commands = cast(IO[str], exchange.stdout), cast(IO[str], exchange.stdin)
        samples, gaps = asyncio.run(measure_reconnects(output, commands, arguments.reconnects))
        exchange.communicate()
    print(f"{arguments.reconnects:,} reconnects in {time.monotonic() - started:.0f} s, {gaps:,} gaps reported")
    print(*samples.format_lines(), sep="\n")
    if arguments.plot is not None:
        draw(samples, arguments.plot)
    grown = [resource.name for resource in TRACKED_RESOURCES if abs(samples.growth(resource)) > resource.bound]
    print(f"growing: {', '.join(grown) or 'none'}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
