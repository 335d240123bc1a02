"""Candles and public trades of a symbol, from the prices that were set and the trades that were made."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO
from binance_margin_stream.sandbox.config import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = ["INTERVALS", "Candle", "PublicTrade", "Tape"]

INTERVALS = {
    "1s": 1000,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
}
"""Length of a candle in milliseconds, by its name."""

_MAX_CANDLES = 100_000
_MAX_TRADES = 1000
_SECOND_MS = 1000


@dataclass(slots=True)
class Candle:
    """Prices and volume from a time on, in milliseconds."""

    opened_at: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    quote_volume: Decimal = ZERO
    trades: int = 0

    def add_price(self, price: Decimal) -> None:
        """Extend it by a price."""
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price

    def add_candle(self, other: Candle) -> None:
        """Extend it by a later candle."""
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.volume += other.volume
        self.quote_volume += other.quote_volume
        self.trades += other.trades


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade as everybody sees it."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    time: int
    is_buyer_maker: bool


class Tape:
    """The price history of one symbol, in candles of a second, and its last trades."""

    def __init__(self, opening_price: Decimal) -> None:
        self._opening_price = opening_price
        self._candles: list[Candle] = []
        self.trades: deque[PublicTrade] = deque(maxlen=_MAX_TRADES)

    def record_price(self, price: Decimal, now: int) -> None:
        """Record a price."""
        self._get_candle(price, now).add_price(price)

    def record_trade(self, trade: PublicTrade) -> None:
        """Record a trade."""
        candle = self._get_candle(trade.price, trade.time)
        candle.add_price(trade.price)
        candle.volume += trade.quantity
        candle.quote_volume += trade.quantity * trade.price
        candle.trades += 1
        self.trades.append(trade)

    def build_candles(self, length_ms: int, since: int, count: int, until: int) -> list[Candle]:
        """Candles of a length from a time on, up to the one of `until`; flat ones where nothing happened."""
        first = since - since % length_ms
        index = bisect_left(self._candles, first, key=lambda candle: candle.opened_at)
        close = self._candles[index - 1].close if index else self._get_first_price()
        result: list[Candle] = []
        for opened_at in range(first, min(until + 1, first + count * length_ms), length_ms):
            candle = Candle(opened_at, close, close, close, close)
            while index < len(self._candles) and self._candles[index].opened_at < opened_at + length_ms:
                candle.add_candle(self._candles[index])
                index += 1
            close = candle.close
            result.append(candle)
        return result

    def _get_first_price(self) -> Decimal:
        return self._candles[0].open if self._candles else self._opening_price

    def _get_candle(self, price: Decimal, now: int) -> Candle:
        opened_at = now - now % _SECOND_MS
        if not self._candles or self._candles[-1].opened_at < opened_at:
            before = self._candles[-1].close if self._candles else price
            self._candles.append(Candle(opened_at, before, max(before, price), min(before, price), price))
            if len(self._candles) > 2 * _MAX_CANDLES:
                del self._candles[:-_MAX_CANDLES]
        return self._candles[-1]
