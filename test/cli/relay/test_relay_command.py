"""The command `relay` refuses what cannot be, with one line and an exit code, before anything starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cli_program import run_cli

from binance_margin_stream.cli.runner import ExitCode

SANDBOX = ("relay", "--sandbox", "http://127.0.0.1:9")
KEY = {"BINANCE_API_KEY": "canary"}


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], ExitCode.USAGE, "--name NAME"),
        (["--name", "a", "--jobs", "x.yml"], ExitCode.USAGE, "--name NAME"),
        (["--name", "a", "--accounts", "spot", "--nats", "nats://127.0.0.1:1"], ExitCode.USAGE, "account"),
        (["--name", "a"], ExitCode.USAGE, "say where NATS is"),
        (["--name", "a", "--nats", "http://x"], ExitCode.USAGE, "nats://"),
        (["--name", "a", "--nats", "nats://u:canary-password@127.0.0.1"], ExitCode.USAGE, "NATS_URL"),
        (["--name", "a", "--nats", "nats://127.0.0.1:1", "--health", "8651"], ExitCode.USAGE, "HOST:PORT"),
        (["--jobs", "/nowhere/keys.yml"], ExitCode.BAD_PARAMETER, "cannot read /nowhere/keys.yml"),
        (["--name", "a", "--embedded", "/proc/x", "--nats", "nats://h"], ExitCode.USAGE, "not both"),
        (["--name", "a", "--embedded", "/proc/x"], ExitCode.RELAY_REFUSED, "cannot use the directory /proc/x"),
        (
            ["--name", "a", "--nats", "nats://127.0.0.1", "--hole-wait", "1"],
            ExitCode.USAGE,
            "hole_wait has to be above",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments: list[str], code: ExitCode, text: str) -> None:
    done = run_cli(*SANDBOX, *arguments, **KEY)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "canary" not in done.stderr


def test_a_missing_key_is_reported_before_nats_is_asked() -> None:
    done = run_cli(*SANDBOX, "--name", "a", "--nats", "nats://127.0.0.1:1")
    assert done.returncode == ExitCode.NO_KEY


def test_a_server_that_is_away_at_the_start_is_an_error_to_try_again(closed_port: int) -> None:
    done = run_cli(*SANDBOX, "--name", "a", "--nats", f"nats://127.0.0.1:{closed_port}", **KEY)
    assert done.returncode == ExitCode.UNREACHABLE
    assert f"no NATS server at 127.0.0.1:{closed_port}" in done.stderr


def test_mistakes_of_a_job_file_are_named_together(tmp_path: Path) -> None:
    path = tmp_path / "keys.yml"
    path.write_text("jobs:\n- {name: a, api_key: canary}\n- {name: b, api_key: 'env:B', replicas: 9}\n")
    done = run_cli(*SANDBOX, "--jobs", str(path), "--nats", "nats://127.0.0.1:1")
    assert done.returncode == ExitCode.BAD_PARAMETER
    assert "job 'a': a secret is given as env:NAME" in done.stderr
    assert "job 'b': replicas is 1 to 3" in done.stderr
    assert "canary" not in done.stderr
