"""What a stream hands over, in a few words for people."""

from __future__ import annotations

from decimal import Decimal

from binance_margin_stream.stream.events.models import (
    AccountLost,
    BalanceUpdate,
    ExecutionReport,
    ExternalLockUpdate,
    ListStatus,
    MarginLevelStatusChange,
    OutboundAccountPosition,
    StreamGap,
    StreamItem,
    UnknownEvent,
    UserLiabilityChange,
)

__all__ = ["describe"]


def describe(item: StreamItem) -> str:
    """One line about an item of a stream, without its account."""
    match item:
        case StreamGap(since=since, until=until, reason=reason):
            return f"events of {until - since} ms may be missing ({reason}): reconcile"
        case AccountLost(source=source, error=error, reason=reason):
            return f"no longer followed through {source}: {error or reason}"
        case ExecutionReport(side=side, quantity=quantity, symbol=symbol, order_status=status):
            filled = _format_amount(item.cumulative_filled_quantity)
            return f"{side} {_format_amount(quantity)} {symbol} is {status}, {filled} filled"
        case OutboundAccountPosition(balances=balances):
            return ", ".join(f"{_format_amount(balance.free)} {balance.asset} free" for balance in balances)
        case BalanceUpdate(asset=asset, delta=delta):
            return f"{_format_amount(delta)} {asset}"
        case ExternalLockUpdate(asset=asset, delta=delta):
            return f"{_format_amount(delta)} {asset} locked from outside"
        case ListStatus(symbol=symbol, list_order_status=status):
            return f"order list of {symbol} is {status}"
        case UserLiabilityChange(asset=asset, principal=principal):
            return f"{_format_amount(principal)} {asset} owed"
        case MarginLevelStatusChange(margin_level=level, status=status):
            return f"margin level {_format_amount(level)}: {status}"
        case UnknownEvent(event_type=name):
            return f"an event of a new kind, {name}"
    return type(item).__name__


def _format_amount(amount: Decimal) -> str:
    """All digits that say something, and no zeros behind the last of them."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
