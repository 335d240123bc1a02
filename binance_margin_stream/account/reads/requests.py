"""The read calls that recovery makes, as values: their parameters, weights and limits.

Weights and limits are those of the exchange's pages: every ``/sapi`` endpoint has a budget of its own, 12,000 a minute
for each IP address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from binance_margin_stream.account.reads.rows import (
    MalformedRowError,
    OrderRow,
    Row,
    TradeRow,
    Wire,
    parse_account,
    parse_flow,
    parse_isolated_account,
    parse_order,
    parse_server_time,
    parse_trade,
)
from binance_margin_stream.error_codes import ErrorKind
from binance_margin_stream.stream.accounts import Account

__all__ = [
    "MAX_ROWS",
    "Outcome",
    "RawRows",
    "Read",
    "ReadFailure",
    "ReadKind",
    "ReadResponse",
    "Refusal",
    "SendRead",
    "parse_rows",
]

R = TypeVar("R")


class ReadKind(Enum):
    """A read call of the exchange."""

    SERVER_TIME = "GET /api/v3/time"
    ACCOUNT = "GET /sapi/v1/margin/account"
    ISOLATED_ACCOUNT = "GET /sapi/v1/margin/isolated/account"
    OPEN_ORDERS = "GET /sapi/v1/margin/openOrders"
    ORDER = "GET /sapi/v1/margin/order"
    ALL_ORDERS = "GET /sapi/v1/margin/allOrders"
    MY_TRADES = "GET /sapi/v1/margin/myTrades"
    CAPITAL_FLOW = "GET /sapi/v1/margin/capital-flow"


MINUTE_LIMIT: Final = 12_000
"""The weight that one IP address may use of one endpoint in a minute."""

WEIGHTS: Final[Mapping[ReadKind, int]] = {
    ReadKind.SERVER_TIME: 1,
    ReadKind.ACCOUNT: 10,
    ReadKind.ISOLATED_ACCOUNT: 10,
    ReadKind.OPEN_ORDERS: 10,
    ReadKind.ORDER: 10,
    ReadKind.ALL_ORDERS: 200,
    ReadKind.MY_TRADES: 10,
    ReadKind.CAPITAL_FLOW: 100,
}

MAX_ROWS: Final[Mapping[ReadKind, int]] = {
    ReadKind.ALL_ORDERS: 500,
    ReadKind.MY_TRADES: 1_000,
    ReadKind.CAPITAL_FLOW: 1_000,
}
"""The most rows of one response, for calls whose response may be a part."""


@dataclass(frozen=True, slots=True)
class Read:
    """One read call. `parameters` have their wire names."""

    kind: ReadKind
    account: Account
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """What it counts. Open orders of all symbols may count once for each symbol: more than any share."""
        if self.kind is ReadKind.OPEN_ORDERS and "symbol" not in self.parameters:
            return MINUTE_LIMIT
        return WEIGHTS[self.kind]


@dataclass(frozen=True, slots=True)
class SendRead:
    """Make this call, and report its rows or its failure under `id`."""

    id: int
    read: Read


RawRows: TypeAlias = Sequence[Mapping[str, object]]
"""A response as it came, under wire names: the rows of a list, or the one object as the only row."""


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Why a read brought no rows. `kind` is None where no response came at all."""

    kind: ErrorKind | None
    message: str = ""
    retry_after: float | None = None
    """Seconds, where the exchange says how long to wait."""


@dataclass(frozen=True, slots=True)
class ReadResponse:
    """Rows, and the interval of the stream's clock in which the exchange made them."""

    rows: tuple[Row, ...]
    sent_at: float
    received_at: float

    def of(self, kind: type[R]) -> list[R]:
        """The rows of one kind."""
        return [row for row in self.rows if isinstance(row, kind)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The exchange does not have what was asked for, and will not have it on a retry."""

    kind: ErrorKind


Outcome: TypeAlias = ReadResponse | Refusal
"""What a read came to, once retries are over."""


_PARSERS: Final[Mapping[ReadKind, Callable[[Wire], Row]]] = {
    ReadKind.SERVER_TIME: parse_server_time,
    ReadKind.ACCOUNT: parse_account,
    ReadKind.OPEN_ORDERS: parse_order,
    ReadKind.ORDER: parse_order,
    ReadKind.ALL_ORDERS: parse_order,
    ReadKind.MY_TRADES: parse_trade,
    ReadKind.CAPITAL_FLOW: parse_flow,
}


def parse_rows(read: Read, rows: RawRows) -> tuple[Row, ...]:
    """The rows of a response, typed. Raises `MalformedRowError`, also for rows of another symbol or account."""
    if read.kind is ReadKind.ISOLATED_ACCOUNT:
        return tuple(pair for row in rows for pair in parse_isolated_account(row))
    if read.kind in (ReadKind.ORDER, ReadKind.ACCOUNT, ReadKind.SERVER_TIME) and len(rows) != 1:
        raise MalformedRowError("a single object was expected")
    parsed = tuple(map(_PARSERS[read.kind], rows))
    for raw, row in zip(rows, parsed, strict=True):
        if isinstance(row, OrderRow | TradeRow):
            _check_origin(read, raw, row.symbol)
    return parsed


def _check_origin(read: Read, raw: Wire, symbol: str) -> None:
    if read.parameters.get("symbol", symbol) != symbol:
        raise MalformedRowError(f"a row of {symbol} was not asked for")
    is_isolated = raw.get("isIsolated")
    if isinstance(is_isolated, bool) and is_isolated != (read.account.kind == "isolated"):
        raise MalformedRowError("a row of another account was not asked for")
