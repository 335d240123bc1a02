"""Scripts: steps with a time and an operation, from a YAML file or Python values."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from binance_margin_stream.sandbox.amounts import exact
from binance_margin_stream.sandbox.config import DAY_MS, HOUR_MS, MINUTE_MS
from binance_margin_stream.sandbox.control.operations import Operation, OperationTable, OperationTarget
from binance_margin_stream.sandbox.control.yaml_loader import YAMLFormatError, load_items
from binance_margin_stream.sandbox.messages import JSON

__all__ = ["Script", "ScriptError", "Step", "read_script", "schedule_steps"]

Script = str | os.PathLike[str] | Iterable[Mapping[str, object]]
"""The path of a YAML file, or the steps as Python values."""

_UNIT_MS = {"ms": 1, "s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ms|s|m|h|d)){1,5}")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_MAX_DURATION_MS = 36_500 * DAY_MS
_MAX_TIMES = 1_000_000
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3}))?)?")
_TIMING_KEYS = ("at", "after", "every", "times")


class ScriptError(ValueError):
    """A script that cannot be run; the message names the line or step and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its arguments and its time: a time of day, or a delay after the previous step."""

    location: str
    """``line 4`` or ``step 2``, for error messages."""
    operation: Operation
    arguments: Mapping[str, object]
    at_ms: int | None
    """Time of day in UTC, in milliseconds since midnight."""
    after_ms: int
    every_ms: int
    times: int

    def first_run_at(self, previous_ms: int) -> int:
        """Time (ms) of the first run, where the first run of the previous step was at `previous_ms`."""
        return previous_ms + (self.after_ms if self.at_ms is None else (self.at_ms - previous_ms) % DAY_MS)

    def run(self, target: OperationTarget) -> JSON:
        """Run the operation.

        Raises:
            ScriptError: the operation is not possible now; the message says why.

        """
        try:
            return self.operation.run(target, self.arguments)
        except ValueError as error:
            raise ScriptError(f"{self.location}: {self.operation.name}: {error}") from None


def read_script(script: Script, operations: OperationTable) -> tuple[Step, ...]:
    """The steps of a script, all checked.

    Raises:
        ScriptError: names the first error with its line, or its step number where there is no file.
        OSError: the file cannot be read.

    """
    if isinstance(script, str | os.PathLike):
        items: Iterable[tuple[str, object]] = _load_file(Path(script))
    else:
        items = ((f"step {number}", item) for number, item in enumerate(script, 1))
    return tuple(_parse_located_step(location, item, operations) for location, item in items)


def schedule_steps(steps: Iterable[Step], start: int) -> Iterator[tuple[int, Step]]:
    """Every run of every step in order of time, from a start time (ms); runs at equal times keep the script's order."""
    runs, previous_ms = [], start
    for step in steps:
        previous_ms = step.first_run_at(previous_ms)
        runs.append(_repeat_step(step, previous_ms))
    return heapq.merge(*runs, key=lambda run: run[0])


def _repeat_step(step: Step, first_run_ms: int) -> Iterator[tuple[int, Step]]:
    return ((first_run_ms + number * step.every_ms, step) for number in range(step.times))


def _load_file(path: Path) -> list[tuple[str, object]]:
    try:
        return list(load_items(path.read_text("utf-8")))
    except YAMLFormatError as error:
        raise ScriptError(str(error)) from None
    except UnicodeDecodeError:
        raise ScriptError("line 1: the file is not text") from None


def _parse_located_step(location: str, item: object, operations: OperationTable) -> Step:
    try:
        return _parse_step(location, item, operations)
    except ValueError as error:
        raise ScriptError(f"{location}: {error}") from None


def _parse_step(location: str, item: object, operations: OperationTable) -> Step:
    if not isinstance(item, Mapping):
        raise ValueError('a step is a mapping such as {"after": "5s", "place-order": {}}')
    wanted = [name for name in item if name not in _TIMING_KEYS]
    if len(wanted) != 1:
        examples = ", ".join(each.name for each in operations.all()[:3])
        raise ValueError(f"a step has a time ({', '.join(_TIMING_KEYS)}) and one operation, such as {examples}")
    if ("at" in item) == ("after" in item):
        raise ValueError("a step has either at, a time of day, or after, a delay after the previous step")
    if ("every" in item) != ("times" in item):
        raise ValueError("every and times require each other")
    operation = operations.get(str(wanted[0]))
    return Step(
        location=location,
        operation=operation,
        arguments=_parse_arguments(operation, item[wanted[0]]),
        at_ms=_parse_time_of_day(item["at"]) if "at" in item else None,
        after_ms=_parse_duration("after", item["after"]) if "after" in item else 0,
        every_ms=_parse_duration("every", item["every"]) if "every" in item else 0,
        times=_parse_times(item.get("times", 1)),
    )


def _parse_arguments(operation: Operation, given: object) -> dict[str, object]:
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{operation.name} takes its parameters by name, such as {{uid: 1}}")
    try:
        return operation.parse_arguments({str(name): value for name, value in (given or {}).items()})
    except ValueError as error:
        raise ValueError(f"{operation.name}: {error}") from None


def _parse_time_of_day(value: object) -> int:
    found = _TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('at takes a time of day in UTC, such as "09:30" or "09:30:00"')
    hours, minutes, seconds, fraction = found.groups("0")
    return int(hours) * HOUR_MS + int(minutes) * MINUTE_MS + int(seconds) * 1000 + int(fraction.ljust(3, "0"))


@exact
def _parse_duration(name: str, value: object) -> int:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError(f"{name} takes a duration such as 5s, 250ms or 1h30m")
    duration = round(sum(Decimal(number) * _UNIT_MS[unit] for number, unit in _DURATION_PART.findall(value)))
    if duration > _MAX_DURATION_MS:
        raise ValueError(f"{name} takes at most {_MAX_DURATION_MS // DAY_MS}d")
    return duration


def _parse_times(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_TIMES:
        raise ValueError(f"times takes a whole number from 1 to {_MAX_TIMES}")
    return value
