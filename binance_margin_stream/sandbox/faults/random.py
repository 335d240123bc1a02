"""Random faults: a seed determines which fault comes when."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS

__all__ = ["RECOVERABLE_FAULTS", "ScheduledFault", "random_faults"]

RECOVERABLE_FAULTS = tuple(name for name in NAMED_FAULTS if name not in ("revoke-api-key", "wrong-certificate"))
"""The faults that are injected at random by default: all that a client can recover from by itself."""


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault and its delay after the previous one, in milliseconds of exchange time."""

    name: str
    delay_ms: int


def random_faults(seed: int, every_seconds: float, faults: Sequence[str] | None = None) -> Iterator[ScheduledFault]:
    """An endless sequence of faults with default parameters, `every_seconds` apart on average.

    The same arguments give the same sequence.

    Raises:
        ValueError: `every_seconds` is not above 0, or an unknown fault.

    """
    names = RECOVERABLE_FAULTS if faults is None else tuple(faults)
    if not 0 < every_seconds < float("inf"):
        raise ValueError("every_seconds takes a number above 0")
    unknown = [name for name in names if name not in NAMED_FAULTS]
    if unknown or not names:
        raise ValueError(f"faults takes names of faults: {', '.join(NAMED_FAULTS)}")
    return _generate_faults(random.Random(seed), every_seconds, names)


def _generate_faults(rng: random.Random, every_seconds: float, names: Sequence[str]) -> Iterator[ScheduledFault]:
    while True:
        yield ScheduledFault(rng.choice(names), max(1, round(rng.expovariate(1 / every_seconds) * 1000)))
