"""What all parts of the life cycle share: the rules, the timers, what is to be done, what was counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.actions import (
    Action,
    Failure,
    FailureKind,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
    Severity,
    StatusChange,
)
from binance_margin_stream.stream.protocol.rate_limit import Backoff, Jitter
from binance_margin_stream.stream.protocol.records import ConnectionState, Feed, Subscription
from binance_margin_stream.stream.protocol.timers import Timers
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import Credential, Source

__all__ = ["Context", "Counters", "LifecycleListener"]

_SENDING_ACTIONS = (OpenConnection, RestRequest, SendPing, SendText)


@dataclass(slots=True)
class Counters:
    """What happened so far."""

    gaps: int = 0
    reconnects: int = 0
    rotations: int = 0
    renewals: int = 0
    failures: int = 0
    malformed_frames: int = 0
    rest_calls: int = 0


class LifecycleListener(Protocol):
    """What the parts of the life cycle report to its middle."""

    def on_credential(self, feed: Feed, now: float) -> None:
        """A new credential was obtained."""

    def on_credential_gone(self, feed: Feed, credential: Credential, now: float) -> None:
        """The exchange no longer knows the feed's credential."""

    def on_source_retired(self, source: Source, failure: Failure, now: float) -> None:
        """The exchange no longer serves a way in."""

    def fail(self, failure: Failure) -> None:
        """Something happened that no repeat can mend."""

    def on_connection_open(self, connection: ConnectionState, now: float) -> None:
        """A connection is open."""

    def on_connection_lost(self, connection: ConnectionState, reason: str, now: float) -> None:
        """A connection is gone, or was never opened."""

    def on_subscribing(self, subscription: Subscription, now: float) -> None:
        """A subscription is being asked for: from now on its events may come."""

    def on_subscribed(self, subscription: Subscription, now: float) -> None:
        """A subscription is active."""

    def on_subscribe_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """A subscription could not be made."""

    def on_renewed(self, subscription: Subscription, now: float) -> None:
        """A subscription was extended."""

    def on_renewal_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """A subscription may not have been extended; it is still active."""

    def on_subscription_missing(self, subscription: Subscription, now: float) -> None:
        """The exchange does not list a subscription that was believed active."""

    def on_unattributed_events(self, connection: ConnectionState, now: float) -> None:
        """Events came on a connection and nobody knows whose they were."""

    def replay_event(self, subscription: Subscription, at: float, event: object) -> None:
        """An event turned out to be of this subscription."""

    def replace_connection(self, connection: ConnectionState, reason: str, now: float) -> None:
        """A connection must be replaced."""


class Context:
    """The common ground of one life cycle."""

    def __init__(self, settings: StreamSettings, jitter: Jitter, to_epoch_ms: Callable[[float], int]) -> None:
        self.settings = settings
        self.jitter = jitter
        self.to_epoch_ms = to_epoch_ms
        self.timers: Timers[tuple[str, object]] = Timers()
        self.actions: list[Action] = []
        self.counters = Counters()
        self.paused_until = float("-inf")
        self.retired_sources: dict[str, Failure] = {}
        self.is_stopped = False

    def emit(self, action: Action) -> None:
        """Let the shell do something; once stopped, nothing more is sent or opened."""
        if not (self.is_stopped and isinstance(action, _SENDING_ACTIONS)):
            self.actions.append(action)

    def notify(self, name: str, severity: Severity, account: Account | None = None, detail: str = "") -> None:
        """Let callbacks and the log know of a change."""
        self.emit(StatusChange(name, severity, account, detail))

    def create_backoff(self) -> Backoff:
        """A backoff by the rules."""
        return Backoff(self.settings.backoff_initial, self.settings.backoff_max, self.jitter)

    def pause_sending(self, failure: Failure, now: float) -> None:
        """Send nothing for as long as a limit, a ban or a firewall demands."""
        wait = failure.retry_after if failure.retry_after is not None else self._default_pause(failure.kind)
        until = now + wait + self.jitter(0.0, self.settings.backoff_initial)
        if until > self.paused_until:
            self.paused_until = until
            self.notify(failure.kind.value, Severity.WARNING, detail=f"sending nothing for {until - now:.0f} s")

    def _default_pause(self, kind: FailureKind) -> float:
        waits = {FailureKind.BANNED: self.settings.ban_wait, FailureKind.FIREWALL_BLOCKED: self.settings.firewall_wait}
        return waits.get(kind, self.settings.rate_limit_wait)
