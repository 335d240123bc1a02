"""python-binance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import KEY, SECRET, ClientAdapter, Handler, run_adapter


class PythonBinanceAdapter(ClientAdapter):
    package = "python-binance"
    rest_path = "/sapi/v1/userListenToken"
    imports = {
        "bare": "import binance",
        "client": "from binance import Client\nClient('key', 'secret', ping=False)",
        "stream": "import asyncio\nfrom binance import AsyncClient, BinanceSocketManager\n"
        "async def main():\n    BinanceSocketManager(AsyncClient('key', 'secret')).margin_socket()\n"
        "asyncio.run(main())",
    }

    def unsupported(self) -> dict[str, str]:
        return {"decode": "delivers the dict from the JSON parser"}

    def make_call(self, url: str) -> Callable[[], object]:
        from binance import Client

        client = Client(KEY, SECRET, ping=False)
        client.MARGIN_API_URL = f"{url}/sapi"
        return client.margin_create_listen_token

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        async with _make_socket_manager(config).margin_socket() as socket:
            while True:
                handler.on_raw_event(await socket.recv())

    async def open_idle_streams(self, config: dict[str, Any], symbols: list[str]) -> object:
        sockets = _make_socket_manager(config)
        return [await sockets.isolated_margin_socket(symbol).__aenter__() for symbol in symbols]


def _make_socket_manager(config: dict[str, Any]) -> Any:
    from binance import AsyncClient, BinanceSocketManager

    client = AsyncClient(config["key"], config["secret"])
    client.MARGIN_API_URL = f"{config['rest']}/sapi"
    client.ws_api._url = config["websocket_api"]
    return BinanceSocketManager(client)


if __name__ == "__main__":
    run_adapter(PythonBinanceAdapter())
