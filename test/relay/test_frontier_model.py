"""The frontier rule under every fault: a short exploration, and broken rules that it has to notice."""

from __future__ import annotations

from itertools import chain

import pytest

from simulation.frontier.explore import ExplorationReport, enumerate_schedules, random_schedules
from simulation.frontier.mutations import FRONTIER_MUTATIONS, FrontierMutation, find_frontier_violation
from simulation.frontier.run import FAULTS

QUICKLY_NOTICED = 400
SLOW = {
    "L - 1 in place of L",
    "K - 1 in place of K",
    "equal events are counted across connections",
    "the stream's held events are ignored",
}


def test_no_schedule_of_a_short_exploration_violates_a_property() -> None:
    report = ExplorationReport()
    for schedule in chain(random_schedules(150), enumerate_schedules(readers=1, most_faults=1)):
        report.add(schedule, schedule.play())
    assert report.violations == []
    assert set(report.faults) == set(FAULTS)
    assert report.gaps > 30


@pytest.mark.parametrize("mutation", [each for each in FRONTIER_MUTATIONS if each.name not in SLOW], ids=str)
def test_a_broken_rule_is_noticed(mutation: FrontierMutation) -> None:
    _, violation = find_frontier_violation(mutation, QUICKLY_NOTICED)
    assert violation is not None
    assert violation.rule in mutation.expected
