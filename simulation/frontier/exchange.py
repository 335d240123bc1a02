"""The exchange of the model: events with a time, servers that send them a little later, connections in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count

from simulation.frontier.choices import Choices

__all__ = ["Connection", "Exchange", "ModelEvent", "Pong", "Subscribed"]

LATENCY_BOUND = 3
_NODES = 2


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """Something that happened. Events with one identity are equal, such as two deposits in one millisecond."""

    time: int
    identity: str
    serial: int

    @property
    def is_repeatable(self) -> bool:
        """Whether several of one identity may happen."""
        return self.identity.startswith("deposit")


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The response to a subscription."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The response to a ping."""


@dataclass(slots=True, eq=False)
class Connection:
    """A connection to one server. Both directions keep their order."""

    node: int
    is_subscribed: bool = False
    is_cut: bool = False
    is_half_open: bool = False
    """Whether nothing that the server sends arrives any more, although the connection looks alive."""
    to_server: deque[tuple[int, str]] = field(default_factory=deque)
    to_client: deque[tuple[int, ModelEvent | Subscribed | Pong]] = field(default_factory=deque)

    def receive(self, now: int) -> list[ModelEvent | Subscribed | Pong]:
        """What has arrived at the client."""
        arrived = []
        while self.to_client and self.to_client[0][0] <= now:
            arrived.append(self.to_client.popleft()[1])
        return arrived

    def cut(self) -> None:
        """Lose what is under way in both directions."""
        self.is_cut = True
        self.to_server.clear()


class Exchange:
    """Happenings, and their way to the connections."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._serials = count()
        self._waiting: list[deque[tuple[int, ModelEvent]]] = [deque() for _ in range(_NODES)]
        self.connections: list[Connection] = []
        self.events: list[ModelEvent] = []

    def connect(self, now: int) -> Connection:
        """A connection whose subscription is under way."""
        connection = Connection(self._choices.pick(_NODES))
        self.connections.append(connection)
        self.send(connection, "subscribe", now)
        return connection

    def send(self, connection: Connection, message: str, now: int) -> None:
        """Let a client's message reach the server."""
        last = connection.to_server[-1][0] if connection.to_server else now
        connection.to_server.append((max(last, now + self._choices.pick(3)), message))

    def emit(self, now: int, *, equal: int, is_repeatable: bool) -> None:
        """Let something happen, `equal` times in the same millisecond."""
        for _ in range(equal):
            serial = next(self._serials)
            event = ModelEvent(now, f"deposit {now}" if is_repeatable else f"trade {serial}", serial)
            self.events.append(event)
            for waiting in self._waiting:
                earliest = waiting[-1][0] if waiting else now
                waiting.append(
                    (min(max(earliest, now + self._choices.pick(LATENCY_BOUND + 1)), now + LATENCY_BOUND), event)
                )

    def step_node(self, node: int, now: int) -> None:
        """Send what is due to every subscription at this server."""
        waiting = self._waiting[node]
        while waiting and waiting[0][0] <= now:
            event = waiting.popleft()[1]
            for connection in self.connections:
                if connection.node == node and connection.is_subscribed:
                    self._respond(connection, event, now)

    def step_connection(self, connection: Connection, now: int) -> None:
        """Let the server take what a client sent."""
        while connection.to_server and connection.to_server[0][0] <= now:
            _, message = connection.to_server.popleft()
            if message == "subscribe":
                connection.is_subscribed = True
                self._respond(connection, Subscribed(), now)
            else:
                self._respond(connection, Pong(), now)

    def _respond(self, connection: Connection, message: ModelEvent | Subscribed | Pong, now: int) -> None:
        if connection.is_cut or connection.is_half_open:
            return
        last = connection.to_client[-1][0] if connection.to_client else now
        connection.to_client.append((max(last, now + self._choices.pick(3)), message))

    @property
    def nodes(self) -> range:
        """The servers."""
        return range(_NODES)
