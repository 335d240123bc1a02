"""The table of all REST calls."""

from __future__ import annotations

from binance_margin_stream.sandbox.api import listen_keys
from binance_margin_stream.sandbox.api.endpoint import Endpoint
from binance_margin_stream.sandbox.api.margin import accounts, order_queries, records
from binance_margin_stream.sandbox.api.market import market_data, pairs, start_up
from binance_margin_stream.sandbox.api.trade import cancels, loans, order_lists, orders

__all__ = ["ENDPOINTS", "METHODS_BY_PATH"]

_GROUPS = (
    listen_keys,
    start_up,
    market_data,
    pairs,
    accounts,
    order_queries,
    records,
    orders,
    cancels,
    order_lists,
    loans,
)

ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    (endpoint.method, endpoint.path): endpoint for group in _GROUPS for endpoint in group.ENDPOINTS
}
"""The calls by method and path."""

METHODS_BY_PATH: dict[str, tuple[str, ...]] = {
    path: tuple(method for method, other in ENDPOINTS if other == path) for _, path in ENDPOINTS
}
"""The methods of each path."""
