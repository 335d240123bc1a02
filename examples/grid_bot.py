"""A grid bot with ccxt on the cross margin account of a sandbox: it buys below the price and sells above it.

    pip install ccxt 'binance-margin-stream[sandbox]'
    binance-margin-stream sandbox --speed 60
    python examples/grid_bot.py --url http://127.0.0.1:8650 --seconds 60

The key and secret come from BINANCE_API_KEY and BINANCE_API_SECRET, which the sandbox prints. The bot keeps its books
by trade id, asks again for what it has seen before, and takes no single response as final: a call may fail after it
took effect, and a query may miss rows. At the end it prints its books as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from decimal import Decimal
from typing import Any

import ccxt

SYMBOL, BASE, QUOTE = "BTC/USDT", "BTC", "USDT"
CROSS = {"marginMode": "cross"}
LEVELS = 5
STEP = Decimal("0.002")
QUANTITY = Decimal("0.1")
OVERLAP = 200
"""How many trades are asked for again."""


class GridBot:
    """A ladder of limit orders, and books of the trades."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self._prefix = f"grid{time.time_ns() % 10**9}x"
        self._placed = 0
        self.orders: dict[int, Any] = {}
        self.trades: dict[int, Any] = {}

    def run(self, seconds: float) -> dict[str, str]:
        """Trade for some real seconds, and return the books."""
        self._retry(self._exchange.load_markets)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read_trades()
            self._rebuild_grid()
        self._end()
        return self._sum_up()

    def _rebuild_grid(self) -> None:
        """Cancel the open orders, and place new ones around the price."""
        with contextlib.suppress(ccxt.BaseError):
            self._exchange.cancel_all_orders(SYMBOL, CROSS)
        price = Decimal(str(self._retry(lambda: self._exchange.fetch_ticker(SYMBOL))["last"]))
        for level in range(1, LEVELS + 1):
            for side, sign in (("buy", -1), ("sell", 1)):
                self._placed += 1
                client_id = f"{self._prefix}{self._placed}"
                limit = self._exchange.price_to_precision(SYMBOL, float(price * (1 + sign * level * STEP)))
                # The order may exist although the call failed: its trades show it.
                with contextlib.suppress(ccxt.BaseError):
                    self._exchange.create_order(
                        SYMBOL, "limit", side, float(QUANTITY), limit, {**CROSS, "newClientOrderId": client_id}
                    )

    def _read_trades(self) -> None:
        """Add new trades to the books; those of the last pages are asked for again, since rows may be missing."""
        known = sorted(self.trades)
        first = known[-OVERLAP] if len(known) > OVERLAP else 0
        while True:
            page = self._retry(lambda start=first: self._fetch_trades(start))
            for trade in page:
                self.trades[int(trade["id"])] = trade["info"]
            if len(page) < 500:
                return
            first = max(int(trade["id"]) for trade in page) + 1

    def _fetch_trades(self, first: int) -> list[Any]:
        return list(self._exchange.fetch_my_trades(SYMBOL, limit=1000, params={**CROSS, "fromId": first}))

    def _end(self) -> None:
        """Cancel everything, and read until the trades of each order add up to what the order says."""
        for _ in range(100):
            with contextlib.suppress(ccxt.BaseError):
                self._exchange.cancel_all_orders(SYMBOL, CROSS)
            self._read_trades()
            self._read_orders()
            open_orders = [order for order in self.orders.values() if order["status"] in ("NEW", "PARTIALLY_FILLED")]
            if self.orders and not open_orders and self._adds_up():
                return
            self.trades = {}
        raise RuntimeError("the trades do not add up to the orders")

    def _read_orders(self) -> None:
        first = 0
        while True:
            page = self._retry(lambda start=first: self._fetch_orders(start))
            self.orders |= {int(order["id"]): order["info"] for order in page}
            if not page:
                return
            first = max(int(order["id"]) for order in page) + 1

    def _fetch_orders(self, first: int) -> list[Any]:
        return list(self._exchange.fetch_orders(SYMBOL, limit=500, params={**CROSS, "orderId": first}))

    def _adds_up(self) -> bool:
        filled: dict[int, Decimal] = {}
        for trade in self.trades.values():
            number = int(trade["orderId"])
            filled[number] = filled.get(number, Decimal(0)) + Decimal(trade["qty"])
        said = {number: Decimal(order["executedQty"]) for number, order in self.orders.items()}
        return filled == {number: quantity for number, quantity in said.items() if quantity}

    def _sum_up(self) -> dict[str, str]:
        totals = {BASE: Decimal(0), QUOTE: Decimal(0)}
        for trade in self.trades.values():
            sign = 1 if trade["isBuyer"] else -1
            totals[BASE] += sign * Decimal(trade["qty"])
            totals[QUOTE] -= sign * Decimal(trade["qty"]) * Decimal(trade["price"])
            totals[trade["commissionAsset"]] -= Decimal(trade["commission"])
        return {"trades": str(len(self.trades)), **{asset: f"{total:.8f}" for asset, total in totals.items()}}

    def _retry(self, call: Any) -> Any:
        for _ in range(50):
            try:
                return call()
            except ccxt.BaseError as error:
                last = error
                time.sleep(0.02)
        raise last


def create_exchange(url: str) -> Any:
    """A ccxt client of the margin account; every host is replaced by the sandbox, so that no order can leave it."""
    exchange = ccxt.binance(
        {
            "apiKey": os.environ["BINANCE_API_KEY"],
            "secret": os.environ["BINANCE_API_SECRET"],
            "enableRateLimit": False,
            "timeout": 2000,
            "options": {"defaultType": "margin"},
        }
    )
    exchange.urls["api"] = {
        name: url + "/" + address.partition("://")[2].partition("/")[2]
        for name, address in exchange.urls["api"].items()
        if isinstance(address, str)
    }
    return exchange


def main() -> None:
    """Run the bot with the options of the command line."""
    parser = argparse.ArgumentParser(description="Trade a grid on a sandbox.")
    parser.add_argument("--url", required=True, help="URL of the sandbox")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to trade, in real seconds (%(default)s)")
    options = parser.parse_args()
    print(json.dumps(GridBot(create_exchange(options.url)).run(options.seconds)))


if __name__ == "__main__":
    main()
