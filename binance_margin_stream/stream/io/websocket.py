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
from binance_margin_stream.stream.protocol.actions import Failure, Trouble
from binance_margin_stream.stream.protocol.error_mapping import failure_of_status

__all__ = ["Connection", "Listener"]

LARGEST_MESSAGE = 1 << 20
"""Bytes. The longest that the exchange sends, a list of a thousand subscriptions, has some 25 000."""
LARGEST_BACKLOG = 1 << 18
"""Bytes that may wait for a host that does not read: far more than a burst of requests, far less than harm."""
_GOODBYE = 1.0
_PROBE = b"probe"
_UNREAD = "the other side does not read what it is sent"


def _silent_logger() -> logging.Logger:
    """A logger that nobody hears: the library would log every frame and header, secrets among them."""
    logger = logging.Logger("binance_margin_stream.websocket", logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger


_SILENT = _silent_logger()


class Listener(Protocol):
    """What a connection reports to. Every method is called in the event loop, and none may raise."""

    def opened(self, number: int) -> None:
        """The handshake succeeded."""

    def frame(self, number: int, data: bytes) -> None:
        """A text message came."""

    def binary(self, number: int) -> None:
        """A binary message came, which the exchange never sends."""

    def pinged(self, number: int) -> None:
        """A ping came; its pong is sent already."""

    def ponged(self, number: int) -> None:
        """The pong of the last ping came."""

    def closed(self, number: int, failure: Failure) -> None:
        """The connection could not be opened, or is gone, and not on request."""


class _Wire(ClientConnection):
    """Hands every message to the listener as it arrives, without a task or a queue in between."""

    def __init__(self, listener: Listener, number: int, protocol: ClientProtocol, **settings: Any) -> None:
        super().__init__(protocol, **settings)
        self._listener = listener
        self._number = number
        self._begun = bytearray()
        self._binary = False
        self._leaving = False
        self.given_up: str | None = None
        """Why this side cut the connection off, if it did."""

    def data_received(self, data: bytes) -> None:
        """Let a host that has broken the protocol, or has said goodbye, not keep the connection open for long."""
        super().data_received(data)
        if self.close_deadline is not None and not self._leaving:
            self._leaving = True
            goodbye = _GOODBYE if self.protocol.handshake_exc is None else 0.0
            self.loop.call_later(goodbye, self.transport.abort)

    def pause_writing(self) -> None:
        """Cut off a host that sends pings and reads no pongs: they would pile up here without end."""
        super().pause_writing()
        self.given_up = _UNREAD
        self.transport.abort()

    def process_event(self, event: Event) -> None:
        """Tell the listener about messages, pings and pongs."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.TEXT and event.fin:
            self._listener.frame(self._number, cast(bytes, event.data))
        elif event.opcode is Opcode.PING:
            self._listener.pinged(self._number)
        elif event.opcode is Opcode.PONG:
            if bytes(event.data) == _PROBE:
                self._listener.ponged(self._number)
        elif event.opcode is not Opcode.CLOSE:
            self._fragment(event)

    def _fragment(self, event: Frame) -> None:
        """Part of a message; the protocol has checked the order of the parts, and their size together."""
        if event.opcode is not Opcode.CONT:
            self._begun, self._binary = bytearray(), event.opcode is Opcode.BINARY
        self._begun += event.data
        if not event.fin:
            return
        whole, self._begun = bytes(self._begun), bytearray()
        if self._binary:
            self._listener.binary(self._number)
        else:
            self._listener.frame(self._number, whole)

    @property
    def ending(self) -> str:
        """How the connection ended, in words that may be shown."""
        theirs, ours = self.protocol.close_rcvd, self.protocol.close_sent
        if self.given_up is not None:
            return self.given_up
        if (
            self.protocol.parser_exc is not None
            and ours is not None
            and not isinstance(self.protocol.parser_exc, EOFError)
        ):
            return f"the other side broke the protocol: {ours.reason} (code {ours.code})"
        if theirs is not None:
            return f"closed by the other side with code {theirs.code} {truncate(redact(theirs.reason))}".rstrip()
        return "cut off without a goodbye"


class _Connect(connect):
    """Follows no redirect: what is said on this connection is for the host that was configured."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Let the answer count as a refusal."""
        return exc


class Connection:
    """A WebSocket to `address`, known to its listener by a number."""

    def __init__(
        self,
        number: int,
        address: str,
        listener: Listener,
        *,
        open_timeout: float,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._number = number
        self._address = address
        self._listener = listener
        self._open_timeout = open_timeout
        self._tls = tls
        self._proxy: str | Literal[True] = proxy or True  # True stands for the environment's
        self._wire: _Wire | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> asyncio.Task[None]:
        """Begin; the task ends when the connection is gone."""
        self._task = asyncio.get_running_loop().create_task(self._live(), name=f"connection {self._number}")
        return self._task

    def send(self, text: str) -> None:
        """Send a text message, unless the connection is gone already."""
        self._say(lambda protocol: protocol.send_text(text.encode()))

    def ping(self) -> None:
        """Send a ping, unless the connection is gone already."""
        self._say(lambda protocol: protocol.send_ping(_PROBE))

    def close(self) -> None:
        """End it: with a close frame where it is open. Takes a second at most."""
        if self._task is not None:
            self._task.cancel()

    def _say(self, what: Callable[[ClientProtocol], None]) -> None:
        wire = self._wire
        if wire is None or wire.protocol.state is not State.OPEN:
            return
        try:
            what(wire.protocol)
            wire.send_data()
        except (WebSocketException, OSError, RuntimeError):
            wire.transport.abort()  # its end is reported like any other

    async def _live(self) -> None:
        try:
            failure = await self._until_gone()
        except asyncio.CancelledError:
            await self._say_goodbye()
            raise
        self._listener.closed(self._number, failure)

    async def _until_gone(self) -> Failure:
        try:
            self._wire = wire = await self._connected()
        except (WebSocketException, OSError, EOFError, ValueError) as error:
            return _failure(error)
        self._listener.opened(self._number)
        await wire.wait_closed()
        return Failure(Trouble.TRANSPORT, wire.ending)

    async def _connected(self) -> _Wire:
        make = partial(_Wire, self._listener, self._number)
        secure = self._address.startswith("wss:")
        settings: dict[str, Any] = {"ssl": self._tls, "ssl_shutdown_timeout": _GOODBYE} if secure else {}
        if secure and self._tls is None:
            del settings["ssl"]
        wire = await _Connect(
            self._address,
            compression=None,
            open_timeout=self._open_timeout,
            ping_interval=None,
            close_timeout=_GOODBYE,
            max_size=LARGEST_MESSAGE,
            write_limit=LARGEST_BACKLOG,
            logger=_SILENT,
            create_connection=cast("type[ClientConnection]", make),
            proxy=None if is_loopback(self._address) else self._proxy,
            **settings,
        )
        return cast(_Wire, wire)

    async def _say_goodbye(self) -> None:
        wire = self._wire
        if wire is None:
            return
        self._say(lambda protocol: protocol.send_close(CloseCode.NORMAL_CLOSURE))
        wire.transport.close()
        try:
            async with asyncio.timeout(_GOODBYE):
                await wire.wait_closed()
        except (TimeoutError, asyncio.CancelledError):
            wire.transport.abort()


def _failure(error: Exception) -> Failure:
    if isinstance(error, InvalidStatus):
        return failure_of_status(error.response.status_code, _retry_after(error))
    return Failure(Trouble.TRANSPORT, _cause(error))


def _cause(error: Exception) -> str:
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (TimeoutError, "the handshake took too long"),
        (socket.gaierror, "the host's name cannot be resolved"),
        (ssl.SSLError, "TLS failed"),
        (ConnectionRefusedError, "refused"),
        (ConnectionResetError, "reset"),
        (InvalidHandshake, "what answers there speaks no WebSocket"),
    )
    told = next((text for kind, text in kinds if isinstance(error, kind)), "no connection")
    return f"{told} ({type(error).__name__})"


def _retry_after(error: InvalidStatus) -> float | None:
    said = error.response.headers.get_all("Retry-After")
    try:
        return float(said[0]) if said else None
    except ValueError:
        return None
