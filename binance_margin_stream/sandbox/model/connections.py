"""Open WebSocket connections: subscriptions, pings, lifetime, and frames to send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.messages import Abort, Close, Frame, Output, Ping
from binance_margin_stream.sandbox.model.metrics import MetricsRecorder
from binance_margin_stream.sandbox.model.rate_limits import MessageRateLimiter
from binance_margin_stream.sandbox.model.scheduler import Scheduler
from binance_margin_stream.sandbox.model.users import ApiKey

__all__ = ["AccountSubscription", "Connections", "HostKind", "ServerConnection", "TimeUnit"]

HostKind = Literal["websocket_api", "stream", "margin_stream", "any_stream"]
"""The host of a connection; ``any_stream`` serves every kind of listen key."""

TimeUnit = Literal["ms", "us"]

_CLOSE_PONG_TIMEOUT = Close(1008, "Pong timeout")
_CLOSE_LIFETIME_OVER = Close(1001, "")


@dataclass(slots=True)
class AccountSubscription:
    """A WebSocket API subscription to one account; expires at `expires_at` (ms)."""

    id: int
    uid: int
    account: str
    expires_at: int


@dataclass(slots=True, eq=False)
class ServerConnection:
    """The exchange's side of a WebSocket connection."""

    id: int
    host: HostKind
    ip: str
    combined: bool
    opened_at: int
    message_rate: MessageRateLimiter | None
    return_rate_limits: bool = True
    time_unit: TimeUnit = "ms"
    """Unit of the times in events and responses."""
    api_key: ApiKey | None = field(default=None, repr=False)
    """The key of `session.logon`; `authorized_since` is its time (ms)."""
    authorized_since: int | None = None
    frozen: bool = False
    frame_delay_ms: int = 0
    """Delay of every frame, set by a fault."""
    unanswered_pings: list[int] = field(default_factory=list)
    subscriptions: dict[int, AccountSubscription] = field(default_factory=dict)
    next_subscription_id: int = 0
    streams: dict[str, None] = field(default_factory=dict, repr=False)
    held_responses: list[Frame] = field(default_factory=list, repr=False)
    held_event: Frame | None = field(default=None, repr=False)
    """An event that a fault delays until after the next one; `held_event_label` identifies its subscription."""
    held_event_label: int | str = 0

    def log_off(self) -> None:
        """Forget the API key of the session."""
        self.api_key = self.authorized_since = None


class Connections:
    """The open connections, their subscriptions, and the queued frames."""

    def __init__(self, rules: ExchangeRules, scheduler: Scheduler, metrics: MetricsRecorder) -> None:
        self._rules = rules
        self._scheduler = scheduler
        self._metrics = metrics
        self._open: dict[int, ServerConnection] = {}
        self._half_open: set[int] = set()
        self._last_id = 0
        self._outputs: list[Output] = []
        self.subscribers_by_account: dict[tuple[int, str], dict[tuple[ServerConnection, int], None]] = {}
        self.subscribers_by_stream: dict[str, dict[ServerConnection, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, host: HostKind, ip: str, combined: bool, now: int) -> ServerConnection:
        """Add a connection; schedule its pings and its end after 24 hours."""
        self._last_id += 1
        rate = None if host == "websocket_api" else MessageRateLimiter(self._rules.stream_message_limit_per_second)
        connection = ServerConnection(self._last_id, host, ip, combined, now, rate)
        self._open[connection.id] = connection
        self._metrics.connections_opened += 1
        self._schedule_heartbeat(connection, now)
        self._scheduler.call_at(
            now + self._rules.connection_lifetime_ms, lambda _, __: self.close(connection, _CLOSE_LIFETIME_OVER)
        )
        return connection

    def find(self, connection_id: int) -> ServerConnection | None:
        """The open connection with this number."""
        return self._open.get(connection_id)

    def all(self) -> list[ServerConnection]:
        """All open connections."""
        return list(self._open.values())

    def send(self, connection: ServerConnection, frame: Frame) -> bool:
        """Queue a frame; False if it is dropped because the connection is frozen or closed."""
        if connection.frozen or connection.id not in self._open:
            self._metrics.frames_dropped += 1
            return False
        self.flush_held_event(connection)
        if connection.frame_delay_ms:
            self._scheduler.call_at(
                self._scheduler.now + connection.frame_delay_ms, lambda _, __: self._enqueue(connection, frame)
            )
        else:
            self._enqueue(connection, frame)
        return True

    def flush_held_event(self, connection: ServerConnection) -> None:
        """Send the event that a fault delays, if there is one."""
        held, connection.held_event = connection.held_event, None
        if held is not None:
            self.send(connection, held)

    def _enqueue(self, connection: ServerConnection, frame: Frame) -> None:
        if connection.frozen or connection.id not in self._open:
            self._metrics.frames_dropped += 1
            return
        self._metrics.frames_sent += 1
        self._outputs.append((connection.id, frame))

    def close(self, connection: ServerConnection, frame: Close | Abort) -> None:
        """Close a connection. A frozen one is only closed by an abort."""
        if connection.id not in self._open or (connection.frozen and isinstance(frame, Close)):
            return
        self._outputs.append((connection.id, frame))
        self.remove(connection)

    def drop_silently(self, connection: ServerConnection) -> None:
        """Remove a connection without notifying the client, whose socket stays open."""
        self._half_open.add(connection.id)
        self.remove(connection)

    def is_silent(self, connection_id: int) -> bool:
        """Whether a fault made a connection silent: nothing is sent or read while its socket stays open."""
        connection = self._open.get(connection_id)
        return connection_id in self._half_open or (connection is not None and connection.frozen)

    def on_client_gone(self, connection_id: int) -> None:
        """Handle the end of a client's socket."""
        self._half_open.discard(connection_id)
        connection = self._open.get(connection_id)
        if connection is not None:
            self.remove(connection)

    def remove(self, connection: ServerConnection) -> None:
        """Remove a closed connection and its subscriptions."""
        self._open.pop(connection.id, None)
        for subscription in list(connection.subscriptions.values()):
            self.unsubscribe(connection, subscription)
        for stream in list(connection.streams):
            self.unsubscribe_stream(connection, stream)

    def on_pong(self, connection: ServerConnection, payload: bytes) -> None:
        """Handle a pong; one whose payload matches no ping is ignored."""
        for index, sent_at in enumerate(connection.unanswered_pings):
            if payload == str(sent_at).encode():
                del connection.unanswered_pings[: index + 1]
                return

    def subscribe(self, connection: ServerConnection, subscription: AccountSubscription) -> None:
        """Send an account's events to a WebSocket API connection."""
        connection.subscriptions[subscription.id] = subscription
        subscribers = self.subscribers_by_account.setdefault((subscription.uid, subscription.account), {})
        subscribers[connection, subscription.id] = None

    def unsubscribe(self, connection: ServerConnection, subscription: AccountSubscription) -> None:
        """Stop sending an account's events to a WebSocket API connection."""
        self.flush_held_event(connection)
        connection.subscriptions.pop(subscription.id, None)
        account = (subscription.uid, subscription.account)
        subscribers = self.subscribers_by_account.get(account, {})
        subscribers.pop((connection, subscription.id), None)
        if not subscribers:
            self.subscribers_by_account.pop(account, None)

    def subscribe_stream(self, connection: ServerConnection, stream: str) -> None:
        """Send a listen key's events to a connection of a stream host."""
        connection.streams[stream] = None
        self.subscribers_by_stream.setdefault(stream, {})[connection] = None

    def unsubscribe_stream(self, connection: ServerConnection, stream: str) -> None:
        """Stop sending a listen key's events to a connection."""
        connection.streams.pop(stream, None)
        subscribers = self.subscribers_by_stream.get(stream, {})
        subscribers.pop(connection, None)
        if not subscribers:
            self.subscribers_by_stream.pop(stream, None)

    def take_outputs(self) -> list[Output]:
        """Take the queued frames, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def _check_heartbeat(self, connection: ServerConnection, now: int) -> None:
        if connection.id not in self._open or connection.frozen:
            return
        pings = connection.unanswered_pings
        if pings and now - pings[0] >= self._rules.pong_timeout_ms:
            self.close(connection, _CLOSE_PONG_TIMEOUT)
            return
        # Based on the present time, not on the due time, so that a jump of the clock sends one ping and not thousands.
        pings.append(now)
        self.send(connection, Ping(str(now).encode()))
        self._schedule_heartbeat(connection, now)

    def _schedule_heartbeat(self, connection: ServerConnection, now: int) -> None:
        if self._rules.ping_interval_ms is not None:
            due = now + self._rules.ping_interval_ms
            self._scheduler.call_at(due, lambda _, at: self._check_heartbeat(connection, at))
