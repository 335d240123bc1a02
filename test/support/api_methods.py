"""All calls, for tests that apply to each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import binance_margin_stream as sdk

CALLER_LISTEN_KEY = "PLANTED-LISTEN-KEY+/of-the-caller=="
LISTEN_KEY = "PLANTED-LISTEN-KEY+/of-the-exchange=="
LISTEN_TOKEN = "PLANTED-LISTEN-TOKEN+/of-the-exchange=="
API_KEY = "PLANTED-API-KEY-" + "k" * 48
API_SECRET = "PLANTED-API-SECRET-" + "s" * 45
PLANTED_SECRETS = (CALLER_LISTEN_KEY, LISTEN_KEY, LISTEN_TOKEN, API_KEY, API_SECRET)


@dataclass(frozen=True)
class ApiMethod:
    """One operation with valid arguments and a valid response body."""

    api_class: str
    name: str
    path: str
    arguments: dict[str, object] = field(default_factory=dict)
    valid_body: str = ""

    @property
    def http_method(self) -> str:
        return self.name.rpartition("_")[2].upper()

    def bind(self, client: sdk.ApiClient) -> Callable[..., object]:
        """Return the bound method with its arguments."""
        method = getattr(getattr(sdk, self.api_class)(client), self.name)
        return lambda **more: method(**{**self.arguments, **more})

    def __str__(self) -> str:
        return self.name


LISTEN_KEY_BODY = f'{{"listenKey": "{LISTEN_KEY}"}}'
LISTEN_TOKEN_BODY = f'{{"token": "{LISTEN_TOKEN}", "expirationTime": 1798761600000}}'
KEY_ARGUMENTS = {"listen_key": CALLER_LISTEN_KEY}
SYMBOL_ARGUMENTS = {"symbol": "BTCUSDT"}

API_METHODS = [
    ApiMethod("MarginStreamApi", "sapi_v1_user_data_stream_post", "/sapi/v1/userDataStream", {}, LISTEN_KEY_BODY),
    ApiMethod("MarginStreamApi", "sapi_v1_user_data_stream_put", "/sapi/v1/userDataStream", KEY_ARGUMENTS, "{}"),
    ApiMethod("MarginStreamApi", "sapi_v1_user_data_stream_delete", "/sapi/v1/userDataStream", KEY_ARGUMENTS, "{}"),
    ApiMethod(
        "IsolatedMarginStreamApi",
        "sapi_v1_user_data_stream_isolated_post",
        "/sapi/v1/userDataStream/isolated",
        SYMBOL_ARGUMENTS,
        LISTEN_KEY_BODY,
    ),
    ApiMethod(
        "IsolatedMarginStreamApi",
        "sapi_v1_user_data_stream_isolated_put",
        "/sapi/v1/userDataStream/isolated",
        SYMBOL_ARGUMENTS | KEY_ARGUMENTS,
        "{}",
    ),
    ApiMethod(
        "IsolatedMarginStreamApi",
        "sapi_v1_user_data_stream_isolated_delete",
        "/sapi/v1/userDataStream/isolated",
        SYMBOL_ARGUMENTS | KEY_ARGUMENTS,
        "{}",
    ),
    ApiMethod("ListenTokenApi", "sapi_v1_user_listen_token_post", "/sapi/v1/userListenToken", {}, LISTEN_TOKEN_BODY),
    ApiMethod(
        "MarginListenKeyApi", "sapi_v2_margin_listen_key_post", "/sapi/v2/margin/listen-key", {}, LISTEN_KEY_BODY
    ),
    ApiMethod("MarginListenKeyApi", "sapi_v2_margin_listen_key_put", "/sapi/v2/margin/listen-key", KEY_ARGUMENTS),
    ApiMethod("MarginListenKeyApi", "sapi_v2_margin_listen_key_delete", "/sapi/v2/margin/listen-key"),
    ApiMethod(
        "UtaListenKeyApi", "sapi_v2_margin_uta_listen_key_post", "/sapi/v2/margin/uta/listen-key", {}, LISTEN_KEY_BODY
    ),
    ApiMethod("UtaListenKeyApi", "sapi_v2_margin_uta_listen_key_put", "/sapi/v2/margin/uta/listen-key", KEY_ARGUMENTS),
    ApiMethod("UtaListenKeyApi", "sapi_v2_margin_uta_listen_key_delete", "/sapi/v2/margin/uta/listen-key"),
    ApiMethod("RiskStreamApi", "sapi_v1_margin_listen_key_post", "/sapi/v1/margin/listen-key", {}, LISTEN_KEY_BODY),
    ApiMethod("RiskStreamApi", "sapi_v1_margin_listen_key_put", "/sapi/v1/margin/listen-key", KEY_ARGUMENTS),
    ApiMethod("RiskStreamApi", "sapi_v1_margin_listen_key_delete", "/sapi/v1/margin/listen-key"),
]
"""The sixteen calls that create, extend and close credentials."""

READ_METHODS = [
    ApiMethod("MarginAccountApi", "sapi_v1_margin_account_get", "/sapi/v1/margin/account", {}, '{"userAssets": []}'),
    ApiMethod(
        "MarginAccountApi",
        "sapi_v1_margin_isolated_account_get",
        "/sapi/v1/margin/isolated/account",
        {"symbols": "BTCUSDT"},
        '{"assets": []}',
    ),
    ApiMethod(
        "MarginOrdersApi",
        "sapi_v1_margin_order_get",
        "/sapi/v1/margin/order",
        SYMBOL_ARGUMENTS | {"order_id": 42},
        """{"clientOrderId": "a1", "cummulativeQuoteQty": "0", "executedQty": "0", "orderId": 42, "origQty": "1",
            "price": "2", "side": "BUY", "status": "NEW", "symbol": "BTCUSDT", "time": 1, "timeInForce": "GTC",
            "type": "LIMIT", "updateTime": 1}""",
    ),
    ApiMethod("MarginOrdersApi", "sapi_v1_margin_open_orders_get", "/sapi/v1/margin/openOrders", {}, "[]"),
    ApiMethod("MarginOrdersApi", "sapi_v1_margin_all_orders_get", "/sapi/v1/margin/allOrders", SYMBOL_ARGUMENTS, "[]"),
    ApiMethod("MarginOrdersApi", "sapi_v1_margin_my_trades_get", "/sapi/v1/margin/myTrades", SYMBOL_ARGUMENTS, "[]"),
    ApiMethod("MarginRecordsApi", "sapi_v1_margin_capital_flow_get", "/sapi/v1/margin/capital-flow", {}, "[]"),
    ApiMethod("ServerTimeApi", "api_v3_time_get", "/api/v3/time", {}, '{"serverTime": 1798761600000}'),
]
"""The calls that read an account, which must be signed, and the time of the exchange."""
