"""The limits of new orders per account, in ten seconds and a day."""

from __future__ import annotations

from binance_margin_stream.sandbox.api.endpoint import Call
from binance_margin_stream.sandbox.config import DAY_MS, ExchangeRules
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.messages import Headers
from binance_margin_stream.sandbox.model.users import CROSS

__all__ = ["check_order_limits", "describe_order_limits", "record_orders"]

_TEN_SECONDS_MS = 10_000


def check_order_limits(call: Call) -> None:
    """Check that the account may place another order.

    Raises:
        RefusedError: -1015.

    """
    for interval_ms, limit, number, unit in _get_limits(call.state.rules):
        if _get_count(call, interval_ms) >= limit:
            raise RefusedError(-1015, f"Too many new orders; current limit is {limit} orders per {number} {unit}.")


def record_orders(call: Call, number: int) -> Headers:
    """Count new orders; returns the headers with the counts."""
    account = _get_account(call)
    for interval_ms, *_ in _get_limits(call.state.rules):
        call.state.order_counts.record(call.user.uid, account, interval_ms, number, call.now)
    return tuple(
        (f"X-MBX-ORDER-COUNT-{length}{unit[0]}", str(_get_count(call, interval_ms)))
        for interval_ms, _, length, unit in _get_limits(call.state.rules)
    )


def describe_order_limits(call: Call, account: str) -> list[dict[str, object]]:
    """The limits and counts of an account, as ``rateLimit/order`` shows them."""
    return [
        {
            "rateLimitType": "ORDERS",
            "interval": unit,
            "intervalNum": number,
            "limit": limit,
            "count": call.state.order_counts.get_count(call.user.uid, account, interval_ms, call.now),
        }
        for interval_ms, limit, number, unit in _get_limits(call.state.rules)
    ]


def _get_limits(rules: ExchangeRules) -> tuple[tuple[int, int, int, str], ...]:
    return (
        (_TEN_SECONDS_MS, rules.order_limit_10_seconds, 10, "SECOND"),
        (DAY_MS, rules.order_limit_day, 1, "DAY"),
    )


def _get_count(call: Call, interval_ms: int) -> int:
    return call.state.order_counts.get_count(call.user.uid, _get_account(call), interval_ms, call.now)


def _get_account(call: Call) -> str:
    return call.parameters.get("symbol", CROSS) if call.is_true("isIsolated") else CROSS
