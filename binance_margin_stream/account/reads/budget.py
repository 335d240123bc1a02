"""How much the exchange may be asked: one budget for all streams of a process.

Each endpoint has a limit of its own, of which the budget uses a share. What waits is served in the order of priority,
then of arrival, whichever stream it belongs to.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable
from itertools import count
from threading import Lock
from typing import Final, NamedTuple
from weakref import ref

from binance_margin_stream.account.reads.requests import MINUTE_LIMIT, Read, ReadKind

__all__ = ["ReadBudget", "compute_charge"]

_MINUTE: Final = 60.0
_SLACK: Final = 1.0
"""Seconds until the exchange counts a call that is sent: the sliding minute here is longer by these."""
_DEFAULT_PAUSE: Final = 60.0
"""How long to send nothing after a 429 or 418 that does not say how long."""


def compute_charge(read: Read, limit: int) -> int:
    """What a read counts of a limit. One that may exceed the limit fits once a minute, and leaves room for others."""
    return read.weight if read.weight <= limit else max(1, limit * 3 // 4)


class _Waiting(NamedTuple):
    priority: int
    serial: int
    owner: ref[object]
    read_id: int
    weight: int
    is_heavy: bool


class _Charge(NamedTuple):
    expires_at: float
    weight: int
    is_heavy: bool


class _Endpoint:
    """What waits for one endpoint, and what was sent to it within the last minute.

    A heavy read takes most of the limit. While one waits for another one to expire, light reads that came later use
    the rest.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.queue: list[_Waiting] = []
        self.quiet_until = 0.0
        self._charges: deque[_Charge] = deque()
        self._used = 0
        self._used_by_light = 0

    def _charge(self, entry: _Waiting, now: float) -> None:
        self._charges.append(_Charge(now + _MINUTE + _SLACK, entry.weight, entry.is_heavy))
        self._used += entry.weight
        self._used_by_light += 0 if entry.is_heavy else entry.weight

    def grant(self, owner: object, now: float, room: int) -> list[int]:
        """Remove from the queue what the owner may send now, less what others may who came first."""
        self._expire(now)
        if now < self.quiet_until:
            return []
        self.queue = [entry for entry in self.queue if entry.owner() is not None]
        granted: list[_Waiting] = []
        free = self.limit - self._used
        for entry in self.queue:
            if len(granted) == room:
                break
            if entry.weight > free and not entry.is_heavy:
                break
            if entry.weight > free:
                free = min(free, self.limit - entry.weight - self._used_by_light)
                continue
            free -= entry.weight
            if entry.owner() is owner:
                granted.append(entry)
        for entry in granted:
            self.queue.remove(entry)
            self._charge(entry, now)
        return [entry.read_id for entry in granted]

    def can_send(self, read: Read, now: float) -> bool:
        """Whether a read would be sent at once if nobody else waited for it."""
        self._expire(now)
        waits = any(entry.is_heavy for entry in self.queue)
        return now >= self.quiet_until and not waits and self._used + compute_charge(read, self.limit) <= self.limit

    def next_at(self, owner: object, now: float) -> float | None:
        """When a read of the owner may be sent, if all who came first send theirs; None if none waits."""
        self._expire(now)
        needed, heavy, moments, kinds = 0, 0, [], set()
        for entry in self.queue:
            if entry.owner() is owner and entry.is_heavy not in kinds:
                kinds.add(entry.is_heavy)
                if entry.is_heavy:
                    moments.append(self._free_at(needed + heavy + entry.weight, 0, now))
                else:
                    moments.append(self._free_at(needed + entry.weight, heavy, now))
            if entry.is_heavy:
                heavy += entry.weight
            else:
                needed += entry.weight
        return min(moments, default=None)

    def _free_at(self, needed: int, heavy: int, now: float) -> float:
        """When so much is free, also beside a heavy read that waits."""
        at = max(now, self.quiet_until)
        excess = self._used + needed - self.limit
        excess_of_light = self._used_by_light + needed + heavy - self.limit if heavy else 0
        for charge in self._charges:
            if excess <= 0 and excess_of_light <= 0:
                return at
            at, excess = max(at, charge.expires_at), excess - charge.weight
            excess_of_light -= 0 if charge.is_heavy else charge.weight
        return at if excess <= 0 and excess_of_light <= 0 else max(at, now + _MINUTE)

    def _expire(self, now: float) -> None:
        while self._charges and self._charges[0].expires_at <= now:
            charge = self._charges.popleft()
            self._used -= charge.weight
            self._used_by_light -= 0 if charge.is_heavy else charge.weight


class ReadBudget:
    """The weight that may be used of each endpoint. Safe to share between threads.

    `now` is in seconds of one monotonic clock for all who share it.
    """

    def __init__(self, share: float = 1 / 3) -> None:
        self._share = share
        self._lock = Lock()
        self._serials = count()
        limit = max(1, int(MINUTE_LIMIT * share))
        self._endpoints = {kind: _Endpoint(limit) for kind in ReadKind}

    def enqueue(self, owner: object, read_id: int, read: Read, priority: int) -> None:
        """Let a read wait for its turn; the lowest priority is served first."""
        with self._lock:
            endpoint = self._endpoints[read.kind]
            weight = compute_charge(read, endpoint.limit)
            is_heavy = weight > endpoint.limit // 2
            insort(endpoint.queue, _Waiting(priority, next(self._serials), ref(owner), read_id, weight, is_heavy))

    def cancel(self, owner: object, read_id: int | None = None) -> None:
        """Let a read of the owner wait no longer; all of them by default."""
        with self._lock:
            for endpoint in self._endpoints.values():
                endpoint.queue = [
                    entry
                    for entry in endpoint.queue
                    if entry.owner() is not owner or read_id not in (entry.read_id, None)
                ]

    def grant(self, owner: object, now: float, room: int) -> list[int]:
        """Which reads of the owner may be sent now, at most `room`; they are charged."""
        granted: list[int] = []
        with self._lock:
            for endpoint in self._endpoints.values():
                granted += endpoint.grant(owner, now, room - len(granted))
        return granted

    def can_send(self, read: Read, now: float) -> bool:
        """Whether a read would be sent at once if nobody else waited for it."""
        with self._lock:
            return self._endpoints[read.kind].can_send(read, now)

    def next_at(self, owner: object, now: float) -> float | None:
        """When a read of the owner may be sent, None if none waits."""
        with self._lock:
            moments = [endpoint.next_at(owner, now) for endpoint in self._endpoints.values()]
        return min((at for at in moments if at is not None), default=None)

    def on_used_weight(self, kind: ReadKind, used: int, now: float) -> None:
        """What the exchange counts of this address and endpoint in its minute, other programs included."""
        if used > MINUTE_LIMIT * (1 + self._share) / 2:
            self._pause((kind,), now + _MINUTE)

    def on_rate_limited(self, kind: ReadKind | None, retry_after: float | None, now: float) -> None:
        """Send nothing to an endpoint, or to any if None, for as long as the exchange says in seconds."""
        until = now + (_DEFAULT_PAUSE if retry_after is None else retry_after)
        self._pause(ReadKind if kind is None else (kind,), until)

    def _pause(self, kinds: Iterable[ReadKind], until: float) -> None:
        with self._lock:
            for kind in kinds:
                self._endpoints[kind].quiet_until = max(self._endpoints[kind].quiet_until, until)
