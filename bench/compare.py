"""Everything that is measured, in one run: this package, its peers, and its goals.

    make bench

It prints the tables and writes them into ``docs/performance.md``, with the picture ``docs/comparison.svg``. All figures
come from one run on one machine: compare them with each other, and with nothing else.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pipeline
import plot
from clients import BARE, CONTENDERS, HERE, OURS, Contender, prepare
from frames import frames
from report import Cell, Goal, Page, Row
from scenarios import SCENARIOS, Course, Scenario, cost_of_events, memory_of_accounts, played

DOCS = HERE.parent / "docs"
IMPORT_ROUNDS, DECODE_ROUNDS, EVENTS = 7, 60, 1500
NOTHING, IMPORTED = "pass", "import urllib3, pydantic"
IN_USE = "import urllib3\nfrom pydantic import BaseModel\nclass Model(BaseModel): pass"


class Comparison:
    """One run, row by row."""

    def __init__(self) -> None:
        described = {contender: contender.ask("describe") for contender in CONTENDERS}
        broken = {contender.name: said for contender, said in described.items() if isinstance(said, str)}
        if broken:
            sys.exit(f"these contestants do not start: {broken}")
        self.described = {contender: said for contender, said in described.items() if isinstance(said, dict)}
        columns = [(contender.name, said["version"]) for contender, said in self.described.items()]
        self.page = Page(columns, _machine())

    def measure(self) -> None:
        """Take every measurement, those that need a quiet machine first."""
        self._imports()
        self._calls()
        self._decoding()
        self._costs_of_events()
        self.page.goals += pipeline.measured()
        self._let_down()

    def _cells(self, subject: str, measured: Callable[[Contender], Cell], at_once: int = 1) -> list[Cell]:
        def cell(contender: Contender) -> Cell:
            reason = self.described[contender]["cannot"].get(subject)
            return Cell(words=reason) if reason else measured(contender)

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(cell, CONTENDERS))

    def _add(self, title: str, form: str, cells: Sequence[Cell]) -> None:
        self.page.rows.append(Row(title, form, cells))
        print(title, [form.format(cell.value) if cell.value is not None else cell.words for cell in cells], flush=True)

    def _imports(self) -> None:
        for what, title in (("bare", "import"), ("client", "import, first client"), ("stream", "import, first stream")):
            cells = self._cells(what, lambda contender, what=what: self._import_of(contender, what))
            self._add(f"{title}: CPU over Python's own start", "{:.0f} ms", cells)
        imported, used, client = milliseconds(OURS, [IMPORTED, IN_USE, self.described[OURS]["imports"]["client"]])
        bare = self.page.rows[0].cells[0].value or 0.0
        ratio = client / imported
        self.page.goals += [
            Goal("import", f"{bare:.1f} ms over Python", "at most 15 ms", bare <= 15),
            Goal(f"first client, of `{IMPORTED}`", f"{ratio:.2f}", "at most 1.15", ratio <= 1.15),
            Goal(
                "first client, of the same with one empty model, as pydantic loads itself then", f"{client / used:.2f}"
            ),
        ]

    def _import_of(self, contender: Contender, what: str) -> Cell:
        return Cell(milliseconds(contender, [self.described[contender]["imports"][what]])[0])

    def _calls(self) -> None:
        with answering() as url:
            answers = {contender: contender.ask("call", url) for contender in CONTENDERS}
        for name, title in (("cpu", "CPU"), ("wall", "time")):
            cells = [Cell(words=x) if isinstance(x, str) else Cell(x[name]) for x in answers.values()]
            self._add(f"a REST call: {title} against raw `urllib3`", "{:.2f} ×", cells)
        ratio = self.page.rows[-2].cells[0].value or 0.0
        self.page.goals.append(Goal("REST call, CPU of raw `urllib3`", f"{ratio:.2f}", "at most 1.15", ratio <= 1.15))

    def _decoding(self) -> None:
        text = "\n".join(frame.decode() for frame in frames())

        def cell(contender: Contender) -> Cell:
            said = contender.ask("decode", str(DECODE_ROUNDS), given=text)
            return Cell(words=said) if isinstance(said, str) else Cell(said["ratio"])

        cells = self._cells("decode", cell)
        self._add("an event from bytes to user code's object: time against `json.loads`", "{:.2f} ×", cells)
        own = cells[0].value or 0.0
        self.page.goals.append(Goal("decoding, of `json.loads`", f"{own:.2f}", "at most 1.6", own <= 1.6))
        theirs = [cell.value for cell, contender in zip(cells, CONTENDERS, strict=True) if "SDK" in contender.name]
        if theirs[0] is not None:
            times = theirs[0] / own
            self.page.goals.append(Goal("decoding by the exchange's SDK", f"{times:.1f} ×", "at least 5 ×", times >= 5))

    def _costs_of_events(self) -> None:
        plain = cost_of_events(BARE, EVENTS)
        if plain is None:
            sys.exit("the bare loop got no events")
        said = {}

        def cell(contender: Contender) -> Cell:
            said[contender] = cost_of_events(contender, EVENTS)
            cost = said[contender]
            return Cell(cost["cpu"] / plain["cpu"]) if cost else Cell(words="not all events came")

        cells = self._cells("follow", cell)
        self._add("an event from socket to user code: CPU against bare `websockets`", "{:.2f} ×", cells)
        held = [
            Cell(words=cell.words) if cell.value is None else Cell(said[contender]["kib"] / 1024)
            for cell, contender in zip(cells, CONTENDERS, strict=True)
        ]
        self._add("memory of a process that follows one account", "{:.0f} MiB", held)

        def further(contender: Contender) -> Cell:
            took = memory_of_accounts(contender)
            return Cell(words=took) if isinstance(took, str) else Cell(took["kib"])

        self._add("memory of a further, isolated account", "{:.0f} KiB", self._cells("hold", further))

    def _let_down(self) -> None:
        for name, title, form, judged in _TRIALS:
            scenario = SCENARIOS[name]
            cells = self._cells("follow", lambda x, s=scenario, j=judged: _judged(x, s, j), at_once=len(CONTENDERS))
            self._add(title, form, cells)


def _judged(contender: Contender, scenario: Scenario, judged: Callable[[Course, Scenario], Cell]) -> Cell:
    course = played(contender, scenario)
    return Cell(words=course) if isinstance(course, str) else judged(course, scenario)


def _back(course: Course, scenario: Scenario) -> Cell:
    seconds = course.back_after()
    if seconds is None:
        told = f"user code is told: {course.told()}" if course.told() else "user code is told nothing"
        return Cell(words=f"no further event within {scenario.patience:.0f} s; {told}")
    return Cell(seconds, "a gap is reported" if "gap" in course.told() else "no word of a gap")


def _lost(course: Course, scenario: Scenario) -> Cell:
    if not course.came_back:
        return Cell(words=f"no further event within {scenario.patience:.0f} s of the announced close")
    return Cell(course.lost())


def _told(course: Course, scenario: Scenario) -> Cell:
    seconds = course.told_after()
    if seconds is None:
        return Cell(words=f"user code is told nothing within {scenario.patience:.0f} s")
    return Cell(seconds, course.told())


_TRIALS: list[tuple[str, str, str, Callable[[Course, Scenario], Cell]]] = [
    ("drop", "the connection is reset: until the next event", "{:.2f} s", _back),
    ("frozen", "the peer freezes, settings as delivered: until the next event", "{:.1f} s", _back),
    ("frozen, quick", "the same with the shortest deadlines that it allows", "{:.1f} s", _back),
    ("rotation", "an announced shutdown, closed 10 s later: events lost", "{:.0f}", _lost),
    ("renewal", "renewals are refused, credentials live 20 s: until user code is told", "{:.1f} s", _told),
]


def milliseconds(contender: Contender, codes: Sequence[str]) -> list[float]:
    """CPU that each program takes over an empty one; in turns, the median of the differences."""

    def spent(code: str) -> float:
        command = [contender.python, "-c", f"{code}\nimport time; print(time.process_time() * 1000)"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode:
            sys.exit(f"{contender.name}: {run.stderr}")
        return float(run.stdout.splitlines()[-1])

    turns = [[spent(code) for code in (NOTHING, *codes)] for _ in range(IMPORT_ROUNDS + 1)][1:]
    return [statistics.median(turn[place] - turn[0] for turn in turns) for place in range(1, len(codes) + 1)]


@contextlib.contextmanager
def answering() -> Iterator[str]:
    """The address of a REST server in a process of its own."""
    command = [sys.executable, str(HERE / "rest_stub.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def _machine() -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"`make bench` of {day}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores."


def main() -> None:
    """Measure, print, write, draw."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as stock:
        prepare(Path(stock))
        comparison = Comparison()
        comparison.measure()
    page = comparison.page
    print(page.markdown())
    page.write(DOCS / "performance.md")
    plot.draw(page, DOCS / "comparison.svg")
    print(f"took {(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
