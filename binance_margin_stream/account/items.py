"""What recovery hands over: fills and orders that a gap had swallowed, and the end of the gap itself."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal, TypeAlias

from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import Identity

__all__ = [
    "AccountChanged",
    "GapClosed",
    "RecoveredItem",
    "RecoveredOrder",
    "RecoveredTrade",
    "Unproven",
    "UnprovenKind",
    "UnresolvedGap",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredTrade:
    """A fill that the stream did not deliver, read from the exchange; the names are those of an execution report.

    What the exchange does not tell is None. The cumulative quantities and the order status are those at this fill,
    summed from the order's own fills; they are None where the sums could not be proved.
    """

    account: Account
    symbol: str
    order_id: int
    trade_id: int
    side: str
    last_executed_price: Decimal
    last_executed_quantity: Decimal
    last_quote_quantity: Decimal
    """Price times quantity."""
    commission_amount: Decimal | None
    commission_asset: str | None
    is_maker: bool
    transaction_time: int
    """Milliseconds since 1970-01-01 UTC."""
    execution_type: Literal["TRADE"] = "TRADE"
    client_order_id: str | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    quantity: Decimal | None = None
    """Of the order."""
    price: Decimal | None = None
    """Of the order."""
    order_status: str | None = None
    cumulative_filled_quantity: Decimal | None = None
    cumulative_quote_quantity: Decimal | None = None

    @property
    def identity(self) -> Identity:
        """Equal for this fill however it came: account, symbol, trade id and order id."""
        return "TRADE", str(self.account), self.symbol, self.trade_id, self.order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredOrder:
    """The present state of an order that changed in a gap: how it ended, or that it was made there and is open."""

    account: Account
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
    order_status: str
    cumulative_filled_quantity: Decimal
    cumulative_quote_quantity: Decimal | None
    """None where the exchange does not know it, as for old orders."""
    order_creation_time: int
    """Milliseconds since 1970-01-01 UTC."""
    update_time: int
    """When the order changed last; milliseconds since 1970-01-01 UTC."""

    @property
    def identity(self) -> Identity:
        """Account, symbol, order id, status and the time of the last change."""
        return "ORDER", str(self.account), self.symbol, self.order_id, self.order_status, self.update_time


class UnprovenKind(StrEnum):
    """What recovery could not prove about a gap."""

    ORDER_END = "order end"
    """The order was open before the gap, and the exchange does not show it."""
    ORDER_ARCHIVED = "order archived"
    """The order ended without a fill more than 90 days ago, and the exchange no longer shows how."""
    FILLS = "fills"
    """The fills of the order do not add up to its executed quantity."""
    SYMBOL = "symbol"
    """The exchange refuses to tell the fills or orders of the symbol."""
    LEDGER_DELAY = "ledger delay"
    """Symbols that nobody watches may have been traded: the account's ledger may not cover the time yet."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """One thing about a gap that is not proved, by name."""

    kind: UnprovenKind
    symbol: str | None = None
    order_id: int | None = None

    def __str__(self) -> str:
        subject = " ".join(str(part) for part in (self.symbol, self.order_id) if part is not None)
        return f"{self.kind}: {subject}" if subject else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class GapClosed:
    """What happened in a gap has been handed over, except for what is `unproven`.

    It comes a second time, with `is_final`, when the last look at the gap found something more, or when something
    was unproven before. Then nothing more about the gap can come.
    """

    account: Account
    gap_ids: tuple[int, ...]
    """The ids of the gaps that this closes; gaps that came before the first one was closed are one."""
    since: int
    """Milliseconds since 1970-01-01 UTC, as in the gap."""
    until: int
    """Milliseconds since 1970-01-01 UTC, as in the gap."""
    trades: int
    """How many fills were recovered."""
    orders: int
    """How many orders were recovered."""
    unproven: tuple[Unproven, ...] = ()
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedGap:
    """Gaps of an account that are still open when the stream ends."""

    account: Account
    gap_ids: tuple[int, ...]
    since: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """The account is now like this."""

    account: Account
    snapshot: AccountSnapshot


RecoveredItem: TypeAlias = RecoveredTrade | RecoveredOrder | GapClosed | AccountChanged
"""Everything that recovery adds to a stream."""
