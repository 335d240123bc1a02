"""unicorn-binance-websocket-api, and the REST package that it depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import KEY, SECRET, ClientAdapter, run_adapter


class UnicornAdapter(ClientAdapter):
    package = "unicorn-binance-websocket-api"
    rest_path = "/sapi/v1/userDataStream"
    imports = {
        "bare": "import unicorn_binance_websocket_api",
        "client": "from unicorn_binance_rest_api import BinanceRestApiManager\n"
        "BinanceRestApiManager('key', 'secret', exchange='binance.com-margin', warn_on_update=False)",
        "stream": "from unicorn_binance_websocket_api import BinanceWebSocketApiManager\n"
        "BinanceWebSocketApiManager(exchange='binance.com-margin', warn_on_update=False).stop_manager()",
    }

    def unsupported(self) -> dict[str, str]:
        no_stream = (
            "its margin stream subscribes with `userDataStream.subscribe.signature`, which is not a stream source "
            "of a margin account: it creates no listen token"
        )
        return {
            "client": "its REST client asks the real exchange for the time before it is created",
            "decode": "delivers the text, or the dict from the JSON parser",
            "follow": no_stream,
            "idle": no_stream,
        }

    def make_call(self, url: str) -> Callable[[], object]:
        from unicorn_binance_rest_api import BinanceRestApiManager

        class Manager(BinanceRestApiManager):
            def get_server_time(self, **_: object) -> dict[str, int]:
                return {}  # it would ask the real exchange before another address can be set

        manager: Any = Manager(KEY, SECRET, exchange="binance.com-margin", warn_on_update=False)
        manager.MARGIN_API_URL = f"{url}/sapi"
        return manager.margin_stream_get_listen_key


if __name__ == "__main__":
    run_adapter(UnicornAdapter())
