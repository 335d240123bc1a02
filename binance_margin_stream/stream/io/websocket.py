"""One WebSocket connection: opening, messages, pings and closing, each within a timeout. It makes no decisions."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from binance_margin_stream.endpoints import is_loopback
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.stream.failures import Failure, FailureKind, classify_status

__all__ = ["ConnectionListener", "WebSocketConnection"]

MAX_MESSAGE_SIZE = 1 << 20
"""In bytes. The longest message of the exchange, a list of a thousand subscriptions, has about 25 000."""
MAX_WRITE_BUFFER = 1 << 18
"""In bytes. The data that may wait for a host that does not read: far more than a burst of requests needs."""
_CLOSE_TIMEOUT = 1.0
_PING_PAYLOAD = b"liveness"
_PEER_NOT_READING = "the server does not read what is sent"


def _make_null_logger() -> logging.Logger:
    """A logger without output: the library would log every frame and header, secrets included."""
    logger = logging.Logger("binance_margin_stream.websocket", logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger


_NULL_LOGGER = _make_null_logger()


class ConnectionListener(Protocol):
    """The callbacks of a connection. Every method is called in the event loop, and none may raise."""

    def on_open(self, connection_id: int) -> None:
        """The handshake succeeded."""

    def on_text(self, connection_id: int, data: bytes) -> None:
        """A text message arrived."""

    def on_binary(self, connection_id: int) -> None:
        """A binary message arrived, which the exchange never sends."""

    def on_ping(self, connection_id: int) -> None:
        """A ping arrived; its pong was sent already."""

    def on_pong(self, connection_id: int) -> None:
        """The pong of the last ping arrived."""

    def on_close(self, connection_id: int, failure: Failure) -> None:
        """The connection could not be opened, or was closed other than on request."""


class _WebSocket(ClientConnection):
    """Passes every message to the listener as it arrives, without a task or a queue in between."""

    def __init__(
        self, listener: ConnectionListener, connection_id: int, protocol: ClientProtocol, **settings: Any
    ) -> None:
        super().__init__(protocol, **settings)
        self._listener = listener
        self._connection_id = connection_id
        self._fragments = bytearray()
        self._is_binary = False
        self._is_closing = False
        self.abort_reason: str | None = None
        """Why this side aborted the connection, None if it did not."""

    def data_received(self, data: bytes) -> None:
        """Abort soon after the host violated the protocol or sent a close frame: it may keep the connection open."""
        super().data_received(data)
        if self.close_deadline is not None and not self._is_closing:
            self._is_closing = True
            delay = _CLOSE_TIMEOUT if self.protocol.handshake_exc is None else 0.0
            self.loop.call_later(delay, self.transport.abort)

    def pause_writing(self) -> None:
        """Abort when the host sends pings and does not read the pongs, which would fill the memory."""
        super().pause_writing()
        self.abort_reason = _PEER_NOT_READING
        self.transport.abort()

    def process_event(self, event: Event) -> None:
        """Report messages, pings and pongs to the listener."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.TEXT and event.fin:
            self._listener.on_text(self._connection_id, cast(bytes, event.data))
        elif event.opcode is Opcode.PING:
            self._listener.on_ping(self._connection_id)
        elif event.opcode is Opcode.PONG:
            if bytes(event.data) == _PING_PAYLOAD:
                self._listener.on_pong(self._connection_id)
        elif event.opcode is not Opcode.CLOSE:
            self._on_fragment(event)

    def _on_fragment(self, event: Frame) -> None:
        """A fragment of a message. The protocol has checked the order of the fragments and their total size."""
        if event.opcode is not Opcode.CONT:
            self._fragments, self._is_binary = bytearray(), event.opcode is Opcode.BINARY
        self._fragments += event.data
        if not event.fin:
            return
        message, self._fragments = bytes(self._fragments), bytearray()
        if self._is_binary:
            self._listener.on_binary(self._connection_id)
        else:
            self._listener.on_text(self._connection_id, message)

    @property
    def close_reason(self) -> str:
        """How the connection ended. Contains no secret."""
        theirs, ours = self.protocol.close_rcvd, self.protocol.close_sent
        if self.abort_reason is not None:
            return self.abort_reason
        if (
            self.protocol.parser_exc is not None
            and ours is not None
            and not isinstance(self.protocol.parser_exc, EOFError)
        ):
            return f"the server violated the protocol: {ours.reason} (code {ours.code})"
        if theirs is not None:
            return f"closed by the server with code {theirs.code} {truncate(redact(theirs.reason))}".rstrip()
        return "closed without a close frame"


class _ConnectWithoutRedirects(connect):
    """Follows no redirect: requests on this connection are only for the configured host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Treat the redirect as a refusal."""
        return exc


class WebSocketConnection:
    """A WebSocket to `url`, identified to its listener by an id."""

    def __init__(
        self,
        connection_id: int,
        url: str,
        listener: ConnectionListener,
        *,
        open_timeout: float,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._connection_id = connection_id
        self._url = url
        self._listener = listener
        self._open_timeout = open_timeout
        self._tls = tls
        self._proxy: str | Literal[True] = proxy or True  # True uses the proxy of the environment
        self._websocket: _WebSocket | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> asyncio.Task[None]:
        """Start opening. The task ends when the connection is closed."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"connection {self._connection_id}")
        return self._task

    def send(self, text: str) -> None:
        """Send a text message. Does nothing if the connection is closed."""
        self._send(lambda protocol: protocol.send_text(text.encode()))

    def ping(self) -> None:
        """Send a ping. Does nothing if the connection is closed."""
        self._send(lambda protocol: protocol.send_ping(_PING_PAYLOAD))

    def close(self) -> None:
        """Close the connection, with a close frame if it is open. Takes one second at most."""
        if self._task is not None:
            self._task.cancel()

    def _send(self, send: Callable[[ClientProtocol], None]) -> None:
        websocket = self._websocket
        if websocket is None or websocket.protocol.state is not State.OPEN:
            return
        try:
            send(websocket.protocol)
            websocket.send_data()
        except (WebSocketException, OSError, RuntimeError):
            websocket.transport.abort()  # reported by `_run` like any other loss

    async def _run(self) -> None:
        try:
            failure = await self._wait_closed()
        except asyncio.CancelledError:
            await self._close_handshake()
            raise
        self._listener.on_close(self._connection_id, failure)

    async def _wait_closed(self) -> Failure:
        try:
            self._websocket = websocket = await self._connect()
        except (WebSocketException, OSError, EOFError, ValueError) as error:
            return _classify_error(error)
        self._listener.on_open(self._connection_id)
        await websocket.wait_closed()
        return Failure(FailureKind.TRANSPORT_ERROR, websocket.close_reason)

    async def _connect(self) -> _WebSocket:
        create_connection = partial(_WebSocket, self._listener, self._connection_id)
        is_tls = self._url.startswith("wss:")
        tls_options: dict[str, Any] = {"ssl": self._tls, "ssl_shutdown_timeout": _CLOSE_TIMEOUT} if is_tls else {}
        if is_tls and self._tls is None:
            del tls_options["ssl"]
        websocket = await _ConnectWithoutRedirects(
            self._url,
            compression=None,
            open_timeout=self._open_timeout,
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT,
            max_size=MAX_MESSAGE_SIZE,
            write_limit=MAX_WRITE_BUFFER,
            logger=_NULL_LOGGER,
            create_connection=cast("type[ClientConnection]", create_connection),
            proxy=None if is_loopback(self._url) else self._proxy,
            **tls_options,
        )
        return cast(_WebSocket, websocket)

    async def _close_handshake(self) -> None:
        websocket = self._websocket
        if websocket is None:
            return
        self._send(lambda protocol: protocol.send_close(CloseCode.NORMAL_CLOSURE))
        websocket.transport.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await websocket.wait_closed()
        except (TimeoutError, asyncio.CancelledError):
            websocket.transport.abort()


def _classify_error(error: Exception) -> Failure:
    if isinstance(error, InvalidStatus):
        return classify_status(error.response.status_code, _parse_retry_after(error))
    return Failure(FailureKind.TRANSPORT_ERROR, _describe_error(error))


def _describe_error(error: Exception) -> str:
    descriptions: tuple[tuple[type[Exception], str], ...] = (
        (TimeoutError, "the handshake timed out"),
        (socket.gaierror, "the host name cannot be resolved"),
        (ssl.SSLError, "TLS failed"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionResetError, "connection reset"),
        (InvalidHandshake, "the server does not speak WebSocket"),
    )
    description = next((text for kind, text in descriptions if isinstance(error, kind)), "no connection")
    return f"{description} ({type(error).__name__})"


def _parse_retry_after(error: InvalidStatus) -> float | None:
    values = error.response.headers.get_all("Retry-After")
    try:
        return float(values[0]) if values else None
    except ValueError:
        return None
