"""The steps of a script: what is done when, checked whole before anything happens."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from binance_margin_stream.sandbox.control.operations import JSON, Operation, get_operation, get_operations

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.sandbox import Sandbox

__all__ = ["ScriptError", "Step", "parse_steps", "schedule_steps"]

_DAY_MS = 86_400_000
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": _DAY_MS}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3}))?)?")
_TIMING_KEYS = ("at", "after", "every", "times")


class ScriptError(ValueError):
    """A script that cannot be played; the text names the line or step, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its arguments, and when: at a time of day or some time after the step before it."""

    location: str
    """Where it stands, for errors: ``line 4`` or ``step 2``."""
    operation: Operation
    arguments: Mapping[str, object]
    at_ms: int | None
    """Time of day in UTC, in milliseconds since midnight."""
    after_ms: int
    every_ms: int
    times: int

    def first_run_at(self, previous_ms: int) -> int:
        """The time (ms) of its first run, where the step before it ran first at `before`."""
        return previous_ms + (self.after_ms if self.at_ms is None else (self.at_ms - previous_ms) % _DAY_MS)

    def run(self, sandbox: Sandbox) -> JSON:
        """Do it.

        Raises:
            ScriptError: it cannot be done now, and why.

        """
        try:
            return self.operation.run(sandbox, self.arguments)
        except ValueError as error:
            raise ScriptError(f"{self.location}: {self.operation.name}: {error}") from None


def parse_steps(items: Iterable[tuple[str, object]]) -> tuple[Step, ...]:
    """Steps from mappings, each with the place where it stands.

    Raises:
        ScriptError: the first thing that is wrong, and where.

    """
    steps = []
    for location, item in items:
        try:
            steps.append(_parse_step(location, item))
        except ValueError as error:
            raise ScriptError(f"{location}: {error}") from None
    return tuple(steps)


def schedule_steps(steps: Iterable[Step], start: int) -> Iterator[tuple[int, Step]]:
    """Every run of every step in the order of time, from a time (ms) on; at equal times in the script's order."""
    runs, previous_ms = [], start
    for step in steps:
        previous_ms = step.first_run_at(previous_ms)
        runs.append(_repeat_step(step, previous_ms))
    return heapq.merge(*runs, key=lambda run: run[0])


def _repeat_step(step: Step, first_run_ms: int) -> Iterator[tuple[int, Step]]:
    return ((first_run_ms + number * step.every_ms, step) for number in range(step.times))


def _parse_step(location: str, item: object) -> Step:
    if not isinstance(item, Mapping):
        raise ValueError('a step is a mapping such as {"after": "5s", "place-order": {}}')
    wanted = [name for name in item if name not in _TIMING_KEYS]
    if len(wanted) != 1:
        raise ValueError(
            f"a step has a time ({', '.join(_TIMING_KEYS)}) and one operation, such as {_example_operation_names()}"
        )
    if ("at" in item) == ("after" in item):
        raise ValueError("a step has either at, a time of day, or after, a time since the step before")
    if ("every" in item) != ("times" in item):
        raise ValueError("every and times go together")
    chosen = get_operation(str(wanted[0]))
    return Step(
        location=location,
        operation=chosen,
        arguments=_parse_arguments(chosen, item[wanted[0]]),
        at_ms=_parse_time_of_day(item["at"]) if "at" in item else None,
        after_ms=_parse_duration("after", item["after"]) if "after" in item else 0,
        every_ms=_parse_duration("every", item["every"]) if "every" in item else 0,
        times=_parse_times(item.get("times", 1)),
    )


def _parse_arguments(chosen: Operation, given: object) -> dict[str, object]:
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{chosen.name} takes its parameters by name, such as {{uid: 1}}")
    try:
        return chosen.parse_arguments({str(name): value for name, value in (given or {}).items()})
    except ValueError as error:
        raise ValueError(f"{chosen.name}: {error}") from None


def _parse_time_of_day(value: object) -> int:
    found = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('at takes a time of day in UTC, such as "09:30" or "09:30:00"')
    hours, minutes, seconds, fraction = found.groups("0")
    return int(hours) * 3_600_000 + int(minutes) * 60_000 + int(seconds) * 1000 + int(fraction.ljust(3, "0"))


def _parse_duration(name: str, value: object) -> int:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError(f"{name} takes a time such as 5s, 250ms or 1h30m")
    return round(sum(Decimal(number) * _UNIT_MS[unit] for number, unit in _DURATION_PART.findall(value)))


def _parse_times(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("times takes a whole number from 1")
    return value


def _example_operation_names() -> str:
    return ", ".join(list(get_operations())[:3])
