"""The HTTP protocol of the server: bounded in bytes and time, and silent about malformed requests."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from binance_margin_stream.sandbox.error_responses import gateway_error_response
from binance_margin_stream.sandbox.server.websocket import CLOSE_TIMEOUT_SECONDS

__all__ = ["WebServer"]

_log = logging.getLogger(__name__)

_HEAD_TIMEOUT_SECONDS = 20.0
"""How long a client may take to send a request line with its headers."""

_MAX_HEAD_BYTES = 524_288
"""More than the parser accepts in a whole request head; it counts a head only once it is complete."""

_MAX_REQUEST_BYTES = 4_194_304
"""How much of a body and of the following requests is received while a request is handled."""

_IDLE_TIMEOUT_SECONDS = 75.0
"""How long a connection is kept open between two requests; the default of nginx."""

_WRITE_TIMEOUT_SECONDS = 30.0
"""How long a client may leave what it is sent unread."""


class WebServer(web.Server):
    """Accepts connections and passes their requests to a handler."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        async def handle_bounded(request: web.BaseRequest) -> web.StreamResponse:
            protocol = request.protocol
            if not isinstance(protocol, _RequestHandler):
                return await handle(request)
            limit = None if "Upgrade" in request.headers else _MAX_REQUEST_BYTES
            with protocol.limit_request(limit):
                return await handle(request)

        super().__init__(handle_bounded, handler_cancellation=True)

    def __call__(self) -> web.RequestHandler:
        """A protocol for one connection."""
        return _RequestHandler(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_TIMEOUT_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # None disables it, which the annotation lacks
            lingering_time=CLOSE_TIMEOUT_SECONDS,
            auto_decompress=False,
        )


class _RequestHandler(web.RequestHandler):
    """Responds to malformed HTTP with the gateway's page, and logs none of it, since it may contain secrets.

    A client that does not finish a request head in time, or does not read what it is sent, is disconnected.
    """

    _received_bytes = 0
    _byte_limit: int | None = _MAX_HEAD_BYTES
    _handles_request = False
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._byte_limit is not None and self._received_bytes > self._byte_limit:
            self._abort()
            return
        if not self._handles_request:
            self._start_head_timer()
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = asyncio.get_running_loop().call_later(_WRITE_TIMEOUT_SECONDS, self._abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().resume_writing()

    @contextmanager
    def limit_request(self, byte_limit: int | None) -> Iterator[None]:
        """Limit what is received while a request is handled, instead of the request head; None for a WebSocket."""
        self._byte_limit, self._received_bytes, self._handles_request = byte_limit, 0, True
        self._stop_head_timer()
        try:
            yield
        finally:
            self._byte_limit, self._received_bytes, self._handles_request = _MAX_HEAD_BYTES, 0, False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if exc is not None and status >= 500:
            _log.error("the sandbox failed to handle a request: %s", _describe_failure(exc))
        response = web.Response(status=status, body=gateway_error_response(status).body, content_type="text/html")
        response.force_close()
        return response

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Log nothing: the message of a parse error quotes the request."""

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(_HEAD_TIMEOUT_SECONDS, self._abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_timers(self) -> None:
        self._stop_head_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def _describe_failure(failure: BaseException) -> str:
    """Type and place of an internal error; its message might quote the request."""
    last = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__} at {last.name}, line {last.lineno}"
