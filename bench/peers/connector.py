"""binance-connector, whose margin streams use the listen key that was retired in February 2026."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from protocol import KEY, SECRET, ClientAdapter, Handler, run_adapter


class ConnectorAdapter(ClientAdapter):
    package = "binance-connector"
    rest_path = "/sapi/v1/userDataStream"
    imports = {
        "bare": "import binance.spot",
        "client": "from binance.spot import Spot\nSpot('key', 'secret')",
        "stream": "from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient",
    }

    def unsupported(self) -> dict[str, str]:
        return {"decode": "delivers the text of the frame"}

    def make_call(self, url: str) -> Callable[[], object]:
        from binance.spot import Spot

        return Spot(KEY, SECRET, base_url=url).new_margin_listen_key

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        from binance.spot import Spot
        from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

        rest = Spot(config["key"], config["secret"], base_url=config["rest"])
        key = rest.new_margin_listen_key()["listenKey"]
        client = SpotWebsocketStreamClient(
            stream_url=config["stream"],
            on_message=lambda _, text: handler.on_raw_event(json.loads(text)),
            on_close=lambda _: handler.on_notice("calls on_close"),
            on_error=lambda _, error: handler.on_notice(f"calls on_error with {type(error).__name__}"),
        )
        client.user_data(listen_key=key)
        while True:
            await asyncio.sleep(config["validity"] / 2)
            await asyncio.to_thread(rest.renew_margin_listen_key, key)

    async def open_idle_streams(self, config: dict[str, Any], symbols: list[str]) -> object:
        from binance.spot import Spot
        from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

        rest = Spot(config["key"], config["secret"], base_url=config["rest"])
        clients = []
        for symbol in symbols:
            key = rest.new_isolated_margin_listen_key(symbol=symbol)["listenKey"]
            clients.append(SpotWebsocketStreamClient(stream_url=config["stream"]))
            clients[-1].user_data(listen_key=key)
        return clients


if __name__ == "__main__":
    run_adapter(ConnectorAdapter())
