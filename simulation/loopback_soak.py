"""The faults of simulated months over real sockets: the public stream against the sandbox's server, on loopback.

    python -m simulation.loopback_soak [--minutes 5] [--first 0] [--accounts 4]

Injects the faults of one month after the other, a few seconds apart. Credentials and connections have short lifetimes,
so that renewals and rotations happen between the faults. Every event is checked as in the simulation.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from binance_margin_stream import ApiKeyAuth
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.sandbox.faults import Fault
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.state import StatusChange, StatusChangeKind
from simulation.checks import DeliveryChecker, SentEvent, SimulationResult, Violation
from simulation.fault_catalog import (
    FATAL_FAULTS,
    HANDSHAKE_FAULTS,
    IMMEDIATE_FAULTS,
    REST_FAULTS,
    SUBSCRIBE_FAULTS,
)
from simulation.plan import PlannedFault, make_plan
from simulation.soak import SoakReport

__all__ = ["main"]

ACCOUNTS = (CROSS, *map(isolated, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT", "DOGEUSDT")))
SETTINGS = StreamSettings(
    token_validity=60, connection_max_age=90, connection_age_jitter=20, idle_timeout=12, backoff_max=5
)
_CLOCK_TOLERANCE_MS = 6_000
_MAX_PAUSE = 4.0
_BURST_GAP = 3600.0
_IDLE_SECONDS = 15.0
_MAX_RETRY_AFTER = 3
_RECOVERY_DEADLINE = 120.0
_SUBSTITUTES = {
    "half-open": "freeze",
    "connection refused": "5xx",
    "wrong certificate": "5xx",
    "delete listen key": "expire credentials",
}
"""The replacement of a fault that a server on loopback cannot produce, or that listen tokens do not have."""
_UNUSED_FAULTS = (*FATAL_FAULTS, "duplicate", "not found", "retire listen token")


def make_faults(planned: PlannedFault) -> Iterator[tuple[Fault, int]]:
    """The faults of the server for a planned fault, each with the number of times that it is injected."""
    rng = random.Random(planned.seed)
    name = _SUBSTITUTES.get(planned.name, planned.name)
    times = 1 + planned.seed % 3
    if name in IMMEDIATE_FAULTS:
        yield IMMEDIATE_FAULTS[name](rng), 1
    if name == "expire credentials":
        yield faults.ExpireCredentials("all"), 1
    if name == "duplicate":
        yield faults.DuplicateEvent(), 1
    if name == "reset":
        yield faults.DropConnections("reset"), 1
    for kinds in (REST_FAULTS, HANDSHAKE_FAULTS, SUBSCRIBE_FAULTS):
        if name in kinds:
            fault = kinds[name](rng)
            limited = isinstance(fault, faults.StaticResponse | faults.RefuseHandshake) and fault.status in (
                418,
                429,
                403,
            )
            yield _shorten_wait(fault) if limited else fault, times


def _shorten_wait(fault: Fault) -> Fault:
    """The same refusal with a short wait."""
    wait = (("Retry-After", str(_MAX_RETRY_AFTER)),)
    if isinstance(fault, faults.RefuseHandshake):
        return faults.RefuseHandshake(429, wait)
    return faults.too_many_requests(_MAX_RETRY_AFTER)


class SoakRun:
    """One run: sends events, injects faults, consumes the stream, and checks what it delivers."""

    def __init__(self, exchange: Sandbox, accounts: tuple[Account, ...], first_seed: int) -> None:
        self._delivery_checker = DeliveryChecker(tolerance_ms=_CLOCK_TOLERANCE_MS)
        self.result = SimulationResult(first_seed, self._delivery_checker.totals)
        self._exchange = exchange
        self._accounts = accounts
        self._first_seed = first_seed
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._received: set[int] = set()
        self._last_fault_at = 0.0
        self._down_since: float | None = None
        self.violations: list[str] = []

    def on_change(self, change: StatusChange) -> None:
        """Measure how long the stream takes to recover."""
        if change.kind is StatusChangeKind.RECOVERING and self._down_since is None:
            self._down_since = time.monotonic()
        elif change.kind is StatusChangeKind.LIVE and self._down_since is not None:
            elapsed = time.monotonic() - max(self._down_since, min(self._last_fault_at, time.monotonic()))
            self.result.longest_recovery = max(self.result.longest_recovery, elapsed)
            self._down_since = None

    def send_event(self, account: Account) -> int:
        """Send an event. It is recorded before it is sent."""
        with self._lock:
            number, at = next(self._numbers), self._exchange.now
            # A fault may duplicate any event, so the number of copies is not known here.
            self._delivery_checker.record_sent(account, "order", SentEvent(number, at, 1, required=True))
        event = {"e": "balanceUpdate", "E": at, "a": "USDT", "d": str(number), "T": at}
        self._exchange.send_event(event, account.symbol or "cross")
        return number

    def send_events(self, done: threading.Event) -> None:
        """Send events in bursts and pauses until `done` is set."""
        rng = random.Random(self._first_seed)
        while not done.wait(rng.expovariate(20)):
            for _ in range(rng.choice((1, 1, 1, 5))):
                self.send_event(rng.choice(self._accounts))

    def inject_faults(self, done: threading.Event) -> None:
        """Inject the faults of one month after the other until `done` is set."""
        for seed in count(self._first_seed):
            before = 0.0
            for planned in make_plan(seed).faults:
                if planned.name in _UNUSED_FAULTS:
                    continue
                pause = max(0.0, planned.at - before)
                if pause > _BURST_GAP:
                    self._exchange.clear_faults()
                if done.wait(_IDLE_SECONDS if pause > _BURST_GAP else min(_MAX_PAUSE, pause)):
                    return
                before = planned.at
                self._inject_fault(planned)

    def _inject_fault(self, planned: PlannedFault) -> None:
        self.result.fault_counts[planned.name] += 1
        self._last_fault_at = time.monotonic()
        with self._lock:
            for account in self._accounts:
                self._delivery_checker.mark_possible_loss(account, self._exchange.now)
        for fault, times in make_faults(planned):
            self._exchange.inject_fault(fault, times=times)

    async def consume(self, stream: AsyncMarginStream) -> None:
        """Consume the stream, and check what it delivers."""
        async for item in stream:
            with self._lock, self._collect_violations():
                if isinstance(item, StreamGap):
                    self._delivery_checker.record_gap(item)
                elif isinstance(item, BalanceUpdate) and item.delta is not None:
                    self._received.add(int(item.delta))
                    self._delivery_checker.record_received(item.account, "order", int(item.delta))

    async def wait_until_live(self) -> None:
        """Wait until every account delivers an event, for at most two minutes after the last fault."""
        deadline = time.monotonic() + _RECOVERY_DEADLINE
        waiting = set(self._accounts)
        while waiting and time.monotonic() < deadline:
            probes = {account: await asyncio.to_thread(self.send_event, account) for account in waiting}
            await asyncio.sleep(1)
            waiting = {account for account, number in probes.items() if number not in self._received}
        if waiting:
            self.violations.append(str(Violation(4, f"{sorted(map(str, waiting))} received no event")))

    def check_outstanding(self) -> None:
        """Check the events that were not delivered."""
        with self._collect_violations():
            self._delivery_checker.check_outstanding()

    @contextmanager
    def _collect_violations(self) -> Iterator[None]:
        try:
            yield
        except Violation as violation:
            self.violations.append(str(violation))


async def run_stream(run: SoakRun, exchange: Sandbox, accounts: tuple[Account, ...], seconds: float) -> object:
    """Follow the accounts while faults are injected. Returns the health of the stream."""
    done = threading.Event()
    threads = [threading.Thread(target=target, args=(done,)) for target in (run.send_events, run.inject_faults)]
    auth = ApiKeyAuth(exchange.api_key)
    async with AsyncMarginStream(
        auth, accounts, endpoints=exchange.endpoints, settings=SETTINGS, on_change=run.on_change
    ) as stream:
        reader = asyncio.create_task(run.consume(stream))
        for thread in threads:
            thread.start()
        await asyncio.sleep(seconds)
        done.set()
        exchange.clear_faults()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await run.wait_until_live()
        await asyncio.sleep(1)
        run.check_outstanding()
        health = stream.health
        reader.cancel()
    return health


def peak_calls_per_minute(exchange: Sandbox) -> int:
    """The most REST calls in any minute."""
    minutes = [call.time // 60_000 for call in exchange.rest_log]
    return max(map(minutes.count, set(minutes)), default=0)


def main() -> int:
    """Run, print the report, and return 1 on any violation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first month")
    parser.add_argument("--accounts", type=int, default=4)
    arguments = parser.parse_args()
    accounts = ACCOUNTS[: arguments.accounts]
    with Sandbox(rules=ExchangeRules(connection_attempt_limit=10_000, ping_interval_ms=5_000)) as exchange:
        run = SoakRun(exchange, accounts, arguments.first)
        health = asyncio.run(run_stream(run, exchange, accounts, arguments.minutes * 60))
        run.result.peak_calls_per_minute = peak_calls_per_minute(exchange)
    report = SoakReport()
    report.add(run.result)
    print(
        f"{arguments.minutes:g} minutes over real sockets, {len(accounts)} accounts, faults from seed {arguments.first}"
    )
    print(report)
    print(health)
    for violation in run.violations[:5]:
        print(f"VIOLATES {violation}")
    return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main())
