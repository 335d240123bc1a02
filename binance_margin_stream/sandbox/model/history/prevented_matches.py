"""Matches of two orders of the same account that were prevented."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from binance_margin_stream.sandbox.model.orders import Order

__all__ = ["PreventedMatch"]


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A match that did not happen, with the orders as they were."""

    record_id: int
    time: int
    taker: Order
    maker: Order
    quantity: Decimal
