"""Follow accounts of the sandbox through random faults, and account for every event.

    python scripts/endure.py [--minutes 30] [--seed 1] [--accounts 4] [--every 3]

Events are numbered as they are sent. Afterwards each of them was delivered exactly once, or lies inside a gap that was
reported before any later event of its account; all else is lost in silence or doubled, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from binance_margin_stream import ApiKeyAuth
from binance_margin_stream.sandbox import Rules, Sandbox, faults
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events import BalanceUpdate, StreamGap
from binance_margin_stream.stream.rules import StreamRules
from binance_margin_stream.stream.session import AsyncMarginStream

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT", "DOGEUSDT")
RULES = StreamRules(token_validity=60, connection_life=90, connection_spread=20, ping_deadline=25, backoff_most=5)
CLOCK_ALLOWANCE_MS = 50

FAULTS = {
    "drop (close)": lambda dice: (faults.DropConnections("close"), {}),
    "drop (reset)": lambda dice: (faults.DropConnections("reset"), {}),
    "drop (end of file)": lambda dice: (faults.DropConnections("eof"), {}),
    "server shutdown": lambda dice: (faults.ServerShutdown(close_after_seconds=dice.uniform(0.5, 5)), {}),
    "malformed frame": lambda dice: (faults.MalformedFrame('{"e":'), {}),
    "binary frame": lambda dice: (faults.BinaryFrame(b"\x00\xff"), {}),
    "expired tokens": lambda dice: (faults.ExpireCredentials("listen_tokens"), {}),
    "lost subscribe answer": lambda dice: (faults.LoseSubscribeAnswer(), {}),
    "late subscribe answer": lambda dice: (faults.DelaySubscribeAnswer(), {}),
    "repeated subscribe answer": lambda dice: (faults.RepeatSubscribeAnswer(), {}),
    "refused handshake": lambda dice: (faults.RefuseHandshake(503), {"times": 2}),
    "slow handshake": lambda dice: (faults.SlowHandshake(2), {}),
    "server error": lambda dice: (faults.server_error(503), {"times": 3}),
    "reset call": lambda dice: (faults.ResetConnection(), {}),
    "half answer": lambda dice: (faults.HalfAnswer(), {}),
    "frozen": lambda dice: (faults.FreezeConnections(), {}),
    "accepted, then nothing": lambda dice: (faults.AcceptThenNothing(), {}),
    "refused subscribe": lambda dice: (faults.RefuseSubscribe(-1209), {}),
    "call without an answer": lambda dice: (faults.Hang(), {}),
    "late answer": lambda dice: (faults.DelayAnswer(2), {}),
    "404": lambda dice: (faults.AnswerWith(404), {"times": 2}),
    "rate limit": lambda dice: (faults.too_many_requests(1), {}),
}


@dataclass
class Ledger:
    """What was sent and what arrived, by account."""

    sent: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    arrived: dict[str, list[int | StreamGap]] = field(default_factory=lambda: defaultdict(list))
    struck: Counter[str] = field(default_factory=Counter)

    def verdict(self) -> tuple[int, int, int, int]:
        """Sent, covered by a gap, lost in silence, doubled."""
        covered = lost = doubled = 0
        for account, sent in self.sent.items():
            counts = Counter(item for item in self.arrived[account] if isinstance(item, int))
            doubled += sum(count - 1 for count in counts.values())
            for number in sent.keys() - counts.keys():
                in_gap = self.is_in_gap(account, number)
                covered += in_gap
                lost += not in_gap
        return sum(map(len, self.sent.values())), covered, lost, doubled

    def is_in_gap(self, account: str, number: int) -> bool:
        """Whether a gap that came before any later event covers the time at which this one was sent."""
        at = self.sent[account][number]
        for item in self.arrived[account]:
            if isinstance(item, StreamGap):
                if item.since - CLOCK_ALLOWANCE_MS <= at <= item.until + CLOCK_ALLOWANCE_MS:
                    return True
            elif item > number:
                return False
        return False


def send(exchange: Sandbox, accounts: list[str], ledger: Ledger, dice: random.Random, done: threading.Event) -> None:
    """Numbered balance changes, in bursts and pauses, until told to stop."""
    number = 0
    while not done.wait(dice.expovariate(20)):
        for _ in range(dice.choice((1, 1, 1, 5))):
            number += 1
            account, at = dice.choice(accounts), exchange.now
            ledger.sent[account][number] = at
            exchange.emit({"e": "balanceUpdate", "E": at, "a": "USDT", "d": str(number), "T": at}, account)


def strike(exchange: Sandbox, ledger: Ledger, dice: random.Random, every: float, done: threading.Event) -> None:
    """One random fault every few seconds, now and then two at once."""
    while not done.wait(dice.uniform(0.3, 1.7) * every):
        for name in dice.choices(list(FAULTS), k=dice.choice((1, 1, 1, 2))):
            fault, more = FAULTS[name](dice)
            ledger.struck[name] += 1
            exchange.fail(fault, **more)


async def follow(exchange: Sandbox, ledger: Ledger, accounts: list[str], seconds: float, work: list[threading.Thread],
                 done: threading.Event) -> object:  # fmt: skip
    followed = [CROSS if name == "cross" else isolated(name) for name in accounts]
    auth = ApiKeyAuth(exchange.api_key)
    async with AsyncMarginStream(auth, followed, endpoints=exchange.endpoints, rules=RULES) as stream:
        for thread in work:
            thread.start()
        reader = asyncio.create_task(read(stream, ledger))
        await asyncio.sleep(seconds)
        done.set()
        exchange.clear_faults()
        for thread in work:
            await asyncio.to_thread(thread.join)
        await until_all_is_told(stream, exchange, ledger, accounts)
        reader.cancel()
        return stream.health


async def until_all_is_told(stream: AsyncMarginStream, exchange: Sandbox, ledger: Ledger, accounts: list[str]) -> None:
    """Send one last event to each account until it arrives, so that every gap before it was told."""
    deadline = time.monotonic() + 120
    number = 10**9
    waiting = set(accounts)
    while waiting and time.monotonic() < deadline:
        for account in waiting:
            number += 1
            ledger.sent[account][number] = at = exchange.now
            exchange.emit({"e": "balanceUpdate", "E": at, "a": "USDT", "d": str(number), "T": at}, account)
        await asyncio.sleep(1)
        waiting = {name for name in waiting if not any(isinstance(n, int) and n > 10**9 for n in ledger.arrived[name])}
    if waiting:
        sys.exit(f"two minutes after the last fault these were not live: {sorted(waiting)}; {stream.health}")


async def read(stream: AsyncMarginStream, ledger: Ledger) -> None:
    async for item in stream:
        account = item.account.symbol or "cross"
        if isinstance(item, StreamGap):
            ledger.arrived[account].append(item)
        elif isinstance(item, BalanceUpdate):
            ledger.arrived[account].append(int(item.delta))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=4)
    parser.add_argument("--every", type=float, default=3, help="mean seconds between two faults")
    asked = parser.parse_args()
    dice, ledger, done = random.Random(asked.seed), Ledger(), threading.Event()
    accounts = ["cross", *SYMBOLS][: asked.accounts]
    started = time.monotonic()
    with Sandbox(rules=Rules(connection_attempts=10_000)) as exchange:
        work = [
            threading.Thread(target=send, args=(exchange, accounts, ledger, random.Random(dice.random()), done)),
            threading.Thread(target=strike, args=(exchange, ledger, random.Random(dice.random()), asked.every, done)),
        ]
        health = asyncio.run(follow(exchange, ledger, accounts, asked.minutes * 60, work, done))
    sent, covered, lost, doubled = ledger.verdict()
    gaps = Counter(item.reason for items in ledger.arrived.values() for item in items if isinstance(item, StreamGap))
    print(f"{time.monotonic() - started:.0f} s, seed {asked.seed}, {len(accounts)} accounts")
    print(f"faults: {sum(ledger.struck.values())}: {dict(ledger.struck.most_common())}")
    print(f"events sent {sent}, delivered once {sent - covered - lost}, covered by a gap {covered}")
    print(f"lost in silence {lost}, delivered twice {doubled}, gaps by reason {dict(gaps)}")
    print(health)
    return 1 if lost or doubled else 0


if __name__ == "__main__":
    sys.exit(main())
