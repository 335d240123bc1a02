"""Credentials taken away before their time: by another client, or by the exchange."""

from __future__ import annotations

from binance_margin_stream.sandbox.api import websocket_api
from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.model.state import ExchangeState

__all__ = ["delete_listen_keys", "revoke_api_key"]


def revoke_api_key(state: ExchangeState, uid: int, now: int) -> None:
    """Take a user's API key away: listen keys fall silent, the WebSocket API answers 401 unasked."""
    state.users.revoke(uid)
    for key in state.listen_keys.find_for_user(uid):
        state.listen_keys.remove(key)
    for token in state.listen_tokens.all():
        if token.uid == uid:
            state.listen_tokens.remove(token)
    websocket_api.notify_key_revoked(state, uid, now)


def delete_listen_keys(
    state: ExchangeState, kind: ListenKeyKind | None, uid: int | None = None, account: str | None = None
) -> bool:
    """Close listen keys of one kind or all, of one user and account or all, without a word to who listens.

    Returns False where there was none.
    """
    keys = [
        key
        for key in state.listen_keys.all()
        if kind in (None, key.kind) and uid in (None, key.uid) and account in (None, key.account)
    ]
    for key in keys:
        state.listen_keys.remove(key)
    return bool(keys)
