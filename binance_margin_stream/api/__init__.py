# flake8: noqa

__all__ = [
    "IsolatedMarginStreamApi",
    "ListenTokenApi",
    "MarginAccountApi",
    "MarginListenKeyApi",
    "MarginOrdersApi",
    "MarginRecordsApi",
    "MarginStreamApi",
    "RiskStreamApi",
    "ServerTimeApi",
    "UtaListenKeyApi",
]

import typing as _typing

if _typing.TYPE_CHECKING:
    # import apis into api package
    from binance_margin_stream.api.isolated_margin_stream_api import IsolatedMarginStreamApi
    from binance_margin_stream.api.listen_token_api import ListenTokenApi
    from binance_margin_stream.api.margin_account_api import MarginAccountApi
    from binance_margin_stream.api.margin_listen_key_api import MarginListenKeyApi
    from binance_margin_stream.api.margin_orders_api import MarginOrdersApi
    from binance_margin_stream.api.margin_records_api import MarginRecordsApi
    from binance_margin_stream.api.margin_stream_api import MarginStreamApi
    from binance_margin_stream.api.risk_stream_api import RiskStreamApi
    from binance_margin_stream.api.server_time_api import ServerTimeApi
    from binance_margin_stream.api.uta_listen_key_api import UtaListenKeyApi
    
else:
    from importlib import import_module

    _exports = {
        "IsolatedMarginStreamApi": ".isolated_margin_stream_api",
        "ListenTokenApi": ".listen_token_api",
        "MarginAccountApi": ".margin_account_api",
        "MarginListenKeyApi": ".margin_listen_key_api",
        "MarginOrdersApi": ".margin_orders_api",
        "MarginRecordsApi": ".margin_records_api",
        "MarginStreamApi": ".margin_stream_api",
        "RiskStreamApi": ".risk_stream_api",
        "ServerTimeApi": ".server_time_api",
        "UtaListenKeyApi": ".uta_listen_key_api",
    }

    def __getattr__(name: str) -> object:
        if (module_name := _exports.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(module_name, __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(globals().keys() | _exports.keys())
