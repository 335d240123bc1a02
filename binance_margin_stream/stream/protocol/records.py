"""The records of the state machine: feeds, subscriptions and connections, almost without behaviour of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import set_subscription
from binance_margin_stream.stream.failures import Failure
from binance_margin_stream.stream.protocol.timing import Backoff, RateLimiter
from binance_margin_stream.stream.sources import Credential, Source
from binance_margin_stream.stream.state import GapReason

__all__ = [
    "RISK_EVENT_TYPES",
    "ConnectionPhase",
    "ConnectionState",
    "DuplicateFilter",
    "Feed",
    "OpenGap",
    "PendingRequest",
    "QueuedRequest",
    "RequestKind",
    "Subscription",
    "SubscriptionId",
]

SubscriptionId: TypeAlias = int | str
"""The identifier of a subscription on its connection: an id from the host, or the listen key."""

RISK_EVENT_TYPES: Final = frozenset(
    {
        "MARGIN_LEVEL_STATUS_CHANGE",
        "marginLevelStatusChange",
        "USER_LIABILITY_CHANGE",
        "userLiabilityChange",
    }
)
"""The events of the risk listen key. One client reports that the listen key V2 delivers them, too."""

_MAX_REMEMBERED = 1000


@dataclass(slots=True)
class OpenGap:
    """Since when, and why, events of a feed may be missing."""

    since: float
    reason: GapReason
    source: str


class DuplicateFilter:
    """Finds events that two feeds of one account both deliver.

    The first event of one feed is paired with the first equal event of the other, the second with the second, and so
    on. So an event that only one feed delivers is not lost, and two equal events of one feed stay two.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    def is_duplicate(self, sign: int, identity: Hashable) -> bool:
        """Whether the other feed delivered this event already. `sign` is 1 for one feed and -1 for the other."""
        balance = self._counts.pop(identity, 0)
        if balance + sign:
            self._counts[identity] = balance + sign
            if len(self._counts) > _MAX_REMEMBERED:
                del self._counts[next(iter(self._counts))]
        return balance * sign < 0


class Feed:
    """The events of one account through one chain of sources.

    `active` is the subscription whose events are delivered. `successor` is a subscription that is being made: the
    first one, the next one after a loss, or the new one in a rotation, whose events are held until the switch.
    """

    __slots__ = (
        "account",
        "active",
        "backoff",
        "counts_for_state",
        "credential",
        "duplicate_filter",
        "duplicate_sign",
        "has_pending_call",
        "is_renewing",
        "joined_at",
        "last_confirmed_at",
        "last_event_at",
        "last_failure",
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
        self.last_confirmed_at = self.last_event_at = float("-inf")
        self.has_pending_call = False
        self.is_renewing = False
        self.joined_at = float("-inf")
        self.last_failure: Failure | None = None
        self.counts_for_state = True
        self.duplicate_filter: DuplicateFilter | None = None
        self.duplicate_sign = 1


class Subscription:
    """A subscription of a feed on a connection.

    While `steady` is set, an event goes to the consumer without any check for duplicates.
    """

    __slots__ = (
        "confirmed_at",
        "connection",
        "credential",
        "feed",
        "held_events",
        "id",
        "largest_event_time",
        "last_event_at",
        "live_at",
        "marked_uncertain_at",
        "number",
        "possibly_ended_since",
        "requested_at",
        "steady",
        "unrouted_event_since",
    )

    def __init__(self, number: int, feed: Feed, connection: ConnectionState) -> None:
        self.number = number
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
        self.largest_event_time = 0

    def stamp(self, event: Any) -> None:
        """Note that an event came by this subscription. `Lifecycle.on_event` does the same, without a call."""
        set_subscription(event, self.number)
        self.largest_event_time = max(self.largest_event_time, getattr(event, "event_time", None) or 0)

    def uses(self, credential: Credential) -> bool:
        """Whether it was made, or will be made, with this credential."""
        return self.credential is None or self.credential.secret == credential.secret

    @property
    def last_confirmed_at(self) -> float:
        """When it was last known to be served: by a response to a request, or to a call for its credential."""
        return self.confirmed_at if self.credential is None else max(self.confirmed_at, self.credential.confirmed_at)

    def assign_id(self, subscription_id: SubscriptionId) -> None:
        """Set the id. Events with this id belong to the subscription from now on."""
        self.id = subscription_id
        self.connection.subscriptions_by_id[subscription_id] = self
        self.connection.accounts_by_id[subscription_id] = self.feed.account

    def mark_uncertain(self, since: float, now: float) -> None:
        """The subscription may have ended unnoticed, at `since` at the earliest."""
        earlier = self.possibly_ended_since
        self.possibly_ended_since = since if earlier is None else min(earlier, since)
        self.marked_uncertain_at = now

    def mark_confirmed(self, at: float) -> None:
        """The subscription was active at `at`. A doubt from a later moment remains."""
        self.confirmed_at = max(self.confirmed_at, at)
        if self.marked_uncertain_at <= at:
            self.possibly_ended_since = None
        elif self.possibly_ended_since is not None:
            self.possibly_ended_since = max(self.possibly_ended_since, at)

    @property
    def uncertain_since(self) -> float | None:
        """Since when it may have ended unnoticed, or an event without a known subscription may have been its own."""
        return min(
            (at for at in (self.possibly_ended_since, self.unrouted_event_since) if at is not None), default=None
        )


class ConnectionPhase(Enum):
    """The phase of a connection."""

    PLANNED = "planned"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


class RequestKind(Enum):
    """The purpose of a request on a connection."""

    SUBSCRIBE = "subscribe"
    RENEW = "renew"
    LIST = "list"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(slots=True)
class QueuedRequest:
    """A request that waits to be sent: for a subscription, or to end the one with an id."""

    kind: RequestKind
    subscription: Subscription | None = None
    subscription_id: SubscriptionId | None = None
    is_retry: bool = False
    """Whether the request was sent before and timed out."""


@dataclass(slots=True)
class PendingRequest:
    """A request that was sent and has no response yet."""

    kind: RequestKind
    sent_at: float
    subscriptions: tuple[tuple[Subscription, Credential | None], ...] = ()
    timed_out: bool = False


class ConnectionState:
    """One connection. The fields about requests belong to `RequestQueue`."""

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
        "pong_confirmed_until",
        "probed_at",
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
        self.opened_at = now
        self.draining = False
        self.last_activity_at = now
        self.last_frame_at: float | None = None
        self.last_ping_at: float | None = None
        self.ping_sent_at: float | None = None
        self.pong_confirmed_until = float("-inf")
        self.probed_at = float("-inf")
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

    @property
    def single_subscription(self) -> Subscription | None:
        """The only subscription, None if there are several or none."""
        return next(iter(self.subscriptions)) if len(self.subscriptions) == 1 else None
