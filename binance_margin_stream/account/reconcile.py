"""What the rows of a look mean: which fills and orders are news to the user, and what is not proved.

A fill is news if it was neither delivered live nor recovered before. Nothing is inferred: only rows of the exchange are
handed over, and sums only where they were proved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from binance_margin_stream.account.reads.requests import Refusal
from binance_margin_stream.account.reads.rows import OrderRow, TradeRow
from binance_margin_stream.account.state.account_state import AccountState
from binance_margin_stream.account.state.fills import FillKey
from binance_margin_stream.account.state.order_sums import Amounts, KnownFill
from binance_margin_stream.account.state.orders import KnownOrder, OrderKey, is_open_status
from binance_margin_stream.account.state.snapshot import AccountTrade
from binance_margin_stream.error_codes import ErrorKind
from binance_margin_stream.stream.events.recovered import RecoveredOrder, RecoveredTrade, Unproven, UnprovenKind

__all__ = ["Findings", "Reconciler", "Window"]

_PATIENCE: Final = 3
"""Looks after which a fill is handed over without sums, and an end without all fills."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a look is about, in the exchange's milliseconds."""

    since: int
    """Fills are asked for from here on."""
    asked_at: int
    """When the look began."""
    live_since: int
    """What happens from here on arrives live: it is recovered only if it did not arrive until the next look."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look came to."""

    trades: tuple[RecoveredTrade, ...]
    orders: tuple[RecoveredOrder, ...]
    unproven: tuple[Unproven, ...]
    """What is not proved yet."""
    is_pending: bool
    """Whether something that is news is held back for the next look."""
    is_settled: bool
    """Whether all that was found is proved and handed over."""


@dataclass(slots=True)
class _WaitingFill:
    row: TradeRow
    first_look: int
    cumulative: Amounts | None = None

    @property
    def order_key(self) -> OrderKey:
        return self.row.symbol, self.row.order_id


@dataclass(slots=True)
class Reconciler:
    """Compares rows with what was delivered, across the looks at one account."""

    state: AccountState
    _window: Window = Window(0, 0, 0)
    _look: int = 1
    """The number of looks that were completed, and one more."""
    _read: set[OrderKey] = field(default_factory=set)
    """Orders that this look has read."""
    _waiting: dict[FillKey, _WaitingFill] = field(default_factory=dict)
    _first_seen: dict[OrderKey, int] = field(default_factory=dict)
    """The look that first found an order in a state that is news."""
    _unshown: dict[OrderKey, UnprovenKind] = field(default_factory=dict)
    """Orders that the exchange did not show when it was asked last."""
    _refused: set[str] = field(default_factory=set)
    _is_flow_refused: bool = False
    _unsummed: set[OrderKey] = field(default_factory=set)
    """Orders that did not add up at the end of the last look."""

    def begin(self, window: Window) -> None:
        """A look begins."""
        self._window = window
        self._read.clear()
        self._refused.clear()
        self._is_flow_refused = False

    def on_orders(self, rows: Iterable[OrderRow]) -> None:
        """Orders were read."""
        for row in rows:
            key = row.symbol, row.order_id
            self._read.add(key)
            self._unshown.pop(key, None)
            fills = self._waiting_of(key)
            if fills or not self.state.orders.has_ended(key):
                order = self.state.orders.on_row(row, self._window.asked_at)
                order.sums.add(_to_known_fill(fill.row) for fill in fills)

    def on_trades(self, rows: Iterable[TradeRow]) -> None:
        """Fills were read."""
        for row in rows:
            key = row.symbol, row.trade_id, row.order_id
            if row.time < self._followed_since or key in self._waiting or key in self.state.fills:
                continue
            self._waiting[key] = _WaitingFill(row, self._look)
            order = self.state.orders.get((row.symbol, row.order_id))
            if order is not None:
                order.sums.add([_to_known_fill(row)])

    @property
    def _followed_since(self) -> int:
        """A fill from before this time was delivered already, or may have been."""
        return max(self.state.orders.covered_since, self.state.fills.horizon)

    def on_order_trades(self, key: OrderKey, rows: Iterable[TradeRow]) -> None:
        """All fills of one order were read."""
        rows = list(rows)
        self.on_trades(rows)
        order = self.state.orders.get(key)
        if order is not None:
            fills = [_to_known_fill(row) for row in rows]
            before_base = order.sums.prove_before_base(fills)
            for waiting in self._waiting_of(key):
                waiting.cumulative = waiting.cumulative or before_base.get(waiting.row.trade_id)
            order.sums.add_all(fills)

    def on_refused(self, refusal: Refusal, symbol: str, order_id: int | None = None) -> None:
        """The exchange does not tell about a symbol, or an order of it."""
        if order_id is None or refusal.kind not in (ErrorKind.ORDER_UNKNOWN, ErrorKind.ORDER_ARCHIVED):
            self._refused.add(symbol)
        elif refusal.kind is ErrorKind.ORDER_ARCHIVED:
            self._unshown[symbol, order_id] = UnprovenKind.ORDER_ARCHIVED
        elif self.state.orders.is_known_open((symbol, order_id)):
            self._unshown[symbol, order_id] = UnprovenKind.ORDER_END
        else:
            self._unshown[symbol, order_id] = UnprovenKind.FILLS

    def on_flow_refused(self) -> None:
        """The exchange does not tell which symbols the account traded."""
        self._is_flow_refused = True

    def orders_to_read(self, open_before: Iterable[OrderKey]) -> list[OrderKey]:
        """The orders whose state this look still has to read."""
        orders = self.state.orders
        wanted = {key for key in open_before if orders.is_known_open(key)} | set(self._unshown)
        wanted |= {fill.order_key for fill in self._waiting.values() if orders.get(fill.order_key) is None}
        wanted |= {order.key for order in orders.list_unsettled() if not order.sums.prove().is_complete}
        return sorted(wanted - self._read)

    def orders_to_sum(self) -> list[OrderKey]:
        """The orders of which all fills have to be read, since those that are known do not add up."""
        orders = self.state.orders
        wanted = {order.key for order in orders.list_unsettled() if order.sums.needs_all_fills}
        for fill in self._waiting.values():
            order = orders.get(fill.order_key)
            if order is not None and fill.cumulative is None and fill.row.trade_id <= order.sums.base_id:
                wanted.add(order.key)
        return sorted(wanted)

    def finish(self) -> Findings:
        """The look is complete: what is news, fills before the ends of their orders."""
        self._drop_delivered()
        trades = self._take_trades()
        orders = self._take_orders()
        unsettled = self.state.orders.list_unsettled()
        unproven = self._list_unproven({order.key for order in unsettled if not order.sums.adds_up})
        self._look += 1
        is_pending = bool(self._waiting) or any(order.row is not None for order in unsettled)
        return Findings(trades, orders, unproven, is_pending, not (unproven or unsettled or is_pending))

    def _list_unproven(self, unsummed: set[OrderKey]) -> tuple[Unproven, ...]:
        """An order that did not add up in one look only may have been filled at that very moment."""
        lasting, self._unsummed = unsummed & self._unsummed - self._unshown.keys(), unsummed
        unproven = [Unproven(kind=kind, symbol=key[0], order_id=key[1]) for key, kind in sorted(self._unshown.items())]
        unproven += [Unproven(kind=UnprovenKind.SYMBOL, symbol=symbol) for symbol in sorted(self._refused)]
        unproven += [Unproven(kind=UnprovenKind.FILLS, symbol=key[0], order_id=key[1]) for key in sorted(lasting)]
        return (*unproven, *([Unproven(kind=UnprovenKind.LEDGER_DELAY)] if self._is_flow_refused else []))

    def give_up(self, unproven: Iterable[Unproven]) -> None:
        """Nothing more will be found about these: take what the exchange said last for the truth."""
        for each in unproven:
            if each.symbol is None or each.order_id is None:
                continue
            order = self.state.orders.get((each.symbol, each.order_id))
            if each.kind == UnprovenKind.FILLS and order is not None:
                order.sums.give_up()
                if order.status == "NEW" and order.sums.base.quantity:
                    order.status = "PARTIALLY_FILLED"
                self.state.orders.settle(order, self._window.live_since)
            elif order is not None:
                self.state.orders.remove(order.key)
            self._unshown.pop((each.symbol, each.order_id), None)
            self._first_seen.pop((each.symbol, each.order_id), None)

    def _drop_delivered(self) -> None:
        """Events may have come while the look was under way."""
        self._waiting = {key: fill for key, fill in self._waiting.items() if key not in self.state.fills}
        for key in [key for key in self._unshown if self.state.orders.has_ended(key)]:
            del self._unshown[key]

    def _take_trades(self) -> tuple[RecoveredTrade, ...]:
        found = []
        for key in {fill.order_key for fill in self._waiting.values()}:
            order = self.state.orders.get(key)
            proven = {} if order is None else order.sums.prove().cumulative
            for fill in self._waiting_of(key):
                fill.cumulative = fill.cumulative or proven.get(fill.row.trade_id)
                if self._is_ready(fill):
                    found.append(_to_recovered_trade(self.state, fill, order))
                    self._note_delivered(fill.row)
        return tuple(sorted(found, key=lambda trade: (trade.transaction_time, trade.symbol, trade.trade_id)))

    def _is_ready(self, fill: _WaitingFill) -> bool:
        is_expected_live = fill.row.time >= self._window.live_since and fill.first_look == self._look
        has_waited = self._look - fill.first_look >= _PATIENCE - 1
        return not is_expected_live and (fill.cumulative is not None or has_waited)

    def _note_delivered(self, row: TradeRow) -> None:
        key = row.symbol, row.trade_id, row.order_id
        del self._waiting[key]
        self.state.fills.add_recovered(key, row.time)
        self.state.trades.append(
            AccountTrade(row.symbol, row.trade_id, row.order_id, row.side, row.price, row.quantity, row.time, True)
        )

    def _take_orders(self) -> tuple[RecoveredOrder, ...]:
        found = []
        for order in self.state.orders.list_unsettled():
            if not self._waiting_of(order.key) and order.sums.prove().is_complete:
                order.sums.collapse()
            if order.row is not None and self._is_news(order, order.row):
                first_look = self._first_seen.setdefault(order.key, self._look)
                if self._is_order_ready(order, order.row, first_look):
                    found.append(_to_recovered_order(self.state, order.row))
                    self._deliver(order, order.row)
            elif order.row is not None:
                self._note_known(order, order.row)
            self.state.orders.settle(order, self._window.live_since)
        return tuple(sorted(found, key=lambda order: (order.update_time, order.symbol, order.order_id)))

    def _is_news(self, order: KnownOrder, row: OrderRow) -> bool:
        if order.is_delivered:
            return order.is_open and not is_open_status(row.status)
        return not is_open_status(row.status) or row.time >= self.state.orders.covered_since

    def _is_order_ready(self, order: KnownOrder, row: OrderRow, first_look: int) -> bool:
        if is_open_status(row.status):
            return row.time < self._window.live_since or first_look < self._look
        is_expected_live = row.update_time >= self._window.live_since and first_look == self._look
        has_waited = self._look - first_look >= _PATIENCE - 1
        all_delivered = not self._waiting_of(order.key) and order.sums.adds_up
        return not is_expected_live and (all_delivered or has_waited)

    def _deliver(self, order: KnownOrder, row: OrderRow) -> None:
        order.is_delivered, order.status, order.row = True, row.status, None
        order.quantity, order.price = row.quantity, row.price
        order.ended_at = None if order.is_open else order.end_by(row)
        self._first_seen.pop(order.key, None)

    def _note_known(self, order: KnownOrder, row: OrderRow) -> None:
        """The user knows it already, from an event or from before the stream began."""
        is_newest = row.update_time >= order.reported_at and row.executed_quantity == order.sums.base.quantity
        if order.is_open and order.sums.adds_up and is_newest:
            order.status = row.status
        order.is_delivered, order.row = True, None
        self._first_seen.pop(order.key, None)

    def _waiting_of(self, key: OrderKey) -> list[_WaitingFill]:
        return [fill for fill in self._waiting.values() if fill.order_key == key]


def _to_known_fill(row: TradeRow) -> KnownFill:
    return KnownFill(row.trade_id, row.time, Amounts(row.quantity, row.quote_quantity))


def _to_recovered_trade(state: AccountState, fill: _WaitingFill, order: KnownOrder | None) -> RecoveredTrade:
    row, cumulative = fill.row, fill.cumulative
    return RecoveredTrade(
        account=state.account,
        symbol=row.symbol,
        order_id=row.order_id,
        trade_id=row.trade_id,
        side=row.side,
        last_executed_price=row.price,
        last_executed_quantity=row.quantity,
        last_quote_quantity=row.quote_quantity,
        commission_amount=row.commission,
        commission_asset=row.commission_asset,
        is_maker=row.is_maker,
        transaction_time=row.time,
        client_order_id=None if order is None else order.client_order_id,
        order_type=None if order is None else order.order_type,
        time_in_force=None if order is None else order.time_in_force,
        quantity=None if order is None else order.quantity,
        price=None if order is None else order.price,
        order_status=None if order is None or cumulative is None else order.status_at(cumulative.quantity, row.time),
        cumulative_filled_quantity=None if cumulative is None else cumulative.quantity,
        cumulative_quote_quantity=None if cumulative is None else cumulative.quote,
    )


def _to_recovered_order(state: AccountState, row: OrderRow) -> RecoveredOrder:
    return RecoveredOrder(
        account=state.account,
        symbol=row.symbol,
        order_id=row.order_id,
        client_order_id=row.client_order_id,
        side=row.side,
        order_type=row.order_type,
        time_in_force=row.time_in_force,
        quantity=row.quantity,
        price=row.price,
        stop_price=row.stop_price,
        iceberg_quantity=row.iceberg_quantity,
        order_status=row.status,
        cumulative_filled_quantity=row.executed_quantity,
        cumulative_quote_quantity=row.quote_quantity,
        order_creation_time=row.time,
        update_time=row.update_time,
    )
