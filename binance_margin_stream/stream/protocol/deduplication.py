"""Delivers each event once while a feed moves from one subscription to the next.

While a feed has a successor, the events of the active subscription are delivered at once and counted, and those of
the successor are held. The feed switches when the old connection has delivered everything that was sent before the
successor was live, or when it is lost. Then the held events are delivered, except those that were counted. Two equal
events that one connection sent stay two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, Self, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import AccountLost, StreamGap
from binance_margin_stream.stream.failures import Failure
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.records import RISK_EVENT_TYPES, Feed, OpenGap, Subscription
from binance_margin_stream.stream.state import GapReason, Severity, StatusChangeKind

__all__ = ["Deduplicator", "StreamEvent"]


class StreamEvent(Protocol):
    """What the state machine needs of an event."""

    @property
    def account(self) -> Account:
        """The account of the event."""
        ...

    @property
    def event_type(self) -> str:
        """The exchange's name for this kind of event."""
        ...

    @property
    def identity(self) -> Hashable:
        """A hashable value that is equal for the same event on every connection."""

    def with_account(self, account: Account) -> Self:
        """The same event with another account, for an event whose account was unknown when it arrived."""
        ...


E = TypeVar("E", bound=StreamEvent)


class Deduplicator(Generic[E]):
    """Puts events into the buffer, each once, and gaps where events may be missing."""

    def __init__(
        self, context: Context, buffer: EventBuffer[E], on_overflow: Callable[[Subscription, float], None]
    ) -> None:
        self._context = context
        self._buffer = buffer
        self._on_overflow = on_overflow

    def start_overlap(self, feed: Feed) -> None:
        """Events of a successor may arrive from now on: count what the active subscription delivers."""
        if feed.active is not None:
            feed.seen_counts = {}
            feed.active.steady = False

    def cancel_overlap(self, feed: Feed) -> None:
        """The successor was abandoned: continue with the active subscription as before."""
        if feed.is_renewing:
            return  # a second id may deliver the same
        feed.seen_counts = None
        if feed.active is not None:
            feed.active.steady = not _may_have_duplicates(feed.active)

    def start_renewal(self, feed: Feed) -> None:
        """A second id may deliver events from now on: count what the active subscription delivers."""
        feed.is_renewing = True
        if feed.seen_counts is None:
            self.start_overlap(feed)

    def end_renewal(self, feed: Feed) -> None:
        """The result of a renewal is known."""
        if feed.is_renewing:
            feed.is_renewing = False
            if feed.successor is None:
                self.cancel_overlap(feed)

    def on_event(self, subscription: Subscription, at: float, event: E) -> None:
        """An event of a subscription that is not steady arrived."""
        feed = subscription.feed
        if subscription is feed.successor:
            self._hold_item(subscription, at, event)
        elif subscription is feed.active:
            self._on_active_event(feed, at, event)

    def _on_active_event(self, feed: Feed, at: float, event: E) -> None:
        if feed.seen_counts is None:
            self._put_filtered(feed, at, event)
        elif feed.successor is not None or feed.is_renewing:
            feed.seen_counts[event.identity] = feed.seen_counts.get(event.identity, 0) + 1
            self._put_filtered(feed, at, event)
        else:
            self._put_if_new(feed, at, event)

    def _put_filtered(self, feed: Feed, at: float, event: E) -> None:
        duplicate_filter = feed.duplicate_filter
        if (
            duplicate_filter is None
            or event.event_type not in RISK_EVENT_TYPES
            or not duplicate_filter.is_duplicate(feed.duplicate_sign, event.identity)
        ):
            self._buffer.put(at, event)

    def _hold_item(self, subscription: Subscription, at: float, item: E | StreamGap) -> None:
        subscription.held_events.append((at, item))
        if len(subscription.held_events) > self._context.limits.max_held_events:
            self._on_overflow(subscription, at)

    def _put_if_new(self, feed: Feed, at: float, event: E) -> None:
        """Deliver an event of the successor, unless the old connection delivered it already."""
        seen_counts = feed.seen_counts
        identity = event.identity if seen_counts else None
        if not seen_counts or identity not in seen_counts:
            self._put_filtered(feed, at, event)
        elif seen_counts[identity] > 1:
            seen_counts[identity] -= 1
        else:
            del seen_counts[identity]

    def switch(self, feed: Feed) -> bool:
        """Make the successor the active subscription, after a gap if there is one.

        Returns whether duplicates may still arrive.
        """
        new = feed.successor
        if new is None or new.live_at is None:
            return False
        self._emit_open_gap(feed, new.live_at)
        feed.active, feed.successor = new, None
        held, new.held_events = new.held_events, []
        for at, item in held:
            if isinstance(item, StreamGap):
                self._buffer.put(at, item)
            else:
                self._put_if_new(feed, at, item)
        new.steady = not feed.seen_counts and not _may_have_duplicates(new)
        feed.seen_counts = feed.seen_counts or None
        return feed.seen_counts is not None

    def _emit_open_gap(self, feed: Feed, live_at: float) -> None:
        open_gap, feed.open_gap = feed.open_gap, None
        if open_gap is not None and open_gap.since < live_at:
            self._buffer.put(live_at, self._make_gap(feed, open_gap, live_at))

    def end_overlap(self, feed: Feed) -> None:
        """Duplicates can no longer arrive."""
        if feed.successor is None and feed.active is not None and not feed.is_renewing:
            feed.seen_counts = None
            feed.active.steady = not _may_have_duplicates(feed.active)

    def report_gap(
        self, subscription: Subscription, since: float, now: float, reason: GapReason, frame: str | None = None
    ) -> None:
        """Report that events of a subscription may be missing between two moments."""
        feed = subscription.feed
        gap = self._make_gap(feed, OpenGap(since, reason, subscription.connection.source.name), now, frame)
        if subscription is feed.active:
            self._buffer.put(now, gap)
        elif subscription is feed.successor:
            self._hold_gap(subscription, now, gap)

    def _hold_gap(self, subscription: Subscription, now: float, gap: StreamGap) -> None:
        if subscription.live_at is not None or subscription.requested_at is not None:
            self._hold_item(subscription, now, gap)

    def stop_pairing(self, feed: Feed) -> None:
        """No other feed of the account delivers events any more."""
        feed.duplicate_filter = None
        if feed.active is not None and feed.successor is None and feed.seen_counts is None:
            feed.active.steady = True

    def end_open_gap(self, feed: Feed, now: float) -> None:
        """Report the open gap of a feed that will not be live again."""
        open_gap, feed.open_gap = feed.open_gap, None
        if open_gap is not None:
            self._buffer.put(now, self._make_gap(feed, open_gap, now))

    def report_account_lost(self, feed: Feed, since: float, failure: Failure, now: float) -> None:
        """Report that the stream no longer follows a feed."""
        lost = AccountLost(
            account=feed.account,
            source=feed.source.name,
            since=self._context.to_epoch_ms(since),
            reason=failure.kind.value,
            error=failure.detail,
            code=failure.code,
        )
        self._buffer.put(now, lost)

    def _make_gap(self, feed: Feed, gap: OpenGap, until: float, frame: str | None = None) -> StreamGap:
        self._context.counters.gaps += 1
        detail = f"{gap.source}: {gap.reason}, {until - gap.since:.1f} s"
        self._context.notify(StatusChangeKind.GAP, Severity.WARNING, feed.account, detail)
        to_epoch_ms = self._context.to_epoch_ms
        first = to_epoch_ms(gap.since)
        last = max(first, to_epoch_ms(until))
        return StreamGap(
            account=feed.account, since=first, until=last, reason=gap.reason.value, source=gap.source, frame=frame
        )


def _may_have_duplicates(subscription: Subscription) -> bool:
    """Whether another feed of the account may deliver the same risk events."""
    return subscription.feed.duplicate_filter is not None and subscription.connection.source.has_risk_events
