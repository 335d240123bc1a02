"""One run of the lab: an exchange, a broker, relays behind proxies, and the comparison at the end."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from simulation.relay_lab.exchange import LoadedExchange
from simulation.relay_lab.processes import NatsCluster, NatsServer, RelayChild, wait_for
from simulation.relay_lab.proxy import FaultProxy
from simulation.relay_lab.witness import Comparison, EntryWatcher, compare, read_stored

__all__ = ["Lab", "LabResult", "LabSettings", "run_scenario"]

_SETTLE_TIMEOUT = 90.0
_CALM = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSettings:
    """How a run is set up."""

    names: Sequence[str] = ("desk",)
    relays: int = 2
    rate: float = 100.0
    """Events a second."""
    is_cluster: bool = False
    takes_jobs: bool = False
    skews: Sequence[float] = (0.0, 0.0)
    """By how many seconds each relay's clock is wrong."""
    stream: dict[str, float] = field(default_factory=dict)
    """Settings of the relays' streams."""


@dataclass(frozen=True, slots=True)
class LabResult:
    """What came of a run."""

    scenario: str
    comparison: Comparison
    filled_gaps: int
    steps_back: int
    largest_delay_ms: int
    largest_clock_error_ms: int
    takeover: float | None
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether every promise held."""
        found = self.comparison
        return not (found.lost or found.doubled or self.filled_gaps or self.steps_back)


class Lab:
    """A context manager: entered, relays follow and events come."""

    def __init__(self, settings: LabSettings) -> None:
        self.settings = settings
        self.exchange = LoadedExchange(settings.names, settings.rate)
        self.relays: list[RelayChild] = []
        self.proxies: list[FaultProxy] = []
        self.takeover: float | None = None
        self._stack = ExitStack()
        self._clock_error = 0

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _set_up(self) -> None:
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-lab-")))
        self.exchange.start()
        self._stack.callback(self.exchange.close)
        make_broker = NatsCluster if self.settings.is_cluster else NatsServer
        self.broker: NatsCluster | NatsServer = make_broker(self.directory / "nats")
        self._stack.callback(self.broker.stop)
        for number in range(self.settings.relays):
            self._add_relay(number)
        self.relays[0].start()
        wait_for(lambda: bool(self.relays[0].read_health()), "the first relay runs")
        for relay in self.relays[1:]:
            relay.start()
        wait_for(self.is_live, "every relay follows its accounts")
        self.watcher = EntryWatcher(self.broker.urls, self.settings.names)
        self.watcher.start()
        self._stack.callback(self.watcher.close)
        self.exchange.start_load()
        self.settle()

    def _add_relay(self, number: int) -> None:
        proxy = FaultProxy(self.exchange.sandbox.url)
        self._stack.callback(proxy.close)
        names = self.settings.names
        config: dict[str, object] = {
            "nats": self.broker.urls,
            "sandbox": proxy.url,
            "copies": 3 if self.settings.is_cluster else 1,
            "spool": str(self.directory / f"spool{number}"),
            "skew": self.settings.skews[number] if number < len(self.settings.skews) else 0.0,
            "stream": self.settings.stream,
        }
        if self.settings.takes_jobs:
            config |= {"host_id": f"host{number}", "capacity": 2 * len(names)}
            config |= {"jobs": str(self._write_jobs())} if number == 0 else {}
        else:
            config |= {"name": names[0]}
        keys = {f"KEY_{index}": self.exchange.api_key(name) for index, name in enumerate(names)}
        environment = {**keys, "BINANCE_API_KEY": self.exchange.api_key(names[0])}
        relay = RelayChild(config, environment, self.directory / f"relay{number}.log")
        self.proxies.append(proxy)
        self.relays.append(relay)
        self._stack.callback(relay.kill)

    def _write_jobs(self) -> Path:
        path = self.directory / "jobs.yml"
        jobs = [{"name": name, "api_key": f"env:KEY_{index}"} for index, name in enumerate(self.settings.names)]
        path.write_text(json.dumps({"jobs": jobs}))
        return path

    def is_live(self) -> bool:
        """Whether every relay, or every replica of every job, follows its accounts."""
        pages = [relay.read_health() for relay in self.relays]
        if self.settings.takes_jobs:
            live = sum(float(str(page.get("keys_live", 0))) for page in pages)
            return live == 2 * len(self.settings.names)
        return all(page.get("healthy") is True for page in pages)

    def settle(self) -> None:
        """Let events come for a moment, and wait until they are covered."""
        time.sleep(_CALM)
        mark = self.exchange.now
        wait_for(
            lambda: self.watcher.covered_until(self.settings.names) >= mark,
            "everything is stored or lies in a gap",
            _SETTLE_TIMEOUT,
        )

    def finish(self, scenario: str, started: float) -> LabResult:
        """End the load, and compare."""
        wait_for(self.is_live, "every relay follows its accounts again")
        self.settle()
        self.exchange.stop_load()
        self._clock_error = max(
            (round(relay.read_metrics().get("clock_error_ms_max", 0)) for relay in self.relays), default=0
        )
        codes = [relay.stop() for relay in self.relays]
        if any(codes):
            raise AssertionError(f"relays ended with {codes}: see their logs in {self.directory}")
        stored = read_stored(self.broker.urls)
        return LabResult(
            scenario=scenario,
            comparison=compare(self.exchange.happened, stored, self.watcher.entries),
            filled_gaps=len(self.watcher.filled_gaps),
            steps_back=len(self.watcher.steps_back),
            largest_delay_ms=self.exchange.largest_delay_ms,
            largest_clock_error_ms=self._clock_error,
            takeover=self.takeover,
            seconds=time.monotonic() - started,
        )


def run_scenario(name: str, settings: LabSettings, inject: Callable[[Lab], None]) -> LabResult:
    """Set up, inject, and compare."""
    started = time.monotonic()
    with Lab(settings) as lab:
        inject(lab)
        return lab.finish(name, started)
