"""Records of loans, interest, transfers, forced liquidations and capital flow."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from binance_margin_stream.sandbox.model.orders import Order

__all__ = [
    "CapitalFlow",
    "InterestCharge",
    "LiquidationRecord",
    "LoanRecord",
    "RecordSeries",
    "Records",
    "TransferRecord",
]


class _Record(Protocol):
    @property
    def time(self) -> int: ...
    @property
    def record_id(self) -> int: ...


_R = TypeVar("_R", bound=_Record)


@dataclass(frozen=True, slots=True)
class LoanRecord:
    """A loan, or a repayment."""

    record_id: int
    time: int
    account: str
    asset: str
    kind: str
    """AUTO for those of an order, MANUAL for those of a call."""
    principal: Decimal
    interest: Decimal


@dataclass(frozen=True, slots=True)
class InterestCharge:
    """Interest that was charged on a loan."""

    record_id: int
    time: int
    account: str
    asset: str
    principal: Decimal
    interest: Decimal
    rate: Decimal
    kind: str


@dataclass(frozen=True, slots=True)
class TransferRecord:
    """A transfer between two accounts of a user."""

    record_id: int
    time: int
    asset: str
    amount: Decimal
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class LiquidationRecord:
    """An order of a forced liquidation, in its final state."""

    record_id: int
    time: int
    account: str
    order: Order


@dataclass(frozen=True, slots=True)
class CapitalFlow:
    """A change of a balance; `amount` is signed."""

    record_id: int
    time: int
    account: str
    symbol: str
    asset: str
    kind: str
    amount: Decimal
    transaction_id: int


class RecordSeries(Generic[_R]):
    """Records of one kind in the order of time, by a key such as user and account; the oldest are forgotten."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._records: dict[object, list[_R]] = {}

    def add(self, key: object, record: _R) -> None:
        """Add a record, which is not older than the last one."""
        records = self._records.setdefault(key, [])
        records.append(record)
        if len(records) > 2 * self._size:
            del records[: -self._size]

    def between(self, key: object, since: int, until: int) -> Sequence[_R]:
        """The records of a time, both ends included, oldest first."""
        records = self._records.get(key, [])
        start = bisect_left(records, since, key=lambda record: record.time)
        return records[start : bisect_right(records, until, key=lambda record: record.time)]


@dataclass(slots=True)
class Records:
    """All records of movements of money, with ids that rise over all kinds."""

    size: int
    loans: RecordSeries[LoanRecord] = field(init=False)
    repayments: RecordSeries[LoanRecord] = field(init=False)
    interest: RecordSeries[InterestCharge] = field(init=False)
    transfers: RecordSeries[TransferRecord] = field(init=False)
    liquidations: RecordSeries[LiquidationRecord] = field(init=False)
    capital_flow: RecordSeries[CapitalFlow] = field(init=False)
    last_id: int = 0

    def __post_init__(self) -> None:
        """Create the series: by user and account; transfers by user."""
        self.loans, self.repayments = RecordSeries(self.size), RecordSeries(self.size)
        self.interest, self.transfers = RecordSeries(self.size), RecordSeries(self.size)
        self.liquidations, self.capital_flow = RecordSeries(self.size), RecordSeries(self.size)

    def next_id(self) -> int:
        """A new id."""
        self.last_id += 1
        return self.last_id

    def record_flow(
        self, uid: int, account: str, symbol: str, asset: str, kind: str, amount: Decimal, transaction_id: int, now: int
    ) -> None:
        """Add a change of a balance to the capital flow; without a change, nothing."""
        if amount:
            flow = CapitalFlow(self.next_id(), now, account, symbol, asset, kind, amount, transaction_id)
            self.capital_flow.add((uid, account), flow)
