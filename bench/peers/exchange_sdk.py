"""The exchange's own SDK for margin, with a listen key V2."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from protocol import KEY, SECRET, ClientAdapter, Handler, run_adapter


class ExchangeSdkAdapter(ClientAdapter):
    package = "binance-sdk-margin-trading"
    rest_path = "/sapi/v2/margin/listen-key"
    imports = {
        "bare": "import binance_sdk_margin_trading",
        "client": "from binance_sdk_margin_trading.margin_trading import ConfigurationRestAPI, MarginTrading\n"
        "MarginTrading(config_rest_api=ConfigurationRestAPI('key', 'secret')).rest_api",
        "stream": "from binance_sdk_margin_trading.margin_trading import ConfigurationWebSocketStreams, MarginTrading\n"
        "MarginTrading(config_ws_streams=ConfigurationWebSocketStreams()).websocket_streams",
    }

    def unsupported(self) -> dict[str, str]:
        return {"idle": "creates listen keys for the cross account only"}

    def make_call(self, url: str) -> Callable[[], object]:
        api = self._make_sdk(url, url, KEY).rest_api
        return lambda: api.start_user_data_stream_v2().data()

    def make_decoder(self) -> Callable[[bytes], object]:
        from binance_common.utils import parse_user_event
        from binance_sdk_margin_trading.websocket_streams.models import TradeDataStreamEventsResponse

        return lambda frame: parse_user_event(json.loads(frame)["event"], TradeDataStreamEventsResponse)

    async def follow(self, config: dict[str, Any], handler: Handler) -> None:
        sdk = self._make_sdk(config["rest"], config["stream"], config["key"])
        key = sdk.rest_api.start_user_data_stream_v2().data().listen_key
        await sdk.websocket_streams.create_connection()
        stream = await sdk.websocket_streams.trade_data(listenKey=key)
        stream.on("message", lambda message: handler.on_raw_event(_to_dict(message)))
        for kind in ("error", "close", "reconnect"):
            sdk.websocket_streams.on_connection(
                kind, lambda *_, kind=kind: handler.on_notice(f"connection event: {kind}")
            )
        while True:
            await asyncio.sleep(config["validity"] / 2)
            await asyncio.to_thread(sdk.rest_api.keepalive_user_data_stream_v2, key)

    @staticmethod
    def _make_sdk(rest: str, stream: str, key: str) -> Any:
        from binance_sdk_margin_trading.margin_trading import (
            ConfigurationRestAPI,
            ConfigurationWebSocketStreams,
            MarginTrading,
        )

        return MarginTrading(
            config_rest_api=ConfigurationRestAPI(key, SECRET, base_path=rest),
            config_ws_streams=ConfigurationWebSocketStreams(stream_url=stream),
        )


def _to_dict(message: Any) -> object:
    event = getattr(message, "actual_instance", message)
    if type(event).__name__ == "ExecutionReport":
        return {"e": "executionReport", "i": event.i}
    return event if isinstance(event, dict) else {"e": type(event).__name__}


if __name__ == "__main__":
    run_adapter(ExchangeSdkAdapter())
