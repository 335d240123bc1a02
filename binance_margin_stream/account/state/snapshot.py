"""An account at one moment, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import StrEnum

from binance_margin_stream.stream.accounts import Account

__all__ = ["AccountSnapshot", "AccountTrade", "AssetBalance", "InexactReason", "Interval", "OpenOrder"]


@dataclass(frozen=True, slots=True)
class Interval:
    """From `since` to `until`: milliseconds since 1970-01-01 UTC by this machine's clock."""

    since: int
    until: int


class InexactReason(StrEnum):
    """Why a snapshot may differ from the account."""

    NOT_LIVE = "not live"
    """The account is not subscribed: events may be missing."""
    GAP = "gap"
    """A gap is not closed yet."""
    BALANCES = "balances"
    """Balances of some asset are not confirmed by two equal reads yet, nor by an event."""
    ORDERS = "orders"
    """The open orders are not confirmed by two equal reads yet."""
    BEHIND = "behind"
    """Events wait in the buffer that the consumer has not taken."""
    NO_READS = "no reads"
    """The API key may not read, or reading is turned off."""


@dataclass(frozen=True, slots=True)
class AssetBalance:
    """What an account holds and owes of one asset. `borrowed`, `interest` and `net` come from reads alone."""

    asset: str
    free: Decimal
    locked: Decimal
    borrowed: Decimal | None = None
    interest: Decimal | None = None

    @property
    def net(self) -> Decimal | None:
        """Free and locked amounts less the debt; None if the debt is not known."""
        if self.borrowed is None or self.interest is None:
            return None
        return self.free + self.locked - self.borrowed - self.interest


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that is open."""

    symbol: str
    order_id: int
    client_order_id: str
    side: str
    order_type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    order_status: str
    cumulative_filled_quantity: Decimal
    cumulative_quote_quantity: Decimal | None
    order_creation_time: int
    """Milliseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class AccountTrade:
    """A fill, live or recovered."""

    symbol: str
    trade_id: int
    order_id: int
    side: str
    price: Decimal
    quantity: Decimal
    time: int
    """Milliseconds since 1970-01-01 UTC."""
    is_recovered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """An account as it was at some moment within `as_of`.

    `is_exact` refers to free and locked amounts and to open orders. Debts and the margin level are as the exchange
    reported them within `debts_as_of`, since no event of a token stream reports them.
    """

    account: Account
    as_of: Interval
    balances: Mapping[str, AssetBalance]
    """By asset; an asset with neither an amount nor a debt may be absent."""
    open_orders: tuple[OpenOrder, ...]
    last_trades: tuple[AccountTrade, ...]
    """The last fills, oldest first."""
    margin_level: Decimal | None
    margin_level_status: str | None
    debts_as_of: Interval | None
    inexact_reasons: tuple[InexactReason, ...]

    @property
    def is_exact(self) -> bool:
        """Whether free and locked amounts and open orders are exact."""
        return not self.inexact_reasons

    def to_dict(self) -> dict[str, object]:
        """The snapshot as JSON can hold it: amounts are text."""
        values = {each.name: _to_jsonable(getattr(self, each.name)) for each in fields(self)}
        return {**values, "is_exact": self.is_exact}


def _to_jsonable(value: object) -> object:
    if isinstance(value, Account):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return {str(key): _to_jsonable(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_to_jsonable(each) for each in value]
    if is_dataclass(value):
        return {each.name: _to_jsonable(getattr(value, each.name)) for each in fields(value)}
    return str(value) if isinstance(value, StrEnum) else value
