"""The sandbox over TLS: a valid certificate, and invalid ones."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from exchange_harness import LISTEN_KEY_V2_PATH
from sandbox_client import TIMEOUT_SECONDS
from websockets.sync.client import connect

from binance_margin_stream.sandbox import Sandbox, create_fault
from binance_margin_stream.sandbox.server.tls import Certificates


@pytest.fixture(scope="module")
def exchange() -> Iterator[Sandbox]:
    with Sandbox(tls=True) as exchange:
        yield exchange


def get_port(exchange: Sandbox) -> int:
    return int(exchange.url.rpartition(":")[2])


def request_status(exchange: Sandbox, host: str = "127.0.0.1", trusted: ssl.SSLContext | None = None) -> int:
    """The status of a REST call that verifies the sandbox's certificate."""
    context = trusted or ssl.create_default_context(cafile=exchange.ca_file)
    connection = http.client.HTTPSConnection(host, get_port(exchange), timeout=TIMEOUT_SECONDS, context=context)
    try:
        connection.request("POST", LISTEN_KEY_V2_PATH, headers={"X-MBX-APIKEY": exchange.api_key})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_rest_calls_can_verify_it(exchange: Sandbox, host: str) -> None:
    assert exchange.url.startswith("https://127.0.0.1:")
    assert request_status(exchange, host) == 200


def test_the_certificate_is_available_as_text(exchange: Sandbox) -> None:
    assert exchange.ca_pem is not None
    assert request_status(exchange, trusted=ssl.create_default_context(cadata=exchange.ca_pem)) == 200


def test_websockets_can_verify_it(exchange: Sandbox) -> None:
    endpoints = exchange.endpoints
    context = ssl.create_default_context(cafile=endpoints.ca_file)
    for address in (endpoints.websocket_api, f"{endpoints.stream}/ws", f"{endpoints.margin_stream}/ws"):
        assert address.startswith("wss://")
        with connect(address, ssl=context, open_timeout=TIMEOUT_SECONDS, close_timeout=1, proxy=None) as websocket:
            websocket.send('{"id": 1, "method": "ping"}')
            assert '"id":1' in str(websocket.recv(timeout=TIMEOUT_SECONDS))


@pytest.mark.third_party_client
def test_the_systems_certificates_do_not_verify_it(exchange: Sandbox) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        request_status(exchange, trusted=ssl.create_default_context())


@pytest.mark.third_party_client
def test_another_sandboxs_certificate_does_not_verify_it(exchange: Sandbox) -> None:
    with Sandbox(tls=True) as other, pytest.raises(ssl.SSLCertVerificationError):
        request_status(exchange, trusted=ssl.create_default_context(cafile=other.ca_file))


def test_without_tls_there_is_no_certificate() -> None:
    with Sandbox() as exchange:
        assert (exchange.ca_file, exchange.ca_pem, exchange.endpoints.ca_file) == (None, None, None)


def test_plain_http_on_a_tls_port_ends_in_time(exchange: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", get_port(exchange)), timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        while peer.recv(65_536):
            pass
    assert request_status(exchange) == 200


@pytest.mark.third_party_client
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("unknown_ca", "certificate verify failed"),
        ("wrong_host", "not valid for '127.0.0.1'"),
        ("expired", "certificate has expired"),
    ],
)
def test_an_invalid_certificate_is_presented_once(exchange: Sandbox, how: str, words: str) -> None:
    exchange.inject_fault(create_fault("wrong-certificate", problem=how))
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        request_status(exchange)
    assert request_status(exchange) == 200


def test_the_page_can_control_it_over_tls(exchange: Sandbox) -> None:
    context = ssl.create_default_context(cafile=exchange.ca_file)
    for origin, status in ((exchange.url, 200), ("https://elsewhere.invalid", 403)):
        connection = http.client.HTTPSConnection(
            "127.0.0.1", get_port(exchange), timeout=TIMEOUT_SECONDS, context=context
        )
        headers = {"Origin": origin, "Content-Type": "application/json"}
        connection.request("POST", "/sandbox/clear-faults", body="{}", headers=headers)
        assert connection.getresponse().status == status
        connection.close()


def test_connection_faults_apply_over_tls(exchange: Sandbox) -> None:
    exchange.inject_fault("reset-request")
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected, ssl.SSLError)):
        request_status(exchange)
    assert request_status(exchange) == 200


def test_close_removes_the_file_and_may_be_called_twice() -> None:
    with Sandbox(tls=True) as exchange:
        file = Path(str(exchange.ca_file))
        assert file.read_text() == exchange.ca_pem
        with connect(
            exchange.endpoints.websocket_api, ssl=ssl.create_default_context(cafile=file), close_timeout=1, proxy=None
        ):
            exchange.close()
    assert not file.exists()
    exchange.close()


def test_a_sandbox_that_is_never_started_leaves_no_file() -> None:
    file = Path(Certificates("127.0.0.1").ca_file)
    assert not file.exists()
