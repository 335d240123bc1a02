"""A server on a raw socket that sends the given bytes, valid or not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

from binance_margin_stream import Endpoints

SocketHandler = Callable[[socket.socket], None]


class RawServer:
    """Listens on loopback. Each request gets the next of `responses`; the last one is repeated.

    A response is bytes, after which the connection is closed, or a function that receives the socket.
    """

    def __init__(
        self, *responses: bytes | SocketHandler, tls: ssl.SSLContext | None = None, accept: SocketHandler | None = None
    ) -> None:
        self.responses = list(responses)
        self.requests: list[bytes] = []
        self.connection_count = 0
        self._tls = tls
        self._on_accept = accept
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(rest=self.url, websocket_api="", stream="", margin_stream="")

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self.connection_count += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.callback(sock.close)
            if self._on_accept:
                self._on_accept(sock)
            if self._tls:
                sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
                self._sockets.append(sock)
            request = read_request(sock)
            if not request:
                return
            self.requests.append(request)
            response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
            if callable(response):
                response(sock)
                return
            sock.sendall(response)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            sock.recv(1)


def read_request(sock: socket.socket) -> bytes:
    """Read one request, head and body; empty if the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def make_response(
    status: int,
    body: bytes | str = b"",
    headers: dict[str, str] | None = None,
    *,
    content_type: str = "application/json",
) -> bytes:
    """Return the bytes of a valid response."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Any", f"Content-Length: {len(content)}", f"Content-Type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\nConnection: close\r\n\r\n" + content


def make_html_page(status: int, title: str) -> bytes:
    """Return a page like that of a firewall or nginx."""
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>{title}</body></html>"
    return make_response(status, page, content_type="text/html; charset=UTF-8")


def reset_connection(sock: socket.socket) -> None:
    """Reset the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def never_respond(sock: socket.socket) -> None:
    """Never respond; end when the client is gone."""
    sock.settimeout(30)
    sock.recv(1)


def send_slowly(data: bytes, pause: float) -> SocketHandler:
    """Send `data` byte by byte with pauses, until the client is gone."""

    def drip(sock: socket.socket) -> None:
        sock.settimeout(pause)
        for byte in data:
            sock.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                if not sock.recv(1):
                    return

    return drip
