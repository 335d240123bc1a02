"""Connections: when to open one, when one is frozen, when one is replaced."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.stream.protocol.actions import (
    CloseConnection,
    Failure,
    FailureKind,
    GapReason,
    OpenConnection,
    SendPing,
    Severity,
)
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.rate_limit import Backoff, RateLimiter, SlidingWindowLimit
from binance_margin_stream.stream.protocol.records import ConnectionPhase, ConnectionState, Feed
from binance_margin_stream.stream.sources import Source

__all__ = ["ConnectionManager"]


class ConnectionManager:
    """All connections, by number."""

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
        self.get = self._by_id.get

    def list_all(self) -> list[ConnectionState]:
        """Every connection: planned, opening or open."""
        return list(self._by_id.values())

    def allocate(self, source: Source, now: float) -> ConnectionState:
        """A connection of the source that can take one more subscription."""
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
        self._context.timers.set(("open", connection), max(now, self._next_attempt_at.get(source.name, now)))
        return connection

    def open(self, connection: ConnectionState, now: float) -> None:
        """Open a planned connection, as soon as the limits allow."""
        at = max(self._context.paused_until, self._connect_limit.next_allowed_at(now))
        if at > now:
            self._context.timers.set(("open", connection), at)
            return
        self._connect_limit.acquire(now)
        connection.phase = ConnectionPhase.CONNECTING
        self._context.emit(OpenConnection(connection.id, connection.source))
        self._context.timers.set(("watch", connection), now + 2 * self._context.settings.open_timeout)

    def on_open(self, connection: ConnectionState, now: float) -> None:
        """A connection is open."""
        settings = self._context.settings
        connection.phase = ConnectionPhase.OPEN
        connection.opened_at = connection.last_activity_at = now
        self._context.timers.set(("watch", connection), now + settings.idle_timeout)
        spread = self._context.jitter(0.0, settings.connection_age_jitter)
        self._context.timers.set_earlier(("retire", connection), now + settings.connection_max_age - spread)
        self._context.notify(
            "connected", Severity.INFO, detail=f"connection {connection.id} ({connection.source.name})"
        )
        self._listener.on_connection_open(connection, now)

    def on_lost(self, connection: ConnectionState, failure: Failure, reason: str, now: float) -> None:
        """A connection broke, or could not be opened."""
        if not connection.draining:
            self._apply_backoff(connection, now)
        self._remove(connection)
        self._context.counters.failures += 1
        detail = f"connection {connection.id} ({connection.source.name}): {failure.detail or reason}"
        self._context.notify("connection lost", Severity.WARNING, detail=detail)
        if failure.kind.requires_backoff:
            self._context.pause_sending(failure, now)
        if failure.kind is FailureKind.COUNTRY_BLOCKED:
            self._listener.fail(failure)
        elif failure.kind is FailureKind.RETIRED:
            self._listener.on_source_retired(connection.source, failure, now)
        if not self._context.is_stopped:
            self._listener.on_connection_lost(connection, reason, now)

    def _apply_backoff(self, connection: ConnectionState, now: float) -> None:
        """A connection that lived for a while was a success; one that did not makes the next wait longer."""
        backoff = self._backoffs.setdefault(connection.source.name, self._context.create_backoff())
        if (
            connection.phase is ConnectionPhase.OPEN
            and now - connection.opened_at >= self._context.settings.stable_after
        ):
            backoff.reset()
        self._next_attempt_at[connection.source.name] = now + backoff.next_delay()

    def check_liveness(self, connection: ConnectionState, now: float) -> None:
        """Look whether a connection still gives signs of life."""
        deadline = connection.last_activity_at + self._context.settings.idle_timeout
        if connection.phase is ConnectionPhase.OPEN and deadline > now:
            self._context.timers.set(("watch", connection), deadline)
            return
        self._context.emit(CloseConnection(connection.id))
        detail = "no sign of life" if connection.phase is ConnectionPhase.OPEN else "no handshake in time"
        self.on_lost(connection, Failure(FailureKind.TRANSPORT_ERROR, detail), GapReason.FROZEN, now)

    def drain(self, connection: ConnectionState, reason: str, now: float) -> bool:
        """Let a connection take no more subscriptions; False if it already was told."""
        if connection.draining:
            return False
        connection.draining = True
        self._context.timers.cancel(("retire", connection))
        if now - connection.opened_at < self._context.settings.stable_after:
            self._apply_backoff(connection, now)
        self._context.notify("replacing", Severity.INFO, detail=f"connection {connection.id}: {reason}")
        return True

    def close_if_unused(self, connection: ConnectionState) -> None:
        """Close a connection that nobody uses any more and that takes nobody new."""
        if (
            (connection.draining or connection.is_full)
            and not connection.subscriptions
            and connection.id in self._by_id
        ):
            self._close(connection)
            self._context.counters.rotations += 1
            self._context.notify("replaced", Severity.INFO, detail=f"connection {connection.id} is closed")

    def close_all(self) -> None:
        """Close every connection."""
        for connection in self.list_all():
            self._close(connection)

    def _close(self, connection: ConnectionState) -> None:
        if connection.phase is not ConnectionPhase.PLANNED:
            self._context.emit(CloseConnection(connection.id))
        self._remove(connection)

    def _remove(self, connection: ConnectionState) -> None:
        connection.phase = ConnectionPhase.CLOSED  # so that nothing more is asked on it by who still holds it
        del self._by_id[connection.id]
        for kind in ("open", "watch", "retire", "send", "answer", "prove", "probe"):
            self._context.timers.cancel((kind, connection))

    def delivered_until(self, connection: ConnectionState, now: float) -> float:
        """The latest moment up to which everything that the exchange sent on a connection has arrived."""
        return max(
            connection.pong_confirmed_until,
            min(now, connection.last_activity_at) - self._context.settings.latency_allowance,
        )

    def request_ping(self, connection: ConnectionState, feed: Feed, now: float) -> None:
        """Find out when a connection has delivered all that was sent before now, for the sake of a feed."""
        connection.waiting_for_pong[feed] = None
        if ("prove", connection) not in self._context.timers and connection.ping_sent_at is None:
            spacing = 1 / (connection.source.protocol.message_rate * self._context.settings.message_rate_factor)
            self._context.timers.set(("prove", connection), max(now, connection.pong_confirmed_until + spacing))

    def send_ping(self, connection: ConnectionState, now: float) -> None:
        """Send a ping: its pong comes after everything that was sent before."""
        connection.ping_sent_at = now
        self._context.emit(SendPing(connection.id))
        self._context.timers.set(("probe", connection), now + self._context.settings.request_timeout)

    def on_pong(self, connection: ConnectionState, now: float) -> list[Feed]:
        """The pong came: the feeds that waited for it."""
        if connection.ping_sent_at is None:
            return []
        connection.pong_confirmed_until, connection.ping_sent_at = connection.ping_sent_at, None
        self._context.timers.cancel(("probe", connection))
        feeds, connection.waiting_for_pong = list(connection.waiting_for_pong), {}
        return feeds

    def on_pong_timeout(self, connection: ConnectionState) -> list[Feed]:
        """No pong came in time: the feeds that waited for it."""
        connection.ping_sent_at = None
        feeds, connection.waiting_for_pong = list(connection.waiting_for_pong), {}
        return feeds
