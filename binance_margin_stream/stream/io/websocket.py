"""One WebSocket: opened within a time, watched for pings, closed within a time. It decides nothing."""

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
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind
from binance_margin_stream.stream.protocol.error_mapping import classify_status

__all__ = ["ConnectionListener", "WebSocketConnection"]

MAX_MESSAGE_SIZE = 1 << 20
"""Bytes. The longest that the exchange sends, a list of a thousand subscriptions, has some 25 000."""
MAX_WRITE_BUFFER = 1 << 18
"""Bytes that may wait for a host that does not read: far more than a burst of requests, far less than harm."""
_CLOSE_TIMEOUT = 1.0
_PING_PAYLOAD = b"probe"
_PEER_NOT_READING = "the other side does not read what it is sent"


def _make_null_logger() -> logging.Logger:
    """A logger that nobody hears: the library would log every frame and header, secrets among them."""
    logger = logging.Logger("binance_margin_stream.websocket", logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger


_NULL_LOGGER = _make_null_logger()


class ConnectionListener(Protocol):
    """What a connection reports to. Every method is called in the event loop, and none may raise."""

    def on_open(self, connection_id: int) -> None:
        """The handshake succeeded."""

    def on_text(self, connection_id: int, data: bytes) -> None:
        """A text message came."""

    def on_binary(self, connection_id: int) -> None:
        """A binary message came, which the exchange never sends."""

    def on_ping(self, connection_id: int) -> None:
        """A ping came; its pong is sent already."""

    def on_pong(self, connection_id: int) -> None:
        """The pong of the last ping came."""

    def on_close(self, connection_id: int, failure: Failure) -> None:
        """The connection could not be opened, or is gone, and not on request."""


class _WebSocket(ClientConnection):
    """Hands every message to the listener as it arrives, without a task or a queue in between."""

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
        """Why this side cut the connection off, if it did."""

    def data_received(self, data: bytes) -> None:
        """Let a host that has broken the protocol, or has said goodbye, not keep the connection open for long."""
        super().data_received(data)
        if self.close_deadline is not None and not self._is_closing:
            self._is_closing = True
            delay = _CLOSE_TIMEOUT if self.protocol.handshake_exc is None else 0.0
            self.loop.call_later(delay, self.transport.abort)

    def pause_writing(self) -> None:
        """Cut off a host that sends pings and reads no pongs: they would pile up here without end."""
        super().pause_writing()
        self.abort_reason = _PEER_NOT_READING
        self.transport.abort()

    def process_event(self, event: Event) -> None:
        """Tell the listener about messages, pings and pongs."""
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
        """Part of a message; the protocol has checked the order of the parts, and their size together."""
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
        """How the connection ended, in words that may be shown."""
        theirs, ours = self.protocol.close_rcvd, self.protocol.close_sent
        if self.abort_reason is not None:
            return self.abort_reason
        if (
            self.protocol.parser_exc is not None
            and ours is not None
            and not isinstance(self.protocol.parser_exc, EOFError)
        ):
            return f"the other side broke the protocol: {ours.reason} (code {ours.code})"
        if theirs is not None:
            return f"closed by the other side with code {theirs.code} {truncate(redact(theirs.reason))}".rstrip()
        return "cut off without a goodbye"


class _ConnectWithoutRedirects(connect):
    """Follows no redirect: what is said on this connection is for the host that was configured."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Let the answer count as a refusal."""
        return exc


class WebSocketConnection:
    """A WebSocket to `address`, known to its listener by a number."""

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
        self._proxy: str | Literal[True] = proxy or True  # True stands for the environment's
        self._websocket: _WebSocket | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> asyncio.Task[None]:
        """Begin; the task ends when the connection is gone."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"connection {self._connection_id}")
        return self._task

    def send(self, text: str) -> None:
        """Send a text message, unless the connection is gone already."""
        self._send(lambda protocol: protocol.send_text(text.encode()))

    def ping(self) -> None:
        """Send a ping, unless the connection is gone already."""
        self._send(lambda protocol: protocol.send_ping(_PING_PAYLOAD))

    def close(self) -> None:
        """End it: with a close frame where it is open. Takes a second at most."""
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
            websocket.transport.abort()  # its end is reported like any other

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
        (TimeoutError, "the handshake took too long"),
        (socket.gaierror, "the host's name cannot be resolved"),
        (ssl.SSLError, "TLS failed"),
        (ConnectionRefusedError, "refused"),
        (ConnectionResetError, "reset"),
        (InvalidHandshake, "what answers there speaks no WebSocket"),
    )
    description = next((text for kind, text in descriptions if isinstance(error, kind)), "no connection")
    return f"{description} ({type(error).__name__})"


def _parse_retry_after(error: InvalidStatus) -> float | None:
    values = error.response.headers.get_all("Retry-After")
    try:
        return float(values[0]) if values else None
    except ValueError:
        return None
