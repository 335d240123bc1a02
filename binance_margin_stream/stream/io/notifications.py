"""Changes of a stream for people and programs: as log records, and through a callback."""

from __future__ import annotations

import logging
from collections.abc import Callable

from binance_margin_stream.stream.protocol.actions import Change

__all__ = ["log", "teller"]

log = logging.getLogger("binance_margin_stream.stream")


def teller(on_change: Callable[[Change], None] | None) -> Callable[[Change], None]:
    """Tells the log of each change, then the callback, whose errors do no harm.

    A record has the change's name and the account as attributes ``change`` and ``account``.
    """

    def tell(change: Change) -> None:
        account = "" if change.account is None else str(change.account)
        detail = f"({change.detail})" if change.detail else ""
        text = " ".join(filter(None, (change.name, account, detail)))
        log.log(change.level.value, "%s", text, extra={"change": change.name, "account": account})
        if on_change is None:
            return
        try:
            on_change(change)
        except Exception:
            log.exception("the callback for changes failed")

    return tell
