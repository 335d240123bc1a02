"""The command `relay` as a process: embedded server, health, JSON log, SIGTERM, and what is stored."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from cli_program import PROGRAM, build_environment, run_cli, wait_until

from binance_margin_stream import CROSS, BalanceUpdate
from binance_margin_stream.cli.runner import ExitCode
from binance_margin_stream.relay import BrokerOptions, RelayReader, RelayReaderOptions
from binance_margin_stream.sandbox import Sandbox


class RunningRelay:
    def __init__(self, process: subprocess.Popen[bytes], log: Path, start: int) -> None:
        self.process = process
        self._log = log
        self._start = start

    @property
    def lines(self) -> list[dict[str, str]]:
        whole = self._log.read_bytes()[self._start :].decode().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def find(self, pattern: str) -> str | None:
        return next((found[1] for line in self.lines if (found := re.search(pattern, line["message"]))), None)

    def wait_for(self, pattern: str) -> str:
        wait_until(lambda: self.find(pattern) is not None or self.process.poll() is not None, pattern)
        found = self.find(pattern)
        assert found is not None, self.lines
        return found

    def fetch(self, path: str) -> str:
        port = self.wait_for(r"metrics on port (\d+)")
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return str(response.read().decode())


@contextmanager
def start_relay(exchange: Sandbox, log: Path, *arguments: str) -> Iterator[RunningRelay]:
    start = log.stat().st_size if log.exists() else 0
    command = [*PROGRAM, "relay", "--name", "desk", "--health", "127.0.0.1:0", *arguments]
    with log.open("ab") as output, subprocess.Popen(command, env=build_environment(exchange), stderr=output) as process:
        try:
            yield RunningRelay(process, log, start)
        finally:
            process.terminate()  # so that the embedded server ends, too
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def read_deltas(url: str, durable: str) -> list[str]:
    options = RelayReaderOptions(broker=BrokerOptions(servers=(url,)), durable=durable)
    deltas = []
    with RelayReader(options) as reader:
        while True:
            try:
                item = reader.get(0.5)
            except TimeoutError:
                return deltas
            if isinstance(item.item, BalanceUpdate):
                deltas.append(str(int(item.item.delta)))
            reader.acknowledge(item)


def test_a_relay_stores_events_and_ends_on_sigterm_when_they_are_stored(tmp_path: Path) -> None:
    log, nats = tmp_path / "log", tmp_path / "nats"
    with Sandbox() as exchange:
        with start_relay(exchange, log, "--embedded", str(nats), "--embedded-port", "0") as relay:
            relay.wait_for(r"^(live)$")
            url = relay.wait_for(r"NATS server listens on (\S+)")
            for number in range(20):
                exchange.change_balance("USDT", number + 1)
            sent = exchange.metrics.events_sent
            wait_until(lambda: f"binance_margin_relay_stored_total {sent}.0" in relay.fetch("/metrics"), "stored")
            wait_until(lambda: json.loads(relay.fetch("/health"))["healthy"] is True, "healthy")
            assert read_deltas(url, "one") == [str(number + 1) for number in range(20)]
            relay.process.send_signal(signal.SIGTERM)
            assert relay.process.wait(15) == ExitCode.SUCCESS
        assert exchange.api_key not in log.read_text()
        assert not (nats / "server.pid").exists()
        with start_relay(exchange, log, "--embedded", str(nats), "--embedded-port", "0") as again:
            again.wait_for(r"^(live)$")
            url = again.wait_for(r"NATS server listens on (\S+)")
            assert len(read_deltas(url, "two")) == 20
            again.process.send_signal(signal.SIGTERM)
            assert again.process.wait(15) == ExitCode.SUCCESS


def test_a_quiet_account_is_covered_by_pings(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ["--latency-bound", "50", "--clock-error-bound", "200", "--hole-wait", "30"]
    with (
        Sandbox() as exchange,
        start_relay(exchange, log, "--embedded", str(tmp_path / "nats"), "--embedded-port", "0", *arguments) as relay,
    ):
        relay.wait_for(r"^(live)$")
        url = relay.wait_for(r"NATS server listens on (\S+)")
        with RelayReader(RelayReaderOptions(broker=BrokerOptions(servers=(url,)), durable="x")) as reader:
            wait_until(lambda: bool(reader.read_coverage("desk", CROSS)), "coverage without an event")


def test_a_directory_belongs_to_one_relay(tmp_path: Path) -> None:
    log, spool = tmp_path / "log", tmp_path / "nats"
    with Sandbox() as exchange, start_relay(exchange, log, "--embedded", str(spool), "--embedded-port", "0") as relay:
        relay.wait_for(r"NATS server listens on (\S+)")
        second = run_cli("relay", "--name", "a", "--embedded", str(spool), "--embedded-port", "0", exchange=exchange)
        assert second.returncode == ExitCode.RELAY_REFUSED
        assert "another relay uses the directory" in second.stderr


def test_a_rejected_key_ends_the_process_with_its_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Sandbox() as exchange:
        exchange.revoke_api_key()
        arguments = ["--embedded", str(tmp_path / "nats"), "--embedded-port", "0"]
        with start_relay(exchange, log, *arguments) as relay:
            assert relay.process.wait(20) == ExitCode.KEY_REJECTED
