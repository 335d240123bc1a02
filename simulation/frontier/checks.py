"""What has to hold, whatever happens."""

from __future__ import annotations

from collections import Counter

from binance_margin_stream.relay.frontier import AccountEntry, FrontierEntry, TimeRange
from simulation.frontier.exchange import Exchange, ModelEvent

__all__ = ["Checks", "FrontierViolation"]

CONTENT = "orders"


class FrontierViolation(Exception):  # noqa: N818  # a finding, not a failure of the program
    """A property that does not hold: its name, and what was seen."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class Checks:
    """Looks at every change of the entry, and at the end."""

    def __init__(self, exchange: Exchange, stored: dict[str, ModelEvent | TimeRange]) -> None:
        self._exchange = exchange
        self._stored = stored
        self._recorded: set[int] = set()
        self._was_lost = False
        self._first_origin: int | None = None
        self.now = 0
        self.gap_milliseconds = 0
        self.gaps = 0
        self.stored_in_gaps = 0

    def on_lost(self, *, is_remembered: bool) -> None:
        """The entry was deleted: the frontier may begin anew, and knows nothing where nothing tells of the loss."""
        self._recorded.clear()
        self._was_lost = True
        if not is_remembered and not self._stored:
            self._first_origin = None

    def on_write(self, before: AccountEntry | None, after: AccountEntry) -> None:
        """Called after every change of the entry."""
        old = before.contents.get(CONTENT) if before is not None else None
        new = after.contents[CONTENT]
        if self._first_origin is None:
            self._first_origin = new.origin
        if old is None and new.pending and not self._was_lost:
            raise FrontierViolation("a new account begins without a gap", f"{new}")
        if old is not None and new.frontier < old.frontier:
            raise FrontierViolation("the frontier never goes back", f"{old.frontier} to {new.frontier}")
        if new.frontier >= max(self.now, new.origin):
            raise FrontierViolation("the frontier is in the past", f"{new.frontier} at {self.now}")
        self._check_new_gaps(old, new)
        self._record(new)
        self._check_stored(new)

    def _check_new_gaps(self, old: FrontierEntry | None, new: FrontierEntry) -> None:
        for gap in new.pending:
            if old is None or gap in old.pending:
                continue
            self.gaps += 1
            self.gap_milliseconds += gap.end - gap.start + 1
            filled = self._recorded.intersection(range(max(gap.start, 0), gap.end + 1))
            if filled:
                raise FrontierViolation("no gap is written that was filled before", f"{gap} with {sorted(filled)[:3]}")

    def _record(self, entry: FrontierEntry) -> None:
        self._recorded.update(range(entry.origin, entry.frontier + 1))
        for island in entry.islands:
            self._recorded.update(range(island.start, island.end + 1))

    def _check_stored(self, entry: FrontierEntry) -> None:
        """Everything up to where consumers may rely on is stored, or lies in a stored gap; nothing is stored twice."""
        happened: Counter[tuple[str, int]] = Counter((event.identity, event.time) for event in self._exchange.events)
        stored: Counter[str] = Counter()
        for payload in self._stored.values():
            if isinstance(payload, ModelEvent):
                stored[payload.identity] += 1
        origin = entry.origin if self._first_origin is None else self._first_origin
        for (identity, time), number in happened.items():
            if stored[identity] > number:
                raise FrontierViolation("nothing is stored twice", f"{identity} {stored[identity]} times")
            is_promised = origin <= time <= entry.covered_until
            if is_promised and stored[identity] < number and not self._is_in_stored_gap(time):
                raise FrontierViolation(
                    "everything is stored or lies in a gap", f"{identity}: {stored[identity]} of {number}, {entry}"
                )

    def _is_in_stored_gap(self, time: int) -> bool:
        return any(isinstance(each, TimeRange) and each.start <= time <= each.end for each in self._stored.values())

    def on_end(self, entry: AccountEntry | None, *, longest_lag: int) -> None:
        """All is calm for a long time, and a reader lives."""
        if entry is None:
            raise FrontierViolation("no hole waits for ever", "there is no entry at the end")
        final = entry.contents[CONTENT]
        if final.islands or final.pending or final.frontier < self.now - longest_lag:
            raise FrontierViolation("no hole waits for ever", f"{final} at {self.now}")
        self._check_stored(final)
        gaps = [each for each in self._stored.values() if isinstance(each, TimeRange)]
        self.stored_in_gaps = sum(
            isinstance(each, ModelEvent) and any(gap.start <= each.time <= gap.end for gap in gaps)
            for each in self._stored.values()
        )
