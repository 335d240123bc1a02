"""The clock that a stream lives by."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["clock", "wall"]

if hasattr(time, "CLOCK_BOOTTIME"):
    clock: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    """Seconds that never go back, and go on while the machine sleeps."""
else:  # pragma: no cover  # other systems
    clock = time.monotonic


def wall(at: float) -> int:
    """Epoch milliseconds of a moment of `clock`, by what the machine's clock says now."""
    return round((time.time() - (clock() - at)) * 1000)
