"""All thirteen calls, for tests that hold for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import binance_margin_stream as sdk

GIVEN_KEY = "PLANTED-LISTEN-KEY+/of-the-caller=="
LISTEN_KEY = "PLANTED-LISTEN-KEY+/of-the-exchange=="
LISTEN_TOKEN = "PLANTED-LISTEN-TOKEN+/of-the-exchange=="
API_KEY = "PLANTED-API-KEY-" + "k" * 48
API_SECRET = "PLANTED-API-SECRET-" + "s" * 45
PLANTED = (GIVEN_KEY, LISTEN_KEY, LISTEN_TOKEN, API_KEY, API_SECRET)


@dataclass(frozen=True)
class Call:
    """One operation with arguments that the spec allows, and a body that it promises."""

    api: str
    name: str
    path: str
    arguments: dict[str, object] = field(default_factory=dict)
    good_body: str = ""

    @property
    def method(self) -> str:
        return self.name.rpartition("_")[2].upper()

    def on(self, client: sdk.ApiClient) -> Callable[..., object]:
        """The bound method, its arguments filled in."""
        method = getattr(getattr(sdk, self.api)(client), self.name)
        return lambda **more: method(**{**self.arguments, **more})

    def __str__(self) -> str:
        return self.name


KEY_BODY = f'{{"listenKey": "{LISTEN_KEY}"}}'
TOKEN_BODY = f'{{"token": "{LISTEN_TOKEN}", "expirationTime": 1798761600000}}'
KEY = {"listen_key": GIVEN_KEY}
PAIR = {"symbol": "BTCUSDT"}

CALLS = [
    Call("MarginStreamApi", "sapi_v1_user_data_stream_post", "/sapi/v1/userDataStream", {}, KEY_BODY),
    Call("MarginStreamApi", "sapi_v1_user_data_stream_put", "/sapi/v1/userDataStream", KEY, "{}"),
    Call("MarginStreamApi", "sapi_v1_user_data_stream_delete", "/sapi/v1/userDataStream", KEY, "{}"),
    Call(
        "IsolatedMarginStreamApi",
        "sapi_v1_user_data_stream_isolated_post",
        "/sapi/v1/userDataStream/isolated",
        PAIR,
        KEY_BODY,
    ),
    Call(
        "IsolatedMarginStreamApi",
        "sapi_v1_user_data_stream_isolated_put",
        "/sapi/v1/userDataStream/isolated",
        PAIR | KEY,
        "{}",
    ),
    Call(
        "IsolatedMarginStreamApi",
        "sapi_v1_user_data_stream_isolated_delete",
        "/sapi/v1/userDataStream/isolated",
        PAIR | KEY,
        "{}",
    ),
    Call("ListenTokenApi", "sapi_v1_user_listen_token_post", "/sapi/v1/userListenToken", {}, TOKEN_BODY),
    Call("MarginListenKeyApi", "sapi_v2_margin_listen_key_post", "/sapi/v2/margin/listen-key", {}, KEY_BODY),
    Call("MarginListenKeyApi", "sapi_v2_margin_listen_key_put", "/sapi/v2/margin/listen-key", KEY),
    Call("MarginListenKeyApi", "sapi_v2_margin_listen_key_delete", "/sapi/v2/margin/listen-key"),
    Call("RiskStreamApi", "sapi_v1_margin_listen_key_post", "/sapi/v1/margin/listen-key", {}, KEY_BODY),
    Call("RiskStreamApi", "sapi_v1_margin_listen_key_put", "/sapi/v1/margin/listen-key", KEY),
    Call("RiskStreamApi", "sapi_v1_margin_listen_key_delete", "/sapi/v1/margin/listen-key"),
]
