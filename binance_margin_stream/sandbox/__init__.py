"""A sandbox exchange for margin user data streams; Binance has no testnet for margin.

`Sandbox` needs the extra: ``pip install binance-margin-stream[sandbox]``. The pure exchange, `ExchangeRules` and the
faults need only the standard library. May import `endpoints`; never `stream`, `http` or `auth`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS, create_fault
from binance_margin_stream.sandbox.messages import LoggedRequest
from binance_margin_stream.sandbox.model.ledger import Balance
from binance_margin_stream.sandbox.model.metrics import Metrics, RestCall
from binance_margin_stream.sandbox.model.orders import Order
from binance_margin_stream.sandbox.model.users import User

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.sandbox import Sandbox

__all__ = [
    "NAMED_FAULTS",
    "Balance",
    "ExchangeRules",
    "LoggedRequest",
    "Metrics",
    "Order",
    "RestCall",
    "Sandbox",
    "User",
    "create_fault",
    "faults",
]


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
