"""Run all measurements: this package, other clients, and the targets of this package.

    make bench

Prints the tables, writes them into ``docs/performance.md`` and draws ``docs/comparison.svg``. All figures come from one
run on one machine. Compare them only with each other.
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
from clients import BASELINE, CLIENTS, HERE, THIS_PACKAGE, Client, prepare
from frames import make_frames
from report import BenchReport, BenchTarget, Row, Value
from scenarios import SCENARIOS, Recording, Scenario, measure_account_memory, measure_event_cost, run_scenario

DOCS = HERE.parent / "docs"
IMPORT_ROUNDS, DECODE_ROUNDS, EVENTS = 7, 60, 1500
EMPTY_PROGRAM, IMPORT_DEPENDENCIES = "pass", "import urllib3, pydantic"
USE_DEPENDENCIES = "import urllib3\nfrom pydantic import BaseModel\nclass Model(BaseModel): pass"


class Comparison:
    """One run of all measurements."""

    def __init__(self) -> None:
        descriptions = {client: client.run("describe") for client in CLIENTS}
        broken = {client.name: result for client, result in descriptions.items() if isinstance(result, str)}
        if broken:
            sys.exit(f"these clients do not start: {broken}")
        self.descriptions = {client: result for client, result in descriptions.items() if isinstance(result, dict)}
        columns = [(client.name, result["version"]) for client, result in self.descriptions.items()]
        self.report = BenchReport(columns, _describe_machine())

    def measure(self) -> None:
        """Run every measurement. Those that need an idle machine come first."""
        self._measure_imports()
        self._measure_calls()
        self._measure_decoding()
        self._measure_event_costs()
        self.report.targets += pipeline.measure()
        self._run_scenarios()

    def _values(self, subject: str, measure: Callable[[Client], Value], at_once: int = 1) -> list[Value]:
        def measure_or_note(client: Client) -> Value:
            reason = self.descriptions[client]["unsupported"].get(subject)
            return Value(note=reason) if reason else measure(client)

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(measure_or_note, CLIENTS))

    def _add_row(self, title: str, template: str, values: Sequence[Value]) -> None:
        self.report.rows.append(Row(title, template, values))
        print(
            title,
            [template.format(value.number) if value.number is not None else value.note for value in values],
            flush=True,
        )

    def _measure_imports(self) -> None:
        for what, title in (("bare", "import"), ("client", "import, first client"), ("stream", "import, first stream")):
            values = self._values(what, lambda client, what=what: self._measure_import(client, what))
            self._add_row(f"{title}: CPU over Python's own startup", "{:.0f} ms", values)
        imported, used, first_client = measure_cpu_ms(
            THIS_PACKAGE, [IMPORT_DEPENDENCIES, USE_DEPENDENCIES, self.descriptions[THIS_PACKAGE]["imports"]["client"]]
        )
        bare = self.report.rows[0].values[0].number or 0.0
        ratio = first_client / imported
        self.report.targets += [
            BenchTarget("import", f"{bare:.1f} ms over Python", "at most 15 ms", bare <= 15),
            BenchTarget(f"first client, of `{IMPORT_DEPENDENCIES}`", f"{ratio:.2f}", "at most 1.15", ratio <= 1.15),
            BenchTarget(
                "first client, of the same with one empty model, which loads all of pydantic",
                f"{first_client / used:.2f}",
            ),
        ]

    def _measure_import(self, client: Client, what: str) -> Value:
        return Value(measure_cpu_ms(client, [self.descriptions[client]["imports"][what]])[0])

    def _measure_calls(self) -> None:
        with run_rest_stub() as url:
            results = {client: client.run("call", url) for client in CLIENTS}
        for name, title in (("cpu", "CPU"), ("wall", "time")):
            values = [Value(note=x) if isinstance(x, str) else Value(x[name]) for x in results.values()]
            self._add_row(f"a REST call: {title} against raw `urllib3`", "{:.2f} ×", values)
        ratio = self.report.rows[-2].values[0].number or 0.0
        self.report.targets.append(
            BenchTarget("REST call, CPU of raw `urllib3`", f"{ratio:.2f}", "at most 1.15", ratio <= 1.15)
        )

    def _measure_decoding(self) -> None:
        text = "\n".join(frame.decode() for frame in make_frames())

        def measure_decoding(client: Client) -> Value:
            result = client.run("decode", str(DECODE_ROUNDS), stdin=text)
            return Value(note=result) if isinstance(result, str) else Value(result["ratio"])

        values = self._values("decode", measure_decoding)
        self._add_row("an event from bytes to user code's object: time against `json.loads`", "{:.2f} ×", values)
        own = values[0].number or 0.0
        self.report.targets.append(BenchTarget("decoding, of `json.loads`", f"{own:.2f}", "at most 0.80", own <= 0.80))
        theirs = [value.number for value, client in zip(values, CLIENTS, strict=True) if "SDK" in client.name]
        if theirs[0] is not None:
            times = theirs[0] / own
            self.report.targets.append(
                BenchTarget("decoding by the exchange's SDK", f"{times:.1f} ×", "at least 5 ×", times >= 5)
            )

    def _measure_event_costs(self) -> None:
        baseline = measure_event_cost(BASELINE, EVENTS)
        if baseline is None:
            sys.exit("the baseline received no events")
        costs = {}

        def measure_cost(client: Client) -> Value:
            costs[client] = measure_event_cost(client, EVENTS)
            cost = costs[client]
            return Value(cost["cpu"] / baseline["cpu"]) if cost else Value(note="not all events arrived")

        values = self._values("follow", measure_cost)
        self._add_row("an event from socket to user code: CPU against plain `websockets`", "{:.2f} ×", values)
        memory = [
            Value(note=value.note) if value.number is None else Value(costs[client]["kib"] / 1024)
            for value, client in zip(values, CLIENTS, strict=True)
        ]
        self._add_row("memory of a process that follows one account", "{:.0f} MiB", memory)

        def measure_memory(client: Client) -> Value:
            took = measure_account_memory(client)
            return Value(note=took) if isinstance(took, str) else Value(took["kib"])

        self._add_row("memory of a further, isolated account", "{:.0f} KiB", self._values("idle", measure_memory))

    def _run_scenarios(self) -> None:
        for name, title, form, evaluate in _SCENARIO_ROWS:
            scenario = SCENARIOS[name]
            values = self._values(
                "follow", lambda x, s=scenario, j=evaluate: _run_scenario(x, s, j), at_once=len(CLIENTS)
            )
            self._add_row(title, form, values)


def _run_scenario(client: Client, scenario: Scenario, evaluate: Callable[[Recording, Scenario], Value]) -> Value:
    recording = run_scenario(client, scenario)
    return Value(note=recording) if isinstance(recording, str) else evaluate(recording, scenario)


def _evaluate_recovery(recording: Recording, scenario: Scenario) -> Value:
    seconds = recording.recovery_time()
    if seconds is None:
        notice = (
            f"user code is notified: {recording.first_notice()}"
            if recording.first_notice()
            else "user code is not notified"
        )
        return Value(note=f"no further event within {scenario.timeout:.0f} s; {notice}")
    return Value(seconds, "a gap is reported" if "gap" in recording.first_notice() else "no gap is reported")


def _evaluate_losses(recording: Recording, scenario: Scenario) -> Value:
    if not recording.recovered:
        return Value(note=f"no further event within {scenario.timeout:.0f} s of the announced close")
    return Value(recording.count_lost())


def _evaluate_notice(recording: Recording, scenario: Scenario) -> Value:
    seconds = recording.notice_time()
    if seconds is None:
        return Value(note=f"user code is not notified within {scenario.timeout:.0f} s")
    return Value(seconds, recording.first_notice())


_SCENARIO_ROWS: list[tuple[str, str, str, Callable[[Recording, Scenario], Value]]] = [
    ("drop", "the connection is reset: until the next event", "{:.2f} s", _evaluate_recovery),
    ("frozen", "the peer freezes, default settings: until the next event", "{:.1f} s", _evaluate_recovery),
    ("frozen, quick", "the same with the shortest timeouts that the client allows", "{:.1f} s", _evaluate_recovery),
    ("rotation", "an announced shutdown, closed 10 s later: events lost", "{:.0f}", _evaluate_losses),
    (
        "renewal",
        "renewals are refused, credentials expire after 20 s: until user code is notified",
        "{:.1f} s",
        _evaluate_notice,
    ),
]


def measure_cpu_ms(client: Client, codes: Sequence[str]) -> list[float]:
    """CPU time of each program minus that of an empty one, in milliseconds: the median over alternating rounds."""

    def cpu_ms(code: str) -> float:
        command = [client.python, "-c", f"{code}\nimport time; print(time.process_time() * 1000)"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode:
            sys.exit(f"{client.name}: {run.stderr}")
        return float(run.stdout.splitlines()[-1])

    turns = [[cpu_ms(code) for code in (EMPTY_PROGRAM, *codes)] for _ in range(IMPORT_ROUNDS + 1)][1:]
    return [statistics.median(turn[place] - turn[0] for turn in turns) for place in range(1, len(codes) + 1)]


@contextlib.contextmanager
def run_rest_stub() -> Iterator[str]:
    """Run the REST stub in a process of its own, and return its address."""
    command = [sys.executable, str(HERE / "rest_stub.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def _describe_machine() -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"`make bench` of {day}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores."


def main() -> None:
    """Measure, print the tables, and write the page and the chart."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as stock:
        prepare(Path(stock))
        comparison = Comparison()
        comparison.measure()
    report = comparison.report
    print(report.to_markdown())
    report.write(DOCS / "performance.md")
    plot.draw(report, DOCS / "comparison.svg")
    print(f"took {(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
