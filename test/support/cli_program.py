"""Run the command line as users do: as a program."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from binance_margin_stream.sandbox import Sandbox

# Warnings are errors, except for that of the retired call.
_WARNINGS = ["-W", "error", "-W", "ignore:POST /sapi/v1/userDataStream"]
PROGRAM = [sys.executable, *_WARNINGS, "-m", "binance_margin_stream"]
DEADLINE = 20.0
_CLEARED_VARIABLES = (
    "BINANCE_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "COLUMNS",
    "LINES",
    "TERM",
    "FORCE_COLOR",
    "NO_COLOR",
)
_NEW_PICTURE = re.compile(r"\x1b\[(H|\?1049[hl])")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

CompletedProgram = subprocess.CompletedProcess[str]


def build_environment(exchange: Sandbox | None = None, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment without the developer's keys and terminal, with those of the sandbox if there is one."""
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(_CLEARED_VARIABLES)}
    if exchange is not None:
        clean |= {"BINANCE_API_KEY": exchange.api_key, "BINANCE_MARGIN_STREAM_EXCHANGE": exchange.url}
    return clean | {"PYTHONUNBUFFERED": "1"} | dict(overrides or {})


def run_cli(*arguments: str, exchange: Sandbox | None = None, stdin: str = "", **more: str) -> CompletedProgram:
    """Run it until it ends."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=build_environment(exchange, more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@contextmanager
def start_cli(*arguments: str, exchange: Sandbox, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Start the program with its output in pipes; kill it afterwards."""
    command = [*PROGRAM, *arguments]
    with subprocess.Popen(
        command,
        env=build_environment(exchange),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def count_subscribers(exchange: Sandbox) -> int:
    """Return how many subscriptions receive events of the cross account."""
    return exchange.send_event({"e": "unheardOf", "E": 1})


class Terminal:
    """The program in a pseudo-terminal."""

    def __init__(self, *arguments: str, exchange: Sandbox | None = None, columns: int = 80, **more: str) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns)
        self.raw = ""
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=build_environment(exchange, {"TERM": "xterm-256color", **more}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self._master)

    @property
    def text(self) -> str:
        """Its output so far, without colours."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 65_536)
            except OSError:  # the program has ended
                break
            if not data:
                break
            self.raw += data.decode()
        return _ESCAPE.sub("", _NEW_PICTURE.sub("\n", self.raw))

    def resize(self, columns: int) -> None:
        """Change the width."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def clear(self) -> None:
        """Forget the output so far, and that of the half second in which the program may not know its size."""
        time.sleep(0.5)
        assert self.text
        self.raw = ""

    def wait_for(self, text: str) -> None:
        """Wait until the output contains `text`."""
        wait_until(lambda: text in self.text, text)

    def wait_for_exit(self) -> int:
        """Wait for the exit code, and read the output until then, so that the program cannot block."""
        wait_until(lambda: bool(self.text) and self.process.poll() is not None, "the end")
        return self.process.returncode
