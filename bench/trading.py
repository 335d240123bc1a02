"""Orders per second through the REST calls of a sandbox, from one client in a process of its own.

    python bench/trading.py --orders 100000

The exchange's limits are switched off. Every order trades, so the history grows with each. Prints the rate, the median
and the 99th percentile of the response time, the memory of the sandbox, and how long queries take at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import multiprocessing
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection

from binance_margin_stream.sandbox import ExchangeRules, Sandbox

UNLIMITED = 10**12
RULES = ExchangeRules(
    ip_weight_limit=UNLIMITED,
    uid_weight_limit=UNLIMITED,
    order_limit_10_seconds=UNLIMITED,
    order_limit_day=UNLIMITED,
)
QUERIES = (
    ("/sapi/v1/margin/order", "symbol=BTCUSDT&orderId=5"),
    ("/sapi/v1/margin/openOrders", "symbol=BTCUSDT"),
    ("/sapi/v1/margin/allOrders", "symbol=BTCUSDT&limit=10"),
    ("/sapi/v1/margin/myTrades", "symbol=BTCUSDT&limit=10"),
    ("/sapi/v1/margin/myTrades", "symbol=BTCUSDT&orderId=5"),
)
QUERY_REPETITIONS = 300


class Client:
    """Signed calls on one connection, and their response times in seconds."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        self._headers = {"X-MBX-APIKEY": api_key}
        self._secret = api_secret.encode()
        self.durations: list[float] = []

    def call(self, method: str, path: str, parameters: str) -> None:
        signed = f"{parameters}&timestamp={time.time_ns() // 1_000_000}"
        signature = hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()
        started = time.perf_counter()
        self._connection.request(method, f"{path}?{signed}&signature={signature}", headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        self.durations.append(time.perf_counter() - started)
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {body[:200]!r}")


def run_client(results: Connection, url: str, api_key: str, api_secret: str, orders: int) -> None:
    client = Client(url, api_key, api_secret)
    order = "symbol=BTCUSDT&type=LIMIT&timeInForce=GTC&quantity=0.5&price=100&side="
    started = time.perf_counter()
    for number in range(orders):
        client.call("POST", "/sapi/v1/margin/order", order + ("SELL" if number % 2 else "BUY"))
    seconds = time.perf_counter() - started
    placed = sorted(client.durations)
    lines = [
        f"{orders / seconds:,.0f} orders/s; response median {1000 * statistics.median(placed):.2f} ms, "
        f"p99 {1000 * placed[len(placed) * 99 // 100]:.2f} ms"
    ]
    for path, parameters in QUERIES:
        client.durations.clear()
        for _ in range(QUERY_REPETITIONS):
            client.call("GET", path, parameters)
        lines.append(f"GET {path}?{parameters}: median {1000 * statistics.median(client.durations):.2f} ms")
    results.send(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000, help="how many orders to place (%(default)s)")
    orders = parser.parse_args().orders
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Sandbox(rules=RULES, seed=1) as exchange:
        arguments = (sender, exchange.url, exchange.api_key, exchange.api_secret, orders)
        process = context.Process(target=run_client, args=arguments)
        process.start()
        sender.close()
        lines = receiver.recv()
        process.join()
    # Kilobytes on Linux, bytes on macOS.
    unit = 1024**2 if sys.platform == "darwin" else 1024
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    print(*lines, f"memory: {growth:,.0f} MB more after {orders:,} orders", sep="\n")


if __name__ == "__main__":
    main()
