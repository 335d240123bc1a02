"""Which fills were delivered, live or recovered.

Fills are kept in chunks of about a minute, so that old ones are forgotten chunk by chunk: memory is bounded by a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

__all__ = ["FillKey", "FillLedger"]

FillKey: TypeAlias = tuple[str, int, int]
"""Symbol, trade id and order id: a self-trade is two fills with one trade id."""

_CHUNK: Final = 60_000
"""The milliseconds that one chunk spans."""


class _Chunk:
    __slots__ = ("_largest", "earliest", "keys", "latest")

    def __init__(self, time: int) -> None:
        self.keys: set[FillKey] = set()
        self.earliest = self.latest = time
        self._largest: dict[str, int] = {}

    def largest_ids(self) -> dict[str, int]:
        """A trade id of each symbol, the largest one of a chunk that is complete. A smaller one does no harm."""
        if not self._largest:
            self._largest = _largest_ids(self.keys)
        return self._largest

    def discard(self, key: FillKey) -> None:
        """Take a fill out."""
        self.keys.discard(key)
        self._largest = {}


def _largest_ids(keys: Iterable[FillKey]) -> dict[str, int]:
    largest: dict[str, int] = {}
    for symbol, trade_id, _ in keys:
        largest[symbol] = max(trade_id, largest.get(symbol, trade_id))
    return largest


class FillLedger:
    """The fills of one account that were delivered since the horizon. Times are the exchange's, in milliseconds."""

    __slots__ = ("_chunks", "_floors", "horizon", "recovered")

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque()
        self._floors: dict[str, int] = {}
        self.recovered: dict[FillKey, int] = {}
        """The fills that were recovered, with their times: one that still arrives live is a duplicate."""
        self.horizon = 0
        """Fills before this time may have been forgotten."""

    def __len__(self) -> int:
        return sum(len(chunk.keys) for chunk in self._chunks) + len(self.recovered)

    def __contains__(self, key: FillKey) -> bool:
        return key in self.recovered or any(key in chunk.keys for chunk in self._chunks)

    @property
    def latest(self) -> int:
        """The time of the latest fill that was delivered live; for one whose own time could not be read."""
        return max((chunk.latest for chunk in self._chunks), default=self.horizon)

    def add(self, key: FillKey, time: int) -> None:
        """Note a fill that was delivered live."""
        chunk = self._chunks[-1] if self._chunks else None
        if chunk is None or not chunk.latest - _CHUNK <= time <= chunk.earliest + _CHUNK:
            chunk = _Chunk(time)
            self._chunks.append(chunk)
        chunk.keys.add(key)
        if time > chunk.latest:
            chunk.latest = time
        elif time < chunk.earliest:
            chunk.earliest = time

    def add_recovered(self, key: FillKey, time: int) -> None:
        """Note a fill that recovery hands over."""
        self.recovered[key] = time

    def discard(self, key: FillKey) -> None:
        """Note that a fill was not delivered after all: the consumer's buffer was full."""
        self.recovered.pop(key, None)
        for chunk in self._chunks:
            chunk.discard(key)

    def largest_id(self, symbol: str, before: int) -> int | None:
        """A trade id of the symbol below those of all its fills from `before` on; None where none is known."""
        known = [self._floors.get(symbol)]
        known += [chunk.largest_ids().get(symbol) for chunk in self._chunks if chunk.latest < before]
        known += [key[1] for key, time in self.recovered.items() if key[0] == symbol and time < before]
        return max((trade_id for trade_id in known if trade_id is not None), default=None)

    def set_largest_id(self, symbol: str, trade_id: int) -> None:
        """Note the trade id of a fill from before the horizon."""
        self._floors[symbol] = max(trade_id, self._floors.get(symbol, trade_id))

    def largest_ids(self, before: int) -> dict[str, int]:
        """`largest_id` of every symbol that has one."""
        symbols = {*self._floors, *(symbol for chunk in self._chunks for symbol in chunk.largest_ids())}
        symbols.update(symbol for symbol, _, _ in self.recovered)
        found = {symbol: self.largest_id(symbol, before) for symbol in symbols}
        return {symbol: trade_id for symbol, trade_id in found.items() if trade_id is not None}

    def forget(self, before: int) -> None:
        """Forget fills from before a time, except for the largest trade id of each symbol."""
        if before <= self.horizon:
            return
        self.horizon = before
        old = [chunk for chunk in self._chunks if chunk.latest < before]
        old_recovered = [key for key, time in self.recovered.items() if time < before]
        for chunk in old:
            for symbol, trade_id in chunk.largest_ids().items():
                self.set_largest_id(symbol, trade_id)
            self._chunks.remove(chunk)
        for key in old_recovered:
            self.set_largest_id(key[0], key[1])
            del self.recovered[key]
