"""What the life cycle remembers: feeds, subscriptions and connections. Records, without behaviour of their own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.duplicate_filter import DuplicateFilter
from binance_margin_stream.stream.protocol.rate_limit import Backoff, RateLimiter
from binance_margin_stream.stream.sources import Credential, Source

__all__ = [
    "ConnectionPhase",
    "ConnectionState",
    "Feed",
    "OpenGap",
    "PendingRequest",
    "QueuedRequest",
    "RequestKind",
    "Subscription",
    "SubscriptionId",
]

SubscriptionId: TypeAlias = int | str
"""What a host calls a subscription: an id, or the listen key itself."""


@dataclass(slots=True)
class OpenGap:
    """Since when, and why, events of a feed may be missing."""

    since: float
    reason: str


class Feed:
    """The events of one account through one chain of sources: what must never fall silent.

    `serving` is the subscription whose events are handed over. `joining` is one that is being made: the first,
    the next after a loss, or the successor in a rotation, whose events are held until it takes over.
    """

    __slots__ = (
        "account",
        "active",
        "backoff",
        "credential",
        "duplicate_filter",
        "duplicate_sign",
        "has_pending_call",
        "last_event_at",
        "open_gap",
        "seen_counts",
        "source",
        "sources",
        "successor",
        "was_live",
    )

    def __init__(self, account: Account, sources: tuple[Source, ...], backoff: Backoff) -> None:
        self.account = account
        self.sources = sources
        self.source = sources[0]
        self.backoff = backoff
        self.credential: Credential | None = None
        self.active: Subscription | None = None
        self.successor: Subscription | None = None
        self.open_gap: OpenGap | None = None
        self.seen_counts: dict[Any, int] | None = None
        self.was_live = False
        self.last_event_at = float("-inf")
        self.has_pending_call = False
        self.duplicate_filter: DuplicateFilter | None = None
        self.duplicate_sign = 1


class Subscription:
    """A feed's place on a connection.

    `plain` marks the steady state, in which an event is handed over without a second look.
    """

    __slots__ = (
        "confirmed_at",
        "connection",
        "credential",
        "feed",
        "held_events",
        "id",
        "last_event_at",
        "live_at",
        "marked_uncertain_at",
        "possibly_ended_since",
        "requested_at",
        "steady",
        "unrouted_event_since",
    )

    def __init__(self, feed: Feed, connection: ConnectionState) -> None:
        self.feed = feed
        self.connection = connection
        self.credential: Credential | None = None
        self.id: SubscriptionId | None = None
        self.requested_at: float | None = None
        self.live_at: float | None = None
        self.confirmed_at = float("-inf")
        self.possibly_ended_since: float | None = None
        self.marked_uncertain_at = float("-inf")
        self.unrouted_event_since: float | None = None
        self.steady = False
        self.held_events: list[tuple[float, Any]] = []
        self.last_event_at = float("-inf")

    def assign_id(self, subscription_id: SubscriptionId) -> None:
        """What the host calls it: events that come this way are its own from now on."""
        self.id = subscription_id
        self.connection.subscriptions_by_id[subscription_id] = self
        self.connection.accounts_by_id[subscription_id] = self.feed.account

    def mark_uncertain(self, since: float, now: float) -> None:
        """Its end may have come unseen, at `since` at the earliest."""
        self.possibly_ended_since = (
            since if self.possibly_ended_since is None else min(self.possibly_ended_since, since)
        )
        self.marked_uncertain_at = now

    def mark_confirmed(self, at: float) -> None:
        """It was active at a moment; what made it doubtful later still does."""
        self.confirmed_at = max(self.confirmed_at, at)
        if self.marked_uncertain_at <= at:
            self.possibly_ended_since = None
        elif self.possibly_ended_since is not None:
            self.possibly_ended_since = max(self.possibly_ended_since, at)

    @property
    def uncertain_since(self) -> float | None:
        """Since when it may have ended unseen, or an event that nobody claimed may have been its own."""
        return min(
            (at for at in (self.possibly_ended_since, self.unrouted_event_since) if at is not None), default=None
        )


class ConnectionPhase(Enum):
    """Where a connection is in its life."""

    PLANNED = "planned"
    CONNECTING = "opening"
    OPEN = "open"
    CLOSED = "gone"


class RequestKind(Enum):
    """What a message on a connection is for."""

    SUBSCRIBE = "attach"
    RENEW = "renew"
    LIST = "list"
    UNSUBSCRIBE = "detach"


@dataclass(slots=True)
class QueuedRequest:
    """A message that is to be sent: for which subscription, or which route it ends. `again`: it had no answer."""

    kind: RequestKind
    subscription: Subscription | None = None
    subscription_id: SubscriptionId | None = None
    is_retry: bool = False


@dataclass(slots=True)
class PendingRequest:
    """A message that was sent and has no answer yet."""

    kind: RequestKind
    sent_at: float
    subscriptions: tuple[tuple[Subscription, Credential | None], ...] = ()
    timed_out: bool = False


class ConnectionState:
    """One connection."""

    __slots__ = (
        "accounts_by_id",
        "draining",
        "id",
        "in_flight",
        "is_full",
        "last_activity_at",
        "last_frame_at",
        "last_ping_at",
        "list_in_flight",
        "list_requested",
        "next_list_at",
        "opened_at",
        "pending_requests",
        "phase",
        "ping_sent_at",
        "planned_at",
        "pong_confirmed_until",
        "queued_requests",
        "rate_limiter",
        "rejections",
        "serial_requests",
        "source",
        "subscriptions",
        "subscriptions_by_id",
        "subscriptions_made",
        "terminated_ids",
        "unanswered",
        "unidentified",
        "unrouted_count",
        "unrouted_events",
        "waiting_for_pong",
    )

    def __init__(self, connection_id: int, source: Source, rate_limiter: RateLimiter, now: float) -> None:
        self.id = connection_id
        self.source = source
        self.rate_limiter = rate_limiter
        self.phase = ConnectionPhase.PLANNED
        self.planned_at = now
        self.opened_at = now
        self.draining = False
        self.last_activity_at = now
        self.last_frame_at: float | None = None
        self.last_ping_at: float | None = None
        self.ping_sent_at: float | None = None
        self.pong_confirmed_until = float("-inf")
        self.subscriptions_by_id: dict[SubscriptionId, Subscription | None] = {}
        self.accounts_by_id: dict[SubscriptionId | None, Account] = {}
        self.subscriptions: dict[Subscription, None] = {}
        self.subscriptions_made = 0
        self.unrouted_events: dict[SubscriptionId, list[tuple[float, Any]]] = {}
        self.unrouted_count = 0
        self.terminated_ids: set[SubscriptionId] = set()
        self.queued_requests: deque[QueuedRequest] = deque()
        self.pending_requests: dict[int, PendingRequest] = {}
        self.unidentified: dict[Subscription, None] = {}
        self.waiting_for_pong: dict[Feed, None] = {}
        self.serial_requests = False
        self.list_requested = False
        self.list_in_flight = False
        self.next_list_at = float("-inf")
        self.in_flight = 0
        self.is_full = False
        self.rejections = 0
        self.unanswered = 0
