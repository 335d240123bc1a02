"""A few seconds of `make fuzz`, and what it says when an input breaks something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "fuzz" / "run.py"


def run_fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, RUN, *map(str, arguments)], capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize("target", ["frames", "rest", "stream"])
def test_nothing_breaks_in_a_second(target):
    done = run_fuzz("--target", target, "--minutes", 1 / 60)
    assert done.stdout.endswith("failing inputs: none\n"), done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("target", "data", "outcome"),
    [
        ("frames", b"[", "malformed"),
        ("rest", b"\x00HTTP/1.1 200 OK\r\n\r\n", "ResponseError"),
        ("stream", b't1\nf{"id": null, "status": 401, "error": {"code": -2015, "msg": "m"}}', "key rejected"),
    ],
)
def test_an_input_can_be_played_again(tmp_path, target, data, outcome):
    file = tmp_path / "input"
    file.write_bytes(data)
    assert run_fuzz("--target", target, "--replay", file).stdout.startswith(f"('{outcome}'")
