"""Faults of the trading calls: reads that miss what exists, and outcomes that the client does not learn."""

from __future__ import annotations

from dataclasses import dataclass

from binance_margin_stream.sandbox.clock import to_milliseconds

__all__ = [
    "EmptyRows",
    "LateFill",
    "MissingRows",
    "NullCommission",
    "OrderNotFound",
    "ReadFault",
    "TradingFault",
    "UnexpectedTrade",
    "UnknownOutcome",
]


@dataclass(frozen=True, slots=True)
class OrderNotFound:
    """Respond -2013 to the query of an order that exists, or -2011 to its cancel, which takes no effect."""


@dataclass(frozen=True, slots=True)
class EmptyRows:
    """Respond to a query of orders, trades or records without any rows."""


@dataclass(frozen=True, slots=True)
class MissingRows:
    """Leave out rows at random in the response to a query of orders, trades or records."""

    share: float = 0.3
    """The probability with which each row is left out."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a share outside 0 to 1."""
        if not 0 < self.share <= 1:
            raise ValueError("share takes a number above 0, up to 1")


@dataclass(frozen=True, slots=True)
class NullCommission:
    """Respond to a query of trades with null as commission and commission asset."""


@dataclass(frozen=True, slots=True)
class LateFill:
    """Fill the remaining quantity of a cancelled order after its last report, this many seconds later."""

    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid duration."""
        to_milliseconds(self.seconds)


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """Carry out a REST call, and respond with the HTML page of a failing gateway."""

    status: int = 503


@dataclass(frozen=True, slots=True)
class UnexpectedTrade:
    """Trade a symbol in a user's cross account, as another program of the account would."""

    symbol: str = "ETHUSDT"
    uid: int = 1


ReadFault = OrderNotFound | EmptyRows | MissingRows | NullCommission
TradingFault = ReadFault | LateFill
