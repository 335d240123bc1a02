"""Runs many months on all cores, reports the totals, and shrinks a failing month."""

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

from simulation.checks import SimulationResult, Totals
from simulation.plan import make_plan
from simulation.scenario import SimulatedMonth

__all__ = ["SoakReport", "explain", "run_seed", "run_seeds", "shrink", "silence_logs"]

_SHRINK_TIMEOUT = 60.0
_GC_INTERVAL = 8


@dataclass
class SoakReport:
    """The totals of many months."""

    totals: Totals = field(default_factory=Totals)
    fault_counts: Counter[str] = field(default_factory=Counter)
    months: int = 0
    steps: int = 0
    cpu_seconds: float = 0.0
    longest_recovery: float = 0.0
    peak_calls_per_minute: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, result: SimulationResult) -> None:
        """Add the result of one month."""
        self.months += 1
        self.steps += result.steps
        self.cpu_seconds += result.cpu_seconds
        self.totals.add(result.totals)
        self.fault_counts.update(result.fault_counts)
        self.longest_recovery = max(self.longest_recovery, result.longest_recovery)
        self.peak_calls_per_minute = max(self.peak_calls_per_minute, result.peak_calls_per_minute)
        if result.violation is not None:
            self.violations.append((result.seed, str(result.violation)))

    def __str__(self) -> str:
        totals = self.totals
        faults = ", ".join(f"{name} {number:,}" for name, number in sorted(self.fault_counts.items()))
        return "\n".join(
            (
                f"events sent                 {totals.events:>12,}",
                f"delivered once              {totals.delivered_once:>12,}",
                f"covered by a gap            {totals.covered_by_gap:>12,}",
                f"lost without a gap          {totals.lost:>12,}",
                f"delivered twice             {totals.delivered_twice:>12,}",
                f"gaps reported               {totals.gaps:>12,}",
                f"longest recovery            {self.longest_recovery:>11.1f} s after the last fault",
                f"peak REST calls per minute  {self.peak_calls_per_minute:>12,}",
                f"faults                      {self.fault_counts.total():>12,}: {faults}",
            )
        )


def silence_logs() -> None:
    """Disable logging, since every fault is logged as a warning."""
    logging.disable(logging.CRITICAL)


def run_seed(seed: int) -> SimulationResult:
    """Run the month of a seed. Garbage is collected only after some months, which saves a tenth of the time."""
    started = time.process_time()
    gc.disable()
    try:
        result = SimulatedMonth(make_plan(seed)).run()
    finally:
        gc.enable()
        if seed % _GC_INTERVAL == 0:
            gc.collect()
    result.cpu_seconds = time.process_time() - started
    return result


def run_seeds(seeds: Sequence[int], workers: int | None = None) -> SoakReport:
    """Run the months of all seeds, on all cores."""
    report = SoakReport()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context, initializer=silence_logs) as pool:
        for result in pool.map(run_seed, seeds, chunksize=8):
            report.add(result)
    return report


def shrink(seed: int) -> list[int]:
    """The indexes of a minimal set of faults with which a failing seed still violates the same property.

    Removes smaller and smaller parts for as long as the violation remains. Stops after a minute.
    """
    plan = make_plan(seed)
    indexes = list(range(len(plan.faults)))
    full_violation = SimulatedMonth(plan).run().violation
    if full_violation is None:
        return indexes
    deadline = time.monotonic() + _SHRINK_TIMEOUT
    size = max(1, len(indexes) // 2)
    while time.monotonic() < deadline:
        fewer = next(
            (
                less
                for less in _remove_chunks(indexes, size)
                if _still_fails(seed, less, full_violation.number, deadline)
            ),
            None,
        )
        if fewer is not None:
            indexes = fewer
        elif size == 1:
            break
        size = max(1, min(size if fewer is not None else size // 2, len(indexes)))
    return indexes


def _remove_chunks(indexes: Sequence[int], size: int) -> Iterable[list[int]]:
    for start in range(0, len(indexes), size):
        yield [*indexes[:start], *indexes[start + size :]]


def _still_fails(seed: int, indexes: Sequence[int], number: int, deadline: float) -> bool:
    if time.monotonic() > deadline:
        return False
    violation = SimulatedMonth(make_plan(seed).select_faults(indexes)).run().violation
    return violation is not None and violation.number == number


def explain(seed: int) -> str:
    """The smallest failing plan, and the command that replays it with a trace."""
    indexes = shrink(seed)
    plan = make_plan(seed)
    numbers = ",".join(map(str, indexes)) or "none"
    lines = [f"smallest failing plan: {len(indexes)} of {len(plan.faults)} faults, source {plan.source_name}"]
    lines += [f"  {index}: {plan.faults[index]}" for index in indexes]
    lines += [f"replay: .venv/bin/python -m simulation replay {seed} --keep {numbers}"]
    return "\n".join(lines)
