"""A peer that violates the protocol: the stream recovers soon, in bounded memory, and reports the reason.

Nothing is lost in silence, no secret is shown, and no error of a library comes through.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hostile_peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    HostilePeer,
    make_frame,
    send_and_close,
    send_and_wait,
    send_repeatedly,
)
from raw_server import RawServer, make_html_page, make_response, send_slowly
from stream_helpers import QUICK_SETTINGS, now_ms

from binance_margin_stream import ApiKeyAuth
from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.state import State

MEMORY = 32 << 20
"""The most additional memory in bytes. One read of 256 KiB can hold 131 072 empty frames, each of which is an object
of the WebSocket library for a moment."""
LIMIT = 1 << 20
RULES = replace(QUICK_SETTINGS, idle_timeout=1.5, open_timeout=1.0)
EXCHANGE = ExchangeRules(ping_interval_ms=300)
BOMB = zlib.compress(bytes(64 << 20), wbits=-15)


class Observations:
    """What a stream reported while a peer misbehaved."""

    def __init__(self) -> None:
        self.changes = []
        self.gaps = []
        self.peak = 0

    @property
    def losses(self) -> list[str]:
        return [change.detail for change in self.changes if change.kind == "connection lost"]


def balance_update(exchange, number):
    at = now_ms()
    exchange.send_event({"e": "balanceUpdate", "E": at, "a": "USDT", "d": str(number), "T": at})
    return at


async def run_with_behaviour(behaviour, *, ignores_client=False, settings=RULES, within=30) -> Observations:
    """Run a live stream whose peer misbehaves. One event is lost meanwhile, and must be covered by a gap."""
    observations = Observations()
    with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:
        auth, options = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": settings}
        async with AsyncMarginStream(auth, on_change=observations.changes.append, **options) as stream:
            tracemalloc.start()
            try:
                await asyncio.to_thread(peer.misbehave, behaviour, ignores_client=ignores_client)
                swallowed = await asyncio.to_thread(balance_update, exchange, 1)
                async with asyncio.timeout(within):
                    while not isinstance(item := await anext(stream), StreamGap):
                        pass
                    observations.peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert item.since <= swallowed <= item.until
            assert stream.state is State.LIVE
            await expect_event(exchange, stream, 2)
    return observations


async def expect_event(exchange, stream, number):
    await asyncio.to_thread(balance_update, exchange, number)
    async with asyncio.timeout(5):
        while not (isinstance(item := await anext(stream), BalanceUpdate) and item.delta == number):
            pass


HEAD = make_frame(TEXT, b'{"subscriptionId":0,"event":{')
BROKEN = {
    "half a frame": (send_and_close(HEAD[:-5]), "closed without a close frame"),
    "half of a frame's head": (send_and_close(HEAD[:1]), "closed without a close frame"),
    "half a frame, then silence": (send_and_wait(HEAD[:-5]), "a ping was not answered"),
    "a frame above the limit": (
        send_and_wait(make_frame(TEXT, bytes(2 * LIMIT))),
        f"frame with {2 * LIMIT} bytes exceeds limit of {LIMIT} bytes (code 1009)",
    ),
    "a frame that claims to be endless": (send_and_wait(b"\x81\x7f" + b"\x7f" + b"\xff" * 7), "exceeds limit"),
    "fragments above the limit": (
        send_repeatedly(make_frame(CONTINUATION, bytes(60_000), fin=False), start=make_frame(TEXT, b"", fin=False)),
        "exceeds limit",
    ),
    "a masked frame": (send_and_wait(make_frame(TEXT, b"{}", mask=b"abcd")), "incorrect masking (code 1002)"),
    "an unknown opcode": (send_and_wait(make_frame(0x3, b"{}")), "invalid opcode"),
    "reserved bits": (send_and_wait(make_frame(TEXT, b"{}", reserved=0b011)), "reserved bits must be 0 (code 1002)"),
    "a compressed bomb": (
        send_and_wait(make_frame(TEXT, BOMB[:LIMIT], reserved=0b100)),
        "reserved bits must be 0 (code 1002)",
    ),
    "the rest of no message": (send_and_wait(make_frame(CONTINUATION, b"{}")), "unexpected continuation frame"),
    "two messages in one": (
        send_and_wait(make_frame(TEXT, b"{", fin=False) + make_frame(TEXT, b"}")),
        "expected a continuation frame",
    ),
    "half a ping": (send_and_wait(make_frame(PING, b"", fin=False)), "fragmented control frame"),
    "a long ping": (send_and_wait(make_frame(PING, bytes(126))), "control frame too long"),
    "a close frame and no close": (
        send_and_wait(make_frame(CLOSE, b"\x03\xe8bye")),
        "closed by the server with code 1000 bye",
    ),
    "a close frame with an absurd code": (
        send_and_wait(make_frame(CLOSE, (5).to_bytes(2, "big"))),
        "invalid status code",
    ),
    "a close frame with half a code": (send_and_wait(make_frame(CLOSE, b"\x03")), "close frame too short"),
    "a close frame in no language": (send_and_wait(make_frame(CLOSE, b"\x03\xe8\xff\xfe")), "(code 1007)"),
    "a close frame with two lines": (
        send_and_wait(make_frame(CLOSE, b"\x03\xe8a\r\nb\x1b[2J")),
        "with code 1000 a b [2J",
    ),
    "HTTP in the middle": (send_and_wait(make_html_page(502, "Bad gateway")), "violated the protocol"),
}


@pytest.mark.parametrize(("behaviour", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_connection_is_reported_covered_by_a_gap_and_replaced(behaviour, words):
    check_is_replaced(asyncio.run(run_with_behaviour(behaviour)), words)


def test_fragments_without_end_are_silence():
    """One read holds 131 072 of them, which take seconds while memory is traced: the ping has to wait for longer."""
    fragments = make_frame(TEXT, b"x", fin=False) + make_frame(CONTINUATION, b"", fin=False) * (2 << 20)
    settings = replace(RULES, request_timeout=8.0)
    observations = asyncio.run(run_with_behaviour(send_and_wait(fragments), settings=settings, within=60))
    check_is_replaced(observations, "a ping was not answered")


def check_is_replaced(observations, words):
    assert len(observations.losses) == 1
    assert words in observations.losses[0]
    assert observations.losses[0].isprintable()
    assert observations.peak < MEMORY


NO_EVENT = {
    "text that is not UTF-8": make_frame(TEXT, b'{"subscriptionId":0,"event":{"e":"\xff\xfe"}}'),
    "half a character": make_frame(TEXT, b'{"e":"\xe2\x82', fin=False) + make_frame(CONTINUATION, b""),
    "a surrogate": make_frame(TEXT, b'{"subscriptionId":0,"event":{"e":"\xed\xa0\x80"}}'),
    "a message of nothing": make_frame(TEXT),
    "a megabyte of brackets": make_frame(TEXT, b"[" * LIMIT),
    "a megabyte of digits": make_frame(TEXT, b"9" * LIMIT),
    "a binary message": make_frame(BINARY, b"\x00" * LIMIT),
}


@pytest.mark.parametrize("data", NO_EVENT.values(), ids=NO_EVENT.keys())
def test_a_message_without_an_event_is_a_gap_on_a_connection_that_stays_open(data, caplog):
    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:
            auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
            async with AsyncMarginStream(auth, **how) as stream:
                await asyncio.to_thread(peer.misbehave, lambda sock: sock.sendall(data))
                async with asyncio.timeout(10):
                    item = await anext(stream)
                return item, stream.health.malformed_frames

    with caplog.at_level(logging.WARNING):
        gap, malformed = asyncio.run(main())
    assert isinstance(gap, StreamGap)
    assert (gap.reason, malformed) == ("malformed frame", 1)
    assert "malformed frame on connection 1" in caplog.text


def test_a_flood_of_pings_is_answered_in_bounded_memory():
    pings = make_frame(PING, b"p" * 125) * 4_000
    observations = asyncio.run(
        run_with_behaviour(lambda sock: (send_repeatedly(pings, limit=16 << 20), send_and_close())[1](sock))
    )
    assert observations.peak < MEMORY


def test_a_flood_of_pings_whose_pongs_nobody_reads_is_cut_off():
    pings = make_frame(PING, b"p" * 125) * 4_000
    # On a loaded machine the flood takes seconds, and each ping counts as activity of the connection.
    settings = replace(RULES, latency_allowance=30.0)
    observations = asyncio.run(run_with_behaviour(send_repeatedly(pings), ignores_client=True, settings=settings))
    assert observations.losses[0].endswith("the server does not read what is sent")
    assert observations.peak < MEMORY


def test_a_secret_in_the_words_of_a_close_frame_is_masked(caplog):
    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:
            secret = exchange.api_key
            auth, how = ApiKeyAuth(secret), {"endpoints": peer.endpoints, "settings": RULES}
            async with AsyncMarginStream(auth, on_change=observations.changes.append, **how) as stream:
                told = make_frame(CLOSE, b"\x0f\xa0no such key: " + secret.encode())
                await asyncio.to_thread(peer.misbehave, send_and_wait(told))
                async with asyncio.timeout(10):
                    await anext(stream)
            return secret

    observations = Observations()
    with caplog.at_level(logging.DEBUG):
        secret = asyncio.run(main())
    assert "with code 4000 no such key: ***" in observations.losses[0]
    assert secret not in caplog.text + repr(observations.changes)


OK = b"HTTP/1.1 200 OK\r\n"
NO_WEBSOCKET = "does not speak WebSocket"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
GZIP = zlib.compress(bytes(64 << 20), wbits=31)
HANDSHAKES = {
    "a page": (send_and_close(make_html_page(200, "Welcome")), "failed with HTTP 200"),
    "a page without an end": (send_repeatedly(b"<p>" * 20_000, start=OK + b"\r\n"), NO_WEBSOCKET),
    "a page in endless chunks": (
        send_repeatedly(b"ffff\r\n" + bytes(65535) + b"\r\n", start=OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        NO_WEBSOCKET,
    ),
    "a page that claims to be endless": (send_and_wait(OK + b"Content-Length: 99999999999\r\n\r\n"), NO_WEBSOCKET),
    "a compressed bomb": (
        send_and_close(make_response(200, GZIP, {"Content-Encoding": "gzip"})),
        "failed with HTTP 200",
    ),
    "a line without an end": (send_repeatedly(b"x" * 65536, start=b"HTTP/1.1 "), NO_WEBSOCKET),
    "headers without an end": (send_repeatedly(b"X-Endless: 1\r\n" * 4_000, start=OK), NO_WEBSOCKET),
    "a header without an end": (send_repeatedly(b"x" * 65536, start=OK + b"X-Endless: "), NO_WEBSOCKET),
    "an answer by drips": (send_slowly(UPGRADE * 40, 0.05), "the handshake timed out"),
    "half an answer, then silence": (send_and_wait(UPGRADE), "the handshake timed out"),
    "half an answer": (send_and_close(UPGRADE), NO_WEBSOCKET),
    "no answer": (send_and_close(), NO_WEBSOCKET),
    "a wrong acceptance": (send_and_wait(UPGRADE + b"Sec-WebSocket-Accept: AAAA\r\n\r\n"), NO_WEBSOCKET),
    "no acceptance": (send_and_wait(UPGRADE + b"\r\n"), NO_WEBSOCKET),
    "two acceptances": (send_and_wait(UPGRADE + b"Sec-WebSocket-Accept: A\r\n" * 2 + b"\r\n"), NO_WEBSOCKET),
    "bytes": (send_and_wait(bytes(range(256)) * 100), NO_WEBSOCKET),
    "two waits": (
        send_and_close(make_response(503, "", {"Retry-After": "1", "retry-after": "2"})),
        "failed with HTTP 503",
    ),
    "a wait that is no number": (
        send_and_close(make_response(503, "", {"Retry-After": "nan"})),
        "failed with HTTP 503",
    ),
}


@pytest.mark.parametrize(("behaviour", "words"), HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_an_invalid_handshake_response_is_reported_and_retried(behaviour, words, caplog):
    observations = Observations()

    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange, behaviour) as peer:
            auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
            tracemalloc.start()
            try:
                async with asyncio.timeout(8):
                    async with AsyncMarginStream(auth, on_change=observations.changes.append, **how) as stream:
                        observations.peak = tracemalloc.get_traced_memory()[1]
                        await expect_event(exchange, stream, 1)
            finally:
                tracemalloc.stop()

    asyncio.run(main())
    assert len(observations.losses) == 1
    assert words in observations.losses[0]
    assert observations.peak < MEMORY
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno > logging.INFO]


def test_compression_is_not_offered_and_refused_where_it_comes_all_the_same():
    observations = Observations()

    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:

            def send_compressed(sock):
                key = header(peer.requests[0], b"sec-websocket-key")
                accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
                send_and_wait(UPGRADE + extension + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")(sock)

            peer.behaviours.append(send_compressed)
            auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
            async with AsyncMarginStream(auth, on_change=observations.changes.append, **how):
                return peer.requests[0]

    assert header(asyncio.run(main()), b"sec-websocket-extensions") == b""
    assert "NegotiationError" in observations.losses[0]


def header(request: bytes, name: bytes) -> bytes:
    lines = request.split(b"\r\n")
    return next((line.partition(b":")[2].strip() for line in lines if line.lower().startswith(name + b":")), b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_handshake_is_not_followed(status):
    observations = Observations()

    async def main():
        with RawServer(make_response(200, "{}")) as elsewhere, Sandbox(rules=EXCHANGE) as exchange:
            there = make_response(status, "", {"Location": elsewhere.url.replace("http", "ws")})
            with HostilePeer(exchange, send_and_close(there)) as peer:
                auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
                async with AsyncMarginStream(auth, on_change=observations.changes.append, **how):
                    assert elsewhere.connection_count == 0

    asyncio.run(main())
    assert f"failed with HTTP {status}" in observations.losses[0]
