"""Questions to the exchange that may take more than one call, as generators.

A query yields one `Read` at a time and is sent its `Outcome`; `gather` lets queries run side by side and yields
batches. Nothing here waits or sends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from binance_margin_stream.account.reads.requests import MAX_ROWS, Outcome, Read, ReadKind, Refusal
from binance_margin_stream.account.reads.rows import FlowRow, OrderRow, ServerTimeRow, TradeRow
from binance_margin_stream.stream.accounts import Account

__all__ = ["BatchQuery", "ClockReading", "Queries", "Query", "gather"]

T = TypeVar("T")
R = TypeVar("R")

Query: TypeAlias = Generator[Read, Outcome, T]
BatchQuery: TypeAlias = Generator[tuple[Read, ...], tuple[Outcome, ...], T]

_DAY: Final = 24 * 3_600_000 - 1_000
"""Milliseconds between start and end, which the exchange wants to be less than 24 hours."""
_FLOW_SPAN: Final = 7 * 24 * 3_600_000 - 1_000


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The exchange's time, and the interval of the stream's clock in which it was read."""

    time: int
    sent_at: float
    received_at: float


def gather(queries: Iterable[Query[T]]) -> BatchQuery[list[T]]:
    """Run queries side by side; their results, in their order."""
    results: dict[int, T] = {}
    waiting: dict[int, tuple[Query[T], Read]] = {}

    def advance(position: int, query: Query[T], outcome: Outcome | None) -> None:
        try:
            waiting[position] = query, next(query) if outcome is None else query.send(outcome)
        except StopIteration as end:
            results[position] = end.value

    for position, query in enumerate(queries):
        advance(position, query, None)
    while waiting:
        asked = list(waiting.items())
        outcomes = yield tuple(read for _, (_, read) in asked)
        waiting.clear()
        for (position, (query, _)), outcome in zip(asked, outcomes, strict=True):
            advance(position, query, outcome)
    return [results[position] for position in sorted(results)]


@dataclass(frozen=True, slots=True)
class _Paged(Generic[R]):
    """A call whose response may be a part, and how to ask for the next one."""

    kind: ReadKind
    row_type: type[R]
    id_of: Callable[[R], int]
    parameter: str


_TRADES: Final = _Paged(ReadKind.MY_TRADES, TradeRow, lambda row: row.trade_id, "fromId")
_ORDERS: Final = _Paged(ReadKind.ALL_ORDERS, OrderRow, lambda row: row.order_id, "orderId")
_FLOW: Final = _Paged(ReadKind.CAPITAL_FLOW, FlowRow, lambda row: row.id, "fromId")


@dataclass(frozen=True, slots=True)
class Queries:
    """What can be asked about one account."""

    account: Account
    page_rows: int

    def clock(self) -> Query[ClockReading | Refusal]:
        """What time it is at the exchange."""
        outcome = yield Read(ReadKind.SERVER_TIME, self.account)
        if isinstance(outcome, Refusal):
            return outcome
        return ClockReading(outcome.of(ServerTimeRow)[0].time, outcome.sent_at, outcome.received_at)

    def open_orders(self, symbol: str | None) -> Query[Outcome]:
        """The open orders of a symbol; of all symbols of the cross account if None."""
        return (yield Read(ReadKind.OPEN_ORDERS, self.account, self._scope(symbol)))

    def order(self, symbol: str, order_id: int) -> Query[OrderRow | Refusal]:
        """One order."""
        outcome = yield Read(ReadKind.ORDER, self.account, {**self._scope(symbol), "orderId": order_id})
        return outcome if isinstance(outcome, Refusal) else outcome.of(OrderRow)[0]

    def order_trades(self, symbol: str, order_id: int) -> Query[list[TradeRow] | Refusal]:
        """All fills of one order, from its first."""
        of_order = {**self._scope(symbol), "orderId": order_id}
        return (yield from self._pages(_TRADES, of_order, of_order))

    def trades(self, symbol: str, from_id: int | None, since: int, until: int) -> Query[list[TradeRow] | Refusal]:
        """The fills of a symbol from a trade id on, or from a time on where no id is known; up to now either way."""
        scope = self._scope(symbol)
        if from_id is not None:
            return (yield from self._pages(_TRADES, {**scope, "fromId": from_id}, scope))
        return (yield from self._slices(_TRADES, scope, since, until))

    def all_orders(self, symbol: str, since: int, until: int) -> Query[list[OrderRow] | Refusal]:
        """The orders of a symbol that were made from a time on, up to now."""
        return (yield from self._slices(_ORDERS, self._scope(symbol), since, until))

    def flow_symbols(self, since: int, until: int) -> Query[set[str] | Refusal]:
        """The symbols that the capital flow of the cross account names in a time."""
        symbols: set[str] = set()
        for start in range(since, until + 1, _FLOW_SPAN + 1):
            window = {"startTime": start, "endTime": min(start + _FLOW_SPAN, until)}
            rows = yield from self._pages(_FLOW, window, window)
            if isinstance(rows, Refusal):
                return rows
            symbols.update(row.symbol for row in rows if row.symbol is not None)
        return symbols

    def _slices(
        self, paged: _Paged[R], scope: Mapping[str, str | int], since: int, until: int
    ) -> Query[list[R] | Refusal]:
        """A day at a time until there is a row, then from its id on: a response may hold a part of a day only."""
        for start in range(since, until + 1, _DAY + 1):
            window = {"startTime": start, "endTime": min(start + _DAY, until)}
            first = yield from self._page(paged, {**scope, **window})
            if isinstance(first, Refusal):
                return first
            if first:
                rest = yield from self._pages(paged, {**scope, paged.parameter: min(map(paged.id_of, first))}, scope)
                return rest if isinstance(rest, Refusal) else list(dict.fromkeys([*first, *rest]))
        return []

    def _pages(
        self, paged: _Paged[R], first: Mapping[str, str | int], later: Mapping[str, str | int]
    ) -> Query[list[R] | Refusal]:
        """Rows from the first page on. Each page begins with the last id of the one before: ids can come twice."""
        rows: dict[R, None] = {}
        parameters = first
        while True:
            page, known = (yield from self._page(paged, parameters)), len(rows)
            if isinstance(page, Refusal):
                return page
            rows.update(dict.fromkeys(page))
            # Rows are missing at times, so that a page that is nearly full may have a successor as well.
            if len(page) < max(1, self._limit(paged) // 2) or len(rows) == known:
                return list(rows)
            parameters = {**later, paged.parameter: max(map(paged.id_of, page))}

    def _page(self, paged: _Paged[R], parameters: Mapping[str, str | int]) -> Query[list[R] | Refusal]:
        outcome = yield Read(paged.kind, self.account, {**parameters, "limit": self._limit(paged)})
        return outcome if isinstance(outcome, Refusal) else outcome.of(paged.row_type)

    def _limit(self, paged: _Paged[R]) -> int:
        return min(self.page_rows, MAX_ROWS[paged.kind])

    def _scope(self, symbol: str | None) -> dict[str, str | int]:
        scope: dict[str, str | int] = {"isIsolated": "TRUE" if self.account.kind == "isolated" else "FALSE"}
        return scope if symbol is None else {**scope, "symbol": symbol}
