"""What was sent and what arrived: each event once or in a gap, and no gap without a reason."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from dataclasses import dataclass

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from simulation.violation import Violation

__all__ = ["Figures", "Ledger", "Sent"]

_GAPS_LOOKED_AT = 40


@dataclass(slots=True)
class Sent:
    """An event: when it was sent (epoch ms by the stream's clock), and how often a connection really sent it."""

    serial: int
    at: int
    copies: int
    required: bool
    arrived: int = 0


@dataclass
class Figures:
    """The sums of one or many months."""

    events: int = 0
    once: int = 0
    covered: int = 0
    lost: int = 0
    twice: int = 0
    gaps: int = 0

    def add(self, other: Figures) -> None:
        """Add up."""
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Ledger:
    """Accounts for the events of one stream.

    Events come in streams of one kind and account, each of which keeps its order. A stream that two feeds bring is
    in `shared`: there, the slower feed may bring late what the other one lost.
    """

    def __init__(self, shared: frozenset[str] = frozenset(), slack: int = 0) -> None:
        self.figures = Figures()
        self._shared = shared
        self._slack = slack
        self._waiting: dict[tuple[Account, str], deque[Sent]] = defaultdict(deque)
        self._late: dict[int, Sent] = {}
        self._gaps: dict[Account, deque[StreamGap]] = defaultdict(lambda: deque(maxlen=_GAPS_LOOKED_AT))
        self._hurts: dict[Account, list[int]] = defaultdict(list)

    def send(self, account: Account, kind: str, event: Sent) -> None:
        """An event goes out."""
        self.figures.events += event.required
        self._waiting[account, kind].append(event)

    def hurt(self, account: Account, at: int) -> None:
        """Something happened from which on events of an account may have been missed (epoch ms)."""
        insort(self._hurts[account], at)

    def gap(self, gap: StreamGap) -> None:
        """A gap was reported."""
        self.figures.gaps += 1
        self._gaps[gap.account].append(gap)
        hurts = self._hurts[gap.account]
        first = bisect_left(hurts, gap.since - self._slack)
        if first == len(hurts) or hurts[first] > gap.until + self._slack:
            raise Violation(2, f"{gap!r}, and nothing happened to that account in between")

    def arrive(self, account: Account, kind: str, serial: int) -> None:
        """An event was handed over."""
        waiting = self._waiting[account, kind]
        while waiting and waiting[0].serial < serial:
            self._excuse(account, kind, waiting.popleft())
        if waiting and waiting[0].serial == serial:
            self._count(waiting[0])
        elif serial in self._late and kind in self._shared:
            self._count(self._late[serial])
        else:
            self.figures.twice += 1
            raise Violation(1, f"event {serial} of {account} ({kind}) came twice, too late, or to the wrong account")

    def settle(self) -> None:
        """All that could arrive has arrived."""
        for (account, kind), waiting in self._waiting.items():
            while waiting:
                self._excuse(account, kind, waiting.popleft())

    def waits(self, account: Account, kind: str, serial: int) -> bool:
        """Whether an event that was sent has not been handed over."""
        return any(each.serial == serial and not each.arrived for each in self._waiting[account, kind])

    def _count(self, event: Sent) -> None:
        event.arrived += 1
        if event.arrived > event.copies:
            self.figures.twice += 1
            raise Violation(1, f"event {event.serial} came {event.arrived} times and was sent {event.copies} times")
        self.figures.once += event.required and event.arrived == 1

    def _excuse(self, account: Account, kind: str, event: Sent) -> None:
        """A later event is there, or the end: what has not arrived has to lie in a gap."""
        if event.arrived >= event.copies or not event.required:
            return
        if kind in self._shared:
            self._late[event.serial] = event
        if not any(gap.since <= event.at <= gap.until for gap in self._gaps[account]):
            self.figures.lost += 1
            raise Violation(1, f"event {event.serial} of {account} ({kind}), sent at {event.at}, was lost in silence")
        self.figures.covered += not event.arrived
