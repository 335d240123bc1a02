"""Random trouble: which fault strikes when, decided by a seed and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from binance_margin_stream.sandbox.faults.registry import NAMED

__all__ = ["RECOVERABLE", "Strike", "strikes"]

RECOVERABLE = tuple(name for name in NAMED if name not in ("revoke-api-key", "wrong-certificate"))
"""The faults that random trouble chooses from: all that a client recovers from without anybody's help."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of a plan, and how long after the one before it strikes, in milliseconds of exchange time."""

    name: str
    after_ms: int


def strikes(seed: int, every_seconds: float, only: Sequence[str] | None = None) -> Iterator[Strike]:
    """An endless plan: faults at random times, `every_seconds` on average, each with its default parameters.

    The same arguments give the same plan.

    Raises:
        ValueError: no time between faults, or a name that no fault has.

    """
    names = RECOVERABLE if only is None else tuple(only)
    if not 0 < every_seconds < float("inf"):
        raise ValueError("every_seconds takes a number above 0")
    unknown = [name for name in names if name not in NAMED]
    if unknown or not names:
        raise ValueError(f"only takes names of faults: {', '.join(NAMED)}")
    return _endless(random.Random(seed), every_seconds, names)


def _endless(dice: random.Random, every_seconds: float, names: Sequence[str]) -> Iterator[Strike]:
    while True:
        yield Strike(dice.choice(names), max(1, round(dice.expovariate(1 / every_seconds) * 1000)))
