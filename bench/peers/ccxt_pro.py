"""ccxt, with its pro streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from protocol import KEY, SECRET, ClientAdapter, Handler, run_adapter

_BTCUSDT = {
    "id": "BTCUSDT", "lowercaseId": "btcusdt", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC",
    "quoteId": "USDT", "type": "spot", "spot": True, "margin": True, "swap": False, "future": False, "option": False,
    "contract": False, "active": True, "precision": {"amount": 1e-8, "price": 1e-8}, "limits": {}, "info": {},
}  # fmt: skip


class CcxtAdapter(ClientAdapter):
    package = "ccxt"
    rest_path = "/sapi/v1/userListenToken"
    imports = {
        "bare": "import ccxt",
        "client": "import ccxt\nccxt.binance({'apiKey': 'key', 'secret': 'secret'})",
        "stream": "import asyncio, ccxt.pro\nasync def main():\n"
        "    await ccxt.pro.binance({'apiKey': 'key', 'secret': 'secret'}).close()\nasyncio.run(main())",
    }

    def make_call(self, url: str) -> Callable[[], object]:
        import ccxt

        exchange = ccxt.binance({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False})
        exchange.urls["api"]["sapi"] = f"{url}/sapi/v1"
        return exchange.sapiPostUserListenToken

    def make_decoder(self) -> Callable[[bytes], object]:
        import ccxt.pro

        exchange = ccxt.pro.binance()
        exchange.set_markets([_BTCUSDT])
        return lambda frame: exchange.parse_ws_order(json.loads(frame)["event"])

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        import ccxt

        exchange = _make_exchange(config)
        while True:
            try:
                for order in await exchange.watch_orders():
                    handler.on_event(int(order["id"]))
            except ccxt.NetworkError as error:  # how it reports a lost connection; the next call reconnects
                handler.on_notice(f"raises {type(error).__name__}")

    async def open_idle_streams(self, config: dict[str, Any], symbols: list[str]) -> object:
        exchanges = [_make_exchange(config) for _ in symbols]  # each follows one margin account
        for exchange, symbol in zip(exchanges, symbols, strict=True):
            exchange.set_markets([_BTCUSDT | {"id": symbol, "symbol": symbol}])
            await exchange.ensure_user_data_stream_ws_subscribe_listen_token(
                "margin", {"symbol": symbol, "isIsolated": True}
            )
        return exchanges


def _make_exchange(config: dict[str, Any]) -> Any:
    import ccxt.pro

    exchange = ccxt.pro.binance(
        {"apiKey": config["key"], "secret": config["secret"], "options": {"defaultType": "margin"}}
    )
    exchange.set_markets([_BTCUSDT])
    exchange.urls["api"]["sapi"] = f"{config['rest']}/sapi/v1"
    exchange.urls["api"]["ws"]["ws-api"]["spot"] = config["websocket_api"]
    return exchange


if __name__ == "__main__":
    run_adapter(CcxtAdapter())
