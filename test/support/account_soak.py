"""Soak recovery: many stretches of random trading with random trouble, in memory, and what became of every fill.

    python test/support/account_soak.py [--runs 1000] [--first 0]

Each run is two accounts under trouble that its number decides: disconnections, failing and lagging reads, rows that
appear late or never, frames that are never sent, fills after the end of an order, and restarts from a checkpoint.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from account_trouble import Trouble, play
from account_world import AccountWorld, Lag, RecoveredOrder, RecoveredTrade

from binance_margin_stream.stream.events.execution_report import ExecutionReport


def make_trouble(seed: int) -> Trouble:
    """The trouble of a run."""
    choose = random.Random(seed).choice
    lag = choose([500, 1_500, 8_000])
    kind = choose(["gaps", "gaps", "hidden", "silent", "restarts", "pages"])
    return Trouble(
        downs=0 if kind == "silent" else choose([1, 4, 15]),
        trades_a_minute=choose([2.0, 10.0, 40.0]),
        read_failures=choose([0.0, 0.3, 0.8]) if kind == "gaps" else choose([0.0, 0.3]),
        silent_spells=choose([1, 3]) if kind == "silent" else 0,
        restarts=choose([1, 3]) if kind == "restarts" else 0,
        late_fills=kind != "silent",
        orders=choose(["known", "all"]),
        page_rows=choose([5, 20]) if kind == "pages" else 1000,
        minutes=10,
        lag=Lag(
            late_share=choose([0.0, 0.1, 0.5]) if kind == "gaps" else 0.0,
            hidden_share=choose([0.02, 0.2]) if kind == "hidden" else 0.0,
            orders=lag,
            unknown_for=lag,
        ),
    )


def count(world: AccountWorld) -> Counter[str]:
    """What became of the fills and orders of a run."""
    figures: Counter[str] = Counter(runs=1, reads=len(world.reads))
    for account in world.channels:
        delivered, unproven = world.delivered_fills(account), world.unproven_orders(account)
        sent = world.covered_fills(account)
        missing = [fill for fill in sent if fill.key not in delivered]
        items = world.channels[account].items
        figures["fills"] += len(sent)
        figures["live"] += sum(isinstance(item, ExecutionReport) and item.trade_id >= 0 for item in items)
        figures["recovered"] += sum(isinstance(item, RecoveredTrade) for item in items)
        figures["named as unproven"] += sum((fill.symbol, fill.order_id) in unproven for fill in missing)
        figures["never shown by any call"] += sum((fill.symbol, fill.order_id) not in unproven for fill in missing)
        figures["orders recovered"] += sum(isinstance(item, RecoveredOrder) for item in items)
        figures["gaps"] += len(world.channels[account].gaps)
    return figures


def run(seed: int) -> tuple[int, Counter[str], str]:
    """Play one run, and check it: its figures, and what is wrong."""
    try:
        world = play(seed, make_trouble(seed))
        world.check()
    except AssertionError as error:
        return seed, Counter(runs=1), str(error)[:300] or "a check failed"
    return seed, count(world), ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak recovery in memory.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    started, total, wrong = time.monotonic(), Counter[str](), []
    with ProcessPoolExecutor() as pool:
        for seed, figures, problem in pool.map(run, range(arguments.first, arguments.first + arguments.runs)):
            total += figures
            if problem:
                wrong.append(seed)
                print(f"run {seed}: {problem}")
    print(", ".join(f"{name} {number:,}" for name, number in total.items()))
    print(f"violations {len(wrong)}; {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
