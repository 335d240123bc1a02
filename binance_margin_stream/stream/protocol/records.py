"""What the life cycle remembers: feeds, subscriptions and connections. Records, without behaviour of their own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.duplicate_filter import Twins
from binance_margin_stream.stream.protocol.rate_limit import Backoff, Pace
from binance_margin_stream.stream.sources import Credential, Source

__all__ = ["Asked", "Feed", "Link", "Loss", "Phase", "Purpose", "Route", "Subscription", "Task"]

Route: TypeAlias = int | str
"""What a host calls a subscription: an id, or the listen key itself."""


@dataclass(slots=True)
class Loss:
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
        "backoff",
        "credential",
        "ever_live",
        "heard",
        "joining",
        "loss",
        "repeats",
        "serving",
        "side",
        "source",
        "sources",
        "twins",
        "waits_for_rest",
    )

    def __init__(self, account: Account, sources: tuple[Source, ...], backoff: Backoff) -> None:
        self.account = account
        self.sources = sources
        self.source = sources[0]
        self.backoff = backoff
        self.credential: Credential | None = None
        self.serving: Subscription | None = None
        self.joining: Subscription | None = None
        self.loss: Loss | None = None
        self.repeats: dict[Any, int] | None = None
        self.ever_live = False
        self.heard = float("-inf")
        self.waits_for_rest = False
        self.twins: Twins | None = None
        self.side = 1


class Subscription:
    """A feed's place on a connection.

    `plain` marks the steady state, in which an event is handed over without a second look.
    """

    __slots__ = (
        "asked_at",
        "confirmed_at",
        "credential",
        "doubted_at",
        "doubted_last",
        "feed",
        "held",
        "last_event",
        "link",
        "live_at",
        "plain",
        "route",
        "unclaimed_at",
    )

    def __init__(self, feed: Feed, link: Link) -> None:
        self.feed = feed
        self.link = link
        self.credential: Credential | None = None
        self.route: Route | None = None
        self.asked_at: float | None = None
        self.live_at: float | None = None
        self.confirmed_at = float("-inf")
        self.doubted_at: float | None = None
        self.doubted_last = float("-inf")
        self.unclaimed_at: float | None = None
        self.plain = False
        self.held: list[tuple[float, Any]] = []
        self.last_event = float("-inf")

    def name(self, route: Route) -> None:
        """What the host calls it: events that come this way are its own from now on."""
        self.route = route
        self.link.routes[route] = self
        self.link.accounts[route] = self.feed.account

    def doubt(self, since: float, now: float) -> None:
        """Its end may have come unseen, at `since` at the earliest."""
        self.doubted_at = since if self.doubted_at is None else min(self.doubted_at, since)
        self.doubted_last = now

    def confirm(self, at: float) -> None:
        """It was active at a moment; what made it doubtful later still does."""
        self.confirmed_at = max(self.confirmed_at, at)
        if self.doubted_last <= at:
            self.doubted_at = None
        elif self.doubted_at is not None:
            self.doubted_at = max(self.doubted_at, at)

    @property
    def uncertain_since(self) -> float | None:
        """Since when it may have ended unseen, or an event that nobody claimed may have been its own."""
        return min((at for at in (self.doubted_at, self.unclaimed_at) if at is not None), default=None)


class Phase(Enum):
    """Where a connection is in its life."""

    PLANNED = "planned"
    OPENING = "opening"
    OPEN = "open"
    GONE = "gone"


class Purpose(Enum):
    """What a message on a connection is for."""

    ATTACH = "attach"
    RENEW = "renew"
    LIST = "list"
    DETACH = "detach"


@dataclass(slots=True)
class Task:
    """A message that is to be sent: for which subscription, or which route it ends. `again`: it had no answer."""

    purpose: Purpose
    subscription: Subscription | None = None
    route: Route | None = None
    again: bool = False


@dataclass(slots=True)
class Asked:
    """A message that was sent and has no answer yet."""

    purpose: Purpose
    at: float
    subscriptions: tuple[tuple[Subscription, Credential | None], ...] = ()
    late: bool = False


class Link:
    """One connection."""

    __slots__ = (
        "accounts",
        "asked",
        "awaited",
        "careful",
        "doubted",
        "early",
        "early_count",
        "ended",
        "full",
        "last_frame",
        "last_ping",
        "last_seen",
        "list_at",
        "listing",
        "number",
        "opened_at",
        "outbox",
        "pace",
        "phase",
        "planned_at",
        "probe_sent",
        "probed",
        "refusals",
        "retiring",
        "routes",
        "silences",
        "source",
        "subscribed",
        "subscriptions",
        "suspects",
        "under_way",
    )

    def __init__(self, number: int, source: Source, pace: Pace, now: float) -> None:
        self.number = number
        self.source = source
        self.pace = pace
        self.phase = Phase.PLANNED
        self.planned_at = now
        self.opened_at = now
        self.retiring = False
        self.last_seen = now
        self.last_frame: float | None = None
        self.last_ping: float | None = None
        self.probe_sent: float | None = None
        self.probed = float("-inf")
        self.routes: dict[Route, Subscription | None] = {}
        self.accounts: dict[Route | None, Account] = {}
        self.subscriptions: dict[Subscription, None] = {}
        self.subscribed = 0
        self.early: dict[Route, list[tuple[float, Any]]] = {}
        self.early_count = 0
        self.ended: set[Route] = set()
        self.outbox: deque[Task] = deque()
        self.asked: dict[int, Asked] = {}
        self.suspects: dict[Subscription, None] = {}
        self.awaited: dict[Feed, None] = {}
        self.careful = False
        self.doubted = False
        self.listing = False
        self.list_at = float("-inf")
        self.under_way = 0
        self.full = False
        self.refusals = 0
        self.silences = 0
