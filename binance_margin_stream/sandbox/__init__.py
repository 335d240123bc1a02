"""A sandbox exchange for margin user data streams, because there is no testnet.

`Sandbox` needs the extra: ``pip install binance-margin-stream[sandbox]``. The pure exchange, `Rules` and the
faults need nothing but Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.faults.registry import NAMED, named
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.metrics import Counts, RestCall
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.users import ApiAccount

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.sandbox import Sandbox

__all__ = ["NAMED", "ApiAccount", "Balance", "Counts", "Order", "RestCall", "Rules", "Sandbox", "faults", "named"]


def __getattr__(name: str) -> object:
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from binance_margin_stream.sandbox.sandbox import Sandbox
    except ModuleNotFoundError as missing:
        if missing.name not in ("aiohttp", "multidict", "yaml"):
            raise
        raise ImportError(
            "the sandbox server needs aiohttp and pyyaml: pip install 'binance-margin-stream[sandbox]'"
        ) from missing
    return Sandbox
