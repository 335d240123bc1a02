"""How clients that follow an account handle faults of the exchange. The sandbox injects the faults, on loopback.

The sandbox sends an execution report every 10 ms. Its order id is a serial number, so that lost events can be counted.
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

from clients import Client
from frames import make_execution_report

from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults

EVENT_INTERVAL = 0.01
COST_EVENT_INTERVAL = 0.002
"""Seconds between events whose cost is measured: long enough that the client receives each one by itself."""
KEY_REJECTED = faults.StaticResponse(
    401,
    b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}',
    (("Content-Type", "application/json"),),
)


@dataclass
class Recording:
    """The output of a client, with times."""

    fault_at: float = 0.0
    last_before_fault: int = 0
    """The number of the last event that was sent before the fault."""
    sent: int = 0
    recovered: bool = False
    """Whether an event arrived that was sent after the connection was closed as announced."""
    lines: list[dict[str, Any]] = field(default_factory=list)

    def recovery_time(self) -> float | None:
        """Seconds from the fault until the first event that was sent after it arrived."""
        return next((x["at"] - self.fault_at for x in self._events() if x["event"] > self.last_before_fault), None)

    def count_lost(self) -> int:
        """The number of events that are missing between the fault and the last event that arrived."""
        seen = {line["event"] for line in self._events()}
        return len(set(range(self.last_before_fault, max(seen))) - seen)

    def notice_time(self) -> float | None:
        """Seconds from the fault until user code was notified of anything other than an event."""
        return next((x["at"] - self.fault_at for x in self.lines if "notice" in x and x["at"] > self.fault_at), None)

    def first_notice(self) -> str:
        """The first notification of user code after the fault; empty if there was none."""
        return next((line["notice"] for line in self.lines if "notice" in line and line["at"] > self.fault_at), "")

    def find_line(self, name: str) -> dict[str, Any] | None:
        """The first line that has this key."""
        return next((line for line in list(self.lines) if name in line), None)

    def _events(self) -> Iterator[dict[str, Any]]:
        return (line for line in list(self.lines) if "event" in line)


def wait_until(condition: Callable[[], object], timeout: float) -> bool:
    """Wait until the condition holds. Returns False on a timeout."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def run_client(
    client: Client, exchange_rules: ExchangeRules, *, counted: int | None = None, quick: bool = False
) -> Iterator[tuple[Sandbox, Recording]]:
    """Run a sandbox, and a client that follows its cross account in a process of its own."""
    with Sandbox(rules=exchange_rules) as exchange:
        config = _make_config(exchange, exchange_rules) | {"counted": counted, "quick": quick}
        recording = Recording()
        command = [*client.command, "follow", json.dumps(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                reader = threading.Thread(target=_read_lines, args=(process, recording), daemon=True)
                reader.start()
                yield exchange, recording
            finally:
                process.kill()


def _make_config(exchange: Sandbox, exchange_rules: ExchangeRules) -> dict[str, Any]:
    credentials = {"key": exchange.api_key, "secret": exchange.api_secret}
    return asdict(exchange.endpoints) | credentials | {"validity": exchange_rules.listen_token_validity_ms / 1000}


def measure_account_memory(client: Client) -> dict[str, Any] | str:
    """The memory that a further account takes in the client's process, or the reason why there is no figure."""
    with Sandbox(rules=SERVE_RETIRED) as exchange:
        return client.run("idle", json.dumps(_make_config(exchange, SERVE_RETIRED)), timeout=60)


def _read_lines(process: subprocess.Popen[str], recording: Recording) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.startswith('{"at"'):
            recording.lines.append(json.loads(line))


def make_event(number: int, rng: random.Random) -> dict[str, object]:
    now = time.time_ns() // 1_000_000
    return make_execution_report(number, rng) | {"i": number, "E": now, "T": now}


@contextmanager
def send_events(exchange: Sandbox, recording: Recording) -> Iterator[None]:
    """Send an event every 10 ms until the block ends."""
    stop = threading.Event()

    def send() -> None:
        rng = random.Random(1)
        while not stop.wait(EVENT_INTERVAL):
            recording.sent += 1
            exchange.send_event(make_event(recording.sent, rng))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class Scenario:
    """One fault, and what is measured after it."""

    fault: faults.Fault
    exchange_rules: ExchangeRules
    timeout: float
    """Seconds to wait until the client recovers."""
    condition: Callable[[Recording], object] = Recording.recovery_time
    quick: bool = False
    """Whether the client's timeouts are set to the shortest values that it allows."""
    times: int | None = 1


SERVE_RETIRED = ExchangeRules(retired_endpoints="served")
SHORT_LIVED_CREDENTIALS = ExchangeRules(
    retired_endpoints="served",
    listen_key_validity_ms=20_000,
    listen_key_v2_validity_ms=20_000,
    listen_token_validity_ms=20_000,
)
SCENARIOS = {
    "drop": Scenario(faults.DropConnections("reset"), SERVE_RETIRED, 30),
    "frozen": Scenario(faults.FreezeConnections(), SERVE_RETIRED, 75),
    "frozen, quick": Scenario(
        faults.FreezeConnections(), ExchangeRules(retired_endpoints="served", ping_interval_ms=1000), 75, quick=True
    ),
    "rotation": Scenario(faults.ShutdownNotice(close_after_seconds=10, envelope="event"), SERVE_RETIRED, 30),
    "renewal": Scenario(KEY_REJECTED, SHORT_LIVED_CREDENTIALS, 40, Recording.notice_time, times=None),
}


def run_scenario(client: Client, scenario: Scenario) -> Recording | str:
    """The recording of a client, or the reason why the scenario did not start."""
    with run_client(client, scenario.exchange_rules, quick=scenario.quick) as (exchange, recording):
        with send_events(exchange, recording):
            if not wait_until(lambda: sum("event" in line for line in list(recording.lines)) > 50, 20):
                return f"no events within 20 s; output: {recording.first_notice() or 'nothing'}"
            recording.last_before_fault, recording.fault_at = recording.sent, time.monotonic()
            exchange.inject_fault(scenario.fault, times=scenario.times)
            if isinstance(scenario.fault, faults.ShutdownNotice):
                time.sleep((scenario.fault.close_after_seconds or 0) + 1)
                closed_after = recording.sent
                recording.recovered = wait_until(lambda: _latest_event(recording) > closed_after, scenario.timeout)
            else:
                wait_until(lambda: scenario.condition(recording), scenario.timeout)
        time.sleep(0.5)
        return recording


def _latest_event(recording: Recording) -> int:
    return max((line["event"] for line in list(recording.lines) if "event" in line), default=0)


def measure_event_cost(client: Client, events: int) -> dict[str, Any] | None:
    """The CPU cost of `events` events from the client's socket to user code, and its memory afterwards."""
    with run_client(client, SERVE_RETIRED, counted=events) as (exchange, recording):
        rng = random.Random(1)
        number = 0

        def send_probe() -> bool:
            nonlocal number
            number += 1
            exchange.send_event(make_event(number, rng))
            time.sleep(0.05)
            return recording.find_line("event") is not None

        if not wait_until(send_probe, 20):
            return None
        started = time.monotonic()
        for turn in range(events + events // 10):
            number += 1
            exchange.send_event(make_event(number, rng))
            time.sleep(max(0.0, started + turn * COST_EVENT_INTERVAL - time.monotonic()))
        wait_until(lambda: recording.find_line("cpu"), 20)
        return recording.find_line("cpu")
