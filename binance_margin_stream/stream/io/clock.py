"""The clock that a stream lives by."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["monotonic", "to_epoch_ms"]

if hasattr(time, "CLOCK_BOOTTIME"):
    monotonic: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    """Seconds that never go back, and go on while the machine sleeps."""
else:  # pragma: no cover  # other systems
    monotonic = time.monotonic


def to_epoch_ms(at: float) -> int:
    """Epoch milliseconds of a moment of `clock`, by what the machine's clock says now."""
    return round((time.time() - (monotonic() - at)) * 1000)
