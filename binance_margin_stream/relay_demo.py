"""``make demo-relay``: two relays follow one account on a sandbox, one of them is killed, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from binance_margin_stream import CROSS, BalanceUpdate, StreamGap

if TYPE_CHECKING:
    from binance_margin_stream.relay import RelayReader
    from binance_margin_stream.sandbox import Sandbox

__all__ = ["main"]

_PAUSE = 0.05
_START_TIMEOUT = 20.0
_COVER_TIMEOUT = 20.0


class RelayDemoError(Exception):
    """A step did not do what it shows."""


def main() -> int:
    """Run the demo and return the exit code."""
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            _run_demo(stack)
    except KeyboardInterrupt:
        return 130
    except ImportError as error:
        print(f"{error.name} is missing: pip install 'binance-margin-stream[cli,relay,sandbox]'", file=sys.stderr)
        return 1
    except Exception as error:  # any failure becomes one line and an exit code
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    _print_step("done", f"in {time.monotonic() - started:.1f} s; nothing is left running")
    return 0


def _run_demo(stack: ExitStack) -> None:
    from binance_margin_stream.relay import BrokerOptions, RelayReader, RelayReaderOptions
    from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
    from binance_margin_stream.sandbox import Sandbox

    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-demo-")))
    exchange = stack.enter_context(Sandbox())
    server = stack.enter_context(EmbeddedServer(directory / "nats"))
    _print_step("sandbox", f"an exchange on {exchange.url}, and a NATS server on {server.url}")
    relays = [_Relay(number, exchange, server.url, directory, stack) for number in (1, 2)]
    for relay in relays:
        relay.wait_until_live()
    _print_step("relays", "two processes follow the cross account, and store its events in NATS")

    deposits = _Deposits(exchange)
    deposits.make(60)
    _print_step("deposits", f"{len(deposits.made)} deposits happened, every tenth of them twice in one millisecond")
    relays[0].kill()
    deposits.make(60)
    _print_step("kill -9", "the first relay is dead, and 60 more deposits happened")
    relays[0].start()
    relays[0].wait_until_live()
    deposits.make(40)
    _print_step("restart", "the first relay follows again, and 40 more deposits happened")

    options = RelayReaderOptions(broker=BrokerOptions(servers=(server.url,)), durable="demo")
    reader = stack.enter_context(RelayReader(options))
    _wait_until_covered(reader, exchange, deposits)
    _compare(reader, deposits)


class _Relay:
    def __init__(self, number: int, exchange: Sandbox, url: str, directory: Path, stack: ExitStack) -> None:
        self._number = number
        self._log = directory / f"relay{number}.log"
        self._command = [sys.executable, "-m", "binance_margin_stream", "relay", "--sandbox", exchange.url]
        self._command += ["--name", "demo", "--nats", url, "--health", "127.0.0.1:0"]
        self._command += ["--spool", str(directory / f"spool{number}")]
        self._environment = {**os.environ, "BINANCE_API_KEY": exchange.api_key}
        self._log_start = 0
        stack.callback(self.kill)
        self.start()

    def start(self) -> None:
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stderr=log)  # noqa: S603  # this program

    def wait_until_live(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while '"message": "live"' not in self._read_log():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RelayDemoError(f"relay {self._number} does not follow: {self._read_log()[-300:]}")
            time.sleep(0.05)

    def _read_log(self) -> str:
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


class _Deposits:
    def __init__(self, exchange: Sandbox) -> None:
        self._exchange = exchange
        self.made: Counter[str] = Counter()

    def make(self, number: int) -> None:
        for _ in range(number):
            event_time = self._exchange.now
            amount = str(len(self.made) + 1)
            event = {"e": "balanceUpdate", "E": event_time, "a": "USDT", "d": amount, "T": event_time}
            for _ in range(2 if len(self.made) % 10 == 0 else 1):
                self.made[amount] += 1
                self._exchange.send_event(event)
            time.sleep(_PAUSE)


def _wait_until_covered(reader: RelayReader, exchange: Sandbox, deposits: _Deposits) -> None:
    last, deadline = exchange.now, time.monotonic() + _COVER_TIMEOUT
    while True:
        covered = reader.read_coverage("demo", CROSS).get("orders")
        if covered is not None and covered.end >= last:
            _print_step(
                "coverage", f"everything in {(covered.end - covered.start) / 1000:.1f} s is stored, or in a gap"
            )
            return
        if time.monotonic() > deadline:
            raise RelayDemoError("the deposits are not known to be stored")
        deposits.make(4)


def _compare(reader: RelayReader, deposits: _Deposits) -> None:
    stored: Counter[str] = Counter()
    gaps = 0
    while True:
        try:
            each = reader.get(1.0)
        except TimeoutError:
            break
        gaps += isinstance(each.item, StreamGap)
        if isinstance(each.item, BalanceUpdate):
            stored[str(each.item.delta)] += 1
        reader.acknowledge(each)
    lost, doubled = deposits.made - stored, stored - deposits.made
    result = {"happened": deposits.made.total(), "stored": stored.total(), "lost": lost.total()}
    _print_step("compare", json.dumps(result | {"doubled": doubled.total(), "gaps": gaps}))
    if lost or doubled:
        raise RelayDemoError("a deposit is lost or stored twice")


def _print_step(name: str, text: str) -> None:
    print(f"{name:<10}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
