"""Options for a ccxt client that sends every call to the sandbox, and none to the exchange."""

from __future__ import annotations

__all__ = ["build_ccxt_options"]

_REST_PATHS = {
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1",
    "fapiPrivateV2": "/fapi/v2",
    "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data",
    "dapiPublic": "/dapi/v1",
    "dapiPrivate": "/dapi/v1",
    "dapiPrivateV2": "/dapi/v2",
    "dapiData": "/futures/data",
    "eapiPublic": "/eapi/v1",
    "eapiPrivate": "/eapi/v1",
    "papi": "/papi/v1",
    "papiV2": "/papi/v2",
}
"""The names of ccxt 4.5.90; the sandbox refuses those that it does not serve."""
_STREAMS = ("spot", "margin", "linear", "inverse", "stock", "option", "optionMarket", "optionPrivate", "papi")
_WEBSOCKET_APIS = ("spot", "linear", "inverse")


def build_ccxt_options(rest: str, websocket_api: str, stream: str, api_key: str, api_secret: str) -> dict[str, object]:
    """The constructor's argument for ``ccxt.binance`` and ``ccxt.pro.binance``."""
    websocket: dict[str, object] = dict.fromkeys(_STREAMS, f"{stream}/ws")
    websocket["ws-api"] = dict.fromkeys(_WEBSOCKET_APIS, websocket_api)
    return {
        "apiKey": api_key,
        "secret": api_secret,
        "options": {"defaultType": "margin"},
        "urls": {"api": {**{name: rest + path for name, path in _REST_PATHS.items()}, "ws": websocket}},
    }
