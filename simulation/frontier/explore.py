"""Plays many schedules on all cores, and adds up."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from simulation.frontier.choices import RandomChoices, ScriptedChoices, enumerate_scripts
from simulation.frontier.run import FAULT_SLOTS, FAULTS, RunResult, play

__all__ = ["ExplorationReport", "Schedule", "enumerate_schedules", "explore", "random_schedules"]

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule: a seed, how many readers, and the faults unless they come from the seed, too."""

    seed: int
    readers: int
    faults: tuple[tuple[int, int], ...] | None = None

    def play(self) -> RunResult:
        """Play it."""
        if self.faults is None:
            return play(RandomChoices(self.seed), self.readers)
        return play(ScriptedChoices(dict(self.faults), self.seed), self.readers)


@dataclass(slots=True)
class ExplorationReport:
    """The figures of many schedules."""

    schedules: int = 0
    events: int = 0
    gaps: int = 0
    gap_milliseconds: int = 0
    stored_in_gaps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[Schedule, str]] = field(default_factory=list)

    def add(self, schedule: Schedule, result: RunResult) -> None:
        """Add one schedule."""
        self.schedules += 1
        self.events += result.events
        self.gaps += result.gaps
        self.gap_milliseconds += result.gap_milliseconds
        self.stored_in_gaps += result.stored_in_gaps
        self.faults.update(result.faults)
        if result.violation is not None:
            self.violations.append((schedule, str(result.violation)))

    def merge(self, other: ExplorationReport) -> None:
        """Add the figures of others."""
        self.schedules += other.schedules
        self.events += other.events
        self.gaps += other.gaps
        self.gap_milliseconds += other.gap_milliseconds
        self.stored_in_gaps += other.stored_in_gaps
        self.faults.update(other.faults)
        self.violations += other.violations

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {number:,}" for name, number in sorted(self.faults.items()))
        return (
            f"{self.schedules:,} schedules, {self.events:,} events, {self.gaps:,} gaps of "
            f"{self.gap_milliseconds:,} ms, {self.stored_in_gaps:,} events stored inside a gap, "
            f"{len(self.violations)} violations\nfaults: {faults}"
        )


def random_schedules(number: int, first: int = 0) -> Iterator[Schedule]:
    """Schedules from seeds, with one to three readers."""
    return (Schedule(seed, 1 + seed % 3) for seed in range(first, first + number))


def enumerate_schedules(readers: int, most_faults: int) -> Iterator[Schedule]:
    """Every schedule with so many faults at most: every kind, of every reader, at every time."""
    for number, script in enumerate(enumerate_scripts(FAULT_SLOTS, len(FAULTS) * readers + 1, most_faults)):
        yield Schedule(number, readers, tuple(script.items()))


def explore(schedules: Iterable[Schedule]) -> ExplorationReport:
    """Play schedules on all cores."""
    report = ExplorationReport()
    remaining = iter(schedules)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as executor:
        batches = iter(lambda: list(islice(remaining, _BATCH)), [])
        for part in executor.map(_play_batch, batches, chunksize=1):
            report.merge(part)
    return report


def _play_batch(batch: list[Schedule]) -> ExplorationReport:
    report = ExplorationReport()
    for schedule in batch:
        report.add(schedule, schedule.play())
    return report
