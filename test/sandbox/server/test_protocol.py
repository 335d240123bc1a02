"""Clients that never finish a request, or never read a response."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time

import pytest
from exchange_harness import CROSS_KEY_PATH, LISTEN_TOKEN_PATH
from sandbox_client import TIMEOUT_SECONDS, SandboxClient

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.server import protocol

HEAD = b"GET /api/v3/time HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_WRITE_TIMEOUT_SECONDS", 0.2)


def is_disconnected(peer: socket.socket) -> bool:
    """Read until the end of a connection; False if it does not end."""
    try:
        while peer.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def send_until_disconnected(peer: socket.socket, data: bytes, pause: float = 0.01) -> None:
    """Send the same data again and again; fails if the connection does not end."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < deadline:
            peer.sendall(data)
            time.sleep(pause)
        pytest.fail("the connection did not end")


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("start", [b"", b"GET", HEAD])
def test_a_request_head_that_does_not_end_is_cut_off(client: SandboxClient, start: bytes) -> None:
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(start)
        assert is_disconnected(peer)


def test_an_idle_connection_is_closed(client: SandboxClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_IDLE_TIMEOUT_SECONDS", 0.2)
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(HEAD + b"\r\n" + HEAD)
        assert is_disconnected(peer)


@pytest.mark.usefixtures("short_timeouts")
def test_a_request_head_that_trickles_in_is_cut_off(client: SandboxClient) -> None:
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(HEAD)
        send_until_disconnected(peer, b"X-More: x\r\n")


def test_a_request_head_without_an_end_is_bounded_in_bytes(client: SandboxClient) -> None:
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(HEAD)
        send_until_disconnected(peer, b"X: " + b"x" * 4000 + b"\r\n", pause=0)


@pytest.mark.usefixtures("short_timeouts")
def test_a_slow_response_and_an_idle_connection_are_no_slow_head(client: SandboxClient) -> None:
    client.exchange.inject_fault(faults.DelayedResponse(0.4))
    connection = http.client.HTTPConnection(*client.address, timeout=TIMEOUT_SECONDS)
    try:
        for _ in range(2):
            connection.request("POST", LISTEN_TOKEN_PATH, headers={"X-MBX-APIKEY": client.exchange.api_key})
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            time.sleep(0.3)  # longer than a request head may take
    finally:
        connection.close()


@pytest.mark.usefixtures("short_timeouts")
def test_a_client_that_reads_no_response_is_disconnected(client: SandboxClient) -> None:
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        send_until_disconnected(peer, HEAD + b"\r\n")


def test_requests_that_are_sent_while_one_is_handled_are_bounded_in_bytes(
    client: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_MAX_REQUEST_BYTES", 500_000)
    client.exchange.inject_fault(faults.NoResponse())
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        head = (
            f"POST {LISTEN_TOKEN_PATH} HTTP/1.1\r\nHost: localhost\r\nX-MBX-APIKEY: {client.exchange.api_key}\r\n\r\n"
        )
        peer.sendall(head.encode())
        send_until_disconnected(peer, (HEAD + b"\r\n") * 1000, pause=0)


@pytest.mark.usefixtures("short_timeouts")
def test_a_websocket_client_that_stops_reading_is_disconnected(client: SandboxClient) -> None:
    key = client.call_json("POST", CROSS_KEY_PATH)["listenKey"]
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(
            b"GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        peer.recv(4096)
        text = f'{{"method":"SUBSCRIBE","params":["{key}"],"id":1}}'.encode()
        peer.sendall(bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2) + bytes(4) + text)
        peer.recv(4096)
        assert client.exchange.send_event({"e": "large", "x": "x" * 10_000_000}) == 1
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while client.exchange.metrics.connections_open and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.exchange.metrics.connections_open == 0
