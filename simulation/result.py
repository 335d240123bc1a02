"""What came of one month."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulation.delivery_checker import Totals
from simulation.violation import Violation

__all__ = ["SimulationResult"]


@dataclass
class SimulationResult:
    """What came of a month."""

    seed: int
    totals: Totals
    fault_counts: Counter[str]
    steps: int = 0
    cpu_seconds: float = 0.0
    """Of processor time."""
    longest_recovery: float = 0.0
    peak_calls_per_minute: int = 0
    violation: Violation | None = None
    trace: list[str] = field(default_factory=list)
