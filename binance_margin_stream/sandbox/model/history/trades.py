"""Trades by account, symbol and order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from binance_margin_stream.sandbox.model.orders import Order, OrderFill

__all__ = ["Trade", "Trades"]


@dataclass(frozen=True, slots=True)
class Trade:
    """A fill of an order, as the account sees it."""

    trade_id: int
    order_id: int
    uid: int
    account: str
    symbol: str
    price: Decimal
    quantity: Decimal
    commission: Decimal
    commission_asset: str
    is_buyer: bool
    is_maker: bool
    time: int


class Trades:
    """All trades; the ids rise with time. The oldest are forgotten."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._by_symbol: dict[tuple[int, str, str], list[Trade]] = {}
        self._by_order: dict[int, list[Trade]] = {}

    def record(self, order: Order, fill: OrderFill, now: int) -> Trade:
        """Add the trade of a fill."""
        trade = Trade(
            trade_id=fill.trade_id,
            order_id=order.order_id,
            uid=order.uid,
            account=order.account,
            symbol=order.symbol,
            price=fill.price,
            quantity=fill.quantity,
            commission=fill.commission,
            commission_asset=fill.commission_asset,
            is_buyer=order.side == "BUY",
            is_maker=fill.is_maker,
            time=now,
        )
        trades = self._by_symbol.setdefault((order.uid, order.account, order.symbol), [])
        trades.append(trade)
        self._by_order.setdefault(order.order_id, []).append(trade)
        if len(trades) > 2 * self._size:
            self._forget(trades)
        return trade

    def select(self, uid: int, account: str, symbol: str, from_id: int = 0, since: int = 0) -> Iterator[Trade]:
        """An account's trades of a symbol from an id and a time on, oldest first."""
        trades = self._by_symbol.get((uid, account, symbol), [])
        start = bisect_left(trades, from_id, key=lambda trade: trade.trade_id)
        start = bisect_left(trades, since, start, key=lambda trade: trade.time)
        for index in range(start, len(trades)):
            yield trades[index]

    def select_latest(self, uid: int, account: str, symbol: str, since: int, limit: int) -> Sequence[Trade]:
        """The latest trades since a time, oldest first."""
        trades = self._by_symbol.get((uid, account, symbol), [])
        return trades[max(bisect_left(trades, since, key=lambda trade: trade.time), len(trades) - limit) :]

    def of_order(self, order_id: int) -> Sequence[Trade]:
        """The trades of an order, oldest first."""
        return self._by_order.get(order_id, ())

    def _forget(self, trades: list[Trade]) -> None:
        for trade in trades[: -self._size]:
            self._by_order.pop(trade.order_id, None)
        del trades[: -self._size]
