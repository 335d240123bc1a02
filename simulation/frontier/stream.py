"""The stream of a model's reader: connections, rotation, and each event handed over once."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from binance_margin_stream.stream.accounts import CROSS, Account
from simulation.frontier.choices import Choices
from simulation.frontier.exchange import Connection, Exchange, ModelEvent, Pong, Subscribed

__all__ = ["ModelStream", "ModelSubscription", "StreamBreak", "StreamedEvent"]

PING_INTERVAL = 8
PONG_TIMEOUT = 20


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event as the stream hands it over."""

    event: ModelEvent
    subscription: int


@dataclass(frozen=True, slots=True)
class StreamBreak:
    """A gap within a subscription that goes on, such as a malformed frame."""


@dataclass(slots=True, eq=False)
class ModelSubscription:
    """One subscription; also its own view, as `AsyncMarginStream.coverage` shows it."""

    subscription: int
    connection: Connection
    account: Account = CROSS
    source: str = "token"
    is_live: bool = False
    live_at: int = 0
    ping_sent_at: int | None = None
    is_open: bool = True
    open_ping: int | None = None
    last_ping: int = 0
    held: list[StreamedEvent | StreamBreak] = field(default_factory=list)


class ModelStream:
    """Follows the account over one connection after the other. Times are of the reader's own clock."""

    def __init__(self, exchange: Exchange, choices: Choices, skew: int) -> None:
        self._exchange = exchange
        self._choices = choices
        self._skew = skew
        self._number = 0
        self.active: ModelSubscription | None = None
        self.successor: ModelSubscription | None = None
        self.views: list[ModelSubscription] = []
        self.items: deque[StreamedEvent | StreamBreak] = deque()
        self.covered_until: int | None = None
        self.is_frame_malformed = False
        self._seen: Counter[str] = Counter()
        self._switch_ping: int | None = None
        self._reconnect_at = 0

    def step(self, now: int) -> None:
        """Take what arrived, ping, reconnect, and switch to a successor that is ready."""
        for subscription in (self.active, self.successor):
            if subscription is not None and subscription.is_open:
                self._receive(subscription, now)
            if subscription is not None and subscription.is_open:
                self._ping(subscription, now)
        if self.active is None and self.successor is None and now >= self._reconnect_at:
            self.successor = self._subscribe(now)
        self._switch_if_ready()
        if self.active is not None:
            proved = [each for each in (self.active.ping_sent_at, self.active.live_at) if each is not None]
            self.covered_until = max(proved + ([self.covered_until] if self.covered_until is not None else []))

    def rotate(self, now: int) -> None:
        """Subscribe on a second connection, and give up the first when the second is live."""
        if self.active is not None and self.successor is None:
            self._seen.clear()
            self._switch_ping = None
            self.successor = self._subscribe(now)

    def drop(self, now: int) -> None:
        """Lose the active connection, or the one that is being made."""
        lost = self.active if self.active is not None else self.successor
        if lost is None:
            return
        lost.connection.cut()
        lost.is_open = False
        if lost is self.active:
            self.active = None
        else:
            self.successor = None
        self._reconnect_at = now + self._choices.pick(10)

    def close(self) -> None:
        """The process is gone: the exchange notices."""
        for subscription in (self.active, self.successor):
            if subscription is not None:
                subscription.connection.cut()

    def _subscribe(self, now: int) -> ModelSubscription:
        self._number += 1
        return ModelSubscription(self._number, self._exchange.connect(now), last_ping=now)

    def _receive(self, subscription: ModelSubscription, now: int) -> None:
        for message in subscription.connection.receive(now):
            match message:
                case Subscribed():
                    subscription.is_live = True
                    subscription.live_at = now + self._skew
                    self.views.append(subscription)
                case Pong():
                    self._on_pong(subscription, now)
                case ModelEvent():
                    self._on_event(subscription, message)
        if subscription.connection.is_cut and not subscription.connection.to_client:
            self.drop(now) if subscription is self.active else self._lose_successor(now)

    def _on_pong(self, subscription: ModelSubscription, now: int) -> None:
        subscription.ping_sent_at, subscription.open_ping = subscription.open_ping, None

    def _lose_successor(self, now: int) -> None:
        if self.successor is not None:
            self.successor.is_open = False
            self.successor = None
            self._reconnect_at = now + 2

    def _on_event(self, subscription: ModelSubscription, event: ModelEvent) -> None:
        if self.is_frame_malformed:
            self.is_frame_malformed = False
            self._hand_over(subscription, StreamBreak())
            return
        self._hand_over(subscription, StreamedEvent(event, subscription.subscription))

    def _hand_over(self, subscription: ModelSubscription, item: StreamedEvent | StreamBreak) -> None:
        if subscription is self.successor:
            subscription.held.append(item)
        elif isinstance(item, StreamBreak) or self.successor is not None:
            if isinstance(item, StreamedEvent):
                self._seen[item.event.identity] += 1
            self.items.append(item)
        else:
            self._hand_over_if_new(item)

    def _hand_over_if_new(self, item: StreamedEvent | StreamBreak) -> None:
        if isinstance(item, StreamedEvent) and self._seen[item.event.identity] > 0:
            self._seen[item.event.identity] -= 1
        else:
            self.items.append(item)

    def _ping(self, subscription: ModelSubscription, now: int) -> None:
        if not subscription.is_live:
            return
        if subscription.open_ping is None:
            if now - subscription.last_ping >= PING_INTERVAL or (self._wants_switch(subscription)):
                subscription.open_ping, subscription.last_ping = now + self._skew, now
                self._exchange.send(subscription.connection, "ping", now)
        elif now - subscription.last_ping > PONG_TIMEOUT:
            self.drop(now) if subscription is self.active else self._lose_successor(now)

    def _wants_switch(self, subscription: ModelSubscription) -> bool:
        return subscription is self.active and self.successor is not None and self.successor.is_live

    def _switch_if_ready(self) -> None:
        """The old connection has delivered all, or is gone: what the new one held follows, less what was delivered."""
        new, old = self.successor, self.active
        if new is None or not new.is_live:
            return
        if old is not None and (old.ping_sent_at is None or old.ping_sent_at <= new.live_at):
            return
        if old is not None:
            old.is_open = False
            old.connection.cut()
        self.active, self.successor = new, None
        held, new.held = new.held, []
        for item in held:
            self._hand_over_if_new(item)
