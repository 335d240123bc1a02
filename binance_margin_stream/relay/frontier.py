"""Decides which times of an account are stored, and which are a gap. No I/O.

Every reader of an account claims intervals of the exchange's time in which it received, and stored, every event. The
claims meet in one entry of a key-value store, which is only changed by compare-and-set:

- `FrontierEntry.frontier`: everything from `origin` up to here is stored, or lies in a gap;
- `islands`: claimed intervals beyond a hole;
- `pending`: gaps that are decided, and may not be published yet.

A hole is filled by any reader that claims it. A hole that nobody filled for the hole wait becomes a pending gap in
the same change that moves the frontier over it, so a gap is written down before it is published. The identifier of a
gap is made of both of its ends, so two readers that publish it publish one gap.

Times are milliseconds of the exchange's clock. Intervals include both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

__all__ = [
    "BEGINNING_OF_TIME",
    "AccountEntry",
    "Decision",
    "FrontierEntry",
    "HoleTimer",
    "PublishGap",
    "TimeRange",
    "Wait",
    "WriteEntry",
    "add_claims",
    "create_entry",
    "decide",
    "is_recorded",
    "move_hole_to_pending",
    "remove_pending",
]

BEGINNING_OF_TIME = 0
"""Where a gap begins when nobody knows what was stored before it: the epoch is earlier than every event."""


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """Milliseconds of the exchange's time, both ends included."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"an interval ends before it starts: {self.start}..{self.end}")


@dataclass(frozen=True, slots=True)
class FrontierEntry:
    """What is known about one kind of content of an account."""

    frontier: int
    """Everything from `origin` to here, both included, is stored or lies in a gap; `origin` - 1 while nothing is."""
    origin: int
    islands: tuple[TimeRange, ...] = ()
    """Claimed intervals after the frontier: sorted, and neither overlapping nor touching."""
    pending: tuple[TimeRange, ...] = ()
    """Gaps before the frontier that may not be published yet, sorted."""

    def __post_init__(self) -> None:
        starts = [self.frontier, *(island.end for island in self.islands)]
        if any(island.start <= end + 1 for end, island in zip(starts, self.islands, strict=False)):
            raise ValueError("islands must be sorted, and apart from each other and from the frontier")
        if tuple(sorted(self.pending)) != self.pending or any(gap.end > self.frontier for gap in self.pending):
            raise ValueError("pending gaps must be sorted and lie before the frontier")

    @property
    def covered_until(self) -> int:
        """Up to here everything is stored or lies in a *stored* gap: what consumers may rely on."""
        return min([self.frontier, *(gap.start - 1 for gap in self.pending)])

    @property
    def hole(self) -> TimeRange | None:
        """The first interval that nobody claimed although later ones are claimed, None if there is none."""
        return TimeRange(self.frontier + 1, self.islands[0].start - 1) if self.islands else None


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """The entry of an account in the key-value store: one `FrontierEntry` for each kind of content."""

    contents: Mapping[str, FrontierEntry] = field(default_factory=lambda: MappingProxyType({}))
    is_recreated: bool = False
    """Whether an entry was lost although events were stored: content that joins later starts with a gap, too."""

    def with_content(self, content: str, entry: FrontierEntry) -> AccountEntry:
        """The same with this entry for one kind of content."""
        return replace(self, contents=MappingProxyType({**self.contents, content: entry}))


@dataclass(frozen=True, slots=True)
class HoleTimer:
    """When this reader saw each island's beginning for the first time, by its own monotonic clock, in seconds.

    The time runs on while connections drop and the frontier moves: otherwise an unstable reader would wait for ever.
    """

    first_seen: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))

    def observe(self, entry: FrontierEntry | None, now: float) -> HoleTimer:
        """The timer after this entry was read at `now`."""
        islands = entry.islands if entry is not None else ()
        return HoleTimer(MappingProxyType({island.start: self.first_seen.get(island.start, now) for island in islands}))

    def expires_at(self, entry: FrontierEntry, hole_wait: float) -> float | None:
        """When the first hole becomes a gap; None where there is no hole, or none that was seen yet."""
        if not entry.islands or entry.islands[0].start not in self.first_seen:
            return None
        return self.first_seen[entry.islands[0].start] + hole_wait


@dataclass(frozen=True, slots=True)
class PublishGap:
    """Publish this gap and, when it is acknowledged, write `entry`."""

    gap: TimeRange
    entry: FrontierEntry


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """Write this entry by compare-and-set. After a failure or a lost answer read again and decide again."""

    entry: FrontierEntry


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this moment of the monotonic clock; None: before something new is claimed."""

    until: float | None


Decision = PublishGap | WriteEntry | Wait


def decide(
    entry: FrontierEntry, claims: Iterable[TimeRange], timer: HoleTimer, now: float, hole_wait: float
) -> Decision:
    """What a reader does next with an entry that it has just read, and that `timer` has observed.

    `claims` are the reader's own intervals, `now` and `hole_wait` are in seconds of its monotonic clock.
    """
    if entry.pending:
        return PublishGap(entry.pending[0], remove_pending(entry, entry.pending[0]))
    changed = add_claims(entry, claims)
    while (expires_at := timer.expires_at(changed, hole_wait)) is not None and now >= expires_at:
        changed = move_hole_to_pending(changed)
    return WriteEntry(changed) if changed != entry else Wait(expires_at)


def create_entry(claim_start: int, *, is_lost: bool) -> FrontierEntry:
    """The entry of a reader that finds none: nothing is claimed yet, and coverage begins at `claim_start`.

    `is_lost` says that events are stored, or that the account's entry was recreated: whatever came before
    `claim_start` is then a gap, because nobody knows what of it is stored.
    """
    frontier = claim_start - 1
    pending = (TimeRange(BEGINNING_OF_TIME, frontier),) if is_lost and frontier >= BEGINNING_OF_TIME else ()
    return FrontierEntry(frontier=frontier, origin=claim_start, pending=pending)


def add_claims(entry: FrontierEntry, claims: Iterable[TimeRange]) -> FrontierEntry:
    """The entry with these intervals. The frontier moves on while the first island touches it."""
    islands = _merge([*entry.islands, *(claim for claim in claims if claim.end > entry.frontier)])
    frontier = entry.frontier
    while islands and islands[0].start <= frontier + 1:
        frontier = max(frontier, islands.pop(0).end)
    return replace(entry, frontier=frontier, islands=tuple(islands))


def move_hole_to_pending(entry: FrontierEntry) -> FrontierEntry:
    """The entry after its hole became a gap: written down, and not published yet."""
    if entry.hole is None:
        raise ValueError("the entry has no hole")
    pending = tuple(sorted((*entry.pending, entry.hole)))
    return replace(entry, frontier=entry.islands[0].end, islands=entry.islands[1:], pending=pending)


def remove_pending(entry: FrontierEntry, gap: TimeRange) -> FrontierEntry:
    """The entry after a gap was published and acknowledged."""
    return replace(entry, pending=tuple(each for each in entry.pending if each != gap))


def is_recorded(entry: FrontierEntry, claim: TimeRange) -> bool:
    """Whether the entry holds all of this interval, so that its reader may forget it."""
    return claim.end <= entry.frontier or any(
        island.start <= claim.start and claim.end <= island.end for island in entry.islands
    )


def _merge(intervals: Sequence[TimeRange]) -> list[TimeRange]:
    merged: list[TimeRange] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end + 1:
            merged[-1] = TimeRange(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return merged
