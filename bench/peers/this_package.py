"""This package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from protocol import KEY, ClientAdapter, Handler, run_adapter


class ThisPackageAdapter(ClientAdapter):
    package = "binance-margin-stream"
    rest_path = "/sapi/v1/userListenToken"
    imports = {
        "bare": "import binance_margin_stream",
        "client": "from binance_margin_stream import ApiClient, ApiKeyAuth, ListenTokenApi\n"
        "ListenTokenApi(ApiClient(auth=ApiKeyAuth('key')))",
        "stream": "from binance_margin_stream import ApiKeyAuth, AsyncMarginStream\n"
        "AsyncMarginStream(ApiKeyAuth('key'))",
    }

    def make_call(self, url: str) -> Callable[[], object]:
        from binance_margin_stream import ApiClient, ApiKeyAuth, Endpoints, ListenTokenApi

        endpoints = Endpoints(url, "ws://127.0.0.1:1", "ws://127.0.0.1:1", "ws://127.0.0.1:1")
        return ListenTokenApi(ApiClient(auth=ApiKeyAuth(KEY), endpoints=endpoints)).sapi_v1_user_listen_token_post

    def make_decoder(self) -> Callable[[bytes], object]:
        from binance_margin_stream.stream.accounts import CROSS
        from binance_margin_stream.stream.events.decoder import decode

        return partial(decode, accounts={3: CROSS})

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        from binance_margin_stream import ApiKeyAuth, AsyncMarginStream, ExecutionReport, StreamGap, StreamSettings

        endpoints = _make_endpoints(config)
        settings = StreamSettings(token_validity=config["validity"])
        if config["quick"]:
            settings = replace(settings, idle_timeout=3.0)
        async with AsyncMarginStream(ApiKeyAuth(config["key"]), endpoints=endpoints, settings=settings) as stream:
            async for item in stream:
                if isinstance(item, ExecutionReport):
                    handler.on_event(item.order_id)
                elif isinstance(item, StreamGap):
                    handler.on_notice(f"gap: {item.reason}")

    async def open_idle_streams(self, config: dict[str, Any], symbols: list[str]) -> object:
        from binance_margin_stream import ApiKeyAuth, AsyncMarginStream, isolated

        accounts = [isolated(symbol) for symbol in symbols]
        stream = AsyncMarginStream(ApiKeyAuth(config["key"]), accounts, endpoints=_make_endpoints(config))
        return await stream.__aenter__()


def _make_endpoints(config: dict[str, Any]) -> Any:
    from binance_margin_stream import Endpoints

    return Endpoints(config["rest"], config["websocket_api"], config["stream"], config["margin_stream"])


if __name__ == "__main__":
    run_adapter(ThisPackageAdapter())
