"""Estimates the exchange's clock, and says nothing while the estimate may be wrong. No I/O but the given callable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from binance_margin_stream.exceptions import OpenApiException
from binance_margin_stream.stream.io.rest_calls import monotonic

__all__ = ["ClockEstimate", "ClockSample", "ServerClock", "choose_estimate"]

log = logging.getLogger(__name__)

_SAMPLES = 5
_MAX_AGE = 600.0
_STEP_TOLERANCE_MS = 100
"""A machine's clock that is slewed moves by 0.5 ms a second at most; more is a step."""
_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One request for the exchange's time. Local times are epoch milliseconds."""

    sent_at: float
    received_at: float
    server_time: int


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """How far the exchange's clock is ahead of this machine's, and how wrong that may be; milliseconds."""

    offset_ms: float
    error_ms: float


def choose_estimate(samples: list[ClockSample]) -> ClockEstimate:
    """The estimate of the quickest request: the exchange read its clock somewhere between sending and receiving."""
    best = min(samples, key=lambda sample: sample.received_at - sample.sent_at)
    half = (best.received_at - best.sent_at) / 2
    return ClockEstimate(best.server_time - (best.sent_at + half), half + 0.5)


class ServerClock:
    """The exchange's time of moments of this machine's clock.

    An estimate whose error may exceed `max_error_ms` is not used, nor one that is older than ten minutes, nor one
    from before this machine's clock was set.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[int]],
        *,
        max_error_ms: int,
        interval: float = 60.0,
        wall_clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fetch = fetch
        self._max_error_ms = max_error_ms
        self._interval = interval
        self._wall_clock = wall_clock
        self._steady_clock = steady_clock
        self._estimate: ClockEstimate | None = None
        self._measured_at = 0.0
        self._anchor_ms = 0.0
        self._last_problem = ""
        self.largest_error_ms = 0
        """The largest error that was seen: of an estimate, and from one estimate to the next."""

    def now(self) -> int:
        """This machine's clock, in epoch milliseconds."""
        return round(self._wall_clock() * 1000)

    @property
    def is_set(self) -> bool:
        """Whether there is an estimate that may be used."""
        return self.to_server_time(0) is not None

    def to_server_time(self, at: int) -> int | None:
        """The exchange's time of a moment of this machine's clock, None while it is unknown. Epoch milliseconds."""
        if self._estimate is None or self._steady_clock() - self._measured_at > _MAX_AGE or self._was_set():
            return None
        return round(at + self._estimate.offset_ms)

    def _was_set(self) -> bool:
        return abs(self._get_anchor_ms() - self._anchor_ms) > _STEP_TOLERANCE_MS

    def _get_anchor_ms(self) -> float:
        return (self._wall_clock() - self._steady_clock()) * 1000

    async def measure(self) -> None:
        """Ask for the exchange's time a few times. Raises what the request raises."""
        samples: list[ClockSample] = []
        for _ in range(_SAMPLES):
            anchor = self._get_anchor_ms()
            sent_at = self._wall_clock() * 1000
            server_time = await self._fetch()
            if abs(self._get_anchor_ms() - anchor) <= _STEP_TOLERANCE_MS:
                samples.append(ClockSample(sent_at, self._wall_clock() * 1000, server_time))
        if samples:
            self._take(choose_estimate(samples))

    def _take(self, estimate: ClockEstimate) -> None:
        change = abs(estimate.offset_ms - self._estimate.offset_ms) if self._estimate and not self._was_set() else 0.0
        self.largest_error_ms = max(self.largest_error_ms, round(estimate.error_ms + change))
        if estimate.error_ms > self._max_error_ms:
            self._report(
                f"the exchange's clock is known to {estimate.error_ms:.0f} ms only, and {self._max_error_ms} ms are "
                "needed: nothing is claimed; the network is slow, or clock_error_bound_ms is too small"
            )
            return
        self._last_problem = ""
        self._estimate = estimate
        self._measured_at = self._steady_clock()
        self._anchor_ms = self._get_anchor_ms()

    async def run(self) -> None:
        """Measure again and again, at once when this machine's clock was set."""
        while True:
            try:
                await self.measure()
                wait = self._interval
            except OpenApiException as error:
                self._report(f"the exchange does not tell its time: {error}")
                wait = max(_RETRY, getattr(error, "retry_after", None) or 0.0)
            deadline = self._steady_clock() + wait
            while (left := deadline - self._steady_clock()) > 0 and not (self._estimate and self._was_set()):
                await asyncio.sleep(min(1.0, left))

    def _report(self, problem: str) -> None:
        if problem != self._last_problem:
            self._last_problem = problem
            log.warning("%s", problem)
