"""``/health`` and ``/metrics`` over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from binance_margin_stream.relay.errors import RelayError

__all__ = ["HttpServer", "Page"]

_TIMEOUT = 5.0
_MAX_REQUEST = 8192
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Page:
    """What is sent for a path."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"

    @classmethod
    def from_json(cls, value: Mapping[str, object], status: int = 200) -> Page:
        """A page that holds JSON."""
        return cls(json.dumps(value).encode(), status)


class HttpServer:
    """Serves a few pages; one request a connection, bounded in size and time."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RelayError("the health endpoint is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any. Raises `RelayError` when the address is not to be had."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_REQUEST)
        except OSError as error:
            problem = error.strerror
        else:
            return
        raise RelayError(f"the health endpoint cannot listen on {host}:{port}: {problem}")

    async def close(self) -> None:
        """Stop listening; may be called again."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                page = self._find_page(head.split(b"\r\n", 1)[0].decode("latin-1").split(" "))
                writer.write(
                    f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\nContent-Type: {page.content_type}\r\n"
                    f"Content-Length: {len(page.body)}\r\nConnection: close\r\n\r\n".encode()
                    + page.body
                )
                await writer.drain()
        writer.close()

    def _find_page(self, request: list[str]) -> Page:
        if request[0] != "GET":
            return Page.from_json({"error": "only GET"}, 405)
        path = request[1].partition("?")[0] if len(request) > 1 else ""
        page = self._pages.get(path)
        return page() if page is not None else Page.from_json({"error": f"try {', '.join(self._pages)}"}, 404)
