"""Turns what a stream knows about its subscriptions into intervals that a relay may claim. No I/O.

A span is one subscription, or a part of one between two gaps: spans are never joined, because nothing is known about
the time between them. A span starts after the response to the subscription. It ends before the sending time of the
last ping whose pong came, and before the largest event time that it brought, both less the bounds: what the exchange
sent before these moments has arrived. An end may be claimed when everything that arrived before it is stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from binance_margin_stream.relay.frontier import FrontierEntry, TimeRange, is_recorded
from binance_margin_stream.relay.stream_view import SubscriptionView
from binance_margin_stream.stream.accounts import Account

__all__ = ["CONTENT_BY_SOURCE", "CoverageTracker", "ToServerTime"]

CONTENT_BY_SOURCE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "token": ("orders",),
        "listen-key": ("orders",),
        "listen-key-v2": ("orders", "notices"),
        "risk": ("risk",),
    }
)
"""What a source brings: a relay fills only holes in what its own source brings.

Whether the V2 listen key brings all that the risk listen key brings is not documented, so neither fills holes of the
other.
"""

ToServerTime = Callable[[int], int | None]
"""The exchange's time of a moment of this machine's clock, in milliseconds; None while there is no good estimate."""

_MAX_CLOSED_SPANS = 1000
_MAX_CHECKPOINTS = 64


@dataclass(slots=True, eq=False)
class _LiveSpan:
    subscription: int
    account: Account
    contents: tuple[str, ...]
    start: int | None = None
    end: int | None = None
    """Everything up to here has arrived."""
    claimable_end: int | None = None
    """Everything up to here has arrived and is stored."""

    def extend(self, end: int) -> None:
        self.end = end if self.end is None else max(self.end, end)

    @property
    def claim(self) -> TimeRange | None:
        if self.start is None or self.claimable_end is None or self.claimable_end < self.start:
            return None
        return TimeRange(self.start, self.claimable_end)


class CoverageTracker:
    """The spans of one stream. Positions number the items that were handed to the publisher, in order."""

    def __init__(self, *, latency_bound_ms: int, clock_error_bound_ms: int) -> None:
        self._latency_bound = latency_bound_ms
        self._clock_error_bound = clock_error_bound_ms
        self._open: dict[int, _LiveSpan] = {}
        self._closed: deque[_LiveSpan] = deque()
        self._ended_subscriptions: set[int] = set()
        self._checkpoints: deque[tuple[int, tuple[tuple[_LiveSpan, int], ...]]] = deque()

    def on_item(self, subscription: int, account: Account, event_time: int) -> None:
        """An event with this event time (``E``) was taken from the stream."""
        span = self._open.get(subscription)
        if span is not None and span.account == account:
            span.extend(event_time - self._latency_bound - 1)

    def observe(
        self,
        views: Iterable[SubscriptionView],
        covered_until: Mapping[Account, int],
        to_server_time: ToServerTime,
        now: int,
    ) -> None:
        """Take in what the stream shows at `now`, when everything that it handed over was taken.

        `covered_until` is the stream's. A ping proves nothing beyond it: the stream may hold back events of a
        successor, and a listen key that was deleted leaves its connection alive.
        """
        shown: set[int] = set()
        for view in views:
            shown.add(view.subscription)
            if view.subscription in self._ended_subscriptions:
                continue
            span = self._open_span(view, to_server_time)
            if span.start is None:
                self._set_start(span, now, to_server_time)
            self._extend_to_ping(span, view.ping_sent_at, covered_until.get(view.account), to_server_time)
            if not view.is_open:
                self._close(span)
        for subscription in self._open.keys() - shown:
            self._close(self._open[subscription])
        self._ended_subscriptions &= shown

    def register(self, views: Iterable[SubscriptionView], to_server_time: ToServerTime) -> None:
        """Take in that these subscriptions exist, before their events are taken."""
        for view in views:
            if view.subscription not in self._ended_subscriptions:
                self._open_span(view, to_server_time)

    def covers(self, subscription: int, event_time: int) -> bool:
        """Whether this time of the exchange lies after the start of the subscription's span that is open."""
        span = self._open.get(subscription)
        return span is not None and span.start is not None and event_time >= span.start

    def _open_span(self, view: SubscriptionView, to_server_time: ToServerTime) -> _LiveSpan:
        span = self._open.get(view.subscription)
        if span is None:
            span = _LiveSpan(view.subscription, view.account, CONTENT_BY_SOURCE[view.source])
            self._open[view.subscription] = span
            self._set_start(span, view.live_at, to_server_time)
        return span

    def _set_start(self, span: _LiveSpan, at: int, to_server_time: ToServerTime) -> None:
        server_time = to_server_time(at)
        if server_time is not None:
            span.start = server_time + self._clock_error_bound + 1

    def _extend_to_ping(
        self, span: _LiveSpan, ping_sent_at: int | None, covered_until: int | None, to_server_time: ToServerTime
    ) -> None:
        if ping_sent_at is None or covered_until is None:
            return
        server_time = to_server_time(min(ping_sent_at, covered_until))
        if server_time is not None:
            span.extend(server_time - self._clock_error_bound - self._latency_bound - 1)

    def break_spans(self, account: Account) -> None:
        """Events of an account may be missing here: what follows is a new span, which starts when it is observed."""
        for subscription, span in list(self._open.items()):
            if span.account == account:
                self._retire(span)
                self._open[subscription] = _LiveSpan(subscription, account, span.contents)

    def end_stream(self) -> None:
        """The stream is gone: its subscriptions ended, and the numbers of the next one begin anew."""
        for span in list(self._open.values()):
            self._close(span)
        self._ended_subscriptions.clear()

    def checkpoint(self, position: int) -> None:
        """Everything that has arrived so far has a position up to this one."""
        ends = tuple((span, span.end) for span in self._spans() if span.end is not None)
        if self._checkpoints and (self._checkpoints[-1][0] == position or len(self._checkpoints) >= _MAX_CHECKPOINTS):
            self._checkpoints.pop()  # the later one says the same and more, only later
        self._checkpoints.append((position, ends))

    def on_acknowledged(self, position: int) -> set[Account]:
        """Everything up to this position is stored; the accounts of which more may be claimed now."""
        changed: set[Account] = set()
        while self._checkpoints and self._checkpoints[0][0] <= position:
            for span, end in self._checkpoints.popleft()[1]:
                if span.claimable_end is None or span.claimable_end < end:
                    span.claimable_end = end
                    changed.add(span.account)
        return changed

    def accounts(self) -> frozenset[tuple[Account, str]]:
        """Every account and kind of content that has a span."""
        return frozenset((span.account, content) for span in self._spans() for content in span.contents)

    def first_start(self, account: Account, content: str) -> int | None:
        """Where the first span begins, None while none has begun."""
        starts = [span.start for span in self._spans(account, content) if span.start is not None]
        return min(starts, default=None)

    def claims(self, account: Account, content: str) -> tuple[TimeRange, ...]:
        """What may be claimed now."""
        return tuple(claim for span in self._spans(account, content) if (claim := span.claim) is not None)

    def forget_recorded(self, account: Account, entries: Mapping[str, FrontierEntry]) -> None:
        """Drop the closed spans whose claims these entries hold in full."""
        waiting = {id(span) for _, ends in self._checkpoints for span, _ in ends}
        self._closed = deque(
            span
            for span in self._closed
            if span.account != account or id(span) in waiting or not _is_done(span, entries)
        )

    def _spans(self, account: Account | None = None, content: str | None = None) -> Iterator[_LiveSpan]:
        for spans in (self._closed, self._open.values()):
            for span in spans:
                if (account is None or span.account == account) and (content is None or content in span.contents):
                    yield span

    def _close(self, span: _LiveSpan) -> None:
        del self._open[span.subscription]
        self._ended_subscriptions.add(span.subscription)
        self._retire(span)

    def _retire(self, span: _LiveSpan) -> None:
        if span.start is not None:
            self._closed.append(span)
        if len(self._closed) > _MAX_CLOSED_SPANS:
            self._closed.popleft()  # its time becomes a gap: claims are bounded


def _is_done(span: _LiveSpan, entries: Mapping[str, FrontierEntry]) -> bool:
    claim = span.claim
    return claim is None or all(
        content in entries and is_recorded(entries[content], claim) for content in span.contents
    )
