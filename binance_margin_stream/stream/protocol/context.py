"""What all parts of the state machine share: settings, timers, actions, counters, and the listener interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import (
    Action,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
)
from binance_margin_stream.stream.protocol.records import ConnectionState, Feed, Subscription
from binance_margin_stream.stream.protocol.timing import Backoff, Jitter, Timers
from binance_margin_stream.stream.settings import StreamSettings, get_limits
from binance_margin_stream.stream.sources import Credential, Source
from binance_margin_stream.stream.state import GapReason, ScheduledAction, Severity, StatusChange, StatusChangeKind

__all__ = ["Context", "Counters", "LifecycleListener"]

_SENDING_ACTIONS = (OpenConnection, RestRequest, SendPing, SendText)

_PAUSE_CHANGES = {
    FailureKind.RATE_LIMITED: StatusChangeKind.RATE_LIMITED,
    FailureKind.BANNED: StatusChangeKind.BANNED,
    FailureKind.FIREWALL_BLOCKED: StatusChangeKind.FIREWALL_BLOCKED,
}


@dataclass(slots=True)
class Counters:
    """Counters of what happened so far."""

    gaps: int = 0
    reconnects: int = 0
    rotations: int = 0
    renewals: int = 0
    failures: int = 0
    malformed_frames: int = 0
    rest_calls: int = 0


class LifecycleListener(Protocol):
    """What the parts of the state machine report to the coordinator."""

    def on_credential(self, feed: Feed, now: float) -> None:
        """A feed has a new credential."""

    def on_credential_gone(self, feed: Feed, credential: Credential, now: float) -> None:
        """The exchange no longer knows the feed's credential."""

    def on_source_retired(self, source: Source, failure: Failure, now: float) -> None:
        """The exchange no longer serves a source."""

    def fail(self, failure: Failure, now: float) -> None:
        """A failure occurred that cannot be retried."""

    def lose_feed(self, feed: Feed, failure: Failure, now: float) -> None:
        """A failure occurred that is final for the account of a feed, and for no other."""

    def on_connection_open(self, connection: ConnectionState, now: float) -> None:
        """A connection is open."""

    def on_connection_lost(self, connection: ConnectionState, reason: GapReason, now: float) -> None:
        """A connection was lost, or could not be opened."""

    def on_subscribing(self, subscription: Subscription, now: float) -> None:
        """A subscribe request is sent: events may arrive from now on."""

    def on_subscribed(self, subscription: Subscription, now: float) -> None:
        """A subscription is active."""

    def on_subscribe_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """A subscribe request failed."""

    def on_renewing(self, subscription: Subscription) -> None:
        """A renewal is sent: events may arrive by a second id from now on."""

    def on_second_id(self, subscription: Subscription, at: float, now: float) -> Subscription:
        """A renewal, sent at `at`, brought another id. Returns the subscription to use it for."""
        ...

    def on_renewed(self, subscription: Subscription, now: float) -> None:
        """A subscription was renewed."""

    def on_renewal_failed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """A subscription may not have been renewed. It is still active."""

    def on_subscription_missing(self, subscription: Subscription, now: float) -> None:
        """The exchange does not list a subscription that should be active."""

    def on_unattributed_events(self, connection: ConnectionState, now: float) -> None:
        """Events arrived on a connection that cannot be attributed to a subscription."""

    def replay_event(self, subscription: Subscription, at: float, event: object) -> None:
        """An event that arrived earlier belongs to this subscription."""

    def replace_connection(self, connection: ConnectionState, reason: str, now: float) -> None:
        """A connection must be replaced."""


class Context:
    """The shared state of one state machine."""

    def __init__(self, settings: StreamSettings, jitter: Jitter, to_epoch_ms: Callable[[float], int]) -> None:
        self.settings = settings
        self.limits = get_limits(settings)
        self.jitter = jitter
        self.to_epoch_ms = to_epoch_ms
        self.timers: Timers[tuple[ScheduledAction, object]] = Timers()
        self.actions: list[Action] = []
        self.counters = Counters()
        self.paused_until = float("-inf")
        self.limited_until = float("-inf")
        self.retired_sources: dict[str, Failure] = {}
        self.is_stopped = False
        self._last_subscription_number = 0

    def next_subscription_number(self) -> int:
        """The number of a new subscription."""
        self._last_subscription_number += 1
        return self._last_subscription_number

    def emit(self, action: Action) -> None:
        """Add an action for the driver. Once stopped, nothing more is sent or opened."""
        if not (self.is_stopped and isinstance(action, _SENDING_ACTIONS)):
            self.actions.append(action)

    def notify(
        self, kind: StatusChangeKind, severity: Severity, account: Account | None = None, detail: str = ""
    ) -> None:
        """Report a status change."""
        self.emit(StatusChange(kind, severity, account, detail))

    def create_backoff(self) -> Backoff:
        """A backoff with the delays of the settings."""
        return Backoff(self.settings.backoff_initial, self.settings.backoff_max, self.jitter)

    def pause_sending(self, failure: Failure, now: float) -> None:
        """Send nothing for as long as a rate limit, a ban or a firewall requires."""
        wait = failure.retry_after if failure.retry_after is not None else self._default_pause(failure.kind)
        if failure.kind is not FailureKind.FIREWALL_BLOCKED:
            self.limited_until = max(self.limited_until, now + wait)
        until = now + wait + self.jitter(0.0, self.settings.backoff_initial)
        if until > self.paused_until:
            self.paused_until = until
            kind = _PAUSE_CHANGES[failure.kind]
            self.notify(kind, Severity.WARNING, detail=f"sending paused for {until - now:.0f} s")

    def _default_pause(self, kind: FailureKind) -> float:
        waits = {FailureKind.BANNED: self.limits.ban_wait, FailureKind.FIREWALL_BLOCKED: self.limits.firewall_wait}
        return waits.get(kind, self.limits.rate_limit_wait)
