"""HTTP and WebSocket around the exchange, inside one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from binance_margin_stream.sandbox.api.handshakes import is_websocket_path
from binance_margin_stream.sandbox.clock import Clock, to_milliseconds
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.control.http import (
    ControlError,
    ControlInterface,
    control_error_response,
    is_control_path,
)
from binance_margin_stream.sandbox.error_responses import RefusedError, error_response, gateway_error_response
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.messages import LoggedRequest, Pong, Request, Response
from binance_margin_stream.sandbox.server.journal import Journal
from binance_margin_stream.sandbox.server.origin import find_refusal_reason
from binance_margin_stream.sandbox.server.protocol import WebServer
from binance_margin_stream.sandbox.server.websocket import (
    CLOSE_TIMEOUT_SECONDS,
    SendQueue,
    reset_connection,
    to_frame,
    write_frames,
)

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.server.tls import Certificates

__all__ = ["Server"]

_REFUSED = "(refused)"
_MAX_FRAME_BYTES = 1_048_576
_BODY_TIMEOUT_SECONDS = 10.0
_HANDSHAKE_TIMEOUT_SECONDS = 10.0
_PONG_TIMEOUT_SECONDS = 0.25
_ACCEPT_ROUNDS = 5
"""Iterations of the event loop; a connection that is being accepted can be aborted after three."""


class Server:
    """Listens on one port, passes requests to the exchange and sends its responses and frames."""

    def __init__(
        self,
        exchange: Exchange,
        rules: ExchangeRules,
        clock: Clock,
        control: ControlInterface,
        certificates: Certificates | None,
        allowed_names: Collection[str],
        journal: Journal | None,
    ) -> None:
        """`allowed_names` are host names that clients may use beside ``localhost`` and IP addresses."""
        self._exchange = exchange
        self._allowed_names = allowed_names
        self._journal = journal
        self._control = control
        self._certificates = certificates
        self._rules = rules
        self._clock = clock
        self._send_queues: dict[int, SendQueue] = {}
        self._pong_received = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: int | None = None
        self._web_server = WebServer(self._handle_request)
        self._tcp_server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Start to listen; returns the port, which the system chooses for 0.

        Raises:
            OSError: the address cannot be used.

        """
        loop = asyncio.get_running_loop()
        self._exchange.set_signing_times(lambda: self._clock.get_signing_times(loop.time()))
        self._tcp_server = await loop.create_server(self._web_server, host, port, **self._tls_options())
        number: int = self._tcp_server.sockets[0].getsockname()[1]
        return number

    def _tls_options(self) -> dict[str, Any]:
        if self._certificates is None:
            return {}
        context = self._certificates.create_server_context(lambda: self._exchange.take_certificate_problem(self.now()))
        return {
            "ssl": context,
            "ssl_handshake_timeout": _HANDSHAKE_TIMEOUT_SECONDS,
            "ssl_shutdown_timeout": CLOSE_TIMEOUT_SECONDS,
        }

    async def stop(self) -> None:
        """Abort all connections and stop listening."""
        if self._tcp_server is not None:
            self._tcp_server.close()
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(_ACCEPT_ROUNDS):
            for connection in self._web_server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)
        await self._web_server.shutdown(CLOSE_TIMEOUT_SECONDS)

    def now(self) -> int:
        """Exchange time in milliseconds."""
        return self._clock.to_exchange_ms(asyncio.get_running_loop().time())

    def flush_outputs(self) -> None:
        """Send the exchange's frames, and set the timer for its next deadline."""
        for number, frame in self._exchange.take_outputs():
            queue = self._send_queues.get(number)
            if queue is not None:
                queue.put(frame)
        self._set_timer()

    async def advance(self, seconds: float) -> None:
        """Advance by seconds of exchange time, and give clients a moment to answer their pings.

        Raises:
            ValueError: a negative time, or one that the exchange does not allow; nothing happens.

        """
        now = self.now()
        self._exchange.check_jump(now, now + to_milliseconds(seconds))
        self._clock.advance(seconds)
        self._on_timer()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PONG_TIMEOUT_SECONDS):
                while self._exchange.is_awaiting_pong():
                    self._pong_received.clear()
                    await self._pong_received.wait()

    def _on_timer(self) -> None:
        self._timer_due = None
        self._exchange.advance(self.now())
        self.flush_outputs()

    def _set_timer(self) -> None:
        due = self._exchange.next_deadline()
        if due == self._timer_due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due = due
        loop = asyncio.get_running_loop()
        wait = None if due is None else self._clock.seconds_until(due, loop.time())
        if wait is not None:
            self._timer = loop.call_later(max(wait, 0.001), self._on_timer)

    async def _handle_request(self, request: web.BaseRequest) -> web.StreamResponse:
        reason = find_refusal_reason(_to_request(request), self._allowed_names)
        if reason is not None:
            return self._build_response(self._refuse_foreign(request, reason))
        if is_websocket_path(request.raw_path):
            return await self._handle_websocket(request)
        try:
            body = await _read_body(request, self._rules.max_body_bytes)
        except TimeoutError:
            return self._build_response(gateway_error_response(408))
        except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError):
            return self._build_response(gateway_error_response(400))
        if is_control_path(request.raw_path):
            return self._build_response(await self._handle_control(_to_request(request, body)))
        response = self._handle_rest(_to_request(request, body))
        self.flush_outputs()
        return await self._send_response(request, response)

    def _handle_rest(self, request: Request) -> Response:
        """Handle a call; what has changed is in the journal before the response is sent."""
        now, executed_before = self.now(), self._exchange.executed_calls
        response = self._exchange.handle_rest(request, now)
        if self._journal is not None:
            if request.method != "GET" and self._exchange.executed_calls > executed_before:
                self._journal.add_request(request, now)
            else:
                self._journal.record_time(now)
        return response

    def _refuse_foreign(self, request: web.BaseRequest, reason: str) -> Response:
        """Refuse a request of a foreign page; it counts nowhere but in the request log."""
        self._exchange.log_request(LoggedRequest(self.now(), request.remote or "", request.method, _REFUSED, 403))
        if is_control_path(request.raw_path):
            return control_error_response(ControlError(403, reason))
        return error_response(RefusedError(-1002, f"The sandbox refused this request: {reason}."), self._rules, 403)

    async def _handle_control(self, request: Request) -> Response:
        try:
            routed = self._control.route(request, lambda: self._exchange.snapshot(self.now()))
            self.flush_outputs()
            # An operation waits for this event loop, so it must not run in its thread.
            return routed if isinstance(routed, Response) else await asyncio.to_thread(self._control.run, routed)
        except ControlError as error:
            return control_error_response(error)

    async def _send_response(self, request: web.BaseRequest, response: Response) -> web.StreamResponse:
        if response.delay_ms:
            await asyncio.sleep(response.delay_ms / 1000)
        built = self._build_response(response)
        if response.delivery == "never":
            await _wait_forever()
        if response.delivery == "truncated":
            await _send_truncated(request, built, response.body)
        if response.delivery == "reset" and request.transport is not None:
            reset_connection(request.transport)
        return built

    def _build_response(self, response: Response) -> web.Response:
        headers = CIMultiDict(response.headers)
        headers.setdefault("Date", formatdate(self.now() / 1000, usegmt=True))
        headers.setdefault("Server", "nginx")
        return web.Response(status=response.status or 500, body=response.body, headers=headers)

    async def _handle_websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_SECONDS,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=_MAX_FRAME_BYTES,
        )
        transport = request.transport
        if transport is None or not _is_handshake(socket, request):
            return self._build_response(gateway_error_response(400))
        accepted = self._exchange.handle_handshake(_to_request(request), self.now())
        if isinstance(accepted, Response):
            self.flush_outputs()
            return self._build_response(accepted)
        queue = self._send_queues[accepted.connection_id] = SendQueue(transport)
        self.flush_outputs()
        try:
            await asyncio.sleep(accepted.delay_ms / 1000)
            socket.headers.update(self._build_response(Response(101)).headers)
            await socket.prepare(request)
            await self._run_websocket(accepted.connection_id, queue, socket, transport)
        finally:
            del self._send_queues[accepted.connection_id]
            self._exchange.on_disconnected(accepted.connection_id, self.now())
            self.flush_outputs()
        return socket

    async def _run_websocket(
        self, number: int, queue: SendQueue, socket: web.WebSocketResponse, transport: asyncio.Transport
    ) -> None:
        writer = asyncio.create_task(write_frames(queue, socket, transport))
        try:
            await self._read_frames(number, socket)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _read_frames(self, number: int, socket: web.WebSocketResponse) -> None:
        while (frame := to_frame(await socket.receive())) is not None:
            self._exchange.receive(number, frame, self.now())
            self.flush_outputs()
            if isinstance(frame, Pong):
                self._pong_received.set()
        if self._exchange.is_silent(number):
            # A silent connection does not answer a close frame either; the client has to time out.
            await _wait_forever()
        await socket.close()


def _to_request(request: web.BaseRequest, body: bytes = b"") -> Request:
    headers = tuple((_decode_header(name), _decode_header(value)) for name, value in request.raw_headers)
    return Request(request.method, request.raw_path, headers, body, request.remote or "")


def _decode_header(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


async def _read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The body, or enough of it to see that it is too long."""
    body = bytearray()
    async with asyncio.timeout(_BODY_TIMEOUT_SECONDS):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                break
    return bytes(body)


async def _send_truncated(request: web.BaseRequest, response: web.Response, body: bytes) -> None:
    transport = request.transport
    if transport is None:
        return
    if body:
        half = web.StreamResponse(status=response.status, headers=response.headers)
        half.content_length = len(body)
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
    else:
        transport.write(b"HTTP/1.1 200 OK\r\nConte")
    transport.close()


async def _wait_forever() -> None:
    """Wait until the connection ends or the server stops, either of which cancels this."""
    await asyncio.get_running_loop().create_future()


def _is_handshake(socket: web.WebSocketResponse, request: web.BaseRequest) -> bool:
    try:
        return bool(socket.can_prepare(request))
    except ValueError:
        return False  # aiohttp fails on headers that are not text
