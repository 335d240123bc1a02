"""Relays and NATS servers as processes of the lab."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer, find_server_program

__all__ = ["NatsCluster", "NatsServer", "RelayChild", "wait_for"]

_DEADLINE = 60.0


def wait_for(condition: Callable[[], bool], what: str, timeout: float = _DEADLINE) -> float:
    """Wait, and return the seconds that it took. Raises `TimeoutError`."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - started


@dataclass
class RelayChild:
    """One relay process, which may be killed and started again."""

    config: dict[str, object]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    _process: subprocess.Popen[bytes] | None = None
    _port: int | None = None
    _log_start: int = 0

    def start(self) -> None:
        """Start it."""
        self._port = None
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "simulation.relay_lab.relay_process", json.dumps(self.config)],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self, timeout: float = 40) -> int:
        """SIGTERM; the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(10)

    def read_health(self) -> dict[str, object]:
        """The health page, empty where it cannot be had."""
        port = self._find_port()
        return json.loads(_fetch(f"http://127.0.0.1:{port}/health") or "{}") if port is not None else {}

    def read_metrics(self) -> dict[str, float]:
        """The metrics without labels, empty where they cannot be had."""
        port = self._find_port()
        text = _fetch(f"http://127.0.0.1:{port}/metrics") if port is not None else ""
        found = re.findall(r"^binance_margin_relay_(\w+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    @property
    def is_healthy(self) -> bool:
        """Whether it says so."""
        return self.read_health().get("healthy") is True

    def _find_port(self) -> int | None:
        if self._port is None and self.log.exists():
            text = self.log.read_bytes()[self._log_start :].decode(errors="replace")
            found = re.findall(r"health and metrics on port (\d+)", text)
            self._port = int(found[-1]) if found else None
        return self._port


def _fetch(url: str) -> str:
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return str(response.read().decode())
    except HTTPError as error:
        with error:
            return str(error.read().decode())
    except OSError:
        return ""


class NatsServer:
    """One server that is started again on its data and its port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = EmbeddedServer(directory).start()
        self.urls = [self._server.url]

    def kill(self) -> None:
        """End it without warning."""
        if self._server.pid is not None:
            os.kill(self._server.pid, signal.SIGKILL)
            self._server.stop()

    def restart(self) -> None:
        """Start it again."""
        self._server = EmbeddedServer(self._directory, port=int(self.urls[0].rpartition(":")[2])).start()

    def stop(self) -> None:
        """End it."""
        self._server.stop()


def _find_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class NatsCluster:
    """Three servers with three copies of everything."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = _find_ports(6)
        self._ports, self._routes = ports[:3], ports[3:]
        self.urls = [f"nats://127.0.0.1:{port}" for port in self._ports]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(3):
            self.start_node(number)

    def start_node(self, number: int) -> None:
        """Start one server, or start it again."""
        directory = self._directory / f"n{number}"
        directory.mkdir(parents=True, exist_ok=True)
        routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in self._routes)
        (directory / "server.conf").write_text(
            f'server_name: n{number}\nlisten: "127.0.0.1:{self._ports[number]}"\n'
            f"jetstream {{ store_dir: {json.dumps(str(directory))}, sync_interval: always }}\n"
            f'cluster {{ name: lab, listen: "127.0.0.1:{self._routes[number]}", routes: [{routes}] }}\n'
        )
        with (directory / "server.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(  # noqa: S603  # a program of our own environment
                [find_server_program(), "-c", str(directory / "server.conf")], stdout=log, stderr=log
            )

    def kill_node(self, number: int) -> None:
        """End one server without warning."""
        self._processes[number].kill()
        self._processes[number].wait(10)

    def stop(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
