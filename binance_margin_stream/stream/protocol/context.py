"""What all parts of the life cycle share: the rules, the timers, what is to be done, what was counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.actions import (
    Action,
    Change,
    Failure,
    Level,
    OpenConnection,
    Request,
    SendPing,
    SendText,
    Trouble,
)
from binance_margin_stream.stream.protocol.rate_limit import Backoff, Jitter
from binance_margin_stream.stream.protocol.records import Feed, Link, Subscription
from binance_margin_stream.stream.protocol.timers import Timers
from binance_margin_stream.stream.settings import StreamRules
from binance_margin_stream.stream.sources import Credential, Source

__all__ = ["Core", "Tally", "Told"]

_SENDING = (OpenConnection, Request, SendPing, SendText)


@dataclass(slots=True)
class Tally:
    """What happened so far."""

    gaps: int = 0
    reconnects: int = 0
    rotations: int = 0
    renewals: int = 0
    failures: int = 0
    malformed: int = 0
    requests: int = 0


class Told(Protocol):
    """What the parts of the life cycle report to its middle."""

    def credential_ready(self, feed: Feed, now: float) -> None:
        """A new credential was obtained."""

    def credential_gone(self, feed: Feed, credential: Credential, now: float) -> None:
        """The exchange no longer knows the feed's credential."""

    def source_retired(self, source: Source, failure: Failure, now: float) -> None:
        """The exchange no longer serves a way in."""

    def fatal(self, failure: Failure) -> None:
        """Something happened that no repeat can mend."""

    def link_opened(self, link: Link, now: float) -> None:
        """A connection is open."""

    def link_lost(self, link: Link, reason: str, now: float) -> None:
        """A connection is gone, or was never opened."""

    def asking(self, subscription: Subscription, now: float) -> None:
        """A subscription is being asked for: from now on its events may come."""

    def attached(self, subscription: Subscription, now: float) -> None:
        """A subscription is active."""

    def not_attached(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """A subscription could not be made."""

    def renewed(self, subscription: Subscription, now: float) -> None:
        """A subscription was extended."""

    def not_renewed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """A subscription may not have been extended; it is still active."""

    def missing(self, subscription: Subscription, now: float) -> None:
        """The exchange does not list a subscription that was believed active."""

    def unattributed(self, link: Link, now: float) -> None:
        """Events came on a connection and nobody knows whose they were."""

    def replay(self, subscription: Subscription, at: float, event: object) -> None:
        """An event turned out to be of this subscription."""

    def retire(self, link: Link, why: str, now: float) -> None:
        """A connection must be replaced."""


class Core:
    """The common ground of one life cycle."""

    def __init__(self, rules: StreamRules, jitter: Jitter, wall: Callable[[float], int]) -> None:
        self.rules = rules
        self.jitter = jitter
        self.wall = wall
        self.timers: Timers[tuple[str, object]] = Timers()
        self.actions: list[Action] = []
        self.tally = Tally()
        self.quiet_until = float("-inf")
        self.retired: dict[str, Failure] = {}
        self.stopped = False

    def do(self, action: Action) -> None:
        """Let the shell do something; once stopped, nothing more is sent or opened."""
        if not (self.stopped and isinstance(action, _SENDING)):
            self.actions.append(action)

    def tell(self, name: str, level: Level, account: Account | None = None, detail: str = "") -> None:
        """Let callbacks and the log know of a change."""
        self.do(Change(name, level, account, detail))

    def new_backoff(self) -> Backoff:
        """A backoff by the rules."""
        return Backoff(self.rules.backoff_first, self.rules.backoff_most, self.jitter)

    def hold(self, failure: Failure, now: float) -> None:
        """Send nothing for as long as a limit, a ban or a firewall demands."""
        wait = failure.wait if failure.wait is not None else self._default_wait(failure.trouble)
        until = now + wait + self.jitter(0.0, self.rules.backoff_first)
        if until > self.quiet_until:
            self.quiet_until = until
            self.tell(failure.trouble.value, Level.WARNING, detail=f"sending nothing for {until - now:.0f} s")

    def _default_wait(self, trouble: Trouble) -> float:
        waits = {Trouble.BANNED: self.rules.banned_wait, Trouble.BLOCKED: self.rules.blocked_wait}
        return waits.get(trouble, self.rules.limited_wait)
