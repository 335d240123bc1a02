"""The same strikes over real sockets: the stream that users run, against the sandbox's server, on loopback.

    python -m simulation.loopback_soak [--minutes 5] [--first 0] [--accounts 4]

Plays the strikes of one month after the other, a few seconds apart, with lives of credentials and connections that are
short enough for renewals and rotations between them. It accounts for every event as the simulation does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from binance_margin_stream import ApiKeyAuth
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.sandbox.faults import Fault
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.protocol.actions import StatusChange
from binance_margin_stream.stream.settings import StreamSettings
from simulation.delivery_checker import Ledger, Sent
from simulation.fault_catalog import CALLS, FATAL, HANDSHAKES, SUBSCRIBES
from simulation.fault_injector import PROMPT
from simulation.plan import Strike, plan_of
from simulation.result import Outcome
from simulation.soak import Report
from simulation.violation import Violation

__all__ = ["main"]

ACCOUNTS = (CROSS, *map(isolated, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT", "DOGEUSDT")))
RULES = StreamSettings(
    token_validity=60, connection_max_age=90, connection_age_jitter=20, idle_timeout=12, backoff_max=5
)
_CLOCK_ALLOWANCE_MS = 6_000
_LONGEST_PAUSE = 4.0
_STORM_OVER = 3600.0
_CALM = 15.0
_LONGEST_WAIT = 3
_WITHIN = 120.0
_IN_PLACE = {"half-open": "freeze", "refuse": "5xx", "wrong certificate": "5xx", "delete the key": "expire"}
"""What stands for a strike that a server on loopback cannot bring about, or that this way in does not know."""


def faults_of(strike: Strike) -> Iterator[tuple[Fault, int]]:
    """What a strike is on a real server, and how often each part of it strikes."""
    dice = random.Random(strike.dice)
    name = _IN_PLACE.get(strike.name, strike.name)
    times = 1 + strike.dice % 3
    if name in PROMPT:
        yield PROMPT[name](dice), 1
    if name == "expire":
        yield faults.ExpireCredentials("all"), 1
    if name == "duplicate":
        yield faults.DuplicateEvent(), 1
    if name == "reset":
        yield faults.DropConnections("reset"), 1
    for kinds in (CALLS, HANDSHAKES, SUBSCRIBES):
        if name in kinds:
            fault = kinds[name](dice)
            limited = isinstance(fault, faults.StaticResponse | faults.RefuseHandshake) and fault.status in (
                418,
                429,
                403,
            )
            yield _short(fault) if limited else fault, times


def _short(fault: Fault) -> Fault:
    """A refusal whose wait fits into the run."""
    wait = (("Retry-After", str(_LONGEST_WAIT)),)
    if isinstance(fault, faults.RefuseHandshake):
        return faults.RefuseHandshake(429, wait)
    return faults.too_many_requests(_LONGEST_WAIT)


class Run:
    """One run: who sends, who strikes, who reads, and the ledger between them."""

    def __init__(self, exchange: Sandbox, accounts: tuple[Account, ...], first: int) -> None:
        self.outcome = Outcome(first, Ledger().figures, Report().struck)
        self._exchange = exchange
        self._accounts = accounts
        self._first = first
        self._ledger = Ledger(slack=_CLOCK_ALLOWANCE_MS)
        self.outcome.figures = self._ledger.figures
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._seen: set[int] = set()
        self._calm_since = 0.0
        self._down_since: float | None = None
        self.violations: list[str] = []

    def changed(self, change: StatusChange) -> None:
        """Measure how long the stream takes to live again."""
        if change.name == "recovering" and self._down_since is None:
            self._down_since = time.monotonic()
        elif change.name == "live" and self._down_since is not None:
            took = time.monotonic() - max(self._down_since, min(self._calm_since, time.monotonic()))
            self.outcome.longest_recovery = max(self.outcome.longest_recovery, took)
            self._down_since = None

    def send(self, account: Account) -> int:
        """One event; the ledger knows of it before it leaves."""
        with self._lock:
            number, at = next(self._numbers), self._exchange.now
            # A fault may repeat any event: how often one was sent is not known here, only that it was.
            self._ledger.send(account, "order", Sent(number, at, 1, required=True))
        event = {"e": "balanceUpdate", "E": at, "a": "USDT", "d": str(number), "T": at}
        self._exchange.send_event(event, account.symbol or "cross")
        return number

    def trade(self, done: threading.Event) -> None:
        """Events in bursts and pauses, until told to stop."""
        dice = random.Random(self._first)
        while not done.wait(dice.expovariate(20)):
            for _ in range(dice.choice((1, 1, 1, 5))):
                self.send(dice.choice(self._accounts))

    def strike(self, done: threading.Event) -> None:
        """The strikes of one month after the other."""
        for seed in count(self._first):
            before = 0.0
            for strike in plan_of(seed).strikes:
                if strike.name in (*FATAL, "duplicate", "not found", "retire"):
                    continue
                pause = max(0.0, strike.at - before)
                if pause > _STORM_OVER:
                    self._exchange.clear_faults()
                if done.wait(_CALM if pause > _STORM_OVER else min(_LONGEST_PAUSE, pause)):
                    return
                before = strike.at
                self._strike(strike)

    def _strike(self, strike: Strike) -> None:
        self.outcome.struck[strike.name] += 1
        self._calm_since = time.monotonic()
        with self._lock:
            for account in self._accounts:
                self._ledger.hurt(account, self._exchange.now)
        for fault, times in faults_of(strike):
            self._exchange.inject_fault(fault, times=times)

    async def read(self, stream: AsyncMarginStream) -> None:
        """Take what comes, and judge it."""
        async for item in stream:
            with self._lock, self._noting():
                if isinstance(item, StreamGap):
                    self._ledger.gap(item)
                elif isinstance(item, BalanceUpdate):
                    self._seen.add(int(item.delta))
                    self._ledger.arrive(item.account, "order", int(item.delta))

    async def until_live(self) -> None:
        """After the last strike, every account is heard of within two minutes."""
        deadline = time.monotonic() + _WITHIN
        waiting = set(self._accounts)
        while waiting and time.monotonic() < deadline:
            probes = {account: await asyncio.to_thread(self.send, account) for account in waiting}
            await asyncio.sleep(1)
            waiting = {account for account, number in probes.items() if number not in self._seen}
        if waiting:
            self.violations.append(str(Violation(4, f"{sorted(map(str, waiting))} are quiet")))

    def settle(self) -> None:
        """Everything is there that can come."""
        with self._noting():
            self._ledger.settle()

    def _noting(self) -> suppress:
        return _Noting(self.violations)


class _Noting(suppress):
    """Keeps violations and goes on."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__(Violation)
        self._violations = violations

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Violation):
            self._violations.append(str(error))
        return isinstance(error, Violation)


async def follow(run: Run, exchange: Sandbox, accounts: tuple[Account, ...], seconds: float) -> object:
    """Follow the accounts through the strikes."""
    done = threading.Event()
    work = [threading.Thread(target=target, args=(done,)) for target in (run.trade, run.strike)]
    auth = ApiKeyAuth(exchange.api_key)
    async with AsyncMarginStream(
        auth, accounts, endpoints=exchange.endpoints, settings=RULES, on_change=run.changed
    ) as stream:
        reader = asyncio.create_task(run.read(stream))
        for thread in work:
            thread.start()
        await asyncio.sleep(seconds)
        done.set()
        exchange.clear_faults()
        for thread in work:
            await asyncio.to_thread(thread.join)
        await run.until_live()
        await asyncio.sleep(1)
        run.settle()
        health = stream.health
        reader.cancel()
    return health


def busiest_minute(exchange: Sandbox) -> int:
    """The most REST calls in any minute."""
    minutes = [call.time // 60_000 for call in exchange.rest_log]
    return max(map(minutes.count, set(minutes)), default=0)


def main() -> int:
    """Run, print the figures, and return 1 on any violation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first month")
    parser.add_argument("--accounts", type=int, default=4)
    asked = parser.parse_args()
    accounts = ACCOUNTS[: asked.accounts]
    with Sandbox(rules=ExchangeRules(connection_attempt_limit=10_000, ping_interval_ms=5_000)) as exchange:
        run = Run(exchange, accounts, asked.first)
        health = asyncio.run(follow(run, exchange, accounts, asked.minutes * 60))
        run.outcome.busiest_minute = busiest_minute(exchange)
    report = Report()
    report.add(run.outcome)
    print(f"{asked.minutes:g} minutes over real sockets, {len(accounts)} accounts, strikes from seed {asked.first}")
    print(report)
    print(health)
    for violation in run.violations[:5]:
        print(f"VIOLATES {violation}")
    return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main())
