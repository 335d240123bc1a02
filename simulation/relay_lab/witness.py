"""Reads what is stored, and compares it with what happened."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import DeliverPolicy
from nats.js.errors import KeyNotFoundError

from binance_margin_stream import CROSS, BalanceUpdate, StreamGap
from binance_margin_stream.relay.broker.store import StoreOptions
from binance_margin_stream.relay.entry_codec import entry_from_json
from binance_margin_stream.relay.frontier import FrontierEntry, TimeRange
from binance_margin_stream.relay.stored_item import decode_item
from binance_margin_stream.relay.subjects import Subjects
from simulation.relay_lab.exchange import HappenedEvent

__all__ = ["Comparison", "EntryWatcher", "StoredItems", "compare", "read_stored"]

CONTENT = "orders"
_OPTIONS = StoreOptions()


@dataclass
class StoredItems:
    """Everything that the stream holds, in its order."""

    events: list[HappenedEvent] = field(default_factory=list)
    gaps: dict[str, list[TimeRange]] = field(default_factory=lambda: defaultdict(list))
    out_of_order: int = 0
    """Events that are stored after a later one of their account."""


async def _read(urls: Sequence[str]) -> StoredItems:
    client = await nats.connect(list(urls))
    found, latest = StoredItems(), defaultdict[str, int](int)
    try:
        subscription = await client.jetstream().subscribe(
            _OPTIONS.subjects.all_events,
            stream=_OPTIONS.stream,
            ordered_consumer=True,
            deliver_policy=DeliverPolicy.ALL,
        )
        while True:
            message = await subscription.next_msg(timeout=10)
            name, _, _ = _OPTIONS.subjects.parse_event(message.subject)
            item = decode_item(message.data, message.headers or {})
            if isinstance(item, StreamGap):
                found.gaps[name].append(TimeRange(item.since + (item.since > 0), item.until - 1))
            elif isinstance(item, BalanceUpdate):
                found.events.append(HappenedEvent(name, item.event_time, str(item.delta)))
                found.out_of_order += item.event_time < latest[name]
                latest[name] = max(latest[name], item.event_time)
            if message.metadata.num_pending == 0:
                return found
    except nats.errors.TimeoutError:
        return found
    finally:
        await client.close()


def read_stored(urls: Sequence[str]) -> StoredItems:
    """Read the whole stream."""
    return asyncio.run(_read(urls))


class EntryWatcher:
    """Follows every change of the entries, from a thread of its own."""

    def __init__(self, urls: Sequence[str], names: Sequence[str]) -> None:
        self._urls = list(urls)
        self._keys = {name: Subjects.entry_key(name, CROSS) for name in names}
        self._is_stopped = threading.Event()
        self._recorded: dict[str, list[TimeRange]] = defaultdict(list)
        self._pending: dict[str, frozenset[TimeRange]] = defaultdict(frozenset)
        self.entries: dict[str, FrontierEntry] = {}
        """The last entry of each name."""
        self.filled_gaps: list[str] = []
        """Gaps that were written although an entry showed before that their time was covered."""
        self.steps_back: list[str] = []
        """Changes with which a frontier went back."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="watcher", daemon=True)

    def start(self) -> None:
        """Follow from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._is_stopped.set()
        self._thread.join(10)

    def covered_until(self, names: Iterable[str]) -> int:
        """Up to when everything is stored or lies in a stored gap, for all of these names."""
        return min((self.entries[name].covered_until if name in self.entries else 0 for name in names), default=0)

    async def _run(self) -> None:
        client = await nats.connect(self._urls, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_ignore)
        try:
            while not self._is_stopped.is_set():
                with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                    await self._watch(client)
                await asyncio.sleep(0.2)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), 3)

    async def _watch(self, client: Client) -> None:
        """Look at all entries again and again: a change that is missed cannot make a violation."""
        bucket = await client.jetstream(timeout=2).key_value(_OPTIONS.bucket)
        while not self._is_stopped.is_set():
            for name, key in self._keys.items():
                try:
                    stored = await bucket.get(key)
                except KeyNotFoundError:
                    continue
                content = entry_from_json(stored.value or b"").contents.get(CONTENT)
                if content is not None:
                    self._on_entry(name, content)
            await asyncio.sleep(0.05)

    def _on_entry(self, name: str, entry: FrontierEntry) -> None:
        before = self.entries.get(name)
        if before == entry:
            return
        if before is not None and entry.frontier < before.frontier:
            self.steps_back.append(f"{name}: {before.frontier} to {entry.frontier}")
        for gap in frozenset(entry.pending) - self._pending[name]:
            if any(each.start <= gap.end and gap.start <= each.end for each in self._recorded[name]):
                self.filled_gaps.append(f"{name}: {gap}")
        self._pending[name] = frozenset(entry.pending)
        claimed = [*entry.islands]
        if entry.frontier >= entry.origin:
            claimed.append(TimeRange(entry.origin, entry.frontier))
        self._recorded[name] = _merge([*self._recorded[name], *claimed])
        self.entries[name] = entry


async def _ignore(_: Exception) -> None:
    """The broker is killed on purpose."""


def _merge(intervals: list[TimeRange]) -> list[TimeRange]:
    merged: list[TimeRange] = []
    for each in sorted(intervals):
        if merged and each.start <= merged[-1].end + 1:
            merged[-1] = TimeRange(merged[-1].start, max(merged[-1].end, each.end))
        else:
            merged.append(each)
    return merged


@dataclass(frozen=True, slots=True)
class Comparison:
    """What happened beside what is stored."""

    happened: int
    stored: int
    lost: tuple[HappenedEvent, ...]
    """Events before the covered moment that are neither stored nor inside a stored gap."""
    doubled: tuple[HappenedEvent, ...]
    missing_in_gaps: int
    gaps: int
    gap_ms: int
    """Milliseconds in stored gaps."""
    missed_ms: int
    """Milliseconds of them from the first to the last event that is really missing."""
    out_of_order: int


def compare(happened: Sequence[HappenedEvent], stored: StoredItems, entries: dict[str, FrontierEntry]) -> Comparison:
    """Compare. Events that the entries do not cover yet are left out, unless they are stored too often."""
    expected, found = Counter(happened), Counter(stored.events)
    lost: list[HappenedEvent] = []
    missing: dict[tuple[str, TimeRange], list[int]] = defaultdict(list)
    for event, number in expected.items():
        entry = entries.get(event.name)
        absent = number - found[event]
        if absent <= 0 or entry is None or not entry.origin <= event.event_time <= entry.covered_until:
            continue
        gap = next((each for each in stored.gaps[event.name] if each.start <= event.event_time <= each.end), None)
        if gap is None:
            lost += [event] * absent
        else:
            missing[event.name, gap] += [event.event_time] * absent
    return Comparison(
        happened=len(happened),
        stored=len(stored.events),
        lost=tuple(lost),
        doubled=tuple(event for event, number in found.items() if number > expected[event]),
        missing_in_gaps=sum(map(len, missing.values())),
        gaps=sum(map(len, stored.gaps.values())),
        gap_ms=sum(gap.end - gap.start + 1 for gaps in stored.gaps.values() for gap in gaps),
        missed_ms=sum(max(times) - min(times) + 1 for times in missing.values()),
        out_of_order=stored.out_of_order,
    )
