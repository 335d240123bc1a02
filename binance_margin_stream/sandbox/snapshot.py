"""The exchange at a glance, for people: what there is, without a secret in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal

from binance_margin_stream.sandbox.faults.types import ArmedFault
from binance_margin_stream.sandbox.model.connections import Connection
from binance_margin_stream.sandbox.model.metrics import Counts
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.state import State
from binance_margin_stream.sandbox.model.users import CROSS
from binance_margin_stream.sandbox.trading.margin import margin_level, status_at

__all__ = ["masked", "overview"]

_SECRET_FIELDS = ("listenKey", "listenToken", "token")


def masked(secret: str) -> str:
    """A secret by its last four characters, enough to tell two apart."""
    return f"…{secret[-4:]}"


def overview(state: State, now: int) -> dict[str, object]:
    """Accounts, orders, connections, credentials, faults, counts and the last events, as a JSON object.

    Times are milliseconds of exchange time, ages and remaining lives are seconds of it.
    """
    return {
        "time": now,
        "users": [
            {"uid": user.uid, "api_key": masked(user.api_key), "revoked": state.accounts.is_revoked(user.api_key)}
            for user in state.accounts.all()
        ],
        "accounts": _accounts(state),
        "orders": [_order(order) for order in state.orders.open()],
        "connections": [_connection(connection, now) for connection in state.connections.all()],
        "credentials": _credentials(state, now),
        "retired": sorted(state.retired),
        "faults": [
            {"fault": _fault(each.fault), "path": each.path, "left": each.left, "probability": each.probability}
            for each in state.faults.all()
        ],
        "counts": _counts(state.tally.snapshot(len(state.connections))),
        "events": [
            {
                "number": sent.number,
                "time": sent.time,
                "uid": sent.uid,
                "account": sent.account,
                "frames": sent.frames,
                "event": _without_secrets(sent.event),
            }
            for sent in state.tally.event_log
        ],
    }


def _accounts(state: State) -> list[dict[str, object]]:
    """Every cross account, and the isolated ones that something happened in."""
    whose = {(user.uid, CROSS) for user in state.accounts.all()} | state.ledger.accounts()
    return [_account(state, uid, account) for uid, account in sorted(whose)]


def _account(state: State, uid: int, account: str) -> dict[str, object]:
    level = margin_level(state.ledger, state.prices, uid, account)
    balances = state.ledger.of_account(uid, account)
    return {
        "uid": uid,
        "account": account,
        "margin_level": _amount(level),
        "status": status_at(level, state.rules),
        "balances": {
            asset: {
                "free": _amount(each.free),
                "locked": _amount(each.locked),
                "borrowed": _amount(each.borrowed),
                "interest": _amount(each.interest),
            }
            for asset, each in balances.items()
        },
    }


def _order(order: Order) -> dict[str, object]:
    return {
        "order_id": order.order_id,
        "uid": order.uid,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "quantity": _amount(order.quantity),
        "filled": _amount(order.filled),
        "price": _amount(order.price),
        "status": order.status,
    }


def _connection(connection: Connection, now: int) -> dict[str, object]:
    return {
        "id": connection.id,
        "host": connection.host,
        "ip": connection.ip,
        "age_seconds": (now - connection.opened_at) / 1000,
        "frozen": connection.frozen,
        "unanswered_pings": len(connection.unanswered_pings),
        "subscriptions": [
            {"id": each.id, "uid": each.uid, "account": each.account, "left_seconds": _left(each.expires_at, now)}
            for each in connection.subscriptions.values()
        ],
        "streams": [masked(stream) for stream in connection.streams],
    }


def _credentials(state: State, now: int) -> list[dict[str, object]]:
    keys = [(key.kind, key.text, key.uid, key.account, key.expires_at) for key in state.keys.live()]
    tokens = [("listen_token", t.text, t.uid, t.account, t.expires_at) for t in state.tokens.live()]
    return [
        {"kind": kind, "text": masked(text), "uid": uid, "account": account, "left_seconds": _left(expires_at, now)}
        for kind, text, uid, account, expires_at in (*keys, *tokens)
    ]


def _counts(counts: Counts) -> dict[str, object]:
    return {
        "rest_calls": counts.rest_calls,
        "events_sent": counts.events_sent,
        "handshakes_refused": counts.handshakes_refused,
        "connections_opened": counts.connections_opened,
        "connections_open": counts.connections_open,
        "frames_received": counts.frames_received,
        "frames_sent": counts.frames_sent,
        "frames_lost": counts.frames_lost,
    }


def _without_secrets(event: Mapping[str, object]) -> dict[str, object]:
    return {name: masked(str(value)) if name in _SECRET_FIELDS else value for name, value in event.items()}


def _fault(fault: ArmedFault) -> str:
    """Its name and what there is to know of it, in words: ``answer with, status 503``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(fault).__name__).lower()
    known = {field.name: getattr(fault, field.name) for field in fields(fault)}
    return ", ".join(
        [name, *(f"{each} {value}" for each, value in known.items() if isinstance(value, str | int | float))]
    )


def _amount(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _left(expires_at: int, now: int) -> float:
    return max(0, expires_at - now) / 1000
