"""Checks of what the client sends and stores: rate limits, bans, the end after a fatal error, and table sizes."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import NoReturn

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.stream.events.models import AccountEvent
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings, get_limits
from simulation.checks import Violation
from simulation.network import VirtualClock

__all__ = ["LimitChecker", "check_memory"]

_RETRY_AFTER = re.compile(r'"status":4(?:18|29),.*"retryAfter":(\d+)')
_CONNECTS_PERIOD = 300.0
_MAX_CONNECTIONS = 8


class LimitChecker:
    """Checks each request of the client against the limits, and each response of the exchange for a limit."""

    def __init__(self, settings: StreamSettings, exchange_rules: ExchangeRules, clock: VirtualClock) -> None:
        self.is_stopped = False
        """Whether the stream has ended with an error."""
        self._limits = get_limits(settings)
        self._clock = clock
        self._max_calls_per_minute = exchange_rules.ip_weight_limit
        self._max_connects = exchange_rules.connection_attempt_limit
        self._calls_by_minute: Counter[int] = Counter()
        self._connect_times: deque[float] = deque()
        self._forbidden_until = float("-inf")

    @property
    def peak_calls_per_minute(self) -> int:
        """The most REST calls in any minute."""
        return max(self._calls_by_minute.values(), default=0)

    def check_send(self, what: str) -> None:
        """The client sends something."""
        if self.is_stopped:
            raise Violation(6, f"{what} is sent after the stream failed")
        if self._clock.now < self._forbidden_until:
            raise Violation(3, f"{what} is sent {self._forbidden_until - self._clock.now:.1f} s before the ban ends")

    def check_call(self) -> None:
        """The client sends a REST request."""
        self.check_send("a REST request")
        minute = int(self._clock.now // 60)
        self._calls_by_minute[minute] += 1
        if self._calls_by_minute[minute] > self._max_calls_per_minute:
            raise Violation(3, "more REST calls in a minute than the exchange allows")

    def check_connect(self) -> None:
        """The client opens a connection."""
        self.check_send("a handshake")
        self._connect_times.append(self._clock.now)
        while self._connect_times[0] <= self._clock.now - _CONNECTS_PERIOD:
            self._connect_times.popleft()
        if len(self._connect_times) > self._max_connects:
            raise Violation(3, f"more than {self._max_connects} connection attempts in five minutes")

    def on_refused(self, failure: Failure, *, is_injected: bool) -> float:
        """The exchange refused a request. Returns until when the client must not send, a past time if it may send."""
        if not failure.kind.requires_backoff:
            return float("-inf")
        if not is_injected:
            raise Violation(3, f"the exchange responds {failure.kind.value}: {failure.detail}")
        waits = {
            FailureKind.BANNED: self._limits.ban_wait,
            FailureKind.FIREWALL_BLOCKED: self._limits.firewall_wait,
        }
        default_wait = waits.get(failure.kind, self._limits.rate_limit_wait)
        until = self._clock.now + (default_wait if failure.retry_after is None else failure.retry_after)
        self._forbidden_until = max(self._forbidden_until, until)
        return until

    def on_text(self, text: str) -> None:
        """A text arrived. It must not say that the client sent too many messages."""
        if '"retryAfter"' in text and _RETRY_AFTER.search(text):
            raise Violation(3, f"the exchange responds {text[:120]}")

    def on_closed(self, code: int, reason: str) -> None:
        """The exchange closed a connection. It must not be because of too many messages."""
        if code == 1008:
            raise Violation(3, f"the exchange closed a connection: {reason}")

    def fail_unknown_connection(self, number: int) -> NoReturn:
        """The client uses a connection that is not open."""
        raise Violation(3, f"a frame is sent on connection {number}, which is closed")


def check_memory(lifecycle: Lifecycle[AccountEvent], feeds: int) -> None:
    """Raise a violation if a table of the state machine exceeds its bound."""
    context, connections = lifecycle.context, lifecycle.connections.list_all()
    timers = 6 * feeds + 8 * len(connections) + 8
    sizes = {
        "timers": (len(context.timers), timers),
        "entries in the heap of timers": (context.timers.heap_size, 2 * timers + 64),
        "waiting items": (len(lifecycle.buffer), context.settings.buffer_size + feeds),
        "connections": (len(connections), _MAX_CONNECTIONS),
        "waiting calls": (len(lifecycle.coordinator.credentials), feeds + context.limits.rest_concurrency),
    }
    for each in connections:
        sizes |= {
            f"unrouted events on connection {each.id}": (each.unrouted_count, context.limits.max_unrouted_events),
            f"subscriptions on connection {each.id}": (len(each.subscriptions), 2 * feeds),
            f"pending requests on connection {each.id}": (len(each.pending_requests), 101 + feeds),
            f"queued requests on connection {each.id}": (len(each.queued_requests), 4 * feeds + 4),
        }
    for what, (size, limit) in sizes.items():
        if size > limit:
            raise Violation(5, f"{size} {what}, and {limit} is the limit")
