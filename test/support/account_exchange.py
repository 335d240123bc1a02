"""A small exchange that serves the read calls of recovery, with the lag and the holes of the real one.

It keeps every version of every order and every fill with the time from which a read shows it. `serve` answers a read as
of one moment; events are returned to the caller, who decides whether they arrive.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from binance_margin_stream.account.reads.requests import Read, ReadKind
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import (
    AccountPositionBalance,
    Event,
    ExecutionReport,
    OutboundAccountPosition,
)

EPOCH_MS = 1_790_000_000_000
OPEN = ("NEW", "PARTIALLY_FILLED")
Row = dict[str, object]


class RefusedError(Exception):
    """The exchange refuses a read with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Lag:
    """How late the exchange's reads are, in milliseconds, and what they leave out."""

    orders: int = 1_500
    trades: int = 1_500
    late_share: float = 0.0
    """The part of the fills that show only after up to ten minutes."""
    late: int = 590_000
    hidden_share: float = 0.0
    """The part of the fills that never show."""
    account: int = 1_500
    flow: int = 20_000
    unknown_for: int = 0
    """For how long ``/order`` does not know an order that has just been made."""


@dataclass
class Order:
    account: Account
    symbol: str
    order_id: int
    side: str
    quantity: Decimal
    price: Decimal
    created: int
    status: str = "NEW"
    executed: Decimal = Decimal(0)
    quote: Decimal = Decimal(0)
    versions: list[tuple[int, Row]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def row(self, updated: int) -> Row:
        return {
            "symbol": self.symbol,
            "orderId": self.order_id,
            "clientOrderId": f"c{self.order_id}",
            "side": self.side,
            "type": "LIMIT",
            "timeInForce": "GTC",
            "origQty": str(self.quantity),
            "price": str(self.price),
            "stopPrice": "0",
            "icebergQty": "0",
            "status": self.status,
            "executedQty": str(self.executed),
            "cummulativeQuoteQty": str(self.quote),
            "time": self.created,
            "updateTime": updated,
            "isIsolated": self.account.kind == "isolated",
            "somethingNew": [1],
        }

    def row_at(self, time: int) -> Row | None:
        index = bisect_right(self.versions, time, key=lambda version: version[0])
        return self.versions[index - 1][1] if index else None


@dataclass(frozen=True)
class Fill:
    account: Account
    symbol: str
    trade_id: int
    order_id: int
    time: int
    row: Row
    visible_at: float
    cumulative: Decimal
    is_hidden: bool
    status: str | None

    @property
    def key(self) -> tuple[str, int, int]:
        return self.symbol, self.trade_id, self.order_id


class AccountExchange:
    """Orders, fills and balances of several accounts. `now` is the exchange's time in milliseconds."""

    def __init__(self, seed: int, lag: Lag | None = None, *, page_rows: int = 1000) -> None:
        self.random = Random(seed)
        self.lag = lag or Lag()
        self.page_rows = page_rows
        self.orders: dict[tuple[Account, str, int], Order] = {}
        self.fills: list[Fill] = []
        self.holdings: dict[Account, dict[str, tuple[Decimal, Decimal]]] = defaultdict(dict)
        self.refused_symbols: set[str] = set()
        self._history: dict[Account, list[tuple[int, dict[str, tuple[Decimal, Decimal]]]]] = defaultdict(list)
        self._flow: list[tuple[Account, int, Row]] = []
        self._next_order_id = 1000
        self._next_trade_id: dict[str, int] = defaultdict(lambda: 50_000)
        self._execution_id = 0

    # What happens

    def place(self, account: Account, symbol: str, side: str, quantity: int, now: int) -> tuple[Order, list[Event]]:
        self._next_order_id += self.random.randint(1, 4)
        order = Order(account, symbol, self._next_order_id, side, Decimal(quantity), Decimal(100), now)
        self.orders[account, symbol, order.order_id] = order
        self._store(order, now)
        asset, _ = ("USDT", symbol) if side == "BUY" else (symbol.removesuffix("USDT"), symbol)
        amount = order.quantity * order.price if side == "BUY" else order.quantity
        self._move(account, asset, -amount, amount, now)
        return order, [self._report(order, "NEW", now), self._position(account, [asset], now)]

    def fill(self, order: Order, quantity: int, now: int, *, is_last: bool | None = None) -> tuple[Fill, list[Event]]:
        """Also after the end of the order: a late fill."""
        amount = Decimal(quantity)
        self._next_trade_id[order.symbol] += self.random.randint(1, 9)
        trade_id = self._next_trade_id[order.symbol]
        was_open = order.is_open
        order.executed += amount
        order.quote += amount * order.price
        if was_open:
            order.status = "FILLED" if order.executed >= order.quantity else "PARTIALLY_FILLED"
        self._store(order, now)
        fill = self._store_fill(order, trade_id, amount, now, was_open)
        base = order.symbol.removesuffix("USDT")
        if order.side == "BUY":
            self._move(order.account, "USDT", Decimal(0), -amount * order.price if was_open else Decimal(0), now)
            self._move(order.account, base, amount, Decimal(0), now)
        else:
            self._move(order.account, base, Decimal(0), -amount if was_open else Decimal(0), now)
            self._move(order.account, "USDT", amount * order.price, Decimal(0), now)
        report = self._report(order, "TRADE", now, trade_id, amount)
        return fill, [report, self._position(order.account, ["USDT", base], now)]

    def cancel(self, order: Order, now: int) -> list[Event]:
        left = order.quantity - order.executed
        order.status = "CANCELED"
        self._store(order, now)
        asset = "USDT" if order.side == "BUY" else order.symbol.removesuffix("USDT")
        amount = left * order.price if order.side == "BUY" else left
        self._move(order.account, asset, amount, -amount, now)
        return [self._report(order, "CANCELED", now), self._position(order.account, [asset], now)]

    def transfer(self, account: Account, asset: str, amount: int, now: int) -> list[Event]:
        self._move(account, asset, Decimal(amount), Decimal(0), now)
        return [self._position(account, [asset], now)]

    def _store(self, order: Order, now: int) -> None:
        order.versions.append((now, order.row(now)))

    def _store_fill(self, order: Order, trade_id: int, amount: Decimal, now: int, was_open: bool) -> Fill:
        lag = self.random.random() * self.lag.trades
        if self.random.random() < self.lag.late_share:
            lag = self.random.random() * self.lag.late
        row: Row = {
            "id": trade_id,
            "orderId": order.order_id,
            "symbol": order.symbol,
            "price": str(order.price),
            "qty": str(amount),
            "commission": None if self.random.random() < 0.2 else "0.001",
            "commissionAsset": None if self.random.random() < 0.2 else "BNB",
            "isBuyer": order.side == "BUY",
            "isMaker": bool(self.random.getrandbits(1)),
            "isBestMatch": True,
            "isIsolated": order.account.kind == "isolated",
            "time": now,
        }
        fill = Fill(
            order.account,
            order.symbol,
            trade_id,
            order.order_id,
            now,
            row,
            visible_at=now + lag,
            cumulative=order.executed,
            is_hidden=self.random.random() < self.lag.hidden_share,
            status=("FILLED" if order.executed >= order.quantity else "PARTIALLY_FILLED") if was_open else None,
        )
        self.fills.append(fill)
        for kind in ("BUY_INCOME", "BUY_EXPENSE"):
            flow: Row = {
                "id": len(self._flow) + 1,
                "tranId": 1,
                "timestamp": now,
                "asset": "USDT",
                "symbol": order.symbol,
                "type": kind,
                "amount": "1",
            }
            self._flow.append((order.account, now + self.random.randint(0, self.lag.flow), flow))
        return fill

    def _move(self, account: Account, asset: str, free: Decimal, locked: Decimal, now: int) -> None:
        before = self.holdings[account].get(asset, (Decimal(0), Decimal(0)))
        self.holdings[account][asset] = before[0] + free, before[1] + locked
        self._history[account].append((now, dict(self.holdings[account])))

    def _report(
        self, order: Order, kind: str, now: int, trade_id: int = -1, amount: Decimal = Decimal(0)
    ) -> ExecutionReport:
        self._execution_id += 1
        return ExecutionReport(
            account=order.account,
            event_time=now,
            symbol=order.symbol,
            client_order_id=f"c{order.order_id}",
            side=order.side,
            order_type="LIMIT",
            time_in_force="GTC",
            quantity=order.quantity,
            price=order.price,
            stop_price=Decimal(0),
            iceberg_quantity=Decimal(0),
            order_list_id=-1,
            original_client_order_id="",
            execution_type=kind,
            order_status=order.status,
            reject_reason="NONE",
            order_id=order.order_id,
            last_executed_quantity=amount,
            cumulative_filled_quantity=order.executed,
            last_executed_price=order.price if amount else Decimal(0),
            commission_amount=Decimal(0),
            commission_asset=None,
            transaction_time=now,
            trade_id=trade_id,
            execution_id=self._execution_id,
            is_on_book=order.is_open,
            is_maker=False,
            order_creation_time=order.created,
            cumulative_quote_quantity=order.quote,
            last_quote_quantity=amount * order.price,
            quote_order_quantity=Decimal(0),
            self_trade_prevention_mode="NONE",
            ignored=True,
        )

    def _position(self, account: Account, assets: list[str], now: int) -> OutboundAccountPosition:
        balances = tuple(
            AccountPositionBalance(asset=asset, free=free, locked=locked)
            for asset in assets
            for free, locked in [self.holdings[account].get(asset, (Decimal(0), Decimal(0)))]
        )
        return OutboundAccountPosition(account=account, event_time=now, last_account_update_time=now, balances=balances)

    # What the exchange tells

    def serve(self, read: Read, now: int) -> list[Row]:
        serve = {
            ReadKind.SERVER_TIME: lambda: [{"serverTime": now}],
            ReadKind.ACCOUNT: lambda: [self._account(read.account, now)],
            ReadKind.ISOLATED_ACCOUNT: lambda: [self._isolated(str(read.parameters["symbols"]), now)],
            ReadKind.OPEN_ORDERS: lambda: self._open_orders(read, now),
            ReadKind.ORDER: lambda: [self._order(read, now)],
            ReadKind.ALL_ORDERS: lambda: self._all_orders(read, now),
            ReadKind.MY_TRADES: lambda: self._my_trades(read, now),
            ReadKind.CAPITAL_FLOW: lambda: self._capital_flow(read, now),
        }
        if read.parameters.get("symbol") in self.refused_symbols:
            raise RefusedError(-1121)
        return serve[read.kind]()

    def history(self, account: Account) -> list[tuple[int, dict[str, tuple[Decimal, Decimal]]]]:
        return self._history[account]

    def truth_at(self, account: Account, now: int) -> dict[str, tuple[Decimal, Decimal]]:
        history = self._history[account]
        index = bisect_right(history, now, key=lambda entry: entry[0])
        return history[index - 1][1] if index else {}

    def _lagged(self, now: int, lag: int) -> int:
        return now - self.random.randint(0, lag)

    def _balances(self, account: Account, now: int) -> dict[str, Row]:
        holdings = self.truth_at(account, self._lagged(now, self.lag.account))
        return {
            asset: {
                "asset": asset,
                "free": str(free),
                "locked": str(locked),
                "borrowed": "7",
                "interest": "0.1",
                "netAsset": "0",
            }
            for asset, (free, locked) in holdings.items()
        }

    def _account(self, account: Account, now: int) -> Row:
        return {"marginLevel": "3.2", "userAssets": list(self._balances(account, now).values())}

    def _isolated(self, symbols: str, now: int) -> Row:
        pairs = []
        for symbol in symbols.split(","):
            balances = self._balances(Account("isolated", symbol), now)
            nothing = {"free": "0", "locked": "0", "borrowed": "0", "interest": "0"}
            base = symbol.removesuffix("USDT")
            pairs.append(
                {
                    "symbol": symbol,
                    "marginLevel": "2",
                    "marginLevelStatus": "NORMAL",
                    "baseAsset": balances.get(base, {"asset": base, **nothing}),
                    "quoteAsset": balances.get("USDT", {"asset": "USDT", **nothing}),
                }
            )
        return {"assets": pairs}

    def _orders_of(self, read: Read) -> list[Order]:
        symbol = read.parameters.get("symbol")
        return [
            order
            for (account, order_symbol, _), order in self.orders.items()
            if account == read.account and symbol in (None, order_symbol)
        ]

    def _open_orders(self, read: Read, now: int) -> list[Row]:
        at = self._lagged(now, self.lag.orders)
        rows = [order.row_at(at) for order in self._orders_of(read)]
        return [row for row in rows if row is not None and row["status"] in OPEN]

    def _order(self, read: Read, now: int) -> Row:
        symbol, order_id = str(read.parameters["symbol"]), int(read.parameters["orderId"])
        order = self.orders.get((read.account, symbol, order_id))
        row = None if order is None else order.row_at(self._lagged(now, self.lag.orders))
        if order is None or row is None or now < order.created + self.lag.unknown_for:
            raise RefusedError(-2013)
        return row

    def _all_orders(self, read: Read, now: int) -> list[Row]:
        parameters = read.parameters
        at = self._lagged(now, self.lag.orders)
        rows = [row for order in self._orders_of(read) if (row := order.row_at(at)) is not None]
        if "orderId" in parameters:
            rows = [row for row in rows if int(str(row["orderId"])) >= int(parameters["orderId"])]
        else:
            _check_span(parameters, 24 * 3_600_000)
            rows = [row for row in rows if parameters["startTime"] <= row["time"] <= parameters["endTime"]]
        return sorted(rows, key=lambda row: int(str(row["orderId"])))[: int(parameters["limit"])]

    def _my_trades(self, read: Read, now: int) -> list[Row]:
        parameters = read.parameters
        names = parameters.keys() - {"symbol", "isIsolated", "limit"}
        assert names in ({"fromId"}, {"orderId"}, {"orderId", "fromId"}, {"startTime", "endTime"}), names
        fills = [
            fill
            for fill in self.fills
            if fill.account == read.account
            and fill.symbol == parameters["symbol"]
            and fill.visible_at <= now
            and not fill.is_hidden
        ]
        if "orderId" in parameters:
            fills = [fill for fill in fills if fill.order_id == parameters["orderId"]]
        if "fromId" in parameters:
            fills = [fill for fill in fills if fill.trade_id >= int(parameters["fromId"])]
        if "startTime" in parameters:
            _check_span(parameters, 24 * 3_600_000)
            fills = [fill for fill in fills if parameters["startTime"] <= fill.time <= parameters["endTime"]]
        fills.sort(key=lambda fill: (fill.trade_id, fill.order_id))
        return [fill.row for fill in fills[: int(parameters["limit"])]]

    def _capital_flow(self, read: Read, now: int) -> list[Row]:
        parameters = read.parameters
        _check_span(parameters, 7 * 24 * 3_600_000)
        rows = [
            row
            for account, visible_at, row in self._flow
            if account == read.account
            and visible_at <= now
            and parameters["startTime"] <= row["timestamp"] <= parameters["endTime"]
            and row["id"] > parameters.get("fromId", 0)
        ]
        return rows[: int(parameters["limit"])]


def _check_span(parameters: object, longest: int) -> None:
    assert 0 <= parameters["endTime"] - parameters["startTime"] < longest, parameters


__all__ = ["EPOCH_MS", "AccountExchange", "Fill", "Lag", "Order", "RefusedError"]
