"""Decide whether and when a failed call is retried. No clock, no I/O."""

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
    """How often a failed call is retried, and with which delays. Every call of this package is safe to retry.

    A server error (5xx) or a network error is retried after a random delay between 0 and a limit that doubles from
    `backoff_initial` up to `backoff_max`. A rate limit (429) is retried after the time in its ``Retry-After`` header
    if that is at most `max_retry_after`. A ban (418), a refused request (4xx) and an untrusted certificate are never
    retried. `max_attempts` includes the first attempt. All durations are in seconds.
    """

    max_attempts: int = 4
    backoff_initial: float = 0.25
    backoff_max: float = 8.0
    max_retry_after: float = 30.0

    def __post_init__(self) -> None:
        """Raise `ApiValueError` for an invalid number of attempts or delay."""
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ApiValueError("max_attempts must be an integer of at least 1")
        durations = (self.backoff_initial, self.backoff_max, self.max_retry_after)
        if not all(type(value) in (int, float) and 0 <= value <= 86_400 for value in durations):
            raise ApiValueError("a delay must be a number of seconds from 0 to 86400")

    def compute_delay(self, error: OpenApiException, attempt: int, jitter: float) -> float | None:
        """Return the seconds to wait before the next attempt, None if `error` is not retried.

        `attempt` is the number of attempts so far; `jitter` is a random number from 0 to 1.
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
"""A single attempt, for callers that schedule retries themselves."""
