"""Request weights, bans and connection attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from binance_margin_stream.sandbox.config import MINUTE_MS, ExchangeRules

__all__ = ["MessageRateLimiter", "OrderCounts", "RateLimits", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """The weight used in this minute, and whether it exceeds the limit."""

    used: int
    exceeded: bool


class RateLimits:
    """The weight used in the current minute by IP and user, and the banned IPs."""

    def __init__(self, rules: ExchangeRules) -> None:
        self._rules = rules
        self._minute = -1
        self._used: dict[Hashable, int] = {}
        self._refusals: dict[str, int] = {}
        self._banned_until: dict[str, int] = {}
        self._next_ban_ms: dict[str, int] = {}
        self._attempts: dict[tuple[str, str], deque[int]] = {}

    def record_request(self, subject: Hashable, weight: int, limit: int, now: int) -> Usage:
        """Count a request against a subject, such as (scope, IP or user, method, path)."""
        self._reset_in_new_minute(now)
        used = self._used.get(subject, 0) + weight
        self._used[subject] = used
        return Usage(used, used > limit)

    def record_refusal(self, ip: str, now: int) -> int:
        """Count a 429 response, and ban the IP after too many of them.

        Returns the time (ms) at which the minute ends.
        """
        self._reset_in_new_minute(now)
        refusals = self._refusals.get(ip, 0) + 1
        self._refusals[ip] = refusals
        if refusals > self._rules.refusals_before_ban:
            self._ban(ip, now)
        return (self._minute + 1) * MINUTE_MS

    def banned_until(self, ip: str, now: int) -> int | None:
        """When the IP's ban ends (ms), or None."""
        until = self._banned_until.get(ip)
        return until if until is not None and until > now else None

    def record_connection_attempt(self, ip: str, host: str, now: int) -> int | None:
        """Count a WebSocket connection attempt; returns the time (ms) to wait until if there were too many."""
        attempts = self._attempts.setdefault((ip, host), deque())
        while attempts and attempts[0] <= now - self._rules.connection_attempt_window_ms:
            attempts.popleft()
        if len(attempts) >= self._rules.connection_attempt_limit:
            return attempts[0] + self._rules.connection_attempt_window_ms
        attempts.append(now)
        return None

    def _ban(self, ip: str, now: int) -> None:
        length = self._next_ban_ms.get(ip, self._rules.first_ban_ms)
        self._banned_until[ip] = now + length
        self._next_ban_ms[ip] = min(2 * length, self._rules.max_ban_ms)
        self._refusals.pop(ip, None)

    def _reset_in_new_minute(self, now: int) -> None:
        minute = now // MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._used.clear()
            self._refusals.clear()


class OrderCounts:
    """The new orders of each account in the present ten seconds and day."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str, int], tuple[int, int]] = {}

    def get_count(self, uid: int, account: str, interval_ms: int, now: int) -> int:
        """The number of orders in the present interval."""
        window, count = self._counts.get((uid, account, interval_ms), (0, 0))
        return count if window == now // interval_ms else 0

    def record(self, uid: int, account: str, interval_ms: int, number: int, now: int) -> None:
        """Count new orders."""
        count = self.get_count(uid, account, interval_ms, now) + number
        self._counts[uid, account, interval_ms] = (now // interval_ms, count)


class MessageRateLimiter:
    """Counts the messages of the last second."""

    __slots__ = ("_limit", "_times")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[int] = deque()

    def record_message(self, now: int) -> bool:
        """Count a message; returns whether it exceeds the limit."""
        while self._times and self._times[0] <= now - 1000:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) > self._limit
