"""From one subscription of a feed to the next, so that each event is handed over once.

While a successor joins, the subscription in use stays the truth: its events are handed over at once, and counted;
those of the successor are held. When the old connection is known to have delivered all that was sent before the
successor was live, or is lost, the successor takes over: what it held is handed over, less what was counted. Two
equal events that one connection really sent stay two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, Self, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.protocol.actions import Level
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.context import Core
from binance_margin_stream.stream.protocol.duplicate_filter import NOTICES
from binance_margin_stream.stream.protocol.records import Feed, Subscription

__all__ = ["Handover", "Routable"]


class Routable(Protocol):
    """What the life cycle needs of an event."""

    @property
    def account(self) -> Account:
        """Whose it is."""
        ...

    @property
    def event_type(self) -> str:
        """The exchange's name for this kind of event."""
        ...

    @property
    def identity(self) -> Hashable:
        """Equal for the same event on every connection; hashable."""

    def with_account(self, account: Account) -> Self:
        """The event with its account, which was not known when it came."""
        ...


E = TypeVar("E", bound=Routable)


class Handover(Generic[E]):
    """Hands events over, and says where some may be missing."""

    def __init__(self, core: Core, buffer: EventBuffer[E], overflowed: Callable[[Subscription, float], None]) -> None:
        self._core = core
        self._buffer = buffer
        self._overflowed = overflowed

    def begin(self, feed: Feed) -> None:
        """From now on a successor's events may come: count what the old subscription delivers."""
        if feed.serving is not None:
            feed.repeats = {}
            feed.serving.plain = False

    def abandon(self, feed: Feed) -> None:
        """The successor will not come: go on with the old subscription as before."""
        feed.repeats = None
        if feed.serving is not None:
            feed.serving.plain = not _is_twin(feed.serving)

    def event(self, subscription: Subscription, at: float, event: E) -> None:
        """An event while not all is steady."""
        feed = subscription.feed
        if subscription is feed.joining:
            self._hold(subscription, at, event)
        elif subscription is feed.serving:
            self._serve(feed, at, event)

    def _serve(self, feed: Feed, at: float, event: E) -> None:
        if feed.repeats is None:
            self._put(feed, at, event)
        elif feed.joining is not None:
            feed.repeats[event.identity] = feed.repeats.get(event.identity, 0) + 1
            self._put(feed, at, event)
        else:
            self._unless_repeated(feed, at, event)

    def _put(self, feed: Feed, at: float, event: E) -> None:
        twins = feed.twins
        if twins is None or event.event_type not in NOTICES or not twins.is_repeat(feed.side, event.identity):
            self._buffer.put(at, event)

    def _hold(self, subscription: Subscription, at: float, item: E | StreamGap) -> None:
        subscription.held.append((at, item))
        if len(subscription.held) > self._core.rules.held:
            self._overflowed(subscription, at)

    def _unless_repeated(self, feed: Feed, at: float, event: E) -> None:
        """Hand over an event of the successor, unless the old connection delivered it already."""
        repeats = feed.repeats
        identity = event.identity if repeats else None
        if not repeats or identity not in repeats:
            self._put(feed, at, event)
        elif repeats[identity] > 1:
            repeats[identity] -= 1
        else:
            del repeats[identity]

    def take_over(self, feed: Feed) -> bool:
        """Let the successor serve, after the gap if there is one; True if repeats may still come."""
        new = feed.joining
        if new is None or new.live_at is None:
            return False
        self._close_gap(feed, new.live_at)
        feed.serving, feed.joining = new, None
        held, new.held = new.held, []
        for at, item in held:
            if isinstance(item, StreamGap):
                self._buffer.put(at, item)
            else:
                self._unless_repeated(feed, at, item)
        new.plain = not feed.repeats and not _is_twin(new)
        feed.repeats = feed.repeats or None
        return feed.repeats is not None

    def _close_gap(self, feed: Feed, live_at: float) -> None:
        loss, feed.loss = feed.loss, None
        if loss is not None and loss.since < live_at:
            self._buffer.put(live_at, self._gap(feed, loss.since, live_at, loss.reason))

    def settle(self, feed: Feed) -> None:
        """Repeats can no longer come."""
        if feed.joining is None and feed.serving is not None:
            feed.repeats = None
            feed.serving.plain = not _is_twin(feed.serving)

    def lossy(self, subscription: Subscription, since: float, now: float, reason: str) -> None:
        """Events of a subscription may have been lost between two moments, and it goes on."""
        feed = subscription.feed
        gap = self._gap(feed, since, now, reason)
        if subscription is feed.serving:
            self._buffer.put(now, gap)
        elif subscription is feed.joining:
            self._hold_gap(subscription, now, gap)

    def _hold_gap(self, subscription: Subscription, now: float, gap: StreamGap) -> None:
        if subscription.live_at is not None or subscription.asked_at is not None:
            self._hold(subscription, now, gap)

    def _gap(self, feed: Feed, since: float, until: float, reason: str) -> StreamGap:
        self._core.tally.gaps += 1
        self._core.tell("gap", Level.WARNING, feed.account, f"{reason}, {until - since:.1f} s")
        wall = self._core.wall
        first = wall(since)
        return StreamGap(account=feed.account, since=first, until=max(first, wall(until)), reason=reason)


def _is_twin(subscription: Subscription) -> bool:
    """Whether the other feed of the account may bring the same notices."""
    return subscription.feed.twins is not None and subscription.link.source.notices
