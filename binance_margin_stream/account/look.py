"""One look at what happened to an account since some time: which calls, in which order.

Open orders come first, then fills, then how orders ended: an order that ends meanwhile is then found with its fills.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from binance_margin_stream.account.reads.queries import BatchQuery, Queries, gather
from binance_margin_stream.account.reads.requests import ReadResponse, Refusal
from binance_margin_stream.account.reads.rows import OrderRow
from binance_margin_stream.account.reconcile import Reconciler, Window
from binance_margin_stream.account.state.orders import OrderKey

__all__ = ["LookPlan", "run_look"]

_FEW: Final = 5
"""Up to so many orders of a symbol are read one by one: then it is cheaper to list the symbol's open orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """What a look asks for. Times are the exchange's, in milliseconds."""

    window: Window
    until: int
    """Now, or a little later."""
    lists_orders: bool
    """Whether all open orders of the account are listed, or only those checked that were open before."""
    reads_all_orders: bool
    """Whether orders are asked for that were made and ended in the window."""
    open_before: frozenset[OrderKey]
    """The orders that were open before the gap."""


def run_look(plan: LookPlan, queries: Queries, reconciler: Reconciler) -> BatchQuery[ReadResponse | None]:
    """Ask, and let the reconciler know; the caller works in new events before it sends outcomes.

    Returns the list of all open orders of the account, if it was read.
    """
    reconciler.begin(plan.window)
    state = reconciler.state
    listed = yield from _read_open_orders(plan, queries, reconciler)
    if state.account.symbol is None:
        (symbols,) = yield from gather([queries.flow_symbols(plan.window.since, plan.until)])
        if isinstance(symbols, Refusal):
            reconciler.on_flow_refused()
        else:
            state.symbols |= symbols
    symbols_now = sorted(state.symbols | {symbol for symbol, _ in (*state.orders.list_open(), *plan.open_before)})
    yield from _read_trades(plan, queries, reconciler, symbols_now)
    if plan.reads_all_orders:
        yield from _read_all_orders(plan, queries, reconciler, symbols_now)
    yield from _read_orders(queries, reconciler, reconciler.orders_to_read(plan.open_before))
    yield from _read_order_trades(queries, reconciler, reconciler.orders_to_sum())
    return listed


def _read_open_orders(plan: LookPlan, queries: Queries, reconciler: Reconciler) -> BatchQuery[ReadResponse | None]:
    symbols: Sequence[str | None] = [queries.account.symbol]
    if not plan.lists_orders:
        symbols = [symbol for symbol, count in _count_by_symbol(plan.open_before) if count > _FEW]
    found = yield from gather([queries.open_orders(symbol) for symbol in symbols])
    for symbol, outcome in zip(symbols, found, strict=True):
        if isinstance(outcome, ReadResponse):
            reconciler.on_orders(outcome.of(OrderRow))
        elif symbol is not None:
            reconciler.on_refused(outcome, symbol)
    return found[0] if plan.lists_orders and isinstance(found[0], ReadResponse) else None


def _count_by_symbol(keys: Iterable[OrderKey]) -> list[tuple[str, int]]:
    return [(symbol, len(list(group))) for symbol, group in groupby(sorted(keys), key=lambda key: key[0])]


def _read_trades(plan: LookPlan, queries: Queries, reconciler: Reconciler, symbols: list[str]) -> BatchQuery[None]:
    since, fills = plan.window.since, reconciler.state.fills
    found = yield from gather(
        [queries.trades(symbol, _after(fills.largest_id(symbol, since)), since, plan.until) for symbol in symbols]
    )
    for symbol, rows in zip(symbols, found, strict=True):
        if isinstance(rows, Refusal):
            reconciler.on_refused(rows, symbol)
        else:
            reconciler.on_trades(rows)


def _after(trade_id: int | None) -> int | None:
    return None if trade_id is None else trade_id + 1


def _read_all_orders(plan: LookPlan, queries: Queries, reconciler: Reconciler, symbols: list[str]) -> BatchQuery[None]:
    since = plan.window.since
    found = yield from gather([queries.all_orders(symbol, since, plan.until) for symbol in symbols])
    for symbol, rows in zip(symbols, found, strict=True):
        if isinstance(rows, Refusal):
            reconciler.on_refused(rows, symbol)
        else:
            reconciler.on_orders(row for row in rows if row.time >= since)


def _read_orders(queries: Queries, reconciler: Reconciler, keys: list[OrderKey]) -> BatchQuery[None]:
    found = yield from gather([queries.order(*key) for key in keys])
    for key, row in zip(keys, found, strict=True):
        if isinstance(row, Refusal):
            reconciler.on_refused(row, *key)
        else:
            reconciler.on_orders([row])


def _read_order_trades(queries: Queries, reconciler: Reconciler, keys: list[OrderKey]) -> BatchQuery[None]:
    found = yield from gather([queries.order_trades(*key) for key in keys])
    for key, rows in zip(keys, found, strict=True):
        if isinstance(rows, Refusal):
            reconciler.on_refused(rows, *key)
        else:
            reconciler.on_order_trades(key, rows)
