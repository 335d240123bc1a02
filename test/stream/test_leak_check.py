"""A short run of `make leak-check`: a resource that a lost connection leaves open shows at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "leak_check.py"


def test_a_lost_connection_leaves_no_file_thread_or_task(tmp_path):
    command = [sys.executable, SCRIPT, "--reconnects", "250", "--plot", tmp_path / "curves.svg"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55)
    *_, verdict = done.stdout.splitlines()
    assert verdict.startswith("growing: "), done.stderr
    assert not {"open files", "threads", "tasks"} & set(verdict.removeprefix("growing: ").split(", "))
    assert done.stdout.startswith("250 reconnects in ")
    assert "</svg>" in (tmp_path / "curves.svg").read_text()
