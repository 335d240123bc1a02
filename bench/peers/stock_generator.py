"""The unmodified output of openapi-generator for the same spec."""

from __future__ import annotations

from collections.abc import Callable

from protocol import KEY, ClientAdapter, run_adapter

_NO_STREAM = "generated REST code has no stream"


class StockGeneratorAdapter(ClientAdapter):
    package = "openapi-generator-cli"
    rest_path = "/sapi/v1/userListenToken"
    imports = {
        "bare": "import stock_margin_stream",
        "client": "from stock_margin_stream import ApiClient, Configuration, ListenTokenApi\n"
        "ListenTokenApi(ApiClient(Configuration(api_key={'ApiKeyAuth': 'key'})))",
    }

    def unsupported(self) -> dict[str, str]:
        return dict.fromkeys(("stream", "decode", "follow", "idle"), _NO_STREAM)

    def make_call(self, url: str) -> Callable[[], object]:
        from stock_margin_stream import ApiClient, Configuration, ListenTokenApi

        configuration = Configuration(host=url, api_key={"ApiKeyAuth": KEY})
        return ListenTokenApi(ApiClient(configuration)).sapi_v1_user_listen_token_post


if __name__ == "__main__":
    run_adapter(StockGeneratorAdapter())
