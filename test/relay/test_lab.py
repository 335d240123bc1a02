"""Relays as processes with faults: a short version of `make relay-lab`, and the demo."""

from __future__ import annotations

import subprocess
import sys

import pytest

from simulation.relay_lab.lab import run_scenario
from simulation.relay_lab.scenarios import SCENARIOS, SHORT


@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_doubled_by(name: str) -> None:
    scenario = SCENARIOS[name]
    result = run_scenario(name, scenario.settings, scenario.inject)
    assert result.comparison.happened > 500
    assert result.comparison.lost == ()
    assert result.comparison.doubled == ()
    assert (result.filled_gaps, result.steps_back) == (0, 0)


@pytest.mark.timeout(100)
def test_the_demo_loses_nothing_when_a_relay_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "binance_margin_stream.relay_demo"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"lost": 0, "doubled": 0, "gaps": 0' in done.stdout
