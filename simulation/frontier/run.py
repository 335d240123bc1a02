"""Plays one schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from simulation.frontier.checks import Checks, FrontierViolation
from simulation.frontier.choices import Choices
from simulation.frontier.exchange import Exchange
from simulation.frontier.reader import HOLE_WAIT, Reader
from simulation.frontier.store import Store
from simulation.frontier.stream import PING_INTERVAL

__all__ = ["FAULTS", "FAULT_SLOTS", "RunResult", "play"]

TROUBLE = 120
"""Milliseconds in which faults happen."""

CALM = 4 * HOLE_WAIT
"""Milliseconds after them in which everything has to come right."""

_FAULT_INTERVAL = 12
FAULT_SLOTS = TROUBLE // _FAULT_INTERVAL
"""How many faults one schedule may have."""

_LONGEST_LAG = 3 * PING_INTERVAL + 40

FAULTS = (
    "drop",
    "half-open connection",
    "crash",
    "death",
    "freeze",
    "long freeze",
    "rotation",
    "malformed frame",
    "deleted entry",
    "lost bucket",
    "store away",
    "all drop",
)


@dataclass(slots=True)
class RunResult:
    """What came of one schedule."""

    violation: FrontierViolation | None = None
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    gaps: int = 0
    gap_milliseconds: int = 0
    stored_in_gaps: int = 0


class _World:
    def __init__(self, choices: Choices, readers: int) -> None:
        self.choices = choices
        self.exchange = Exchange(choices)
        self.store = Store(choices, lambda before, after: self.checks.on_write(before, after))
        self.checks = Checks(self.exchange, self.store.stored)
        self.readers = [Reader(self.exchange, self.store, choices, skew=skew) for skew in (0, 37, -1000)[:readers]]
        for reader in self.readers[1:]:
            reader.starts_at = self.choices.pick(20, 0.5)
        self.faults: Counter[str] = Counter()
        self.store_back_at = 0

    def step(self, now: int, *, is_calm: bool) -> None:
        self.checks.now = now
        self.store.is_away = now < self.store_back_at
        if not is_calm and now % _FAULT_INTERVAL == 0:
            self._inject(now)
        number = self.choices.pick(3, 0.7) if not is_calm or now % 10 == 0 else 0
        if number:
            self.exchange.emit(now, equal=number, is_repeatable=self.choices.pick(3) < 2)
        actors: list[Callable[[], None]] = [lambda: self.store.step(now)]
        actors += [lambda node=node: self.exchange.step_node(node, now) for node in self.exchange.nodes]  # type: ignore[misc]
        for connection in self.exchange.connections:
            if not connection.is_cut:
                actors.append(lambda each=connection: self.exchange.step_connection(each, now))  # type: ignore[misc]
        actors += [lambda reader=reader: reader.step(now) for reader in self.readers]  # type: ignore[misc]
        self.choices.shuffle(actors)
        for act in actors:
            act()
        self.exchange.connections = [each for each in self.exchange.connections if not each.is_cut]

    def end_faults(self) -> None:
        """A malformed frame that did not come yet does not come."""
        for reader in self.readers:
            if reader.stream is not None:
                reader.stream.is_frame_malformed = False

    def _inject(self, now: int) -> None:
        chosen = self.choices.pick_fault(len(FAULTS) * len(self.readers) + 1)
        if not chosen:
            return
        kind, number = divmod(chosen - 1, len(self.readers))
        if FAULTS[kind] == "death" and sum(each.is_alive for each in self.readers) < 2:
            return
        self.faults[FAULTS[kind]] += self._apply(FAULTS[kind], self.readers[number], now)

    def _apply(self, name: str, reader: Reader, now: int) -> bool:
        match name:
            case "deleted entry" | "lost bucket":
                self.store.lose_entry(is_remembered=name == "deleted entry")
                self.checks.on_lost(is_remembered=name == "deleted entry")
                return True
            case "store away":
                self.store_back_at = now + 30
                return True
            case "all drop":
                for each in self.readers:
                    if each.stream is not None:
                        each.stream.drop(now)
                return True
        if reader.stream is None:
            return False
        match name:
            case "drop":
                reader.stream.drop(now)
            case "half-open connection":
                if reader.stream.active is not None:
                    reader.stream.active.connection.is_half_open = True
            case "crash":
                reader.crash(now + 5 + self.choices.pick(30))
            case "death":
                reader.crash(None)
            case "freeze":
                reader.frozen_until = now + 10 + self.choices.pick(20)
            case "long freeze":
                reader.frozen_until = now + HOLE_WAIT + 20
                if self.choices.pick(2):
                    reader.stream.close()
            case "rotation":
                reader.stream.rotate(now)
                if reader.stream.active is not None and self.choices.pick(3) == 1:
                    reader.stream.active.connection.is_half_open = True
            case _:
                reader.stream.is_frame_malformed = True
        return True


def play(choices: Choices, readers: int) -> RunResult:
    """Play one schedule with so many readers."""
    world = _World(choices, readers)
    result = RunResult()
    try:
        for now in range(TROUBLE + CALM):
            if now == TROUBLE:
                world.end_faults()
            world.step(now, is_calm=now >= TROUBLE)
        world.checks.on_end(world.store.state.entry, longest_lag=_LONGEST_LAG)
    except FrontierViolation as violation:
        result.violation = violation
    result.faults = world.faults
    result.events = len(world.exchange.events)
    result.gaps, result.gap_milliseconds = world.checks.gaps, world.checks.gap_milliseconds
    result.stored_in_gaps = world.checks.stored_in_gaps
    return result
