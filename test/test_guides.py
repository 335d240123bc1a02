"""The guides' programs and the examples run, and say what they are there to say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name.islower())
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{number}")
    for page in GUIDES
    for number, program in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    )
]
SAYS = {
    "follow": "0.50000000 BTCUSDT filled at 60000.00000000",
    "follow_async": "order 1 is FILLED",
    "many_accounts": "49 accounts on 1 connection",
    "reconcile": "booked -60.00000000, the exchange says -60",
    "watch": "alert   lost cross",
}


def run(*arguments: str) -> str:
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_guides_program_runs(program):
    assert run("-c", program)


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name):
    assert SAYS[name] in run(str(ROOT / "examples" / f"{name}.py"))


def test_every_example_is_run():
    assert {file.stem for file in (ROOT / "examples").glob("*.py")} == set(SAYS)
