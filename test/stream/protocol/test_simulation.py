"""A few months of trouble, always the same: every property holds, and those who break a rule are noticed."""

from __future__ import annotations

import pytest

from simulation.mutations import BREAKS, broken, catch
from simulation.plan import plan_of
from simulation.scenario import Month
from simulation.soak import Report, play, smallest

QUICK = ("no gap after a loss", "no waiting during a ban", "connection attempts without backoff or limit")


@pytest.mark.parametrize("seed", [1, 2, 16, 23, 39, 118, 336, 370])
def test_every_property_holds(seed):
    outcome = play(seed)
    assert outcome.violation is None, str(outcome.violation)
    report = Report()
    report.add(outcome)
    assert report.figures.lost == report.figures.twice == 0
    assert report.figures.once + report.figures.covered == report.figures.events > 20


def test_a_seed_replays_exactly():
    first, second = (Month(plan_of(23), trace=True).play() for _ in range(2))
    assert first.trace == second.trace
    assert len(first.trace) > 50


@pytest.mark.parametrize("rule", [rule for rule in BREAKS if rule.name in QUICK], ids=lambda rule: rule.name)
def test_a_broken_rule_is_noticed_by_the_right_property(rule):
    found = catch(rule, most_seeds=10)
    assert found.is_right, f"{found.violation}"


def test_a_failing_month_is_cut_down_to_what_breaks_it():
    (rule,) = (rule for rule in BREAKS if rule.name == "no gap after a loss")
    with broken(rule):
        kept = smallest(23)
    assert len(kept) < len(plan_of(23).strikes)
    assert Month(plan_of(23).keeping(kept)).play().violation is None
