"""Rows of the exchange's responses as typed values.

Unknown fields are ignored. A row that lacks what it must have raises `MalformedRowError`: the read is then tried
again, and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final, TypeAlias, TypeVar

__all__ = [
    "AccountRow",
    "BalanceRow",
    "FlowRow",
    "MalformedRowError",
    "OrderRow",
    "Row",
    "ServerTimeRow",
    "TradeRow",
    "parse_account",
    "parse_flow",
    "parse_isolated_account",
    "parse_order",
    "parse_server_time",
    "parse_trade",
]

T = TypeVar("T")
Wire: TypeAlias = Mapping[str, object]
"""An object of a response, under wire names."""

_money = re.compile(r"[+-]?[0-9]{1,64}(\.[0-9]{1,64})?", re.ASCII)
_integer = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_EXACT: Final = Context(prec=256)
_LEAST_MICROSECONDS: Final = 10**14  # as milliseconds, the year 5138


class MalformedRowError(ValueError):
    """A row is not what the exchange promises."""


@dataclass(frozen=True, slots=True)
class ServerTimeRow:
    """The exchange's time, in milliseconds since 1970-01-01 UTC."""

    time: int


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """What an account holds and owes of one asset."""

    asset: str
    free: Decimal
    locked: Decimal
    borrowed: Decimal
    interest: Decimal


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account: `symbol` is None for cross."""

    symbol: str | None
    balances: tuple[BalanceRow, ...]
    margin_level: Decimal | None
    margin_level_status: str | None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as it is now."""

    symbol: str
    order_id: int
    client_order_id: str
    side: str
    order_type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    stop_price: Decimal | None
    iceberg_quantity: Decimal | None
    status: str
    executed_quantity: Decimal
    quote_quantity: Decimal | None
    """None where the exchange says that it does not know it."""
    time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A fill."""

    symbol: str
    trade_id: int
    order_id: int
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal | None
    commission_asset: str | None
    is_maker: bool
    time: int


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A movement of the account's capital; `symbol` is None where it belongs to none."""

    id: int
    symbol: str | None
    time: int


Row: TypeAlias = ServerTimeRow | AccountRow | OrderRow | TradeRow | FlowRow


def parse_server_time(row: Wire) -> ServerTimeRow:
    """The response of ``/api/v3/time``."""
    return ServerTimeRow(_parse_time(row, "serverTime"))


def parse_account(row: Wire) -> AccountRow:
    """The response of ``/margin/account``."""
    balances = tuple(_parse_balance(balance) for balance in _rows_in(row, "userAssets"))
    return AccountRow(None, balances, _parse_optional(row, "marginLevel", parse_money), None)


def parse_isolated_account(row: Wire) -> tuple[AccountRow, ...]:
    """The response of ``/margin/isolated/account``: a row for each pair."""
    return tuple(_parse_pair(pair) for pair in _rows_in(row, "assets"))


def _parse_pair(row: Wire) -> AccountRow:
    balances = tuple(_parse_balance(_object_in(row, side)) for side in ("baseAsset", "quoteAsset"))
    level, status = (
        _parse_optional(row, "marginLevel", parse_money),
        _parse_optional(row, "marginLevelStatus", _as_text),
    )
    return AccountRow(_parse_text(row, "symbol"), balances, level, status)


def _parse_balance(row: Wire) -> BalanceRow:
    return BalanceRow(
        _parse_text(row, "asset"),
        *(_parse_field(row, name, parse_money) for name in ("free", "locked", "borrowed", "interest")),
    )


def parse_order(row: Wire) -> OrderRow:
    """A row of ``/margin/order``, ``/margin/openOrders`` and ``/margin/allOrders``."""
    quote = _parse_field(row, "cummulativeQuoteQty", parse_money)
    return OrderRow(
        symbol=_parse_text(row, "symbol"),
        order_id=_parse_field(row, "orderId", _as_integer),
        client_order_id=_parse_text(row, "clientOrderId"),
        side=_parse_text(row, "side"),
        order_type=_parse_text(row, "type"),
        time_in_force=_parse_text(row, "timeInForce"),
        quantity=_parse_field(row, "origQty", parse_money),
        price=_parse_field(row, "price", parse_money),
        stop_price=_parse_optional(row, "stopPrice", parse_money),
        iceberg_quantity=_parse_optional(row, "icebergQty", parse_money),
        status=_parse_text(row, "status"),
        executed_quantity=_parse_field(row, "executedQty", parse_money),
        quote_quantity=None if quote < 0 else quote,
        time=_parse_time(row, "time"),
        update_time=_parse_time(row, "updateTime"),
    )


def parse_trade(row: Wire) -> TradeRow:
    """A row of ``/margin/myTrades``. Commission and its asset may be null."""
    price, quantity = _parse_field(row, "price", parse_money), _parse_field(row, "qty", parse_money)
    return TradeRow(
        symbol=_parse_text(row, "symbol"),
        trade_id=_parse_field(row, "id", _as_integer),
        order_id=_parse_field(row, "orderId", _as_integer),
        side="BUY" if _parse_field(row, "isBuyer", _as_flag) else "SELL",
        price=price,
        quantity=quantity,
        quote_quantity=_EXACT.multiply(price, quantity),
        commission=_parse_optional(row, "commission", parse_money),
        commission_asset=_parse_optional(row, "commissionAsset", _as_text),
        is_maker=_parse_field(row, "isMaker", _as_flag),
        time=_parse_time(row, "time"),
    )


def parse_flow(row: Wire) -> FlowRow:
    """A row of ``/margin/capital-flow``."""
    symbol = _parse_optional(row, "symbol", _as_text)
    return FlowRow(_parse_field(row, "id", _as_integer), symbol or None, _parse_time(row, "timestamp"))


def parse_money(value: object) -> Decimal:
    """An exact decimal number: text, or an integer; raises `MalformedRowError`."""
    if isinstance(value, str) and _money.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    raise MalformedRowError("not a decimal number")


def _as_integer(value: object) -> int:
    if isinstance(value, str) and _integer.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise MalformedRowError("not an integer")


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise MalformedRowError("not a text")


def _as_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise MalformedRowError("not true or false")


def _as_milliseconds(value: object) -> int:
    time = _as_integer(value)
    return time // 1000 if time >= _LEAST_MICROSECONDS else time


def _parse_field(row: Wire, name: str, parse: Callable[[object], T]) -> T:
    if name not in row:
        raise MalformedRowError(f"{name} is missing")
    try:
        return parse(row[name])
    except MalformedRowError as error:
        raise MalformedRowError(f"{name} is {error}") from None


def _parse_optional(row: Wire, name: str, parse: Callable[[object], T]) -> T | None:
    return None if row.get(name) is None else _parse_field(row, name, parse)


def _parse_text(row: Wire, name: str) -> str:
    return _parse_field(row, name, _as_text)


def _parse_time(row: Wire, name: str) -> int:
    return _parse_field(row, name, _as_milliseconds)


def _object_in(row: Wire, name: str) -> Wire:
    value = row.get(name)
    if isinstance(value, Mapping):
        return value
    raise MalformedRowError(f"{name} is not an object")


def _rows_in(row: Wire, name: str) -> Sequence[Wire]:
    value = row.get(name)
    if isinstance(value, Sequence) and all(isinstance(item, Mapping) for item in value):
        return value
    raise MalformedRowError(f"{name} is not a list of objects")
