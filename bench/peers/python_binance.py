"""python-binance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import KEY, SECRET, Contestant, Handler, answer


class PythonBinance(Contestant):
    package = "python-binance"
    path = "/sapi/v1/userListenToken"
    imports = {
        "bare": "import binance",
        "client": "from binance import Client\nClient('key', 'secret', ping=False)",
        "stream": "import asyncio\nfrom binance import AsyncClient, BinanceSocketManager\n"
        "async def main():\n    BinanceSocketManager(AsyncClient('key', 'secret')).margin_socket()\n"
        "asyncio.run(main())",
    }

    def cannot(self) -> dict[str, str]:
        return {"decode": "hands over the dict that the JSON parser made"}

    def call(self, url: str) -> Callable[[], object]:
        from binance import Client

        client = Client(KEY, SECRET, ping=False)
        client.MARGIN_API_URL = f"{url}/sapi"
        return client.margin_create_listen_token

    async def follow(self, places: dict[str, Any], handler: Handler) -> None:
        async with _sockets(places).margin_socket() as socket:
            while True:
                handler.raw(await socket.recv())

    async def hold(self, places: dict[str, Any], symbols: list[str]) -> object:
        sockets = _sockets(places)
        return [await sockets.isolated_margin_socket(symbol).__aenter__() for symbol in symbols]


def _sockets(places: dict[str, Any]) -> Any:
    from binance import AsyncClient, BinanceSocketManager

    client = AsyncClient(places["key"], places["secret"])
    client.MARGIN_API_URL = f"{places['rest']}/sapi"
    client.ws_api._url = places["websocket_api"]
    return BinanceSocketManager(client)


if __name__ == "__main__":
    answer(PythonBinance())
