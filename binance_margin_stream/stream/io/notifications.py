"""Changes of a stream for people and programs: as log records, and through a callback."""

from __future__ import annotations

import logging
from collections.abc import Callable

from binance_margin_stream.stream.protocol.actions import StatusChange

__all__ = ["log", "make_notifier"]

log = logging.getLogger("binance_margin_stream.stream")


def make_notifier(on_change: Callable[[StatusChange], None] | None) -> Callable[[StatusChange], None]:
    """Tells the log of each change, then the callback, whose errors do no harm.

    A record has the change's name and the account as attributes ``change`` and ``account``.
    """

    def notify(change: StatusChange) -> None:
        account = "" if change.account is None else str(change.account)
        detail = f"({change.detail})" if change.detail else ""
        text = " ".join(filter(None, (change.name, account, detail)))
        log.log(change.severity.value, "%s", text, extra={"change": change.name, "account": account})
        if on_change is None:
            return
        try:
            on_change(change)
        except Exception:
            log.exception("the callback for changes failed")

    return notify
