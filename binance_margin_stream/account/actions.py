"""What recovery wants the stream to do, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from binance_margin_stream.account.reads.requests import SendRead
from binance_margin_stream.stream.accounts import Account

__all__ = ["AccountAction", "ChangeSource", "DisableRecovery", "EmitGap", "SendRead"]


@dataclass(frozen=True, slots=True)
class EmitGap:
    """Emit a gap of a live account, and report it back: events since then may be missing.

    `since` is on the stream's clock; the gap ends now. The reason is ``"audit"``, or ``"restart"`` for what happened
    before the stream began.
    """

    account: Account
    since: float
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeSource:
    """Follow the account by its next source: this one keeps back events while it seems healthy."""

    account: Account


@dataclass(frozen=True, slots=True)
class DisableRecovery:
    """Warn, once: the API key may not read, so nothing is recovered from now on."""

    message: str


AccountAction: TypeAlias = SendRead | EmitGap | ChangeSource | DisableRecovery
"""All of them."""
