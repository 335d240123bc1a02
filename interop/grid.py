"""Run the grid bot of `examples` on a sandbox with moving prices and random faults, and compare the books.

    python interop/grid.py --peers .venv-interop/bin/python --seeds 10 --seconds 6

An hour of exchange time passes in a minute. The exit code is 1 if the books of the bot differ from the sandbox's
balances for a seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

BOT = Path(__file__).parent.parent / "examples" / "grid_bot.py"
SPEED = 60.0
TIMEOUT = 180.0
FAULTS = (
    "unknown-outcome",
    "server-error",
    "reset-request",
    "truncated-response",
    "order-not-found",
    "empty-rows",
    "missing-rows",
    "late-fill",
    "order-limit",
)
RULES = ExchangeRules(
    ip_weight_limit=10**9,
    uid_weight_limit=10**9,
    websocket_api_weight_limit=10**9,
    order_limit_day=10**9,
    open_order_limit=1000,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the Python of the environment with ccxt")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds to run (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="real seconds for each seed (%(default)s)")
    options = parser.parse_args()
    failed = [seed for seed in range(1, options.seeds + 1) if not run_seed(seed, options.peers, options.seconds)]
    print(f"seeds with different books: {failed or 'none'}")
    return 1 if failed else 0


def run_seed(seed: int, peers: str, seconds: float) -> bool:
    """Whether the books of the bot match the sandbox's balances."""
    with Sandbox(rules=RULES, speed=SPEED, seed=seed) as exchange:
        exchange.set_price("BTCUSDT", "60000")
        exchange.start_price_walk("BTCUSDT", seed=seed, every_seconds=1.0, percent=0.2)
        exchange.start_random_faults(seed, 3.0, FAULTS)
        process = subprocess.run(
            [peers, str(BOT), "--url", exchange.url, "--seconds", str(seconds)],
            env=os.environ | {"BINANCE_API_KEY": exchange.api_key, "BINANCE_API_SECRET": exchange.api_secret},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        balances = exchange.balances()
        faults = sum(exchange.metrics.fault_counts.values())
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        print(f"seed {seed}: the bot failed: {lines[-1] if lines else process.returncode}")
        return False
    books = json.loads(process.stdout)
    real = {asset: balances[asset].total - RULES.opening_balance for asset in ("BTC", "USDT") if asset in balances}
    match = all(Decimal(books[asset]) == value for asset, value in real.items())
    print(f"seed {seed}: {books['trades']} trades, {faults} faults, books {'match' if match else f'{books} != {real}'}")
    return match


if __name__ == "__main__":
    sys.exit(main())
