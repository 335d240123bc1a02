"""What the client must not do: too much, too soon, during a ban, or after the end."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import NoReturn

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings, get_limits
from simulation.active_faults import ActiveFaults
from simulation.violation import Violation

__all__ = ["LimitChecker", "check_memory"]

_RETRY_AFTER = re.compile(r'"status":4(?:18|29),.*"retryAfter":(\d+)')
_CONNECTS_PERIOD = 300.0
_MAX_CONNECTIONS = 8


class LimitChecker:
    """Watches what is sent, and what the exchange says about it."""

    def __init__(self, settings: StreamSettings, exchange_rules: ExchangeRules) -> None:
        self.is_stopped = False
        self.calls_by_minute: Counter[int] = Counter()
        self.forbidden_until = float("-inf")
        self._limits = get_limits(settings)
        self._max_calls_per_minute = exchange_rules.ip_weight_limit
        self._max_connects = exchange_rules.connection_attempt_limit
        self._connect_times: deque[float] = deque()

    def check_send(self, now: float, what: str) -> None:
        """Something is sent."""
        if self.is_stopped:
            raise Violation(6, f"{what} is sent after the fatal end")
        if now < self.forbidden_until:
            raise Violation(3, f"{what} is sent {self.forbidden_until - now:.1f} s before the ban is over")

    def check_call(self, now: float) -> None:
        """A REST call is made."""
        self.check_send(now, "a call")
        minute = int(now // 60)
        self.calls_by_minute[minute] += 1
        if self.calls_by_minute[minute] > self._max_calls_per_minute:
            raise Violation(3, "more REST calls in a minute than the exchange allows")

    def check_connect(self, now: float) -> None:
        """A connection is opened."""
        self.check_send(now, "a handshake")
        self._connect_times.append(now)
        while self._connect_times[0] <= now - _CONNECTS_PERIOD:
            self._connect_times.popleft()
        if len(self._connect_times) > self._max_connects:
            raise Violation(3, f"more than {self._max_connects} connection attempts in five minutes")

    def on_refused(self, now: float, failure: Failure, active_faults: ActiveFaults) -> None:
        """The exchange refused a call or a handshake."""
        if failure.kind not in (FailureKind.RATE_LIMITED, FailureKind.BANNED, FailureKind.FIREWALL_BLOCKED):
            return
        if not active_faults.is_injected_refusal():
            raise Violation(3, f"the exchange says {failure.kind.value}: {failure.detail}")
        waits = {
            FailureKind.BANNED: self._limits.ban_wait,
            FailureKind.FIREWALL_BLOCKED: self._limits.firewall_wait,
        }
        wait = (
            failure.retry_after
            if failure.retry_after is not None
            else waits.get(failure.kind, self._limits.rate_limit_wait)
        )
        self.forbidden_until = max(self.forbidden_until, now + wait)
        active_faults.extend_fault_window(now + wait)

    def on_text(self, now: float, text: str, active_faults: ActiveFaults) -> None:
        """A text came: no message of this client's may be one too many."""
        if '"retryAfter"' in text and _RETRY_AFTER.search(text):
            raise Violation(3, f"the exchange answers {text[:120]}")

    def on_closed(self, code: int, reason: str) -> None:
        """The exchange closed a connection."""
        if code == 1008:
            raise Violation(3, f"the exchange closed a connection: {reason}")

    def fail_unknown_connection(self, number: int) -> NoReturn:
        """Something is to be done on a connection that is not open."""
        raise Violation(3, f"something is sent on connection {number}, which is closed")

    @property
    def peak_calls_per_minute(self) -> int:
        """The most REST calls in any minute."""
        return max(self.calls_by_minute.values(), default=0)


def check_memory(lifecycle: Lifecycle[Event], feeds: int) -> None:
    """Raise a violation when something that is remembered grows with what was lived through."""
    core, links = lifecycle.context, lifecycle.connections.list_all()
    timers = 6 * feeds + 8 * len(links) + 8
    sizes = {
        "timers": (len(core.timers), timers),
        "entries in the heap of timers": (core.timers.heap_size, 2 * timers + 64),
        "waiting items": (len(lifecycle.buffer), core.settings.buffer_size + feeds),
        "connections": (len(links), _MAX_CONNECTIONS),
        "waiting calls": (len(lifecycle.coordinator.credentials), feeds + core.limits.rest_concurrency),
    }
    for link in links:
        sizes |= {
            f"early events on connection {link.id}": (link.unrouted_count, core.limits.max_unrouted_events),
            f"subscriptions on connection {link.id}": (len(link.subscriptions), 2 * feeds),
            f"requests on connection {link.id}": (len(link.pending_requests), 101 + feeds),
            f"messages that wait for connection {link.id}": (len(link.queued_requests), 4 * feeds + 4),
        }
    for what, (size, limit) in sizes.items():
        if size > limit:
            raise Violation(5, f"{size} {what}, and {limit} are the most")
