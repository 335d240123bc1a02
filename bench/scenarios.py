"""What happens to those who follow an account when the exchange lets them down: the sandbox plays it, on loopback.

An execution report goes out every 10 ms, its number in the order's id, so that what is missing can be counted.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from clients import Contender
from frames import report

from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults

APART = 0.01
BRISK = 0.002
"""Seconds between events whose cost is measured: far enough apart that each is received by itself."""
REFUSED = faults.StaticResponse(
    401,
    b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}',
    (("Content-Type", "application/json"),),
)


@dataclass
class Course:
    """What a follower said, and when."""

    struck_at: float = 0.0
    struck_after: int = 0
    """The number of the last event that was sent before."""
    sent: int = 0
    came_back: bool = False
    """Whether an event came that was sent after an announced close."""
    lines: list[dict[str, Any]] = field(default_factory=list)

    def back_after(self) -> float | None:
        """Seconds from the strike to the first event that was sent after it."""
        return next((x["at"] - self.struck_at for x in self._events() if x["event"] > self.struck_after), None)

    def lost(self) -> int:
        """How many events are missing between the strike and the last one seen."""
        seen = {line["event"] for line in self._events()}
        return len(set(range(self.struck_after, max(seen))) - seen)

    def told_after(self) -> float | None:
        """Seconds from the strike until user code was told anything but an event."""
        return next((x["at"] - self.struck_at for x in self.lines if "told" in x and x["at"] > self.struck_at), None)

    def told(self) -> str:
        """What user code was told first after the strike; empty when nothing."""
        return next((line["told"] for line in self.lines if "told" in line and line["at"] > self.struck_at), "")

    def first(self, name: str) -> dict[str, Any] | None:
        """The first line that says this."""
        return next((line for line in list(self.lines) if name in line), None)

    def _events(self) -> Iterator[dict[str, Any]]:
        return (line for line in list(self.lines) if "event" in line)


def waited(until: Callable[[], object], seconds: float) -> bool:
    """Whether it came to that in time."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def followed(
    contender: Contender, rules: ExchangeRules, *, counted: int | None = None, quick: bool = False
) -> Iterator[tuple[Sandbox, Course]]:
    """A sandbox, and a contestant that follows its cross account in a process of its own."""
    with Sandbox(rules=rules) as exchange:
        places = _places(exchange, rules) | {"counted": counted, "quick": quick}
        course = Course()
        command = [*contender.command, "follow", json.dumps(places)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                reader = threading.Thread(target=_read, args=(process, course), daemon=True)
                reader.start()
                yield exchange, course
            finally:
                process.kill()


def _places(exchange: Sandbox, rules: ExchangeRules) -> dict[str, Any]:
    credentials = {"key": exchange.api_key, "secret": exchange.api_secret}
    return asdict(exchange.endpoints) | credentials | {"validity": rules.listen_token_validity_ms / 1000}


def memory_of_accounts(contender: Contender) -> dict[str, Any] | str:
    """What a further account takes of the contestant's memory; or why it does not say."""
    with Sandbox(rules=SERVED) as exchange:
        return contender.ask("hold", json.dumps(_places(exchange, SERVED)), seconds=60)


def _read(process: subprocess.Popen[str], course: Course) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.startswith('{"at"'):
            course.lines.append(json.loads(line))


def event(number: int, dice: random.Random) -> dict[str, object]:
    now = time.time_ns() // 1_000_000
    return report(number, dice) | {"i": number, "E": now, "T": now}


@contextmanager
def dripping(exchange: Sandbox, course: Course) -> Iterator[None]:
    """Events every 10 ms for as long as this lasts."""
    over = threading.Event()

    def drip() -> None:
        dice = random.Random(1)
        while not over.wait(APART):
            course.sent += 1
            exchange.send_event(event(course.sent, dice))

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Scenario:
    """One way to be let down."""

    strike: faults.Fault
    rules: ExchangeRules
    patience: float
    """Seconds to wait for what the contestant makes of it."""
    until: Callable[[Course], object] = Course.back_after
    quick: bool = False
    """Whether the contestant's deadlines are set as short as it allows."""
    times: int | None = 1


SERVED = ExchangeRules(retired_endpoints="served")
SHORT_LIVED = ExchangeRules(
    retired_endpoints="served",
    listen_key_validity_ms=20_000,
    listen_key_v2_validity_ms=20_000,
    listen_token_validity_ms=20_000,
)
SCENARIOS = {
    "drop": Scenario(faults.DropConnections("reset"), SERVED, 30),
    "frozen": Scenario(faults.FreezeConnections(), SERVED, 75),
    "frozen, quick": Scenario(
        faults.FreezeConnections(), ExchangeRules(retired_endpoints="served", ping_interval_ms=1000), 75, quick=True
    ),
    "rotation": Scenario(faults.ShutdownNotice(close_after_seconds=10, envelope="event"), SERVED, 30),
    "renewal": Scenario(REFUSED, SHORT_LIVED, 40, Course.told_after, times=None),
}


def played(contender: Contender, scenario: Scenario) -> Course | str:
    """What became of it; or why it never came to that."""
    with followed(contender, scenario.rules, quick=scenario.quick) as (exchange, course):
        with dripping(exchange, course):
            if not waited(lambda: sum("event" in line for line in list(course.lines)) > 50, 20):
                return f"no events within 20 s; it says: {course.told() or 'nothing'}"
            course.struck_after, course.struck_at = course.sent, time.monotonic()
            exchange.inject_fault(scenario.strike, times=scenario.times)
            if isinstance(scenario.strike, faults.ShutdownNotice):
                time.sleep((scenario.strike.close_after_seconds or 0) + 1)
                closed_after = course.sent
                course.came_back = waited(lambda: _newest(course) > closed_after, scenario.patience)
            else:
                waited(lambda: scenario.until(course), scenario.patience)
        time.sleep(0.5)
        return course


def _newest(course: Course) -> int:
    return max((line["event"] for line in list(course.lines) if "event" in line), default=0)


def cost_of_events(contender: Contender, events: int) -> dict[str, Any] | None:
    """What `events` events cost the contestant from its socket to user code, and its memory then."""
    with followed(contender, SERVED, counted=events) as (exchange, course):
        dice = random.Random(1)
        number = 0

        def poke() -> bool:
            nonlocal number
            number += 1
            exchange.send_event(event(number, dice))
            time.sleep(0.05)
            return course.first("event") is not None

        if not waited(poke, 20):
            return None
        started = time.monotonic()
        for turn in range(events + events // 10):
            number += 1
            exchange.send_event(event(number, dice))
            time.sleep(max(0.0, started + turn * BRISK - time.monotonic()))
        waited(lambda: course.first("cpu"), 20)
        return course.first("cpu")
