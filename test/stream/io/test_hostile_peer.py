"""Whatever a peer does on the wire: the stream ends or recovers soon, in bounded memory, and says what happened.

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
    floods,
    frame,
    leaves,
    says,
)
from raw_server import RawServer, make_html_page, make_response, send_slowly
from stream_helpers import QUICK, now_ms

from binance_margin_stream import ApiKeyAuth
from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.protocol.actions import State

MEMORY = 32 << 20
"""Bytes that a stream may take more than before, whatever comes: one read of 256 KiB can hold 131 072 empty frames,
each an object of the WebSocket library for a moment."""
LIMIT = 1 << 20
RULES = replace(QUICK, idle_timeout=1.5, open_timeout=1.0)
EXCHANGE = ExchangeRules(ping_interval_ms=300)
BOMB = zlib.compress(bytes(64 << 20), wbits=-15)


class Seen:
    """What a stream told while a peer misbehaved."""

    def __init__(self) -> None:
        self.changes = []
        self.gaps = []
        self.peak = 0

    @property
    def losses(self) -> list[str]:
        return [change.detail for change in self.changes if change.name == "connection lost"]


def balance_update(exchange, number):
    at = now_ms()
    exchange.send_event({"e": "balanceUpdate", "E": at, "a": "USDT", "d": str(number), "T": at})
    return at


async def struck(behaviour, *, deaf=False) -> Seen:
    """A live stream whose peer misbehaves; one event is swallowed meanwhile, and has to lie in a gap."""
    seen = Seen()
    with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:
        auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
        async with AsyncMarginStream(auth, on_change=seen.changes.append, **how) as stream:
            tracemalloc.start()
            try:
                await asyncio.to_thread(peer.strike, behaviour, deaf=deaf)
                swallowed = await asyncio.to_thread(balance_update, exchange, 1)
                async with asyncio.timeout(10):
                    while not isinstance(item := await anext(stream), StreamGap):
                        pass
                    seen.peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert item.since <= swallowed <= item.until
            assert stream.state is State.LIVE
            await arrives(exchange, stream, 2)
    return seen


async def arrives(exchange, stream, number):
    await asyncio.to_thread(balance_update, exchange, number)
    async with asyncio.timeout(5):
        while not (isinstance(item := await anext(stream), BalanceUpdate) and item.delta == number):
            pass


HEAD = frame(TEXT, b'{"subscriptionId":0,"event":{')
BROKEN = {
    "half a frame": (leaves(HEAD[:-5]), "cut off without a goodbye"),
    "half of a frame's head": (leaves(HEAD[:1]), "cut off without a goodbye"),
    "half a frame, then silence": (says(HEAD[:-5]), "no sign of life"),
    "a frame above the limit": (
        says(frame(TEXT, bytes(2 * LIMIT))),
        f"frame with {2 * LIMIT} bytes exceeds limit of {LIMIT} bytes (code 1009)",
    ),
    "a frame that claims to be endless": (says(b"\x81\x7f" + b"\x7f" + b"\xff" * 7), "exceeds limit"),
    "fragments above the limit": (
        floods(frame(CONTINUATION, bytes(60_000), fin=False), start=frame(TEXT, b"", fin=False)),
        "exceeds limit",
    ),
    "fragments without end": (
        says(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"", fin=False) * (2 << 20)),
        "no sign of life",
    ),
    "a masked frame": (says(frame(TEXT, b"{}", mask=b"abcd")), "incorrect masking (code 1002)"),
    "an unknown opcode": (says(frame(0x3, b"{}")), "invalid opcode"),
    "reserved bits": (says(frame(TEXT, b"{}", reserved=0b011)), "reserved bits must be 0 (code 1002)"),
    "a compressed bomb": (says(frame(TEXT, BOMB[:LIMIT], reserved=0b100)), "reserved bits must be 0 (code 1002)"),
    "the rest of no message": (says(frame(CONTINUATION, b"{}")), "unexpected continuation frame"),
    "two messages in one": (says(frame(TEXT, b"{", fin=False) + frame(TEXT, b"}")), "expected a continuation frame"),
    "half a ping": (says(frame(PING, b"", fin=False)), "fragmented control frame"),
    "a long ping": (says(frame(PING, bytes(126))), "control frame too long"),
    "a close frame and no close": (says(frame(CLOSE, b"\x03\xe8bye")), "closed by the other side with code 1000 bye"),
    "a close frame with an absurd code": (says(frame(CLOSE, (5).to_bytes(2, "big"))), "invalid status code"),
    "a close frame with half a code": (says(frame(CLOSE, b"\x03")), "close frame too short"),
    "a close frame in no language": (says(frame(CLOSE, b"\x03\xe8\xff\xfe")), "(code 1007)"),
    "a close frame with two lines": (says(frame(CLOSE, b"\x03\xe8a\r\nb\x1b[2J")), "with code 1000 a b [2J"),
    "HTTP in the middle": (says(make_html_page(502, "Bad gateway")), "broke the protocol"),
}


@pytest.mark.parametrize(("behaviour", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_connection_that_breaks_is_told_covered_by_a_gap_and_replaced(behaviour, words):
    seen = asyncio.run(struck(behaviour))
    assert len(seen.losses) == 1
    assert words in seen.losses[0]
    assert seen.losses[0].isprintable()
    assert seen.peak < MEMORY


NO_EVENT = {
    "text that is not UTF-8": frame(TEXT, b'{"subscriptionId":0,"event":{"e":"\xff\xfe"}}'),
    "half a character": frame(TEXT, b'{"e":"\xe2\x82', fin=False) + frame(CONTINUATION, b""),
    "a surrogate": frame(TEXT, b'{"subscriptionId":0,"event":{"e":"\xed\xa0\x80"}}'),
    "a message of nothing": frame(TEXT),
    "a megabyte of brackets": frame(TEXT, b"[" * LIMIT),
    "a megabyte of digits": frame(TEXT, b"9" * LIMIT),
    "a binary message": frame(BINARY, b"\x00" * LIMIT),
}


@pytest.mark.parametrize("data", NO_EVENT.values(), ids=NO_EVENT.keys())
def test_a_message_that_holds_no_event_is_a_gap_on_a_connection_that_lives_on(data, caplog):
    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:
            auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
            async with AsyncMarginStream(auth, **how) as stream:
                await asyncio.to_thread(peer.strike, lambda sock: sock.sendall(data))
                async with asyncio.timeout(10):
                    item = await anext(stream)
                return item, stream.health.malformed_frames

    with caplog.at_level(logging.WARNING):
        gap, malformed = asyncio.run(main())
    assert isinstance(gap, StreamGap)
    assert (gap.reason, malformed) == ("malformed frame", 1)
    assert "malformed frame on connection 1" in caplog.text


def test_a_flood_of_pings_is_answered_in_bounded_memory():
    pings = frame(PING, b"p" * 125) * 4_000
    seen = asyncio.run(struck(lambda sock: (floods(pings, most=16 << 20), leaves())[1](sock)))
    assert seen.peak < MEMORY


def test_a_flood_of_pings_whose_pongs_nobody_reads_is_cut_off():
    pings = frame(PING, b"p" * 125) * 4_000
    seen = asyncio.run(struck(floods(pings), deaf=True))
    assert seen.losses[0].endswith("the other side does not read what it is sent")
    assert seen.peak < MEMORY


def test_a_secret_in_the_words_of_a_close_frame_is_masked(caplog):
    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:
            secret = exchange.api_key
            auth, how = ApiKeyAuth(secret), {"endpoints": peer.endpoints, "settings": RULES}
            async with AsyncMarginStream(auth, on_change=seen.changes.append, **how) as stream:
                told = frame(CLOSE, b"\x0f\xa0no such key: " + secret.encode())
                await asyncio.to_thread(peer.strike, says(told))
                async with asyncio.timeout(10):
                    await anext(stream)
            return secret

    seen = Seen()
    with caplog.at_level(logging.DEBUG):
        secret = asyncio.run(main())
    assert "with code 4000 no such key: ***" in seen.losses[0]
    assert secret not in caplog.text + repr(seen.changes)


OK = b"HTTP/1.1 200 OK\r\n"
NO_WEBSOCKET = "speaks no WebSocket"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
GZIP = zlib.compress(bytes(64 << 20), wbits=31)
HANDSHAKES = {
    "a page": (leaves(make_html_page(200, "Welcome")), "answered with HTTP 200"),
    "a page without an end": (floods(b"<p>" * 20_000, start=OK + b"\r\n"), NO_WEBSOCKET),
    "a page in endless chunks": (
        floods(b"ffff\r\n" + bytes(65535) + b"\r\n", start=OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        NO_WEBSOCKET,
    ),
    "a page that claims to be endless": (says(OK + b"Content-Length: 99999999999\r\n\r\n"), NO_WEBSOCKET),
    "a compressed bomb": (
        leaves(make_response(200, GZIP, {"Content-Encoding": "gzip"})),
        "answered with HTTP 200",
    ),
    "a line without an end": (floods(b"x" * 65536, start=b"HTTP/1.1 "), NO_WEBSOCKET),
    "headers without an end": (floods(b"X-Endless: 1\r\n" * 4_000, start=OK), NO_WEBSOCKET),
    "a header without an end": (floods(b"x" * 65536, start=OK + b"X-Endless: "), NO_WEBSOCKET),
    "an answer by drips": (send_slowly(UPGRADE * 40, 0.05), "the handshake took too long"),
    "half an answer, then silence": (says(UPGRADE), "the handshake took too long"),
    "half an answer": (leaves(UPGRADE), NO_WEBSOCKET),
    "no answer": (leaves(), NO_WEBSOCKET),
    "a wrong acceptance": (says(UPGRADE + b"Sec-WebSocket-Accept: AAAA\r\n\r\n"), NO_WEBSOCKET),
    "no acceptance": (says(UPGRADE + b"\r\n"), NO_WEBSOCKET),
    "two acceptances": (says(UPGRADE + b"Sec-WebSocket-Accept: A\r\n" * 2 + b"\r\n"), NO_WEBSOCKET),
    "bytes": (says(bytes(range(256)) * 100), NO_WEBSOCKET),
    "two waits": (leaves(make_response(503, "", {"Retry-After": "1", "retry-after": "2"})), "answered with HTTP 503"),
    "a wait that is no number": (leaves(make_response(503, "", {"Retry-After": "nan"})), "answered with HTTP 503"),
}


@pytest.mark.parametrize(("behaviour", "words"), HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_an_answer_to_the_handshake_that_is_none_is_told_and_asked_for_again(behaviour, words, caplog):
    seen = Seen()

    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange, behaviour) as peer:
            auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
            tracemalloc.start()
            try:
                async with asyncio.timeout(8):
                    async with AsyncMarginStream(auth, on_change=seen.changes.append, **how) as stream:
                        seen.peak = tracemalloc.get_traced_memory()[1]
                        await arrives(exchange, stream, 1)
            finally:
                tracemalloc.stop()

    asyncio.run(main())
    assert len(seen.losses) == 1
    assert words in seen.losses[0]
    assert seen.peak < MEMORY
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno > logging.INFO]


def test_compression_is_not_offered_and_refused_where_it_comes_all_the_same():
    seen = Seen()

    async def main():
        with Sandbox(rules=EXCHANGE) as exchange, HostilePeer(exchange) as peer:

            def compressing(sock):
                key = header(peer.requests[0], b"sec-websocket-key")
                accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
                says(UPGRADE + extension + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")(sock)

            peer.first.append(compressing)
            auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
            async with AsyncMarginStream(auth, on_change=seen.changes.append, **how):
                return peer.requests[0]

    assert header(asyncio.run(main()), b"sec-websocket-extensions") == b""
    assert "NegotiationError" in seen.losses[0]


def header(request: bytes, name: bytes) -> bytes:
    lines = request.split(b"\r\n")
    return next((line.partition(b":")[2].strip() for line in lines if line.lower().startswith(name + b":")), b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_handshake_is_not_followed(status):
    seen = Seen()

    async def main():
        with RawServer(make_response(200, "{}")) as elsewhere, Sandbox(rules=EXCHANGE) as exchange:
            there = make_response(status, "", {"Location": elsewhere.url.replace("http", "ws")})
            with HostilePeer(exchange, leaves(there)) as peer:
                auth, how = ApiKeyAuth(exchange.api_key), {"endpoints": peer.endpoints, "settings": RULES}
                async with AsyncMarginStream(auth, on_change=seen.changes.append, **how):
                    assert elsewhere.connection_count == 0

    asyncio.run(main())
    assert f"answered with HTTP {status}" in seen.losses[0]
