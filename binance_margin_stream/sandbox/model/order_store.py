"""All orders, and the balances that they lock and move."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO, round_down
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.orders import FinalStatus, Order, OrderFill, OrderStatus

__all__ = ["Orders"]

_Symbol = tuple[int, str, str]
"""User, account and symbol."""


class Orders:
    """The orders by id, and by user, account and symbol; the oldest closed ones are forgotten."""

    def __init__(self, rules: ExchangeRules, ledger: Ledger) -> None:
        self._rules = rules
        self._ledger = ledger
        self._orders: dict[int, Order] = {}
        self._open_ids: dict[int, None] = {}
        self._open_ids_by_symbol: dict[str, dict[int, None]] = {}
        self._ids: dict[_Symbol, list[int]] = {}
        self._creation_times: dict[_Symbol, list[int]] = {}
        """When the orders of `_ids` were created."""
        self._ids_by_client_id: dict[tuple[int, str, str, str], int] = {}
        self._assets: dict[str, tuple[str, str]] = {}
        """Base and quote asset by symbol."""
        self._closed_ids: deque[int] = deque()
        self._last_order_id = 0
        self._last_trade_id = 0
        self._last_execution_id = 0

    def get(self, order_id: int | None) -> Order:
        """The order with this id; the newest open order for None. The oldest closed orders are forgotten.

        Raises:
            ValueError: there is none.

        """
        number = next(reversed(self._open_ids), None) if order_id is None else order_id
        order = None if number is None else self._orders.get(number)
        if order is None:
            raise ValueError("no order is open" if order_id is None else f"no order {order_id}")
        return order

    def find(self, uid: int, account: str, symbol: str, order_id: int) -> Order | None:
        """An account's order of a symbol with this id."""
        order = self._orders.get(order_id)
        return order if order is not None and _get_symbol_key(order) == (uid, account, symbol) else None

    def find_by_client_id(self, uid: int, account: str, symbol: str, client_order_id: str) -> Order | None:
        """The last order of an account with this client order id."""
        number = self._ids_by_client_id.get((uid, account, symbol, client_order_id))
        return None if number is None else self._orders.get(number)

    def select(self, uid: int, account: str, symbol: str, from_id: int = 0) -> Iterator[Order]:
        """An account's orders of a symbol from an id on, oldest first."""
        ids = self._ids.get((uid, account, symbol), [])
        for index in range(bisect_left(ids, from_id), len(ids)):
            order = self._orders.get(ids[index])
            if order is not None:
                yield order

    def select_created(self, uid: int, account: str, symbol: str, since: int) -> Iterator[Order]:
        """An account's orders of a symbol that were created from a time on, oldest first."""
        key = (uid, account, symbol)
        times, ids = self._creation_times.get(key, []), self._ids.get(key, [])
        first = bisect_left(times, since)
        return self.select(uid, account, symbol, ids[first]) if first < len(ids) else iter(())

    def select_backwards(self, uid: int, account: str, symbol: str) -> Iterator[Order]:
        """An account's orders of a symbol, newest first."""
        for number in reversed(self._ids.get((uid, account, symbol), [])):
            order = self._orders.get(number)
            if order is not None:
                yield order

    def open_orders(self) -> list[Order]:
        """The open orders, oldest first."""
        return [self._orders[number] for number in self._open_ids]

    def open_orders_of_symbol(self, symbol: str) -> list[Order]:
        """The open orders of a symbol, oldest first."""
        return [self._orders[number] for number in self._open_ids_by_symbol.get(symbol, ())]

    def open_orders_of_account(self, uid: int, account: str, symbol: str | None = None) -> list[Order]:
        """The open orders of an account, or of one of its symbols, oldest first."""
        orders = self.open_orders() if symbol is None else self.open_orders_of_symbol(symbol)
        return [order for order in orders if (order.uid, order.account) == (uid, account)]

    def is_affordable(self, draft: Order) -> bool:
        """Whether the account's free balance covers an order."""
        asset, amount = self.required_funds(draft, draft.quantity)
        return amount <= self._ledger.get_balance(draft.uid, draft.account, asset).free

    def accept(self, draft: Order, locked: Decimal | None = None) -> Order:
        """Accept an order that is affordable, and lock its funds; `locked` replaces the amount."""
        asset, required = self.required_funds(draft, draft.quantity)
        amount = required if locked is None else locked
        order = self._assign_id(draft, amount)
        self._lock(order, asset, amount)
        return self._store(order, order.created_at)

    def activate(self, order: Order, now: int) -> Order:
        """Let a pending order work, and lock its funds."""
        asset, amount = self.required_funds(order, order.quantity)
        self._lock(order, asset, amount)
        return self._store(replace(order, status="NEW", locked=amount), now)

    def reject(self, draft: Order, reason: str) -> Order:
        """Reject an order; no balance changes."""
        rejected = replace(self._assign_id(draft), status="REJECTED", reject_reason=reason)
        return self._store(rejected, draft.created_at)

    def update(self, order: Order, now: int) -> Order:
        """Record a change that moves no balance, such as a trigger or a loan."""
        return self._store(order, now)

    def move_lock(self, source: Order, target: Order) -> tuple[Order, Order]:
        """Move the locked funds of an order to another one of its list."""
        moved = replace(target, locked=target.locked + source.locked)
        self._orders[source.order_id] = empty = replace(source, locked=ZERO)
        self._orders[target.order_id] = moved
        return empty, moved

    def find_shortfall(self, order: Order, quantity: Decimal, price: Decimal) -> Decimal:
        """How much is missing to fill an order at a price."""
        asset, spent, locked = self._compute_costs(order, quantity, price)
        available = self._ledger.get_balance(order.uid, order.account, asset).free + locked
        return max(ZERO, spent - available)

    def fill(
        self,
        order: Order,
        quantity: Decimal,
        price: Decimal,
        maker: bool,
        now: int,
        commission: tuple[Decimal, str],
        late: bool = False,
    ) -> tuple[Order, OrderFill]:
        """Fill an order, fully or partially, and move the balances; `commission` is its amount and asset.

        A `late` fill is that of an order that has ended; it does not change its status.

        Raises:
            ValueError: not open, more than remains, beyond the limit price, or more than the account can pay.

        """
        if order.is_open == late or not ZERO < quantity <= order.remaining or price <= ZERO:
            raise ValueError(f"order {order.order_id} is {order.status} with {order.remaining} left to fill")
        if not order.matches(price):
            raise ValueError(f"order {order.order_id} is limited to {order.price} and does not {order.side} at {price}")
        base, quote = self.split_symbol(order.symbol)
        received, received_asset = (quantity, base) if order.side == "BUY" else (quantity * price, quote)
        asset, spent, locked = self._compute_costs(order, quantity, price)
        self._release(order, asset, locked, spent)
        self._ledger.get_balance(order.uid, order.account, received_asset).free += received
        amount, commission_asset = commission
        self._ledger.get_balance(order.uid, order.account, commission_asset).free -= amount
        self._last_trade_id += 1
        status: OrderStatus = "FILLED" if quantity == order.remaining else "PARTIALLY_FILLED"
        if late:
            status = order.status
        filled = replace(
            order,
            filled=order.filled + quantity,
            filled_quote=order.filled_quote + quantity * price,
            status=status,
            locked=order.locked - locked,
            updated_at=now,
        )
        return self._store(filled, now), OrderFill(
            self._last_trade_id, quantity, price, amount, commission_asset, maker
        )

    def compute_commission(self, order: Order, quantity: Decimal, price: Decimal) -> tuple[Decimal, str]:
        """Commission in the asset that a fill brings in, and that asset."""
        base, quote = self.split_symbol(order.symbol)
        received, asset = (quantity, base) if order.side == "BUY" else (quantity * price, quote)
        return round_down(received * self._rules.commission_rate), asset

    def close(self, order: Order, status: FinalStatus, now: int) -> Order:
        """Close an open order, and unlock its remaining funds.

        Raises:
            ValueError: not open.

        """
        if not order.is_open:
            raise ValueError(f"order {order.order_id} is {order.status}")
        asset, _ = self.required_funds(order, order.remaining)
        self._release(order, asset, order.locked, ZERO)
        return self._store(replace(order, status=status, locked=ZERO), now)

    def next_execution_id(self) -> int:
        """A new execution id."""
        self._last_execution_id += 1
        return self._last_execution_id

    def split_symbol(self, symbol: str) -> tuple[str, str]:
        """Base and quote asset.

        Raises:
            ValueError: no such symbol.

        """
        assets = self._assets.get(symbol)
        if assets is None:
            assets = self._rules.split_symbol(symbol)
            if assets is None:
                raise ValueError(f"no symbol {symbol}")
            self._assets[symbol] = assets
        return assets

    def required_funds(self, order: Order, quantity: Decimal) -> tuple[str, Decimal]:
        """The asset that an order spends, and how much of it a quantity needs."""
        base, quote = self.split_symbol(order.symbol)
        return (quote, quantity * order.price) if order.side == "BUY" else (base, quantity)

    def _assign_id(self, draft: Order, locked: Decimal = ZERO) -> Order:
        self._last_order_id += 1
        client_order_id = draft.client_order_id or f"sandbox-{self._last_order_id}"
        order = replace(
            draft,
            order_id=self._last_order_id,
            client_order_id=client_order_id,
            locked=locked,
            updated_at=draft.created_at,
        )
        self._ids.setdefault(_get_symbol_key(order), []).append(order.order_id)
        self._creation_times.setdefault(_get_symbol_key(order), []).append(order.created_at)
        self._ids_by_client_id[*_get_symbol_key(order), client_order_id] = order.order_id
        return order

    def _store(self, changed: Order, now: int) -> Order:
        order = changed if changed.updated_at == now else replace(changed, updated_at=now)
        self._orders[order.order_id] = order
        by_symbol = self._open_ids_by_symbol.setdefault(order.symbol, {})
        if order.is_open:
            self._open_ids[order.order_id] = by_symbol[order.order_id] = None
            return order
        was_open = order.order_id in self._open_ids
        self._open_ids.pop(order.order_id, None)
        by_symbol.pop(order.order_id, None)
        if was_open or order.status == "REJECTED":
            self._closed_ids.append(order.order_id)
        if len(self._closed_ids) > self._rules.max_history_entries:
            self._forget(self._orders.pop(self._closed_ids.popleft()))
        return order

    def _forget(self, order: Order) -> None:
        key = _get_symbol_key(order)
        ids = self._ids[key]
        if len(ids) > 2 * self._rules.max_history_entries:
            kept = [
                (number, at)
                for number, at in zip(ids, self._creation_times[key], strict=True)
                if number in self._orders
            ]
            self._ids[key] = [number for number, _ in kept]
            self._creation_times[key] = [at for _, at in kept]
        if self._ids_by_client_id.get((*key, order.client_order_id)) == order.order_id:
            del self._ids_by_client_id[*key, order.client_order_id]

    def _compute_costs(self, order: Order, quantity: Decimal, price: Decimal) -> tuple[str, Decimal, Decimal]:
        """The asset that a fill spends, how much of it, and how much of the locked funds it releases."""
        asset, needed = self.required_funds(order, quantity)
        spent = quantity * price if order.side == "BUY" else quantity
        return asset, spent, order.locked if quantity == order.remaining else min(order.locked, needed)

    def _lock(self, order: Order, asset: str, amount: Decimal) -> None:
        balance = self._ledger.get_balance(order.uid, order.account, asset)
        balance.free -= amount
        balance.locked += amount

    def _release(self, order: Order, asset: str, locked: Decimal, spent: Decimal) -> None:
        """Unlock funds, less what was spent of them."""
        balance = self._ledger.get_balance(order.uid, order.account, asset)
        if balance.free + locked < spent:
            raise ValueError(f"not enough {asset}: {spent} needed, {balance.free + locked} available")
        balance.locked -= locked
        balance.free += locked - spent


def _get_symbol_key(order: Order) -> _Symbol:
    return order.uid, order.account, order.symbol
