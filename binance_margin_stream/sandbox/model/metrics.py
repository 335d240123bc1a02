"""What the exchange has seen and done, for tests to read; no secrets in it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Counts", "RestCall", "SentEvent", "Tally"]


_EVENTS = 50
"""How many events the log keeps: enough to look at, whatever a client has to do with them."""


@dataclass(frozen=True, slots=True)
class RestCall:
    """One REST call: when (ms of exchange time), what, and how it was answered."""

    time: int
    ip: str
    method: str
    path: str
    status: int


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event: the how many-th, when (ms of exchange time), whose, in how many frames, and what."""

    number: int
    time: int
    uid: int
    account: str
    frames: int
    event: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Counts:
    """Figures since the start, taken at one moment."""

    rest: Mapping[tuple[str, str, int], int]
    """REST calls by method, path and status."""
    handshakes_refused: int
    connections_opened: int
    connections_open: int
    frames_received: int
    frames_sent: int
    frames_lost: int
    """Frames that a frozen connection swallowed."""
    events: Mapping[tuple[int, int | str], int]
    """Events sent, by connection and subscription id; on stream hosts by kind of listen key and account."""
    faults: Mapping[str, int]
    """Faults that struck, by the name of their class."""

    @property
    def rest_calls(self) -> int:
        """REST calls in all."""
        return sum(self.rest.values())

    @property
    def events_sent(self) -> int:
        """Event frames in all."""
        return sum(self.events.values())

    def calls(self, path: str, method: str | None = None, status: int | None = None) -> int:
        """REST calls of a path, narrowed to a method or a status."""
        return sum(
            number
            for (call_method, call_path, call_status), number in self.rest.items()
            if call_path == path and method in (None, call_method) and status in (None, call_status)
        )


class Tally:
    """The running figures behind `Counts`."""

    def __init__(self, log_size: int) -> None:
        self.rest: Counter[tuple[str, str, int]] = Counter()
        self.rest_log: deque[RestCall] = deque(maxlen=log_size)
        self.events: Counter[tuple[int, int | str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.event_log: deque[SentEvent] = deque(maxlen=_EVENTS)
        self._last_event = 0
        self.handshakes_refused = 0
        self.connections_opened = 0
        self.frames_received = 0
        self.frames_sent = 0
        self.frames_lost = 0

    def called(self, call: RestCall) -> None:
        """Note a REST call."""
        self.rest[call.method, call.path, call.status] += 1
        self.rest_log.append(call)

    def struck(self, fault: object) -> None:
        """Note that a fault found its occasion."""
        self.faults[type(fault).__name__] += 1

    def happened(self, time: int, uid: int, account: str, frames: int, event: Mapping[str, object]) -> None:
        """Note an event, whether or not anybody listened."""
        self._last_event += 1
        self.event_log.append(SentEvent(self._last_event, time, uid, account, frames, event))

    def snapshot(self, connections_open: int) -> Counts:
        """The figures of this moment."""
        return Counts(
            rest=dict(self.rest),
            handshakes_refused=self.handshakes_refused,
            connections_opened=self.connections_opened,
            connections_open=connections_open,
            frames_received=self.frames_received,
            frames_sent=self.frames_sent,
            frames_lost=self.frames_lost,
            events=dict(self.events),
            faults=dict(self.faults),
        )
