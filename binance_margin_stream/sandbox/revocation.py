"""Credentials taken away before their time: by another client, or by the exchange."""

from __future__ import annotations

from binance_margin_stream.sandbox.api import websocket_api
from binance_margin_stream.sandbox.model.listen_keys import KeyKind
from binance_margin_stream.sandbox.model.state import State

__all__ = ["delete_listen_keys", "revoke"]


def revoke(state: State, uid: int, now: int) -> None:
    """Take a user's API key away: listen keys fall silent, the WebSocket API answers 401 unasked."""
    state.accounts.revoke(uid)
    for key in state.keys.of_uid(uid):
        state.keys.end(key)
    for token in state.tokens.live():
        if token.uid == uid:
            state.tokens.end(token)
    websocket_api.revoked(state, uid, now)


def delete_listen_keys(state: State, kind: KeyKind | None, uid: int | None = None, account: str | None = None) -> bool:
    """Close listen keys of one kind or all, of one user and account or all, without a word to who listens.

    Returns False where there was none.
    """
    keys = [
        key
        for key in state.keys.live()
        if kind in (None, key.kind) and uid in (None, key.uid) and account in (None, key.account)
    ]
    for key in keys:
        state.keys.end(key)
    return bool(keys)
