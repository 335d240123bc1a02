"""Decides what one reader does next with the entry of one account. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from binance_margin_stream.relay.coverage import CoverageTracker
from binance_margin_stream.relay.frontier import (
    AccountEntry,
    FrontierEntry,
    HoleTimer,
    PublishGap,
    TimeRange,
    Wait,
    WriteEntry,
    create_entry,
    decide,
)
from binance_margin_stream.stream.accounts import Account

__all__ = [
    "AccountDecision",
    "AccountFrontier",
    "CheckStoredEvents",
    "PublishAccountGap",
    "WaitForCoverage",
    "WriteAccountEntry",
]


@dataclass(frozen=True, slots=True)
class CheckStoredEvents:
    """There is no entry: find out whether events of the account are stored, and decide again with the answer."""


@dataclass(frozen=True, slots=True)
class WriteAccountEntry:
    """Write this entry by compare-and-set; create it where none was found."""

    entry: AccountEntry
    new_gaps: tuple[TimeRange, ...] = ()
    """The holes that this change turns into gaps."""


@dataclass(frozen=True, slots=True)
class PublishAccountGap:
    """Publish this gap and, when it is acknowledged, write `entry`."""

    content: str
    gap: TimeRange
    entry: AccountEntry


@dataclass(frozen=True, slots=True)
class WaitForCoverage:
    """Nothing to do before this moment of the monotonic clock; None: before something new is claimed."""

    until: float | None


AccountDecision = CheckStoredEvents | WriteAccountEntry | PublishAccountGap | WaitForCoverage


class AccountFrontier:
    """One reader's view of one account's entry."""

    def __init__(self, account: Account, tracker: CoverageTracker, hole_wait: float) -> None:
        self.account = account
        self.is_ready = False
        """Whether the entry was seen: before, no event of the account may be published.

        Otherwise the first event of a new account would look like the remainder of a lost entry.
        """
        self._tracker = tracker
        self._hole_wait = hole_wait
        self._timers: dict[str, HoleTimer] = {}

    def decide(
        self, entry: AccountEntry | None, now: float, *, has_stored_events: bool | None = None
    ) -> AccountDecision:
        """What to do with the entry that was just read; None stands for no entry.

        `has_stored_events` is the answer to `CheckStoredEvents`. `now` is in seconds of a monotonic clock.
        """
        contents = self._startable_contents(entry)
        if entry is None:
            if not contents:
                return WaitForCoverage(None)
            if has_stored_events is None:
                return CheckStoredEvents()
            return WriteAccountEntry(self._add_contents(AccountEntry(is_recreated=has_stored_events), contents))
        self.is_ready = True
        self._tracker.forget_recorded(self.account, entry.contents)
        if contents:
            return WriteAccountEntry(self._add_contents(entry, contents))
        return self._decide_contents(entry, now)

    def _decide_contents(self, entry: AccountEntry, now: float) -> AccountDecision:
        deadlines: list[float] = []
        for content, each in entry.contents.items():
            timer = self._timers.get(content, HoleTimer()).observe(each, now)
            self._timers[content] = timer
            claims = self._tracker.claims(self.account, content)
            match decide(each, claims, timer, now, self._hole_wait):
                case PublishGap(gap=gap, entry=changed):
                    return PublishAccountGap(content, gap, entry.with_content(content, changed))
                case WriteEntry(entry=changed):
                    return WriteAccountEntry(entry.with_content(content, changed), _find_new_gaps(each, changed))
                case Wait(until=until):
                    deadlines += [until] if until is not None else []
        return WaitForCoverage(min(deadlines, default=None))

    def _startable_contents(self, entry: AccountEntry | None) -> dict[str, int]:
        known = entry.contents if entry is not None else {}
        starts = {
            content: self._tracker.first_start(self.account, content)
            for account, content in self._tracker.accounts()
            if account == self.account and content not in known
        }
        return {content: start for content, start in sorted(starts.items()) if start is not None}

    def _add_contents(self, entry: AccountEntry, starts: dict[str, int]) -> AccountEntry:
        for content, start in starts.items():
            entry = entry.with_content(content, create_entry(start, is_lost=entry.is_recreated))
        return entry


def _find_new_gaps(before: FrontierEntry, after: FrontierEntry) -> tuple[TimeRange, ...]:
    return tuple(gap for gap in after.pending if gap not in before.pending)
