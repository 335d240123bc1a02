"""A proxy on raw sockets between a stream and a sandbox, which misbehaves on request."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import Self

from raw_server import SocketHandler, read_request

from binance_margin_stream import Endpoints
from binance_margin_stream.sandbox import Sandbox

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0x0, 0x1, 0x2, 0x8, 0x9


def make_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes = b"") -> bytes:
    """One WebSocket frame, valid or not. A `mask` of four bytes masks it, which only a client may do."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    length, masked = len(payload), 0x80 if mask else 0
    if length < 126:
        head = bytes([first, masked | length])
    elif length < 1 << 16:
        head = bytes([first, masked | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, masked | 127]) + length.to_bytes(8, "big")
    return head + mask + (bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload)


def send_and_wait(data: bytes) -> SocketHandler:
    """Send `data`, and leave the connection open."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(data)
        wait_for_close(sock)

    return behave


def send_and_close(data: bytes = b"") -> SocketHandler:
    """Send `data`, and close the connection."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_RDWR)

    return behave


def send_repeatedly(chunk: bytes, *, start: bytes = b"", limit: int = 1 << 40) -> SocketHandler:
    """Send `start`, then `chunk` repeatedly until the other side closes or `limit` bytes are sent."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(start)
        for _ in range(limit // len(chunk)):
            sock.sendall(chunk)
        wait_for_close(sock)

    return behave


def wait_for_close(sock: socket.socket) -> None:
    """Wait until the other side closes, or this peer is stopped."""
    sock.settimeout(30)
    while sock.recv(65536):
        pass


@dataclass(eq=False)
class _ProxiedConnection:
    """One proxied connection: its socket to the stream (`down`) and to the sandbox (`up`)."""

    down: socket.socket
    up: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_misbehaving: bool = False
    ignores_client: bool = False


class HostilePeer:
    """Runs one of `behaviours` on each of the first connections, and forwards all later ones to the sandbox."""

    def __init__(self, exchange: Sandbox, *behaviours: SocketHandler) -> None:
        self._exchange = exchange
        self.behaviours = list(behaviours)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._connections: list[_ProxiedConnection] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.requests: list[bytes] = []

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of the sandbox, with this peer in place of its WebSocket API."""
        port = self._listener.getsockname()[1]
        return replace(self._exchange.endpoints, websocket_api=f"ws://127.0.0.1:{port}/ws-api/v3")

    def misbehave(self, behaviour: SocketHandler, *, ignores_client: bool = False) -> None:
        """Run `behaviour` on all forwarded connections from now on, and discard what the sandbox sends on them.

        With `ignores_client`, nothing that the stream sends is read any more.
        """
        for connection in self._connections:
            with connection.lock:
                connection.is_misbehaving, connection.ignores_client = True, ignores_client
            self._start_thread(self._run_behaviour, behaviour, connection.down)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        for sock in (self._listener, *self._sockets):
            sock.close()

    def _start_thread(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._sockets.append(sock)
                self._start_thread(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request = read_request(sock)
            self.requests.append(request)
            if self.behaviours:
                self._run_behaviour(self.behaviours.pop(0), sock)
            elif request:
                self._forward(sock, request)

    def _run_behaviour(self, behaviour: SocketHandler, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            behaviour(sock)

    def _forward(self, sock: socket.socket, request: bytes) -> None:
        up = socket.create_connection(("127.0.0.1", int(self._exchange.url.rpartition(":")[2])))
        self._sockets.append(up)
        up.sendall(request)
        connection = _ProxiedConnection(sock, up)
        self._connections.append(connection)
        self._start_thread(self._forward_to_client, connection)
        with contextlib.suppress(OSError):
            while not connection.ignores_client and (data := sock.recv(65536)):
                up.sendall(data)
        if not connection.ignores_client:
            with contextlib.suppress(OSError):
                up.shutdown(socket.SHUT_RDWR)

    def _forward_to_client(self, connection: _ProxiedConnection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.up.recv(65536):
                with connection.lock:
                    if not connection.is_misbehaving:
                        connection.down.sendall(data)
            if not connection.is_misbehaving:
                connection.down.shutdown(socket.SHUT_RDWR)
