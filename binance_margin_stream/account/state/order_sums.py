"""Whether the fills of an order add up to what the exchange says was executed.

The fills up to some trade id are summed up in a base. Those after it are kept one by one as long as something does not
add up; once everything does, the base moves on and they are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Final

__all__ = ["NO_TRADE", "ZERO", "Amounts", "KnownFill", "OrderSums", "Proof", "add_exactly"]

_EXACT: Final = Context(prec=256)
"""Sums must not depend on the precision that a user has set."""
add_exactly: Final = _EXACT.add
subtract_exactly: Final = _EXACT.subtract

NO_TRADE: Final = -1


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much was executed, and what it came to in the quote asset: None where that is not known."""

    quantity: Decimal
    quote: Decimal | None

    def plus(self, other: Amounts) -> Amounts:
        """The exact sum."""
        quote = None if self.quote is None or other.quote is None else add_exactly(self.quote, other.quote)
        return Amounts(add_exactly(self.quantity, other.quantity), quote)


ZERO: Final = Amounts(Decimal(0), Decimal(0))


@dataclass(frozen=True, slots=True)
class KnownFill:
    """A fill of the order. `cumulative` is the sum at this fill, where an execution report had it."""

    trade_id: int
    time: int
    amounts: Amounts
    cumulative: Amounts | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What is certain about fills: their cumulative sums by trade id, and whether all adds up."""

    cumulative: Mapping[int, Amounts]
    is_complete: bool


class OrderSums:
    """The fills of one order, as far as they are not summed up yet."""

    __slots__ = (
        "_asked_at",
        "_confirmed_at",
        "_executed",
        "_executed_at",
        "base",
        "base_id",
        "fills",
        "is_base_read",
        "is_reading",
        "last_fill_at",
    )

    def __init__(
        self, base: Amounts = ZERO, *, base_id: int = NO_TRADE, last_fill_at: int = 0, is_reading: bool = False
    ) -> None:
        self.base = base
        """The sum of all fills up to `base_id`."""
        self.base_id = base_id
        self.is_reading = is_reading
        """The base was read at some moment of the exchange's choice: the first report replaces it."""
        self.is_base_read = base_id == NO_TRADE and base.quantity != 0
        """It is not known which fills the base contains: they prove nothing until all fills were read."""
        self.fills: dict[int, KnownFill] = {}
        self.last_fill_at = last_fill_at
        """No known fill is from a later time; exchange time in milliseconds."""
        self._executed = base.quantity
        self._executed_at = 0
        self._asked_at = 0
        """When the last look that read the order began."""
        self._confirmed_at = 0
        """When the one before it began, if both read the same: what was executed before then is contained."""

    @property
    def adds_up(self) -> bool:
        """Whether every fill is in the base, and nothing else was executed."""
        return not self.fills and self.base.quantity == self._executed

    @property
    def needs_all_fills(self) -> bool:
        """Whether all fills of the order have to be read, from its first on."""
        return self.missing > 0 or (self.is_base_read and bool(self.fills))

    @property
    def missing(self) -> Decimal:
        """How much more was executed than the known fills add up to."""
        quantity = self.base.quantity
        for fill in self.fills.values():
            quantity = add_exactly(quantity, fill.amounts.quantity)
        return subtract_exactly(self._executed, quantity)

    def on_report(self, fill: KnownFill, cumulative: Amounts) -> None:
        """A fill came live, with its sum."""
        self.last_fill_at = max(self.last_fill_at, fill.time)
        if self.is_reading:
            self._set_base(cumulative, fill.trade_id)
        elif fill.trade_id <= self.base_id:
            return
        elif not self.fills and add_exactly(self.base.quantity, fill.amounts.quantity) == cumulative.quantity:
            self._set_base(cumulative, fill.trade_id)
        else:
            self.fills[fill.trade_id] = fill
        self.on_reported_quantity(cumulative.quantity, fill.time)

    def _set_base(self, base: Amounts, base_id: int) -> None:
        self.base, self.base_id = base, base_id
        self.is_reading = self.is_base_read = False

    def on_reported_quantity(self, executed: Decimal, time: int) -> None:
        """A report came live that says how much was executed until then."""
        if self.is_reading:
            self.base, self.is_reading, self.is_base_read = Amounts(executed, None), False, executed != 0
        self._claim(executed, time)

    def add(self, fills: Iterable[KnownFill]) -> None:
        """Fills are known from a read call."""
        for fill in fills:
            self.last_fill_at = max(self.last_fill_at, fill.time)
            if fill.trade_id > self.base_id:
                self.fills.setdefault(fill.trade_id, fill)

    def add_all(self, fills: Iterable[KnownFill]) -> None:
        """All fills of the order were read, from its first on: a base without a trade id has served."""
        if self.base_id == NO_TRADE:
            self._set_base(ZERO, NO_TRADE)
        self.add(fills)

    def on_row(self, executed: Decimal, update_time: int, asked_at: int) -> None:
        """A look that began at a time read how much was executed, and when the order changed last."""
        if (executed, update_time) != (self._executed, self._executed_at):
            self._claim(executed, update_time)
            self._confirmed_at = 0
        elif asked_at != self._asked_at:
            self._confirmed_at = self._asked_at
        self._asked_at = asked_at

    def _claim(self, executed: Decimal, at: int) -> None:
        if executed >= self._executed:
            self._executed, self._executed_at = executed, max(at, self._executed_at)

    def prove(self) -> Proof:
        """Compare the sums with what is certain.

        A quantity that was read proves fills only if the order did not change after it was read: it may be stale.
        """
        proven: dict[int, Amounts] = {}
        unproven: dict[int, Amounts] = {}
        sum_, is_complete, latest = self.base, True, 0
        for trade_id in sorted(self.fills):
            fill = self.fills[trade_id]
            sum_, latest = sum_.plus(fill.amounts), max(latest, fill.time)
            unproven[trade_id] = sum_
            if fill.cumulative is not None:
                if sum_.quantity == fill.cumulative.quantity and not self.is_base_read:
                    proven |= unproven
                else:
                    is_complete = False
                sum_ = fill.cumulative
                unproven = {}
        if self.is_base_read and unproven:
            return Proof({}, is_complete=False)
        if sum_.quantity != self._executed:
            return Proof(proven, is_complete=False)
        if unproven and latest > max(self._executed_at, self._confirmed_at):
            return Proof(proven, is_complete=False)
        return Proof(proven | unproven, is_complete)

    def prove_before_base(self, fills: Iterable[KnownFill]) -> Mapping[int, Amounts]:
        """The sums at fills that the base contains, from all fills of the order; empty if they do not add up to it."""
        sum_, proven = ZERO, {}
        for fill in sorted(fills, key=lambda fill: fill.trade_id):
            if fill.trade_id <= self.base_id:
                sum_ = proven[fill.trade_id] = sum_.plus(fill.amounts)
        return proven if sum_.quantity == self.base.quantity else {}

    def collapse_reported(self) -> None:
        """Sum up if all adds up and no fill is kept that was read: reports may come in another order."""
        if all(fill.cumulative is not None for fill in self.fills.values()) and self.prove().is_complete:
            self.collapse()

    def collapse(self) -> None:
        """Sum up what is complete: to be called when `prove` says so."""
        for trade_id in sorted(self.fills):
            fill = self.fills[trade_id]
            self._set_base(fill.cumulative or self.base.plus(fill.amounts), trade_id)
        self.fills = {}

    def give_up(self) -> None:
        """Take what the exchange says was executed for the sum: what is missing will not be looked for any more."""
        self.base_id = max(self.fills, default=self.base_id)
        self.base = Amounts(self._executed, self.base.quote if self.base.quantity == self._executed else None)
        self.fills = {}
