"""A REST server that sends the same response to every request, so that a measurement shows the cost of the client.

    python bench/rest_stub.py

Prints its port, and ends when its standard input is closed. Each connection has a thread that blocks on it: every
request then wakes a thread, so that the time of a request does not depend on whether an event loop happens to be idle.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading

BODY = json.dumps({"token": "T" * 64, "expirationTime": 1_798_761_600_000, "listenKey": "K" * 60}).encode()
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nX-SAPI-USED-UID-WEIGHT-1M: 1\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def serve(connection: socket.socket) -> None:
    buffer = b""
    while received := connection.recv(65_536):
        buffer += received
        head, end, body = buffer.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            buffer = b""
            connection.sendall(RESPONSE)


def accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(server,), daemon=True).start()
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
