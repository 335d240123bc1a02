"""Random faults: a seed determines which fault comes when."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from binance_margin_stream.sandbox.clock import MAX_TIME_MS
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS

__all__ = ["RECOVERABLE_FAULTS", "ScheduledFault", "random_faults"]

_EXCLUDED = (
    "revoke-api-key",
    "wrong-certificate",
    "api-error",
    "not-found",
    "order-limit",
    "archived-order",
    "unexpected-trade",
)

RECOVERABLE_FAULTS = tuple(name for name in NAMED_FAULTS if name not in _EXCLUDED)
"""The faults that are injected at random by default: a client recovers from each of them by itself.

``api-error`` and ``not-found`` mean that the account or the path does not exist, unless a test says for how long."""


_MIN_INTERVAL_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault and its delay after the previous one, in milliseconds of exchange time."""

    name: str
    delay_ms: int


def random_faults(seed: int, every_seconds: float, faults: Sequence[str] | None = None) -> Iterator[ScheduledFault]:
    """An endless sequence of faults with default parameters, `every_seconds` apart on average.

    The same arguments give the same sequence.

    Raises:
        ValueError: `every_seconds` is below 0.001, or an unknown fault.

    """
    names = RECOVERABLE_FAULTS if faults is None else tuple(faults)
    if not _MIN_INTERVAL_SECONDS <= every_seconds <= MAX_TIME_MS / 1000:
        raise ValueError(f"every_seconds takes a number from {_MIN_INTERVAL_SECONDS}")
    unknown = [name for name in names if name not in NAMED_FAULTS]
    if unknown or not names:
        raise ValueError(f"faults takes names of faults: {', '.join(NAMED_FAULTS)}")
    return _generate_faults(random.Random(seed), every_seconds, names)


def _generate_faults(rng: random.Random, every_seconds: float, names: Sequence[str]) -> Iterator[ScheduledFault]:
    while True:
        yield ScheduledFault(rng.choice(names), max(1, round(rng.expovariate(1 / every_seconds) * 1000)))
