"""A sandbox that is persisted continues where it was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from sandbox_client import SandboxClient
from trading_client import TradingClient

from binance_margin_stream.sandbox import ExchangeRules, Sandbox


def test_accounts_orders_and_keys_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    with Sandbox(persist=path) as exchange, closing(TradingClient(exchange)) as trader:
        second = exchange.add_user()
        exchange.set_price("BTCUSDT", Decimal("105.5"))
        trader.order(price="90", newClientOrderId="open")
        trader.order(type="MARKET", newClientOrderId="done")
        refused = trader.order(quantity="100000")
        trader.call("POST", "/borrow-repay", asset="USDT", isIsolated="FALSE", amount="100", type="BORROW")
        listen_key = SandboxClient(exchange).call_json("POST", "/sapi/v2/margin/listen-key")["listenKey"]
        before = [trader.get(path, symbol="BTCUSDT") for path in ("/allOrders", "/myTrades")]
        account, now, keys = trader.get("/account"), exchange.now, (exchange.api_key, exchange.api_secret)
        assert refused.code == -2010
    with Sandbox(persist=path) as exchange, closing(TradingClient(exchange)) as trader:
        assert (exchange.api_key, exchange.api_secret) == keys
        assert second in exchange.users
        assert exchange.now >= now
        assert [trader.get(path, symbol="BTCUSDT") for path in ("/allOrders", "/myTrades")] == before
        assert trader.get("/account") == account
        assert SandboxClient(exchange).call_json("POST", "/sapi/v2/margin/listen-key")["listenKey"] == listen_key
        assert trader.order(price="90").json["orderId"] == 3
        exchange.set_price("BTCUSDT", "90")
        assert trader.get("/order", symbol="BTCUSDT", origClientOrderId="open")["status"] == "FILLED"
    assert path.stat().st_mode & 0o077 == 0


def test_what_moves_by_itself_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"

    def run(restarts: bool) -> list[Decimal]:
        prices: list[Decimal] = []
        settings = {"persist": path} if restarts else {"seed": 1}
        exchange = Sandbox(speed=0, start_ms=1_795_381_200_000, **settings).start()  # type: ignore[arg-type]
        exchange.start_price_walk(seed=3, percent=1.0)
        for _ in range(6):
            exchange.advance_time(1)
            exchange.change_balance("USDT", "1")
            prices.append(exchange.price("BTCUSDT"))
            if restarts:
                exchange.close()
                exchange = Sandbox(speed=0, start_ms=1_795_381_200_000, persist=path).start()
        exchange.close()
        return prices

    assert run(restarts=True) == run(restarts=False)


def test_a_lost_response_is_kept_and_a_fault_is_not(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    with Sandbox(persist=path) as exchange, closing(TradingClient(exchange)) as trader:
        exchange.inject_fault("order-limit")
        assert trader.order().code == -1015
        exchange.inject_fault("unknown-outcome")
        with pytest.raises(ValueError, match="Expecting value"):
            trader.order(newClientOrderId="mine")
        exchange.inject_fault("server-error", times=None)
    with Sandbox(persist=path) as exchange, closing(TradingClient(exchange)) as trader:
        (order,) = trader.get("/allOrders", symbol="BTCUSDT")
        assert order["clientOrderId"] == "mine"


def test_a_killed_process_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "binance_margin_stream.sandbox",
        "--port",
        "0",
        "--persist",
        str(tmp_path / "x.db"),
    ]
    found: list[list[int]] = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            banner = read_banner(process)
            exchange = AddressedSandbox(*banner)
            with closing(TradingClient(exchange)) as trader:  # type: ignore[arg-type]
                found.append([row["orderId"] for row in trader.get("/allOrders", symbol="BTCUSDT")])
                for _ in range(5):
                    assert trader.order().status == 200
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    assert found == [[], [1, 2, 3, 4, 5]]


class AddressedSandbox:
    """What a client has to know of a sandbox in another process."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self.url, self.api_key, self.api_secret = url, api_key, api_secret


def read_banner(process: subprocess.Popen[str]) -> tuple[str, str, str]:
    assert process.stdout is not None
    text = ""
    while "Press Ctrl-C" not in text:
        line = process.stdout.readline()
        assert line
        text += line
    patterns = (r"REST +(http\S+)", r"BINANCE_API_KEY=(\w+)", r"BINANCE_API_SECRET=(\w+)")
    values = [re.search(pattern, text) for pattern in patterns]
    assert all(values)
    return tuple(value[1] for value in values if value is not None)  # type: ignore[return-value]


def test_other_rules_or_another_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "exchange.db"
    Sandbox(persist=path).close()
    with pytest.raises(ValueError, match="other rules"):
        Sandbox(persist=path, rules=ExchangeRules(tick_size=Decimal(1)))
    text = tmp_path / "notes.txt"
    text.write_text("x" * 2000)
    with pytest.raises(ValueError, match="is not a file of a sandbox"):
        Sandbox(persist=text)
