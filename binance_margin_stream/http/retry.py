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

_NON_RETRYABLE_KINDS = frozenset({"tls", "closed"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a call is repeated. Every call of this package is safe to repeat.

    A failing exchange (5xx) and a failing network are asked again after a random part of a pause that
    doubles from `backoff_initial` up to `backoff_max`. A rate limit (429) is waited out as told when that takes
    no longer than `max_retry_after`. A ban (418), a refusal (4xx) and a bad certificate are never repeated. All
    durations are in seconds.
    """

    max_attempts: int = 4
    backoff_initial: float = 0.25
    backoff_max: float = 8.0
    max_retry_after: float = 30.0

    def __post_init__(self) -> None:
        """Raise `ApiValueError` for what is no number of attempts, or no duration of up to a day."""
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ApiValueError("max_attempts has to be a whole number from 1")
        durations = (self.backoff_initial, self.backoff_max, self.max_retry_after)
        if not all(type(value) in (int, float) and 0 <= value <= 86_400 for value in durations):
            raise ApiValueError("a pause has to be a number of seconds from 0 up to a day")

    def compute_delay(self, error: OpenApiException, attempt: int, jitter: float) -> float | None:
        """Seconds to wait before attempt number `attempt` + 1, None to give up.

        `attempt` counts from 1; `jitter` is a random number from 0 to 1.
        """
        if attempt >= self.max_attempts:
            return None
        if isinstance(error, RateLimitError):
            wait = error.retry_after
            return wait if wait is not None and wait <= self.max_retry_after else None
        if isinstance(error, ServerError) or (
            isinstance(error, TransportError) and error.kind not in _NON_RETRYABLE_KINDS
        ):
            return jitter * min(self.backoff_max, self.backoff_initial * 2.0 ** min(attempt - 1, 30))
        return None


NO_RETRIES = RetryPolicy(max_attempts=1)
"""One attempt; for callers with a schedule of their own."""
