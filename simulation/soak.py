"""Plays many months on all cores, adds up, and reports."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from simulation.delivery_checker import Figures
from simulation.plan import plan_of
from simulation.result import Outcome
from simulation.scenario import Month

__all__ = ["Report", "be_quiet", "explain", "play", "play_all", "smallest"]

_LONGEST_SHRINKING = 60.0
_COLLECT_EVERY = 8


@dataclass
class Report:
    """The figures of many months."""

    figures: Figures = field(default_factory=Figures)
    struck: Counter[str] = field(default_factory=Counter)
    months: int = 0
    steps: int = 0
    seconds: float = 0.0
    longest_recovery: float = 0.0
    busiest_minute: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Add one month."""
        self.months += 1
        self.steps += outcome.steps
        self.seconds += outcome.seconds
        self.figures.add(outcome.figures)
        self.struck.update(outcome.struck)
        self.longest_recovery = max(self.longest_recovery, outcome.longest_recovery)
        self.busiest_minute = max(self.busiest_minute, outcome.busiest_minute)
        if outcome.violation is not None:
            self.violations.append((outcome.seed, str(outcome.violation)))

    def __str__(self) -> str:
        figures = self.figures
        faults = ", ".join(f"{name} {number:,}" for name, number in sorted(self.struck.items()))
        return "\n".join(
            (
                f"events sent                  {figures.events:>12,}",
                f"delivered once               {figures.once:>12,}",
                f"covered by a gap             {figures.covered:>12,}",
                f"lost in silence              {figures.lost:>12,}",
                f"delivered twice              {figures.twice:>12,}",
                f"gaps reported                {figures.gaps:>12,}",
                f"longest recovery             {self.longest_recovery:>11.1f} s after the last fault",
                f"most REST calls in a minute  {self.busiest_minute:>12,}",
                f"faults                       {self.struck.total():>12,}: {faults}",
            )
        )


def be_quiet() -> None:
    """Log nothing: there would be a warning for each fault."""
    logging.disable(logging.CRITICAL)


def play(seed: int) -> Outcome:
    """The month of a seed. What it leaves behind is collected after some months: that takes a tenth less time."""
    began = time.process_time()
    gc.disable()
    try:
        outcome = Month(plan_of(seed)).play()
    finally:
        gc.enable()
        if seed % _COLLECT_EVERY == 0:
            gc.collect()
    outcome.seconds = time.process_time() - began
    return outcome


def play_all(seeds: Sequence[int], workers: int | None = None) -> Report:
    """Play every seed, on all cores."""
    report = Report()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context, initializer=be_quiet) as pool:
        for outcome in pool.map(play, seeds, chunksize=8):
            report.add(outcome)
    return report


def smallest(seed: int) -> list[int]:
    """The fewest strikes of a failing seed's month that still break the same property, by their numbers.

    Takes out ever smaller parts, as long as the same property is violated without them; stops after a minute.
    """
    plan = plan_of(seed)
    kept = list(range(len(plan.strikes)))
    whole = Month(plan).play().violation
    if whole is None:
        return kept
    deadline = time.monotonic() + _LONGEST_SHRINKING
    size = max(1, len(kept) // 2)
    while time.monotonic() < deadline:
        fewer = next((less for less in _without(kept, size) if _breaks(seed, less, whole.number, deadline)), None)
        if fewer is not None:
            kept = fewer
        elif size == 1:
            break
        size = max(1, min(size if fewer is not None else size // 2, len(kept)))
    return kept


def _without(kept: Sequence[int], size: int) -> Iterable[list[int]]:
    for start in range(0, len(kept), size):
        yield [*kept[:start], *kept[start + size :]]


def _breaks(seed: int, kept: Sequence[int], number: int, deadline: float) -> bool:
    if time.monotonic() > deadline:
        return False
    violation = Month(plan_of(seed).keeping(kept)).play().violation
    return violation is not None and violation.number == number


def explain(seed: int) -> str:
    """The smallest plan that still fails, and the command that replays it with a trace."""
    kept = smallest(seed)
    plan = plan_of(seed)
    numbers = ",".join(map(str, kept)) or "none"
    lines = [f"smallest plan that breaks it: {len(kept)} of {len(plan.strikes)} strikes, followed by {plan.way}"]
    lines += [f"  {index}: {plan.strikes[index]}" for index in kept]
    lines += [f"replay it: .venv/bin/python -m simulation replay {seed} --keep {numbers}"]
    return "\n".join(lines)
