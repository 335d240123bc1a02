"""A minimal HTTP and WebSocket client for a running sandbox."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from exchange_harness import LISTEN_TOKEN_PATH, SUBSCRIBE, encode_query
from websockets.sync.client import ClientConnection, connect

from binance_margin_stream.sandbox import Sandbox

TIMEOUT_SECONDS = 5.0
"""Timeout of every wait in a test."""


@dataclass(frozen=True)
class SandboxClient:
    """Requests and connections as a user's program makes them."""

    exchange: Sandbox

    def call_rest(self, method: str, path: str, **parameters: object) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT_SECONDS)
        try:
            target = f"{path}?{encode_query(parameters)}" if parameters else path
            connection.request(method, target, headers={"X-MBX-APIKEY": self.exchange.api_key})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def call_json(self, method: str, path: str, **parameters: object) -> Any:
        return json.loads(self.call_rest(method, path, **parameters)[2])

    def send_raw(self, data: bytes) -> bytes:
        """Send bytes, and read until the connection ends."""
        with socket.create_connection(self.address, timeout=TIMEOUT_SECONDS) as peer:
            peer.sendall(data)
            received = b""
            while chunk := peer.recv(65_536):
                received += chunk
            return received

    def open_websocket(self, url: str | None = None) -> AbstractContextManager[ClientConnection]:
        address = self.exchange.endpoints.websocket_api if url is None else url
        return connect(address, open_timeout=TIMEOUT_SECONDS, close_timeout=0.5, ping_interval=None, proxy=None)

    @contextmanager
    def open_subscribed(self, **parameters: object) -> Iterator[ClientConnection]:
        """A WebSocket API connection that is subscribed to an account."""
        with self.open_websocket() as websocket:
            token = self.call_json("POST", LISTEN_TOKEN_PATH, **parameters)["token"]
            websocket.send(json.dumps({"id": 1, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            assert read_json(websocket)["status"] == 200
            yield websocket

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.exchange.url.removeprefix("http://").rpartition(":")
        return host, int(port)


def read_json(websocket: ClientConnection) -> Any:
    return json.loads(websocket.recv(timeout=TIMEOUT_SECONDS))
