"""Which accounts a stream follows: how they join, and how they are lost or removed.

An account that cannot be subscribed at all concerns no other account. While a stream is being entered, the loss of
an account ends it, unless the user accepts a part of the accounts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.deduplication import StreamEvent
from binance_margin_stream.stream.protocol.failover import Failover
from binance_margin_stream.stream.protocol.records import Feed, OpenGap
from binance_margin_stream.stream.state import GapReason, ScheduledAction, Severity, StatusChangeKind

__all__ = ["Membership"]

E = TypeVar("E", bound=StreamEvent)

_JOIN_TIMER = (ScheduledAction.JOIN_TIMEOUT, None)


class Membership(Generic[E]):
    """The accounts that join, and those that were lost."""

    def __init__(
        self,
        context: Context,
        failover: Failover[E],
        connections: ConnectionManager,
        feeds: list[Feed],
        *,
        fail: Callable[[Failure, float], None],
        partial: bool,
        enter_timeout: float | None,
    ) -> None:
        self._context = context
        self._failover = failover
        self._connections = connections
        self._feeds = feeds
        self._fail = fail
        self._is_partial = partial
        self._enter_timeout = enter_timeout
        self._joining: dict[Feed, None] = {}
        self._join_failures: dict[Account, Failure] = {}
        self.is_entered = False
        """Whether entering the stream is over."""
        self.lost_accounts: dict[Account, str] = {}
        """The accounts that were lost, each with the reason."""
        failover.on_joined = self._on_joined

    def start(self, now: float) -> None:
        """Wait for all accounts."""
        self._joining = dict.fromkeys(self._feeds)
        self._restart_timer(now)

    def add(self, feed: Feed, now: float) -> None:
        """Wait for an account that was added to a running stream."""
        feed.joined_at = now
        feed.counts_for_state = False
        self.lost_accounts.pop(feed.account, None)
        self._joining[feed] = None
        self._restart_timer(now)

    def is_joining(self, account: Account) -> bool:
        """Whether an account was added and is neither live nor refused yet."""
        return any(feed.account == account for feed in self._joining)

    def take_join_failure(self, account: Account) -> Failure | None:
        """Why an account could not be added, None if it was."""
        return self._join_failures.pop(account, None)

    def _restart_timer(self, now: float) -> None:
        if self._enter_timeout is not None and self._joining:
            self._context.timers.set(_JOIN_TIMER, now + self._enter_timeout)

    def _on_joined(self, feed: Feed, now: float) -> None:
        self._joining.pop(feed, None)
        self._restart_timer(now)
        self._check_entered()

    def _check_entered(self) -> None:
        if not self._joining:
            self.is_entered = True
            self._context.timers.cancel(_JOIN_TIMER)

    def on_join_timeout(self, now: float) -> None:
        """Accounts could not be subscribed in time. The time that the limits require to wait does not count."""
        waits_until = max(self._context.limited_until, self._connections.next_attempt_at(now))
        if waits_until > now and self._enter_timeout is not None:
            self._context.timers.set(_JOIN_TIMER, waits_until + self._enter_timeout)
        elif self.is_entered:
            for feed in list(self._joining):
                self._join_failures[feed.account] = self._describe_timeout([feed])
                self._remove(feed, now)
        elif self._is_partial and len(self._joining) < len(self._feeds):
            self._joining.clear()
            self._check_entered()
        else:
            self._fail(self._describe_timeout(list(self._joining)), now)

    def _describe_timeout(self, missing: list[Feed]) -> Failure:
        """Who is missing, and why as far as it is known."""
        names = ", ".join(dict.fromkeys(str(feed.account) for feed in missing))
        failure = next((feed.last_failure for feed in missing if feed.last_failure is not None), None)
        reason = failure.detail if failure is not None and failure.detail else "no response came"
        cause = failure.cause if failure is not None else None
        detail = f"not subscribed within {self._enter_timeout:g} s: {names}; the last reason is: {reason}"
        return Failure(FailureKind.TIMED_OUT, detail, cause=cause)

    def lose(self, feed: Feed, since: float, failure: Failure, now: float) -> None:
        """End a feed that the exchange serves no more. `since` is the last moment at which nothing was missing."""
        if feed not in self._feeds:
            return
        named = failure.of_account(feed.account)
        if not self.is_entered and not self._is_partial:
            self._fail(named, now)
            return
        if self.is_entered and feed in self._joining:
            self._join_failures[feed.account] = named
            self._remove(feed, now)
            return
        self._report_loss(feed, since, failure, now)
        if len(self._feeds) == 1:
            self._fail(named, now)
        else:
            self._remove(feed, now)
            self._check_entered()

    def _report_loss(self, feed: Feed, since: float, failure: Failure, now: float) -> None:
        if feed.active is not None:
            feed.open_gap = OpenGap(since, GapReason.ACCOUNT_LOST, feed.active.connection.source.name)
        if feed.open_gap is not None:
            since = feed.open_gap.since = min(since, feed.open_gap.since)
        self._failover.deduplicator.end_open_gap(feed, now)
        self._failover.deduplicator.report_account_lost(feed, since, failure, now)
        self.lost_accounts[feed.account] = failure.detail or failure.kind.value
        self._context.notify(StatusChangeKind.ACCOUNT_LOST, Severity.ERROR, feed.account, failure.detail)

    def remove(self, account: Account, now: float) -> None:
        """End the feeds of an account on request."""
        for feed in [each for each in self._feeds if each.account == account]:
            self._remove(feed, now)
        self._context.notify(StatusChangeKind.ACCOUNT_REMOVED, Severity.INFO, account)
        self._check_entered()

    def _remove(self, feed: Feed, now: float) -> None:
        self._feeds.remove(feed)
        self._joining.pop(feed, None)
        self._failover.stop_feed(feed, now)
        for other in self._feeds:
            if other.account == feed.account:
                self._failover.deduplicator.stop_pairing(other)
