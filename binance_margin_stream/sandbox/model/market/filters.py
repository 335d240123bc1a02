"""The filters of a symbol, and which of them an order fails."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import ZERO
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.orders import Order

__all__ = ["SymbolFilters"]

_MAX_PRICE = Decimal(10_000_000)
_MAX_QUANTITY = Decimal(9_000_000)
_PRICE_FACTORS = (Decimal("0.2"), Decimal(5))
_MAX_ICEBERG_PARTS = 100
_TRAILING_DELTAS = (10, 2000)


@dataclass(frozen=True, slots=True)
class SymbolFilters:
    """The limits of orders of one symbol."""

    tick_size: Decimal
    step_size: Decimal
    min_notional: Decimal
    open_order_limit: int
    open_stop_order_limit: int

    @classmethod
    def create(cls, rules: ExchangeRules, quote: str) -> SymbolFilters:
        """The filters of the symbols with a quote asset."""
        return cls(
            rules.get_tick_size(quote),
            rules.step_size,
            rules.get_min_notional(quote),
            rules.open_order_limit,
            rules.open_stop_order_limit,
        )

    def find_failure(self, order: Order, market_price: Decimal, open_orders: list[Order]) -> str | None:
        """The name of the first filter that a new order fails, or None."""
        checks = {
            "PRICE_FILTER": self._has_valid_prices(order),
            "PERCENT_PRICE_BY_SIDE": order.is_market or _is_near(order.price, market_price),
            "LOT_SIZE": self.step_size <= order.quantity <= _MAX_QUANTITY and not order.quantity % self.step_size,
            "NOTIONAL": order.quantity * order.price >= self.min_notional,
            "ICEBERG_PARTS": not order.iceberg_quantity
            or -(-order.quantity // order.iceberg_quantity) <= _MAX_ICEBERG_PARTS,
            "TRAILING_DELTA": not order.trailing_delta
            or _TRAILING_DELTAS[0] <= order.trailing_delta <= _TRAILING_DELTAS[1],
            "MAX_NUM_ORDERS": len(open_orders) < self.open_order_limit,
            "MAX_NUM_ALGO_ORDERS": not order.is_stop
            or sum(each.is_stop for each in open_orders) < self.open_stop_order_limit,
        }
        return next((name for name, passed in checks.items() if not passed), None)

    def describe(self) -> list[dict[str, object]]:
        """The filters as ``exchangeInfo`` shows them."""
        lot = {"minQty": _text(self.step_size), "maxQty": _text(_MAX_QUANTITY), "stepSize": _text(self.step_size)}
        low, high = map(str, _PRICE_FACTORS)
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": _text(self.tick_size),
                "maxPrice": _text(_MAX_PRICE),
                "tickSize": _text(self.tick_size),
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "ICEBERG_PARTS", "limit": _MAX_ICEBERG_PARTS},
            {"filterType": "MARKET_LOT_SIZE", **lot, "minQty": _text(ZERO), "stepSize": _text(ZERO)},
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": _TRAILING_DELTAS[0],
                "maxTrailingAboveDelta": _TRAILING_DELTAS[1],
                "minTrailingBelowDelta": _TRAILING_DELTAS[0],
                "maxTrailingBelowDelta": _TRAILING_DELTAS[1],
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": high,
                "bidMultiplierDown": low,
                "askMultiplierUp": high,
                "askMultiplierDown": low,
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": _text(self.min_notional),
                "applyMinToMarket": True,
                "maxNotional": _text(_MAX_QUANTITY),
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": self.open_order_limit},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": self.open_stop_order_limit},
        ]

    def _has_valid_prices(self, order: Order) -> bool:
        prices = [] if order.is_market else [order.price]
        prices += [order.stop_price] if order.stop_price else []
        return all(self.tick_size <= price <= _MAX_PRICE and not price % self.tick_size for price in prices)


def _is_near(price: Decimal, market_price: Decimal) -> bool:
    low, high = _PRICE_FACTORS
    return market_price * low <= price <= market_price * high


def _text(value: Decimal) -> str:
    return f"{value:.8f}"
