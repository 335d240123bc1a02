"""Prices that move by themselves."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.sandbox.trading.price_feeds import read_candles

CANDLES = """time,open,high,low,close,volume
0,100,120,90,110,5
60000,110,111,80,85,5
"""


def collect_prices(seed: int, steps: int = 20) -> list[Decimal]:
    with Sandbox(speed=0) as exchange:
        exchange.start_price_walk(seed=seed, every_seconds=1.0, percent=1.0)
        prices = []
        for _ in range(steps):
            exchange.advance_time(1)
            prices.append(exchange.price("BTCUSDT"))
        exchange.stop_prices()
        exchange.advance_time(60)
        assert exchange.price("BTCUSDT") == prices[-1]
        return prices


def test_the_same_seed_gives_the_same_prices() -> None:
    prices = collect_prices(1)
    assert prices == collect_prices(1) != collect_prices(2)
    assert len(set(prices)) > 10
    assert all(price == price.quantize(Decimal("0.01")) for price in prices)


def test_candles_of_a_file_move_the_price_and_fill_orders(tmp_path: Path) -> None:
    (tmp_path / "candles.csv").write_text(CANDLES)
    with Sandbox(speed=0) as exchange:
        buy = exchange.place_order(price="90").order_id
        exchange.play_candles(tmp_path / "candles.csv")
        prices = []
        for _ in range(8):
            exchange.advance_time(15)
            prices.append(int(exchange.price("BTCUSDT")))
        assert prices == [90, 120, 110, 110, 111, 80, 85, 85]
        with pytest.raises(ValueError, match="FILLED"):
            exchange.cancel_order(buy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no candles"),
        ("0,1,2,1", "line 1 takes"),
        ("0,1,2,1,x", "line 1 takes"),
        ("0,1,2,1,3", "enclose"),
        ("5,1,2,1,1\n5,1,2,1,1", "line 2: the times have to rise"),
    ],
)
def test_an_invalid_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_candles(text.splitlines())


@pytest.mark.parametrize("arguments", [{"every_seconds": 0.001}, {"percent": 0.0}, {"symbol": "NOSUCH"}])
def test_an_invalid_walk_is_refused(arguments: dict[str, object]) -> None:
    with Sandbox() as exchange, pytest.raises(ValueError, match=r"."):
        exchange.start_price_walk(**arguments)  # type: ignore[arg-type]


def test_a_jump_over_too_many_prices_is_refused() -> None:
    with Sandbox(speed=0) as exchange:
        exchange.start_price_walk(every_seconds=0.01)
        with pytest.raises(ValueError, match="360000 prices"):
            exchange.advance_time(3600)
