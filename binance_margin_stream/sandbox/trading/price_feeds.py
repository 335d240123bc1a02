"""Prices that move by themselves: a random walk from a seed, or candles from a file."""

from __future__ import annotations

import csv
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from binance_margin_stream.sandbox.amounts import exact, parse_positive, round_to_step
from binance_margin_stream.sandbox.clock import to_milliseconds
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.trading.follow_up import set_market_price

__all__ = ["PriceCandle", "PriceFeeds", "read_candles"]

_COLUMNS = 5
_MIN_STEP_MS = 10
_MAX_PERCENT = 20.0
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class PriceCandle:
    """A candle of a file: its time in milliseconds, and its four prices."""

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    @property
    def path(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """The prices in the order in which they are set: a rising candle has its low first, a falling one its high."""
        first, second = (self.low, self.high) if self.close >= self.open else (self.high, self.low)
        return self.open, first, second, self.close


def read_candles(lines: Iterable[str]) -> list[PriceCandle]:
    """Read candles as CSV: time in milliseconds, open, high, low, close; a header and further columns are ignored.

    Raises:
        ValueError: names the line and what it takes.

    """
    candles: list[PriceCandle] = []
    for number, row in enumerate(csv.reader(lines), 1):
        if not row or (number == 1 and not row[0].strip().isdecimal()):
            continue
        try:
            candle = PriceCandle(int(row[0]), *(parse_positive(cell.strip()) for cell in row[1:_COLUMNS]))
        except (ValueError, TypeError):
            raise ValueError(f"line {number} takes a time in milliseconds, open, high, low and close") from None
        if not candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high:
            raise ValueError(f"line {number}: low and high have to enclose open and close")
        if candles and candle.time <= candles[-1].time:
            raise ValueError(f"line {number}: the times have to rise")
        candles.append(candle)
    if not candles:
        raise ValueError("the file has no candles")
    return candles


class PriceFeeds:
    """At most one feed for each symbol; a new one replaces it."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self._feeds: dict[str, tuple[object, int]] = {}
        """A token and the interval of each feed, by symbol."""

    def start_walk(self, symbol: str, seed: int, every_seconds: float, percent: float, now: int) -> None:
        """Move a symbol's price at random, each time by a normally distributed percentage.

        Raises:
            ValueError: no such symbol, `every_seconds` below 0.01, or `percent` outside 0 to 20.

        """
        every_ms = to_milliseconds(every_seconds, "every_seconds")
        if every_ms < _MIN_STEP_MS:
            raise ValueError("every_seconds takes a number from 0.01")
        if not 0 < percent <= _MAX_PERCENT:
            raise ValueError(f"percent takes a number above 0, up to {_MAX_PERCENT:g}")
        _, quote = self._state.orders.split_symbol(symbol)
        token, rng = self._register(symbol, every_ms), random.Random(seed)
        tick = self._state.rules.get_tick_size(quote)
        deviation = Decimal(str(percent)) / _HUNDRED

        @exact
        def move(due: int, _: int) -> None:
            if self._feeds.get(symbol, (None, 0))[0] is not token:
                return
            change = 1 + Decimal(str(round(rng.gauss(0.0, 1.0), 6))) * deviation
            price = self._state.prices.get_price(symbol) * max(change, 1 / Decimal(2))
            set_market_price(self._state, symbol, max(tick, round_to_step(price, tick)), due)
            self._state.scheduler.call_at(due + every_ms, move)

        self._state.scheduler.call_at(now + every_ms, move)

    def play_candles(self, symbol: str, candles: Sequence[PriceCandle], now: int) -> None:
        """Set the prices of candles from now on, at the distances of their times.

        Raises:
            ValueError: no such symbol.

        """
        self._state.orders.split_symbol(symbol)
        gaps = [b.time - a.time for a, b in pairwise(candles)]
        quarter = max(1, min(gaps, default=4) // 4)
        token = self._register(symbol, quarter)
        prices = deque(
            (now + candle.time - candles[0].time + index * quarter, price)
            for candle in candles
            for index, price in enumerate(candle.path)
        )

        @exact
        def set_next(due: int, _: int) -> None:
            if self._feeds.get(symbol, (None, 0))[0] is not token:
                return
            set_market_price(self._state, symbol, prices.popleft()[1], due)
            if prices:
                self._state.scheduler.call_at(prices[0][0], set_next)
            else:
                del self._feeds[symbol]

        self._state.scheduler.call_at(prices[0][0], set_next)

    def stop(self, symbol: str) -> None:
        """Let a symbol's price stay where it is."""
        self._feeds.pop(symbol, None)

    def expected_steps(self, milliseconds: int) -> int:
        """The number of prices that are set in a time."""
        return sum(milliseconds // every_ms for _, every_ms in self._feeds.values())

    def _register(self, symbol: str, every_ms: int) -> object:
        token = object()
        self._feeds[symbol] = (token, every_ms)
        return token
