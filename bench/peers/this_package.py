"""This package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from protocol import KEY, Contestant, Handler, answer


class Ours(Contestant):
    package = "binance-margin-stream"
    path = "/sapi/v1/userListenToken"
    imports = {
        "bare": "import binance_margin_stream",
        "client": "from binance_margin_stream import ApiClient, ApiKeyAuth, ListenTokenApi\n"
        "ListenTokenApi(ApiClient(auth=ApiKeyAuth('key')))",
        "stream": "from binance_margin_stream import ApiKeyAuth, AsyncMarginStream\n"
        "AsyncMarginStream(ApiKeyAuth('key'))",
    }

    def call(self, url: str) -> Callable[[], object]:
        from binance_margin_stream import ApiClient, ApiKeyAuth, Endpoints, ListenTokenApi

        endpoints = Endpoints(url, "ws://127.0.0.1:1", "ws://127.0.0.1:1", "ws://127.0.0.1:1")
        return ListenTokenApi(ApiClient(auth=ApiKeyAuth(KEY), endpoints=endpoints)).sapi_v1_user_listen_token_post

    def decoder(self) -> Callable[[bytes], object]:
        from binance_margin_stream.stream.accounts import CROSS
        from binance_margin_stream.stream.events.decoder import decode

        return partial(decode, accounts={3: CROSS})

    async def follow(self, places: dict[str, Any], handler: Handler) -> None:
        from binance_margin_stream import ApiKeyAuth, AsyncMarginStream, ExecutionReport, StreamGap, StreamSettings

        endpoints = _endpoints(places)
        rules = StreamSettings(token_validity=places["validity"])
        if places["quick"]:
            rules = replace(rules, idle_timeout=3.0)
        async with AsyncMarginStream(ApiKeyAuth(places["key"]), endpoints=endpoints, settings=rules) as stream:
            async for item in stream:
                if isinstance(item, ExecutionReport):
                    handler.event(item.order_id)
                elif isinstance(item, StreamGap):
                    handler.told(f"gap: {item.reason}")

    async def hold(self, places: dict[str, Any], symbols: list[str]) -> object:
        from binance_margin_stream import ApiKeyAuth, AsyncMarginStream, isolated

        accounts = [isolated(symbol) for symbol in symbols]
        stream = AsyncMarginStream(ApiKeyAuth(places["key"]), accounts, endpoints=_endpoints(places))
        return await stream.__aenter__()


def _endpoints(places: dict[str, Any]) -> Any:
    from binance_margin_stream import Endpoints

    return Endpoints(places["rest"], places["websocket_api"], places["stream"], places["margin_stream"])


if __name__ == "__main__":
    answer(Ours())
