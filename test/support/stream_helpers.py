"""Traffic for a sandbox, and checks of what a stream delivers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import count

from binance_margin_stream import ApiKeyAuth
from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.settings import StreamSettings, with_limits
from binance_margin_stream.stream.state import State
from binance_margin_stream.stream.sync_stream import MarginStream

BTC, ETH = isolated("BTCUSDT"), isolated("ETHUSDT")

QUICK_SETTINGS = with_limits(
    StreamSettings(backoff_initial=0.05, backoff_max=0.5, request_timeout=1.0, open_timeout=2.0), overlap_window=0.5
)
"""Settings with short waits, for tests that wait for retries."""


def make_async_stream(exchange: Sandbox, *accounts: Account, **options) -> AsyncMarginStream:
    options = {"endpoints": exchange.endpoints, "settings": QUICK_SETTINGS} | options
    return AsyncMarginStream(ApiKeyAuth(exchange.api_key), accounts or (CROSS,), **options)


def make_stream(exchange: Sandbox, *accounts: Account, **options) -> MarginStream:
    options = {"endpoints": exchange.endpoints, "settings": QUICK_SETTINGS} | options
    return MarginStream(ApiKeyAuth(exchange.api_key), accounts or (CROSS,), **options)


def now_ms() -> int:
    return round(time.time() * 1000)  # rounded as in the stream


@dataclass
class Traffic:
    """Sends numbered balance updates to accounts, in a thread, and records their times."""

    exchange: Sandbox
    accounts: tuple[Account, ...] = (CROSS,)
    interval: float = 0.002
    sent: dict[Account, deque[tuple[int, int]]] = field(default_factory=lambda: defaultdict(deque))

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.interval):
            for account in self.accounts:
                self.send_event(account)

    def send_event(self, account: Account = CROSS) -> int:
        number, at = next(self._numbers), now_ms()
        self.sent[account].append((number, at))
        event = {"e": "balanceUpdate", "E": at, "a": "USDT", "d": f"{number}", "T": at}
        self.exchange.send_event(event, account.symbol or "cross")
        return number


class TrafficChecker:
    """Checks that each event is delivered once, in order, in its account, or lies inside a gap."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._outstanding = traffic.sent
        self._received: dict[Account, set[int]] = defaultdict(set)
        self.gaps: list[StreamGap] = []
        self.delivered = 0
        self.covered = 0
        self.errors: list[str] = []

    def record(self, item: object) -> None:
        if isinstance(item, StreamGap):
            self.gaps.append(item)
        elif isinstance(item, BalanceUpdate):
            self._record_event(item)

    def _record_event(self, event: BalanceUpdate) -> None:
        number, account = int(event.delta), event.account
        self.delivered += 1
        if number in self._received[account]:
            self.errors.append(f"{number} of {account} was delivered twice")
            return
        self._received[account].add(number)
        outstanding = self._outstanding[account]
        while outstanding:
            first, at = outstanding.popleft()
            if first == number:
                return
            self._require_gap(account, first, at)
        self.errors.append(f"{number} was delivered for {account}, out of order or under the wrong account")

    def _require_gap(self, account: Account, number: int, at: int) -> None:
        self.covered += 1
        if not any(gap.account == account and gap.since <= at <= gap.until for gap in self.gaps):
            self.errors.append(f"{number} of {account} at {at} was lost without a gap: {self.gaps}")

    def assert_complete(self) -> None:
        for account, outstanding in self._outstanding.items():
            while outstanding:
                self._require_gap(account, *outstanding.popleft())
        assert not self.errors, self.errors[:3]


async def run_under_traffic(exchange, accounts, action, *, settle=1.0, every=0.002, **options):
    """Run an action on a stream under traffic. Returns the checker and the health of the stream."""
    traffic = Traffic(exchange, accounts, every)
    checker = TrafficChecker(traffic)
    async with make_async_stream(exchange, *accounts, **options) as stream:

        async def consume():
            async for item in stream:
                checker.record(item)

        consumer = asyncio.create_task(consume())
        with traffic:
            await asyncio.sleep(0.2)
            await action(stream)
            await wait_until(lambda: stream.state is State.LIVE)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(traffic.stop)
        await asyncio.sleep(settle)
        health = stream.health
    await consumer
    checker.assert_complete()
    return checker, health


def send_balance(exchange, account=CROSS, amount="1"):
    event = {"e": "balanceUpdate", "E": exchange.now, "a": "USDT", "d": amount, "T": 1}
    exchange.send_event(event, account.symbol or "cross")


async def take_until(stream, kind, within=10.0):
    items = []
    async with asyncio.timeout(within):
        while not items or not isinstance(items[-1], kind):
            items.append(await anext(stream))
    return items


async def wait_until(condition, within=20.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


def run_stream(exchange_rules, accounts, action, **options):
    async def main():
        with Sandbox(rules=exchange_rules) as exchange:
            return await run_under_traffic(exchange, accounts, lambda stream: action(exchange, stream), **options)

    return asyncio.run(main())


def inject_fault(fault, pause=0.5, **options):
    async def action(exchange, stream):
        await asyncio.to_thread(exchange.inject_fault, fault, **options)
        await asyncio.sleep(pause)

    return action
