"""The addresses of the exchange."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Endpoints", "is_loopback"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The base URLs of one exchange.

    There is no testnet for margin: use `Endpoints.production()` or the `endpoints` of a running sandbox.
    """

    rest: str
    """The REST API, such as ``https://api.binance.com``."""

    websocket_api: str
    """The WebSocket API, for listen tokens: the complete URL with path."""

    stream: str
    """The stream host of the listen key that was retired in February 2026: URL without path."""

    margin_stream: str
    """The stream host of the risk listen key: URL without path."""

    listen_key_v2: str | None = None
    """The stream host of the listen key V2: URL without path. None uses `margin_stream`.

    The exchange does not document it. If no events arrive, try the URL of `stream`.
    """

    listen_key_uta: str | None = None
    """The stream host of the listen key of a unified account: URL without ``/stream``. None uses `margin_stream`.

    The exchange does not document it. `production` has the host that one client reports.
    """

    ca_file: str | None = None
    """Path of a PEM file with the certificates to trust instead of the system's, for REST and WebSocket.

    For an exchange with its own certificate, such as a sandbox with TLS.
    """

    @classmethod
    def production(cls) -> Endpoints:
        """Return the endpoints of the real exchange."""
        return cls(
            rest="https://api.binance.com",
            websocket_api="wss://ws-api.binance.com:443/ws-api/v3",
            stream="wss://stream.binance.com:9443",
            margin_stream="wss://margin-stream.binance.com",
            listen_key_uta="wss://fstream.binance.com/private",
        )


def is_loopback(address: str) -> bool:
    """Whether a URL is on this machine, where proxies of the environment are not used."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
