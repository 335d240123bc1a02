"""What came of one month."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulation.delivery_checker import Figures
from simulation.violation import Violation

__all__ = ["Outcome"]


@dataclass
class Outcome:
    """What came of a month."""

    seed: int
    figures: Figures
    struck: Counter[str]
    steps: int = 0
    seconds: float = 0.0
    """Of processor time."""
    longest_recovery: float = 0.0
    busiest_minute: int = 0
    violation: Violation | None = None
    trace: list[str] = field(default_factory=list)
