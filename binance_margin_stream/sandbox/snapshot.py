"""The state of the exchange as a JSON object, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from decimal import Decimal

from binance_margin_stream.sandbox.amounts import exact, parse_decimal
from binance_margin_stream.sandbox.api.handshakes import margin_stream_prefix
from binance_margin_stream.sandbox.faults.types import DeferredFault
from binance_margin_stream.sandbox.model.connections import ServerConnection
from binance_margin_stream.sandbox.model.metrics import Metrics, MetricsRecorder, SentEvent
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.margin import classify_margin_level, compute_margin_level

__all__ = ["build_snapshot", "mask"]

_SHOWN_REQUESTS = 50
_TRADE_FIELDS = {
    "order_id": "i",
    "symbol": "s",
    "side": "S",
    "quantity": "l",
    "price": "L",
    "commission": "n",
    "commission_asset": "N",
}
_CLOSED_ORDER_FIELDS = {
    "order_id": "i",
    "symbol": "s",
    "side": "S",
    "type": "o",
    "quantity": "q",
    "filled": "z",
    "status": "X",
    "reject_reason": "r",
}
_SECRET_FIELDS = ("listenKey", "listenToken", "token")


def mask(secret: str) -> str:
    """The last four characters of a secret, to tell secrets apart."""
    return f"…{secret[-4:]}"


@exact
def build_snapshot(state: ExchangeState, now: int) -> dict[str, object]:
    """Accounts, orders, connections, credentials, faults, metrics and the last events.

    Times are milliseconds of exchange time; ages and remaining lifetimes are seconds of it.
    """
    return {
        "time": now,
        "users": [
            {
                "uid": key.user.uid,
                "api_key": mask(key.value),
                "kind": "HMAC" if key.public_key is None else key.public_key.kind,
                "revoked": state.users.is_revoked(key.value),
            }
            for key in state.users.all_keys()
        ],
        "accounts": _describe_accounts(state),
        "orders": [_describe_order(order) for order in state.orders.open_orders()],
        "closed_orders": _describe_reports(state.metrics.closed_order_log, _CLOSED_ORDER_FIELDS),
        "trades": _describe_reports(state.metrics.trade_log, _TRADE_FIELDS),
        "prices": {symbol: _format_amount(price) for symbol, price in sorted(state.prices.all().items())},
        "margin_stream_path": margin_stream_prefix(state.rules),
        "connections": [_describe_connection(connection, now) for connection in state.connections.all()],
        "credentials": _describe_credentials(state, now),
        "retired": sorted(state.retired_paths),
        "delisted": state.availability.delisted(),
        "faults": [
            {
                "fault": _describe_fault(each.fault),
                "path": each.path,
                "account": each.account,
                "remaining_uses": each.remaining_uses,
                "probability": each.probability,
            }
            for each in state.pending_faults.all()
        ],
        "metrics": _describe_metrics(state.metrics.snapshot(len(state.connections))),
        "requests": _describe_requests(state.metrics),
        "events": [
            {
                "number": sent.number,
                "time": sent.time,
                "uid": sent.uid,
                "account": sent.account,
                "frames": sent.frames,
                "event": _mask_secrets(sent.event),
            }
            for sent in state.metrics.event_log
        ],
    }


def _describe_accounts(state: ExchangeState) -> list[dict[str, object]]:
    """All cross accounts, and the isolated accounts that were used."""
    accounts = {(user.uid, CROSS) for user in state.users.all()} | state.ledger.accounts()
    return [_describe_account(state, uid, account) for uid, account in sorted(accounts)]


def _describe_account(state: ExchangeState, uid: int, account: str) -> dict[str, object]:
    level = compute_margin_level(state.ledger, state.prices, uid, account)
    balances = state.ledger.get_balances(uid, account)
    return {
        "uid": uid,
        "account": account,
        "enabled": state.availability.find_refusal(uid, account) is None,
        "margin_level": _format_amount(level),
        "status": classify_margin_level(level, state.rules),
        "balances": {
            asset: {
                "free": _format_amount(each.free),
                "locked": _format_amount(each.locked),
                "borrowed": _format_amount(each.borrowed),
                "interest": _format_amount(each.interest),
            }
            for asset, each in balances.items()
        },
    }


def _describe_order(order: Order) -> dict[str, object]:
    return {
        "order_id": order.order_id,
        "uid": order.uid,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "quantity": _format_amount(order.quantity),
        "filled": _format_amount(order.filled),
        "price": _format_amount(order.price),
        "status": order.status,
    }


def _describe_reports(log: Iterable[SentEvent], names: Mapping[str, str]) -> list[dict[str, object]]:
    """Fields of execution reports, newest first."""
    return [
        {"number": sent.number, "time": sent.time, "uid": sent.uid, "account": sent.account}
        | {name: _shorten_amount(sent.event.get(field)) for name, field in names.items()}
        for sent in reversed(list(log))
    ]


def _describe_requests(metrics: MetricsRecorder) -> list[dict[str, object]]:
    """The last requests with their numbers, oldest first."""
    requests = list(metrics.request_log)[-_SHOWN_REQUESTS:]
    first = metrics.requests_logged - len(requests) + 1
    return [{"number": number, **asdict(each)} for number, each in enumerate(requests, first)]


def _describe_connection(connection: ServerConnection, now: int) -> dict[str, object]:
    return {
        "id": connection.id,
        "host": connection.host,
        "ip": connection.ip,
        "age_seconds": (now - connection.opened_at) / 1000,
        "frozen": connection.frozen,
        "unanswered_pings": len(connection.unanswered_pings),
        "subscriptions": [
            {
                "id": each.id,
                "uid": each.uid,
                "account": each.account,
                "remaining_seconds": _remaining_seconds(each.expires_at, now),
            }
            for each in connection.subscriptions.values()
        ],
        "streams": [mask(stream) for stream in connection.streams],
    }


def _describe_credentials(state: ExchangeState, now: int) -> list[dict[str, object]]:
    keys = [(key.kind, key.value, key.uid, key.account, key.expires_at) for key in state.listen_keys.all()]
    tokens = [("listen_token", t.value, t.uid, t.account, t.expires_at) for t in state.listen_tokens.all()]
    return [
        {
            "kind": kind,
            "value": mask(text),
            "uid": uid,
            "account": account,
            "remaining_seconds": _remaining_seconds(expires_at, now),
        }
        for kind, text, uid, account, expires_at in (*keys, *tokens)
    ]


def _describe_metrics(metrics: Metrics) -> dict[str, object]:
    return {
        "rest_calls": metrics.rest_calls,
        "events_sent": metrics.events_sent,
        "handshakes_refused": metrics.handshakes_refused,
        "connections_opened": metrics.connections_opened,
        "connections_open": metrics.connections_open,
        "frames_received": metrics.frames_received,
        "frames_sent": metrics.frames_sent,
        "frames_lost": metrics.frames_dropped,
    }


def _mask_secrets(event: Mapping[str, object]) -> dict[str, object]:
    return {name: mask(str(value)) if name in _SECRET_FIELDS else value for name, value in event.items()}


def _describe_fault(fault: DeferredFault) -> str:
    """The name of a fault and its values: ``static response, status 503``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(fault).__name__).lower()
    known = {field.name: getattr(fault, field.name) for field in fields(fault)}
    return ", ".join(
        [name, *(f"{each} {value}" for each, value in known.items() if isinstance(value, str | int | float))]
    )


def _format_amount(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _shorten_amount(value: object) -> object:
    """A value of an event; an amount without trailing zeros."""
    try:
        return _format_amount(parse_decimal(value)) if isinstance(value, str) and "." in value else value
    except ValueError:
        return value


def _remaining_seconds(expires_at: int, now: int) -> float:
    return max(0, expires_at - now) / 1000
