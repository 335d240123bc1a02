"""Endless and compressed responses. Each ends soon, in bounded memory."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib

import pytest
from api_methods import API_KEY, API_METHODS
from raw_server import RawServer, make_response

import binance_margin_stream as sdk

POST = API_METHODS[0]
MEMORY = 8 << 20
"""Memory limit of a call in bytes; a response may have one megabyte."""
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZEROS = bytes(64 << 20)


def send_endlessly(start: bytes, chunk: bytes):
    def behave(sock):
        sock.sendall(start)
        while True:
            sock.sendall(chunk)

    return behave


BOMBS = {
    "gzip": make_response(200, gzip.compress(ZEROS), {"Content-Encoding": "gzip"}),
    "deflate": make_response(200, zlib.compress(ZEROS), {"Content-Encoding": "deflate"}),
    "gzip in gzip": make_response(200, gzip.compress(gzip.compress(ZEROS)), {"Content-Encoding": "gzip, gzip"}),
    "zstd by name": make_response(200, b"\x28\xb5\x2f\xfd" + bytes(1000), {"Content-Encoding": "zstd"}),
    "an encoding of no name": make_response(200, b"\x00", {"Content-Encoding": "PLANTED" * 20}),
}
ENDLESS = {
    "status line": send_endlessly(b"HTTP/1.1 200 ", b"O" * 65536),
    "header": send_endlessly(OK + b"X-Endless: ", b"x" * 65536),
    "headers": send_endlessly(OK, b"X-Endless: 1\r\n" * 4000),
    "interim answers": send_endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    "early hints": send_endlessly(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 2000),
    "body": send_endlessly(OK + b"\r\n", b" " * 65536),
    "body as long as it claims": send_endlessly(OK + b"Content-Length: 999999999999\r\n\r\n", b" " * 65536),
    "chunks": send_endlessly(CHUNKED, b"ffff\r\n" + b" " * 65535 + b"\r\n"),
    "small chunks": send_endlessly(CHUNKED, b"1\r\n \r\n" * 5000),
    "chunk": send_endlessly(CHUNKED + b"ffffffffffff\r\n", b" " * 65536),
    "chunk of a negative length": send_endlessly(CHUNKED + b"-1\r\n", b" " * 65536),
    "chunk of an absurd length": send_endlessly(CHUNKED + b"-" + b"f" * 40 + b"\r\n", b" " * 65536),
    "chunk extension": send_endlessly(CHUNKED + b"1;", b"x" * 65536),
    "trailers": send_endlessly(CHUNKED + b"0\r\n", b"X-Endless: 1\r\n" * 4000),
    "error page": send_endlessly(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"<p>" * 20_000),
}


def measure_failure(answer, **settings):
    """Return the error that `answer` causes, and the seconds and bytes that it took."""
    settings = {"timeout": sdk.Timeout(1, 1), "retry": sdk.NO_RETRIES} | settings
    with (
        RawServer(answer) as peer,
        sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=peer.endpoints, **settings) as client,
    ):
        call = POST.bind(client)
        tracemalloc.start()
        started = time.monotonic()
        try:
            with pytest.raises(sdk.OpenApiException) as caught:
                call()
            return caught.value, time.monotonic() - started, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_compressed_response_is_unpacked_within_the_limit_only(bomb):
    error, _, memory = measure_failure(bomb)
    assert type(error) is sdk.ResponseError
    assert "which was not requested" in str(error)
    assert "PLANTED" not in str(error)
    assert memory < MEMORY


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_response_ends_in_time_and_small_memory(behaviour):
    error, seconds, memory = measure_failure(behaviour)
    assert type(error) is sdk.TransportError
    assert error.kind in ("protocol", "timeout", "disconnected")
    assert seconds < 3
    assert memory < MEMORY
