"""The store of the model: a stream without duplicates and one entry, behind a network that loses and delays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from binance_margin_stream.relay.frontier import AccountEntry, TimeRange
from simulation.frontier.choices import Choices
from simulation.frontier.exchange import ModelEvent

__all__ = ["STORE_TIMEOUT", "EntryState", "Store"]

STORE_TIMEOUT = 8
"""Milliseconds until a client takes a request for lost."""

_LATE = STORE_TIMEOUT + 12


@dataclass(frozen=True, slots=True)
class EntryState:
    """The entry as one read shows it, None when there is none or it was deleted."""

    entry: AccountEntry | None = None
    revision: int = 0
    is_deleted: bool = False
    """Whether the store remembers that there was one."""


@dataclass(slots=True)
class Store:
    """Executes requests; `on_write` is called with the entry before and after every change."""

    choices: Choices
    on_write: Callable[[AccountEntry | None, AccountEntry], None]
    stored: dict[str, ModelEvent | TimeRange] = field(default_factory=dict)
    state: EntryState = EntryState()
    is_away: bool = False
    _revision: int = 0
    _scheduled: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    def request(
        self, now: int, execute: Callable[[], object], on_response: Callable[[object], None], *, rarity: float = 0.9
    ) -> None:
        """Send a request. It may be lost, its response may be lost, and it may be executed late."""
        fate = self.choices.pick(4, rarity)
        if fate == 1 or self.is_away:
            return
        if fate == 3:
            self._scheduled.append((now + _LATE, lambda: _discard(execute())))
            return
        at = now + self.choices.pick(2)

        def respond() -> None:
            response = execute()
            if fate == 0:
                self._scheduled.append((at + self.choices.pick(2), lambda: on_response(response)))

        self._scheduled.append((at, respond))

    def step(self, now: int) -> None:
        """Execute what is due."""
        while due := [each for each in self._scheduled if each[0] <= now]:
            self._scheduled = [each for each in self._scheduled if each[0] > now]
            self.choices.shuffle(due)
            for _, action in due:
                action()

    def publish(self, event_id: str, payload: ModelEvent | TimeRange) -> bool:
        """Store a message; an identifier that is stored already is acknowledged as a duplicate."""
        self.stored.setdefault(event_id, payload)
        return True

    def read(self) -> EntryState:
        """The entry and its revision."""
        return self.state

    def has_stored_events(self) -> bool:
        """Whether anything of the account is stored."""
        return bool(self.stored)

    def compare_and_set(self, entry: AccountEntry, revision: int) -> bool:
        """Write the entry if nobody did since `revision`."""
        if self.state.revision != revision:
            return False
        before = self.state.entry
        self._revision += 1
        self.state = EntryState(entry, self._revision)
        self.on_write(before, entry)
        return True

    def lose_entry(self, *, is_remembered: bool) -> None:
        """Somebody deleted the entry, or the whole bucket. A deletion has a revision, too."""
        self._revision += 1
        self.state = EntryState(None, self._revision, is_deleted=is_remembered)


def _discard(_: object) -> None:
    """Nobody waits for this response any more."""
