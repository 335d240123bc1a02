"""Where the exchange listens: hosts, as values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Endpoints", "is_loopback"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The base addresses of one exchange; every one is configuration.

    There is no testnet for margin: take `Endpoints.production()` or the `endpoints` of a running sandbox.
    """

    rest: str
    """REST calls, such as ``https://api.binance.com``."""

    websocket_api: str
    """The WebSocket API, which takes listen tokens: the whole address, path included."""

    stream: str
    """The stream host of the listen key that was retired in February 2026: address without path."""

    margin_stream: str
    """The stream host of the risk listen key: address without path."""

    listen_key_v2: str | None = None
    """The stream host of the listen key V2; that of the risk listen key when None.

    The exchange does not document it. Where no events come, try the address of `stream`.
    """

    ca_file: str | None = None
    """Path of a PEM file with the certificates to trust in place of the system's, for REST and WebSocket alike.

    For an exchange with a certificate of its own, such as a sandbox with TLS.
    """

    @classmethod
    def production(cls) -> Endpoints:
        """The real exchange, where orders cost money."""
        return cls(
            rest="https://api.binance.com",
            websocket_api="wss://ws-api.binance.com:443/ws-api/v3",
            stream="wss://stream.binance.com:9443",
            margin_stream="wss://margin-stream.binance.com",
        )


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine, where the environment's proxy has no business."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
