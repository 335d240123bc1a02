"""A few simulated months: every property holds, and mutations of the state machine are detected."""

from __future__ import annotations

import pytest

from simulation.mutations import MUTATIONS, find_violation, mutated
from simulation.plan import make_plan
from simulation.scenario import SimulatedMonth
from simulation.soak import SoakReport, run_seed, shrink

QUICK = ("no gap after a loss", "no waiting during a ban", "connection attempts without backoff or limit")


@pytest.mark.parametrize("seed", [1, 2, 16, 23, 39, 72, 91, 119, 336, 370])
def test_every_property_holds(seed):
    result = run_seed(seed)
    assert result.violation is None, str(result.violation)
    report = SoakReport()
    report.add(result)
    assert report.totals.lost == report.totals.delivered_twice == 0
    assert report.totals.delivered_once + report.totals.covered_by_gap == report.totals.events > 20


def test_a_seed_replays_exactly():
    first, second = (SimulatedMonth(make_plan(23), trace=True).run() for _ in range(2))
    assert first.trace == second.trace
    assert len(first.trace) > 50


@pytest.mark.parametrize(
    "mutation", [mutation for mutation in MUTATIONS if mutation.name in QUICK], ids=lambda mutation: mutation.name
)
def test_a_mutation_is_detected_by_an_expected_property(mutation):
    found = find_violation(mutation, max_seeds=10)
    assert found.is_detected, f"{found.violation}"


def test_a_failing_month_is_shrunk_to_the_faults_that_make_it_fail():
    (mutation,) = (mutation for mutation in MUTATIONS if mutation.name == "no gap after a loss")
    with mutated(mutation):
        indexes = shrink(23)
    assert len(indexes) < len(make_plan(23).faults)
    assert SimulatedMonth(make_plan(23).select_faults(indexes)).run().violation is None
