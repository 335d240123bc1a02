"""Several readers of one account, one stored stream on NATS JetStream.

The modules here decide without I/O, the readers of what is stored apart; `broker`, `jobs` and `service` do what was
decided. Needs the extra ``relay``. May import `stream` and what lies below it, never `cli` or `sandbox`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from binance_margin_stream.relay.broker.connection import BrokerOptions as BrokerOptions
    from binance_margin_stream.relay.broker.store import StoreOptions as StoreOptions
    from binance_margin_stream.relay.frontier import TimeRange as TimeRange
    from binance_margin_stream.relay.reader import AsyncRelayReader as AsyncRelayReader
    from binance_margin_stream.relay.reader import RelayItem as RelayItem
    from binance_margin_stream.relay.reader import RelayReaderOptions as RelayReaderOptions
    from binance_margin_stream.relay.subjects import Subjects as Subjects
    from binance_margin_stream.relay.sync_reader import RelayReader as RelayReader

_MODULE_BY_NAME = {
    "AsyncRelayReader": "reader",
    "BrokerOptions": "broker.connection",
    "TimeRange": "frontier",
    "RelayItem": "reader",
    "RelayReader": "sync_reader",
    "RelayReaderOptions": "reader",
    "StoreOptions": "broker.store",
    "Subjects": "subjects",
}

__all__ = [*_MODULE_BY_NAME]  # pyright: ignore[reportUnsupportedDunderAll]  # each fact once


def __getattr__(name: str) -> object:
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
