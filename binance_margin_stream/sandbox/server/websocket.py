"""A WebSocket of the server: queued frames, received frames, and closing."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
import struct

from aiohttp import WSMessage, WSMsgType, web

from binance_margin_stream.sandbox.messages import Abort, Binary, Close, Frame, Ping, Pong, Text

__all__ = ["CLOSE_TIMEOUT_SECONDS", "SendQueue", "reset_connection", "to_frame", "write_frames"]

CLOSE_TIMEOUT_SECONDS = 1.0
"""How long the server waits for a client's close frame, in real seconds."""

_MAX_QUEUED_FRAMES = 100_000
_MAX_QUEUED_CHARACTERS = 16_777_216


class SendQueue:
    """The queued frames of a WebSocket."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._frames: asyncio.Queue[Frame] = asyncio.Queue(_MAX_QUEUED_FRAMES)
        self._transport = transport
        self._queued_characters = 0

    def put(self, frame: Frame) -> None:
        """Queue a frame. A reset is executed at once; a client that reads too slowly is disconnected."""
        if frame == Abort("reset"):
            reset_connection(self._transport)
            return
        self._queued_characters += _size_of(frame)
        if self._queued_characters > _MAX_QUEUED_CHARACTERS or self._frames.full():
            self._transport.abort()
            return
        self._frames.put_nowait(frame)
        if isinstance(frame, Close | Abort):
            # The frame is never sent if the client does not read.
            asyncio.get_running_loop().call_later(2 * CLOSE_TIMEOUT_SECONDS, self._transport.abort)

    async def get(self) -> Frame:
        """Take the next frame, once there is one."""
        frame = await self._frames.get()
        self._queued_characters -= _size_of(frame)
        return frame


async def write_frames(queue: SendQueue, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
    """Send the queued frames of a WebSocket until it ends."""
    with contextlib.suppress(ConnectionError):
        while True:
            match await queue.get():
                case Text(text=text):
                    await socket.send_str(text)
                case Binary(data=data):
                    await socket.send_bytes(data)
                case Ping(data=data):
                    await socket.ping(data)
                case Pong(data=data):
                    await socket.pong(data)
                case Close(code=code, reason=reason):
                    await socket.close(code=code, message=reason.encode())
                    return
                case Abort():
                    transport.close()
                    return


def _size_of(frame: Frame) -> int:
    match frame:
        case Text(text=text):
            return len(text)
        case Binary(data=data):
            return len(data)
        case _:
            return 0


def to_frame(message: WSMessage) -> Frame | None:
    """The frame that the client sent; None at the end of the connection."""
    match message:
        case WSMessage(type=WSMsgType.TEXT, data=str(text)):
            return Text(text)
        case WSMessage(type=WSMsgType.BINARY, data=bytes(data)):
            return Binary(data)
        case WSMessage(type=WSMsgType.PING, data=data):
            return Ping(bytes(data))
        case WSMessage(type=WSMsgType.PONG, data=data):
            return Pong(bytes(data))
        case _:
            return None


def reset_connection(transport: asyncio.Transport) -> None:
    """Reset a TCP connection: with SO_LINGER 0, closing it sends a RST."""
    socket = transport.get_extra_info("socket")
    if socket is not None:
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
