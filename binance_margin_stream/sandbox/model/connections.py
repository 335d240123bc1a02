"""Open WebSocket connections: what they listen to, their pings, their end, and what is to be sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.messages import Close, Cut, Frame, Output, Ping
from binance_margin_stream.sandbox.model.metrics import Tally
from binance_margin_stream.sandbox.model.rate_limits import MessageRate
from binance_margin_stream.sandbox.model.scheduler import Timers

__all__ = ["Connection", "Connections", "Host", "Subscription"]

Host = Literal["websocket_api", "stream", "margin_stream", "any_stream"]
"""Which host a connection was made to; ``any_stream`` serves every kind of listen key."""

_PONG_TIMEOUT = Close(1008, "Pong timeout")
_LIFE_OVER = Close(1001, "")


@dataclass(slots=True)
class Subscription:
    """A WebSocket API subscription to one account, until `expires_at` (ms)."""

    id: int
    uid: int
    account: str
    expires_at: int


@dataclass(slots=True, eq=False)
class Connection:
    """One WebSocket connection as the exchange sees it."""

    id: int
    host: Host
    ip: str
    combined: bool
    opened_at: int
    rate: MessageRate | None
    show_rate_limits: bool = True
    frozen: bool = False
    delay_ms: int = 0
    """How late every frame is sent."""
    unanswered_pings: list[int] = field(default_factory=list)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    next_subscription_id: int = 0
    streams: dict[str, None] = field(default_factory=dict, repr=False)
    held_answers: list[Frame] = field(default_factory=list, repr=False)
    held_event: Frame | None = field(default=None, repr=False)
    """An event that a fault sends after the next one, of `held_label`."""
    held_label: int | str = 0


class Connections:
    """The open connections, who listens to what, and the frames that wait to be sent."""

    def __init__(self, rules: Rules, timers: Timers, tally: Tally) -> None:
        self._rules = rules
        self._timers = timers
        self._tally = tally
        self._open: dict[int, Connection] = {}
        self._half_open: set[int] = set()
        self._last_id = 0
        self._outputs: list[Output] = []
        self.by_account: dict[tuple[int, str], dict[tuple[Connection, int], None]] = {}
        self.by_stream: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, host: Host, ip: str, combined: bool, now: int) -> Connection:
        """Add a connection, with its pings and its end after 24 hours."""
        self._last_id += 1
        rate = None if host == "websocket_api" else MessageRate(self._rules.stream_messages_per_second)
        connection = Connection(self._last_id, host, ip, combined, now, rate)
        self._open[connection.id] = connection
        self._tally.connections_opened += 1
        self._timers.at(now + self._rules.ping_interval_ms, lambda _, at: self._heartbeat(connection, at))
        self._timers.at(now + self._rules.connection_life_ms, lambda _, __: self.end(connection, _LIFE_OVER))
        return connection

    def find(self, number: int) -> Connection | None:
        """The open connection with this number."""
        return self._open.get(number)

    def all(self) -> list[Connection]:
        """Every open connection."""
        return list(self._open.values())

    def send(self, connection: Connection, frame: Frame) -> bool:
        """Queue a frame; False where it is swallowed because the connection is frozen or gone."""
        if connection.frozen or connection.id not in self._open:
            self._tally.frames_lost += 1
            return False
        self.let_go(connection)
        if connection.delay_ms:
            self._timers.at(self._timers.now + connection.delay_ms, lambda _, __: self._put(connection, frame))
        else:
            self._put(connection, frame)
        return True

    def let_go(self, connection: Connection) -> None:
        """Send the event that a fault holds back, if there is one."""
        held, connection.held_event = connection.held_event, None
        if held is not None:
            self.send(connection, held)

    def _put(self, connection: Connection, frame: Frame) -> None:
        if connection.frozen or connection.id not in self._open:
            self._tally.frames_lost += 1
            return
        self._tally.frames_sent += 1
        self._outputs.append((connection.id, frame))

    def end(self, connection: Connection, frame: Close | Cut) -> None:
        """End a connection; a frozen one stays as it is, unless it is cut off."""
        if connection.id not in self._open or (connection.frozen and isinstance(frame, Close)):
            return
        self._outputs.append((connection.id, frame))
        self.forget(connection)

    def lose(self, connection: Connection) -> None:
        """End a connection without a word to the client, whose socket stays open."""
        self._half_open.add(connection.id)
        self.forget(connection)

    def is_silent(self, number: int) -> bool:
        """Whether nothing is sent on a connection, and nothing read, while its socket is open."""
        connection = self._open.get(number)
        return number in self._half_open or (connection is not None and connection.frozen)

    def left(self, number: int) -> None:
        """Note that a client is gone."""
        self._half_open.discard(number)
        connection = self._open.get(number)
        if connection is not None:
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is over, and everything it listened to."""
        self._open.pop(connection.id, None)
        for subscription in list(connection.subscriptions.values()):
            self.unsubscribe(connection, subscription)
        for stream in list(connection.streams):
            self.unlisten(connection, stream)

    def pong(self, connection: Connection, payload: bytes) -> None:
        """Note the answer to a ping; one that carries another payload answers nothing."""
        for index, sent_at in enumerate(connection.unanswered_pings):
            if payload == str(sent_at).encode():
                del connection.unanswered_pings[: index + 1]
                return

    def subscribe(self, connection: Connection, subscription: Subscription) -> None:
        """Send an account's events to a WebSocket API connection."""
        connection.subscriptions[subscription.id] = subscription
        listeners = self.by_account.setdefault((subscription.uid, subscription.account), {})
        listeners[connection, subscription.id] = None

    def unsubscribe(self, connection: Connection, subscription: Subscription) -> None:
        """Stop sending an account's events to a WebSocket API connection."""
        self.let_go(connection)
        connection.subscriptions.pop(subscription.id, None)
        account = (subscription.uid, subscription.account)
        listeners = self.by_account.get(account, {})
        listeners.pop((connection, subscription.id), None)
        if not listeners:
            self.by_account.pop(account, None)

    def listen(self, connection: Connection, stream: str) -> None:
        """Send a listen key's events to a connection of a stream host."""
        connection.streams[stream] = None
        self.by_stream.setdefault(stream, {})[connection] = None

    def unlisten(self, connection: Connection, stream: str) -> None:
        """Stop sending a listen key's events to a connection."""
        connection.streams.pop(stream, None)
        listeners = self.by_stream.get(stream, {})
        listeners.pop(connection, None)
        if not listeners:
            self.by_stream.pop(stream, None)

    def take_outputs(self) -> list[Output]:
        """What is to be sent, in order; taken once."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def _heartbeat(self, connection: Connection, now: int) -> None:
        if connection.id not in self._open or connection.frozen:
            return
        pings = connection.unanswered_pings
        if pings and now - pings[0] >= self._rules.pong_timeout_ms:
            self.end(connection, _PONG_TIMEOUT)
            return
        # From the time it is, not the time it was due: a clock that jumps sends one ping, not thousands.
        pings.append(now)
        self.send(connection, Ping(str(now).encode()))
        self._timers.at(now + self._rules.ping_interval_ms, lambda _, at: self._heartbeat(connection, at))
