"""The exchange's time, by a call that needs no key."""

from __future__ import annotations

import asyncio
import json

import urllib3

from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.exceptions import RateLimitError, ResponseError
from binance_margin_stream.http.transport import Timeout, Transport, create_ssl_context

__all__ = ["ServerTimeRequest"]

_TIMEOUT = Timeout(connect=3, read=3)


class ServerTimeRequest:
    """Asks ``GET /api/v3/time`` (weight 1), in a thread."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Raise `ApiValueError` for a `ca_file` that cannot be read."""
        self._url = f"{endpoints.rest}/api/v3/time"
        self._pool = urllib3.PoolManager(ssl_context=create_ssl_context(endpoints.ca_file))
        self._transport = Transport(self._pool)

    async def __call__(self) -> int:
        """Milliseconds since 1970-01-01 UTC. Raises `TransportError`, `RateLimitError` or `ResponseError`."""
        return await asyncio.to_thread(self._request)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _request(self) -> int:
        response = self._transport.send("GET", self._url, headers={}, body=None, timeout=_TIMEOUT)
        if response.status in (418, 429):
            wait = response.headers.get("Retry-After", "")
            raise RateLimitError(response.status, retry_after=float(wait) if wait.isdecimal() else 60.0)
        try:
            server_time = json.loads(response.body)["serverTime"]
            if response.status == 200 and type(server_time) is int:
                return server_time
        except (ValueError, TypeError, KeyError):
            pass
        raise ResponseError(
            f"the response to /api/v3/time has no time (HTTP {response.status})", status=response.status
        )
