"""HTTP and WebSocket around the exchange, inside one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from binance_margin_stream.sandbox.api.handshakes import is_websocket_path
from binance_margin_stream.sandbox.clock import Clock
from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.control.http import ControlError, Work, failed, is_control_path, result, route
from binance_margin_stream.sandbox.control.operations import JSON
from binance_margin_stream.sandbox.error_responses import page
from binance_margin_stream.sandbox.exchange import Exchange
from binance_margin_stream.sandbox.messages import Answer, Pong, Request
from binance_margin_stream.sandbox.server.websocket import CLOSE_SECONDS, Link, frame_of, reset, write

if TYPE_CHECKING:
    from binance_margin_stream.sandbox.server.tls import Certificates

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_LARGEST_FRAME = 1_048_576
_BODY_SECONDS = 10.0
_HANDSHAKE_SECONDS = 10.0
_PONG_SECONDS = 0.25
_ACCEPTING = 5
"""Rounds of the event loop: what is being accepted is a connection that can be ended after three."""


class _Gateway(web.RequestHandler):
    """Answers what is not even HTTP with the gateway's page, and logs none of it: it may hold secrets."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if exc is not None and status >= 500:
            _log.error("the sandbox failed to answer: %s", _place_of(exc))
        response = web.Response(status=status, body=page(status).body, content_type="text/html")
        response.force_close()
        return response

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Nothing: the text of a parse error quotes the request."""


class _Listener(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Gateway(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None turns it off; the annotation forgets that
            lingering_time=CLOSE_SECONDS,
            auto_decompress=False,
        )


class Server:
    """Listens on one port, hands everything to the exchange and sends what it says."""

    def __init__(
        self,
        exchange: Exchange,
        rules: Rules,
        clock: Clock,
        carry_out: Callable[[Work], JSON],
        certificates: Certificates | None,
    ) -> None:
        """`carry_out` does the work of an operation; it is called in a thread of its own and may block."""
        self._exchange = exchange
        self._carry_out = carry_out
        self._certificates = certificates
        self._host = ""
        self._rules = rules
        self._clock = clock
        self._links: dict[int, Link] = {}
        self._pong = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due: int | None = None
        self._listener = _Listener(self._handle, handler_cancellation=True)
        self._socket: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chose where 0 was given.

        Raises:
            OSError: the address cannot be used.

        """
        self._host = host
        loop = asyncio.get_running_loop()
        self._socket = await loop.create_server(self._listener, host, port, **self._tls())
        number: int = self._socket.sockets[0].getsockname()[1]
        return number

    def _tls(self) -> dict[str, Any]:
        if self._certificates is None:
            return {}
        context = self._certificates.context(lambda: self._exchange.certificate_fault(self.now()))
        return {"ssl": context, "ssl_handshake_timeout": _HANDSHAKE_SECONDS, "ssl_shutdown_timeout": CLOSE_SECONDS}

    async def stop(self) -> None:
        """End every connection at once and stop listening."""
        if self._socket is not None:
            self._socket.close()
        if self._alarm is not None:
            self._alarm.cancel()
        for _ in range(_ACCEPTING):
            for connection in self._listener.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)
        await self._listener.shutdown(CLOSE_SECONDS)

    def now(self) -> int:
        """Exchange time in milliseconds."""
        return self._clock.at(asyncio.get_running_loop().time())

    def pump(self) -> None:
        """Send what the exchange has to say, and wake up when it has something to do."""
        for number, frame in self._exchange.take_outputs():
            link = self._links.get(number)
            if link is not None:
                link.put(frame)
        self._set_alarm()

    async def step(self, seconds: float) -> None:
        """Jump ahead by seconds of exchange time, and give clients a moment to answer their pings."""
        self._clock.step(seconds)
        self._wake()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PONG_SECONDS):
                while self._exchange.awaits_pong():
                    self._pong.clear()
                    await self._pong.wait()

    def _wake(self) -> None:
        self._alarm_due = None
        self._exchange.advance(self.now())
        self.pump()

    def _set_alarm(self) -> None:
        due = self._exchange.next_deadline()
        if due == self._alarm_due:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_due = due
        loop = asyncio.get_running_loop()
        wait = None if due is None else self._clock.wait_for(due, loop.time())
        if wait is not None:
            self._alarm = loop.call_later(max(wait, 0.001), self._wake)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if is_websocket_path(request.raw_path):
            return await self._websocket(request)
        try:
            body = await _body(request, self._rules.body_limit)
        except TimeoutError:
            return self._response(page(408))
        except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError):
            return self._response(page(400))
        if is_control_path(request.raw_path):
            return self._response(await self._control(_plain(request, body)))
        answer = self._exchange.rest(_plain(request, body), self.now())
        self.pump()
        return await self._deliver(request, answer)

    async def _control(self, request: Request) -> Answer:
        try:
            routed = route(request, self._host, self._rules.body_limit, lambda: self._exchange.overview(self.now()))
            self.pump()
            if isinstance(routed, Answer):
                return routed
            return result({"result": await asyncio.to_thread(self._carry_out, routed)})
        except ControlError as error:
            return failed(error)
        except ValueError as error:
            return failed(ControlError(400, str(error)))
        except (RuntimeError, TimeoutError):
            return failed(ControlError(503, "the sandbox is closing"))

    async def _deliver(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.delay_ms:
            await asyncio.sleep(answer.delay_ms / 1000)
        response = self._response(answer)
        if answer.delivery == "hang":
            await _for_ever()
        if answer.delivery == "half":
            await _send_half(request, response, answer.body)
        if answer.delivery == "reset" and request.transport is not None:
            reset(request.transport)
        return response

    def _response(self, answer: Answer) -> web.Response:
        headers = CIMultiDict(answer.headers)
        headers.setdefault("Date", formatdate(self.now() / 1000, usegmt=True))
        headers.setdefault("Server", "nginx")
        return web.Response(status=answer.status or 500, body=answer.body, headers=headers)

    async def _websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=_LARGEST_FRAME,
        )
        transport = request.transport
        if transport is None or not _is_handshake(socket, request):
            return self._response(page(400))
        opened = self._exchange.connect(_plain(request), self.now())
        if isinstance(opened, Answer):
            self.pump()
            return self._response(opened)
        link = self._links[opened.connection] = Link(transport)
        self.pump()
        try:
            await asyncio.sleep(opened.delay_ms / 1000)
            socket.headers.update(self._response(Answer(101)).headers)
            await socket.prepare(request)
            await self._talk(opened.connection, link, socket, transport)
        finally:
            del self._links[opened.connection]
            self._exchange.disconnected(opened.connection, self.now())
            self.pump()
        return socket

    async def _talk(self, number: int, link: Link, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        writer = asyncio.create_task(write(link, socket, transport))
        try:
            await self._read(number, socket)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _read(self, number: int, socket: web.WebSocketResponse) -> None:
        while (frame := frame_of(await socket.receive())) is not None:
            self._exchange.receive(number, frame, self.now())
            self.pump()
            if isinstance(frame, Pong):
                self._pong.set()
        if self._exchange.is_frozen(number):
            # A frozen exchange does not answer a close frame either: the client has to give up on it.
            await _for_ever()
        await socket.close()


def _place_of(failure: BaseException) -> str:
    """Kind and place of a mistake of ours; its text might quote the request."""
    last = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__} at {last.name}, line {last.lineno}"


def _plain(request: web.BaseRequest, body: bytes = b"") -> Request:
    headers = tuple((_text(name), _text(value)) for name, value in request.raw_headers)
    return Request(request.method, request.raw_path, headers, body, request.remote or "")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


async def _body(request: web.BaseRequest, limit: int) -> bytes:
    """The body, or as much of it as shows that it is too long."""
    body = bytearray()
    async with asyncio.timeout(_BODY_SECONDS):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                break
    return bytes(body)


async def _send_half(request: web.BaseRequest, response: web.Response, body: bytes) -> None:
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


async def _for_ever() -> None:
    """Wait until the connection is lost or the server stops, which cancels this."""
    await asyncio.get_running_loop().create_future()


def _is_handshake(socket: web.WebSocketResponse, request: web.BaseRequest) -> bool:
    try:
        return bool(socket.can_prepare(request))
    except ValueError:
        return False  # headers that are not even text; the library trips over them
