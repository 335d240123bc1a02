"""What was sent and what arrived: each event once or in a gap, and no gap without a reason."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from dataclasses import dataclass

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from simulation.violation import Violation

__all__ = ["DeliveryChecker", "PlayedEvent", "Totals"]

_RECENT_GAPS = 40


@dataclass(slots=True)
class PlayedEvent:
    """An event: when it was sent (epoch ms by the stream's clock), and how often a connection really sent it."""

    serial: int
    sent_at: int
    copies: int
    required: bool
    received: int = 0


@dataclass
class Totals:
    """The sums of one or many months."""

    events: int = 0
    delivered_once: int = 0
    covered_by_gap: int = 0
    lost: int = 0
    delivered_twice: int = 0
    gaps: int = 0

    def add(self, other: Totals) -> None:
        """Add up."""
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class DeliveryChecker:
    """Accounts for the events of one stream.

    Events come in streams of one kind and account, each of which keeps its order. A stream that two feeds bring is
    in `shared`: there, the slower feed may bring late what the other one lost.
    """

    def __init__(self, shared_kinds: frozenset[str] = frozenset(), tolerance_ms: int = 0) -> None:
        self.totals = Totals()
        self._shared_kinds = shared_kinds
        self._tolerance_ms = tolerance_ms
        self._outstanding: dict[tuple[Account, str], deque[PlayedEvent]] = defaultdict(deque)
        self._may_arrive_late: dict[int, PlayedEvent] = {}
        self._gaps: dict[Account, deque[StreamGap]] = defaultdict(lambda: deque(maxlen=_RECENT_GAPS))
        self._possible_losses: dict[Account, list[int]] = defaultdict(list)

    def record_sent(self, account: Account, kind: str, event: PlayedEvent) -> None:
        """An event goes out."""
        self.totals.events += event.required
        self._outstanding[account, kind].append(event)

    def mark_possible_loss(self, account: Account, at: int) -> None:
        """Something happened from which on events of an account may have been missed (epoch ms)."""
        insort(self._possible_losses[account], at)

    def record_gap(self, gap: StreamGap) -> None:
        """A gap was reported."""
        self.totals.gaps += 1
        self._gaps[gap.account].append(gap)
        possible_losses = self._possible_losses[gap.account]
        first = bisect_left(possible_losses, gap.since - self._tolerance_ms)
        if first == len(possible_losses) or possible_losses[first] > gap.until + self._tolerance_ms:
            raise Violation(2, f"{gap!r}, and nothing happened to that account in between")

    def record_received(self, account: Account, kind: str, serial: int) -> None:
        """An event was handed over."""
        outstanding = self._outstanding[account, kind]
        while outstanding and outstanding[0].serial < serial:
            self._require_gap(account, kind, outstanding.popleft())
        if outstanding and outstanding[0].serial == serial:
            self._count_received(outstanding[0])
        elif serial in self._may_arrive_late and kind in self._shared_kinds:
            self._count_received(self._may_arrive_late[serial])
        else:
            self.totals.delivered_twice += 1
            raise Violation(1, f"event {serial} of {account} ({kind}) came twice, too late, or to the wrong account")

    def check_outstanding(self) -> None:
        """All that could arrive has arrived."""
        for (account, kind), outstanding in self._outstanding.items():
            while outstanding:
                self._require_gap(account, kind, outstanding.popleft())

    def is_outstanding(self, account: Account, kind: str, serial: int) -> bool:
        """Whether an event that was sent has not been handed over."""
        return any(each.serial == serial and not each.received for each in self._outstanding[account, kind])

    def _count_received(self, event: PlayedEvent) -> None:
        event.received += 1
        if event.received > event.copies:
            self.totals.delivered_twice += 1
            raise Violation(1, f"event {event.serial} came {event.received} times and was sent {event.copies} times")
        self.totals.delivered_once += event.required and event.received == 1

    def _require_gap(self, account: Account, kind: str, event: PlayedEvent) -> None:
        """A later event is there, or the end: what has not arrived has to lie in a gap."""
        if event.received >= event.copies or not event.required:
            return
        if kind in self._shared_kinds:
            self._may_arrive_late[event.serial] = event
        if not any(gap.since <= event.sent_at <= gap.until for gap in self._gaps[account]):
            self.totals.lost += 1
            raise Violation(
                1, f"event {event.serial} of {account} ({kind}), sent at {event.sent_at}, was lost in silence"
            )
        self.totals.covered_by_gap += not event.received
