"""Counters and logs of the exchange, without secrets."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from binance_margin_stream.sandbox.messages import LoggedRequest

__all__ = ["Metrics", "MetricsRecorder", "RestCall", "SentEvent"]


_EVENT_LOG_SIZE = 50
"""How many events the log keeps."""

_REQUEST_LOG_SIZE = 200
_FINAL_STATUSES = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH")


@dataclass(frozen=True, slots=True)
class RestCall:
    """A REST call: its time (ms of exchange time), request and response status."""

    time: int
    ip: str
    method: str
    path: str
    status: int


@dataclass(frozen=True, slots=True)
class SentEvent:
    """A sent event: its number, time (ms of exchange time), account, and the number of frames."""

    number: int
    time: int
    uid: int
    account: str
    frames: int
    event: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Metrics:
    """A snapshot of the counters since the start."""

    rest_call_counts: Mapping[tuple[str, str, int], int]
    """REST calls by method, path and status."""
    handshakes_refused: int
    connections_opened: int
    connections_open: int
    frames_received: int
    frames_sent: int
    frames_dropped: int
    """Frames that were not sent because their connection was frozen or closed."""
    event_counts: Mapping[tuple[int, int | str], int]
    """Events sent, by connection and subscription id; on stream hosts by kind of listen key and account."""
    fault_counts: Mapping[str, int]
    """Faults that were applied, by class name."""

    @property
    def rest_calls(self) -> int:
        """Total number of REST calls."""
        return sum(self.rest_call_counts.values())

    @property
    def events_sent(self) -> int:
        """Total number of event frames."""
        return sum(self.event_counts.values())

    def count_rest_calls(self, path: str, method: str | None = None, status: int | None = None) -> int:
        """Number of REST calls of a path, optionally of one method or status."""
        return sum(
            number
            for (call_method, call_path, call_status), number in self.rest_call_counts.items()
            if call_path == path and method in (None, call_method) and status in (None, call_status)
        )


class MetricsRecorder:
    """The counters behind `Metrics`."""

    def __init__(self, log_size: int) -> None:
        self.rest_call_counts: Counter[tuple[str, str, int]] = Counter()
        self.rest_log: deque[RestCall] = deque(maxlen=log_size)
        self.event_counts: Counter[tuple[int, int | str]] = Counter()
        self.fault_counts: Counter[str] = Counter()
        self.event_log: deque[SentEvent] = deque(maxlen=_EVENT_LOG_SIZE)
        self.trade_log: deque[SentEvent] = deque(maxlen=_EVENT_LOG_SIZE)
        """The last execution reports of trades."""
        self.closed_order_log: deque[SentEvent] = deque(maxlen=_EVENT_LOG_SIZE)
        """The last execution reports of orders that ended."""
        self._last_event_number = 0
        self.executed_calls = 0
        """Number of REST calls that ran to their end."""
        self.requests_logged = 0
        """Number of all requests, of which the log has the last ones."""
        self.request_log: deque[LoggedRequest] = deque(maxlen=_REQUEST_LOG_SIZE)
        self.on_request: Callable[[LoggedRequest], None] | None = None
        """Called with every logged request."""
        self.handshakes_refused = 0
        self.connections_opened = 0
        self.frames_received = 0
        self.frames_sent = 0
        self.frames_dropped = 0

    def record_request(self, request: LoggedRequest) -> None:
        """Add a request to the request log."""
        self.request_log.append(request)
        self.requests_logged += 1
        if self.on_request is not None:
            self.on_request(request)

    def record_call(self, call: RestCall) -> None:
        """Record a REST call."""
        self.rest_call_counts[call.method, call.path, call.status] += 1
        self.rest_log.append(call)

    def record_fault(self, fault: object) -> None:
        """Record that a fault was applied."""
        self.fault_counts[type(fault).__name__] += 1

    def record_event(self, time: int, uid: int, account: str, frames: int, event: Mapping[str, object]) -> None:
        """Record an event, with or without subscribers."""
        self._last_event_number += 1
        sent = SentEvent(self._last_event_number, time, uid, account, frames, event)
        self.event_log.append(sent)
        if event.get("e") == "executionReport":
            if event.get("x") == "TRADE":
                self.trade_log.append(sent)
            if event.get("X") in _FINAL_STATUSES:
                self.closed_order_log.append(sent)

    def snapshot(self, connections_open: int) -> Metrics:
        """The present values."""
        return Metrics(
            rest_call_counts=dict(self.rest_call_counts),
            handshakes_refused=self.handshakes_refused,
            connections_opened=self.connections_opened,
            connections_open=connections_open,
            frames_received=self.frames_received,
            frames_sent=self.frames_sent,
            frames_dropped=self.frames_dropped,
            event_counts=dict(self.event_counts),
            fault_counts=dict(self.fault_counts),
        )
