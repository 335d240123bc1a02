"""Opens, checks, replaces and closes connections."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import CloseConnection, OpenConnection, SendPing
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.records import ConnectionPhase, ConnectionState, Feed
from binance_margin_stream.stream.protocol.timing import Backoff, RateLimiter, SlidingWindowLimit
from binance_margin_stream.stream.sources import Source
from binance_margin_stream.stream.state import GapReason, ScheduledAction, Severity, StatusChangeKind

__all__ = ["ConnectionManager"]

_CONNECTION_TIMERS = (
    ScheduledAction.CONNECT,
    ScheduledAction.CHECK_LIVENESS,
    ScheduledAction.REPLACE_CONNECTION,
    ScheduledAction.SEND_REQUEST,
    ScheduledAction.REQUEST_TIMEOUT,
    ScheduledAction.SEND_PING,
    ScheduledAction.PONG_TIMEOUT,
)
"""The timers whose subject is a connection."""


class ConnectionManager:
    """All connections, by id."""

    def __init__(
        self, context: Context, listener: LifecycleListener, get_rate_limiter: Callable[[Source], RateLimiter]
    ) -> None:
        self._context = context
        self._listener = listener
        self._get_rate_limiter = get_rate_limiter
        self._by_id: dict[int, ConnectionState] = {}
        self._last_id = 0
        self._backoffs: dict[str, Backoff] = {}
        self._next_attempt_at: dict[str, float] = {}
        self._connect_limit = SlidingWindowLimit(context.settings.connect_limit, context.settings.connect_window)

    def get(self, connection_id: int) -> ConnectionState | None:
        """The connection with that id, None if there is none any more."""
        return self._by_id.get(connection_id)

    def list_all(self) -> list[ConnectionState]:
        """Every connection: planned, connecting or open."""
        return list(self._by_id.values())

    def allocate(self, source: Source, now: float) -> ConnectionState:
        """A connection of the source that can take one more subscription, a new one if there is none."""
        settings = self._context.settings
        for connection in self._by_id.values():
            if connection.source is not source or connection.draining or connection.is_full:
                continue
            if len(connection.subscriptions) < settings.accounts_per_connection:
                return connection
        return self._create(source, now)

    def _create(self, source: Source, now: float) -> ConnectionState:
        self._last_id += 1
        connection = self._by_id[self._last_id] = ConnectionState(
            self._last_id, source, self._get_rate_limiter(source), now
        )
        at = max(now, self._next_attempt_at.get(source.name, now))
        self._context.timers.set((ScheduledAction.CONNECT, connection), at)
        return connection

    def open(self, connection: ConnectionState, now: float) -> None:
        """Open a planned connection as soon as the limits allow it."""
        at = max(self._context.paused_until, self._connect_limit.next_allowed_at(now))
        if at > now:
            self._context.timers.set((ScheduledAction.CONNECT, connection), at)
            return
        self._connect_limit.acquire(now)
        connection.phase = ConnectionPhase.CONNECTING
        self._context.emit(OpenConnection(connection.id, connection.source))
        deadline = now + 2 * self._context.settings.open_timeout
        self._context.timers.set((ScheduledAction.CHECK_LIVENESS, connection), deadline)

    def next_attempt_at(self, now: float) -> float:
        """When the next connection attempt may be made: `now` if it may be made at once."""
        return self._connect_limit.next_allowed_at(now)

    def on_open(self, connection: ConnectionState, now: float) -> None:
        """A connection was opened."""
        settings = self._context.settings
        connection.phase = ConnectionPhase.OPEN
        connection.opened_at = connection.last_activity_at = now
        self._context.timers.set((ScheduledAction.CHECK_LIVENESS, connection), now + settings.idle_timeout)
        self._context.timers.set((ScheduledAction.SEND_PING, connection), now + self._context.limits.ping_interval)
        at = now + settings.connection_max_age - self._context.jitter(0.0, settings.connection_age_jitter)
        self._context.timers.set_earlier((ScheduledAction.REPLACE_CONNECTION, connection), at)
        detail = f"connection {connection.id} ({connection.source.name})"
        self._context.notify(StatusChangeKind.CONNECTED, Severity.INFO, detail=detail)
        self._listener.on_connection_open(connection, now)

    def on_lost(self, connection: ConnectionState, failure: Failure, reason: GapReason, now: float) -> None:
        """A connection was lost, or could not be opened."""
        if not connection.draining:
            self._apply_backoff(connection, now)
        self._remove(connection)
        self._context.counters.failures += 1
        for subscription in connection.subscriptions:
            subscription.feed.last_failure = failure
        detail = f"connection {connection.id} ({connection.source.name}): {failure.detail or reason}"
        self._context.notify(StatusChangeKind.CONNECTION_LOST, Severity.WARNING, detail=detail)
        if failure.kind.requires_backoff:
            self._context.pause_sending(failure, now)
        if failure.kind is FailureKind.COUNTRY_BLOCKED:
            self._listener.fail(failure, now)
        elif failure.kind is FailureKind.RETIRED:
            self._listener.on_source_retired(connection.source, failure, now)
        if not self._context.is_stopped:
            self._listener.on_connection_lost(connection, reason, now)

    def _apply_backoff(self, connection: ConnectionState, now: float) -> None:
        """Delay the next attempt. A connection that was stable resets the backoff first."""
        backoff = self._backoffs.setdefault(connection.source.name, self._context.create_backoff())
        if connection.phase is ConnectionPhase.OPEN and not self._is_young(connection, now):
            backoff.reset()
        self._next_attempt_at[connection.source.name] = now + backoff.next_delay()

    def _is_young(self, connection: ConnectionState, now: float) -> bool:
        return now - connection.opened_at < self._context.limits.stable_after

    def check_liveness(self, connection: ConnectionState, now: float) -> None:
        """Ping a connection on which nothing arrived for too long, and close it if nothing arrives in response.

        Also closes a connection that did not open in time.
        """
        settings = self._context.settings
        if connection.phase is ConnectionPhase.OPEN:
            deadline = connection.last_activity_at + settings.idle_timeout
            if deadline <= now and not self._is_probed(connection, now):
                connection.probed_at, deadline = now, now + settings.request_timeout
                if connection.ping_sent_at is None:
                    self.send_ping(connection, now)
            if deadline > now:
                self._context.timers.set((ScheduledAction.CHECK_LIVENESS, connection), deadline)
                return
        self._context.emit(CloseConnection(connection.id))
        is_open = connection.phase is ConnectionPhase.OPEN
        detail = "a ping was not answered" if is_open else "handshake timed out"
        self.on_lost(connection, Failure(FailureKind.TRANSPORT_ERROR, detail), GapReason.FROZEN, now)

    def _is_probed(self, connection: ConnectionState, now: float) -> bool:
        """Whether the connection was silent since it was pinged for silence. After a sleep it is pinged once more."""
        is_recent = now <= connection.probed_at + 2 * self._context.settings.request_timeout
        return is_recent and connection.probed_at >= connection.last_activity_at

    def drain(self, connection: ConnectionState, reason: str, now: float) -> bool:
        """Let a connection take no more subscriptions. Returns False if it was draining already."""
        if connection.draining:
            return False
        connection.draining = True
        self._context.timers.cancel((ScheduledAction.REPLACE_CONNECTION, connection))
        if self._is_young(connection, now):
            self._apply_backoff(connection, now)
        detail = f"connection {connection.id}: {reason}"
        self._context.notify(StatusChangeKind.REPLACING_CONNECTION, Severity.INFO, detail=detail)
        return True

    def close_if_unused(self, connection: ConnectionState) -> None:
        """Close a connection that has no subscription and takes no new one."""
        if (
            (connection.draining or connection.is_full)
            and not connection.subscriptions
            and connection.id in self._by_id
        ):
            self._close(connection)
            self._context.counters.rotations += 1
            detail = f"connection {connection.id} is closed"
            self._context.notify(StatusChangeKind.CONNECTION_REPLACED, Severity.INFO, detail=detail)

    def close_all(self) -> None:
        """Close every connection."""
        for connection in self.list_all():
            self._close(connection)

    def _close(self, connection: ConnectionState) -> None:
        if connection.phase is not ConnectionPhase.PLANNED:
            self._context.emit(CloseConnection(connection.id))
        self._remove(connection)

    def _remove(self, connection: ConnectionState) -> None:
        connection.phase = ConnectionPhase.CLOSED  # whoever still holds the connection sends nothing more on it
        del self._by_id[connection.id]
        for action in _CONNECTION_TIMERS:
            self._context.timers.cancel((action, connection))

    def delivered_until(self, connection: ConnectionState, now: float) -> float:
        """The latest moment such that everything that the exchange sent before it has arrived."""
        return max(
            connection.pong_confirmed_until,
            min(now, connection.last_activity_at) - self._context.settings.latency_allowance,
        )

    def request_ping(self, connection: ConnectionState, feed: Feed, now: float) -> None:
        """Send a ping for a feed, to know when the connection has delivered everything that was sent before now."""
        connection.waiting_for_pong[feed] = None
        if connection.ping_sent_at is not None:
            deadline = now + self._context.settings.request_timeout
            self._context.timers.set_earlier((ScheduledAction.PONG_TIMEOUT, connection), deadline)
            return
        spacing = 1 / (connection.source.protocol.message_rate * self._context.limits.message_rate_factor)
        at = max(now, connection.pong_confirmed_until + spacing)
        self._context.timers.set_earlier((ScheduledAction.SEND_PING, connection), at)

    def ping_all(self, now: float) -> None:
        """Send a ping on every open connection that awaits no pong."""
        for connection in self._by_id.values():
            if connection.phase is ConnectionPhase.OPEN and connection.ping_sent_at is None:
                self.send_ping(connection, now)

    def send_ping(self, connection: ConnectionState, now: float) -> None:
        """Send a ping. Its pong arrives after everything that the exchange sent before the ping.

        There is no second ping before the pong: a pong does not say which ping it answers.
        """
        self._context.timers.cancel((ScheduledAction.SEND_PING, connection))
        connection.ping_sent_at = now
        self._context.emit(SendPing(connection.id))
        deadline = now + self._context.settings.request_timeout
        self._context.timers.set((ScheduledAction.PONG_TIMEOUT, connection), deadline)

    def on_pong(self, connection: ConnectionState, now: float) -> list[Feed]:
        """The pong arrived. Returns the feeds that waited for it."""
        if connection.ping_sent_at is None:
            return []
        connection.pong_confirmed_until, connection.ping_sent_at = connection.ping_sent_at, None
        self._context.timers.cancel((ScheduledAction.PONG_TIMEOUT, connection))
        self._context.timers.set((ScheduledAction.SEND_PING, connection), now + self._context.limits.ping_interval)
        feeds, connection.waiting_for_pong = list(connection.waiting_for_pong), {}
        return feeds

    def on_pong_timeout(self, connection: ConnectionState) -> list[Feed]:
        """No pong arrived in time. Returns the feeds that waited for it. The pong may still come."""
        feeds, connection.waiting_for_pong = list(connection.waiting_for_pong), {}
        return feeds
