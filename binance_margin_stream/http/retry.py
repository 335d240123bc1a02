"""When a failed call is sent again, and after how long: a decision, without a clock or a socket."""

from __future__ import annotations

from dataclasses import dataclass

from binance_margin_stream.exceptions import (
    ApiValueError,
    OpenApiException,
    RateLimitError,
    ServerError,
    TransportError,
)

__all__ = ["NO_RETRIES", "RetryPolicy"]

_NEVER = frozenset({"tls", "closed"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a call is repeated. Every call of this package is safe to repeat.

    A failing exchange (5xx) and a failing network are asked again after a random part of a pause that
    doubles from `first_pause` up to `longest_pause`. A rate limit (429) is waited out as told when that takes
    no longer than `longest_wait`. A ban (418), a refusal (4xx) and a bad certificate are never repeated. All
    durations are in seconds.
    """

    attempts: int = 4
    first_pause: float = 0.25
    longest_pause: float = 8.0
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        """Raise `ApiValueError` for what is no number of attempts, or no duration of up to a day."""
        if type(self.attempts) is not int or self.attempts < 1:
            raise ApiValueError("attempts has to be a whole number from 1")
        durations = (self.first_pause, self.longest_pause, self.longest_wait)
        if not all(type(value) in (int, float) and 0 <= value <= 86_400 for value in durations):
            raise ApiValueError("a pause has to be a number of seconds from 0 up to a day")

    def pause(self, error: OpenApiException, attempt: int, jitter: float) -> float | None:
        """Seconds to wait before attempt number `attempt` + 1, None to give up.

        `attempt` counts from 1; `jitter` is a random number from 0 to 1.
        """
        if attempt >= self.attempts:
            return None
        if isinstance(error, RateLimitError):
            wait = error.retry_after
            return wait if wait is not None and wait <= self.longest_wait else None
        if isinstance(error, ServerError) or (isinstance(error, TransportError) and error.kind not in _NEVER):
            return jitter * min(self.longest_pause, self.first_pause * 2.0 ** min(attempt - 1, 30))
        return None


NO_RETRIES = RetryPolicy(attempts=1)
"""One attempt; for callers with a schedule of their own."""
