"""The arguments of a stream are checked at once."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from stream_helpers import make_async_stream

from binance_margin_stream import ApiKeyAuth, AsyncMarginStream, Endpoints, MarginStream, StreamError
from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.stream.state import State


async def notice(change):
    """Would never be awaited."""


@pytest.mark.parametrize("stream_class", [MarginStream, AsyncMarginStream])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"close_listen_keys": "false"}, ApiTypeError, "close_listen_keys must be of type bool"),
        ({"risk": "false"}, ApiTypeError, "risk must be of type bool"),
        ({"partial": 1}, ApiTypeError, "partial must be of type bool"),
        ({"tls": True}, ApiTypeError, "tls must be of type SSLContext"),
        ({"timeout": 5}, ApiTypeError, "timeout must be of type Timeout"),
        ({"on_change": "x"}, ApiTypeError, "on_change must be a function"),
        ({"on_change": notice}, ApiTypeError, "a plain function"),
        ({"enter_timeout": "60"}, ApiTypeError, "enter_timeout must be a number"),
        ({"enter_timeout": 0}, ApiValueError, "enter_timeout must be a positive number"),
    ],
)
def test_a_wrong_argument_raises_before_anything_is_sent(stream_class, options, error, message):
    with pytest.raises(error, match=message):
        stream_class(ApiKeyAuth("x" * 64), **options)


@pytest.mark.parametrize("address", ["https://example.com", "example.com:443", "wss://example.com:99999", "wss://", ""])
def test_an_address_that_is_no_websocket_is_refused(address):
    endpoints = replace(Endpoints.production(), websocket_api=address)
    with pytest.raises(ApiValueError, match=r"endpoints\.websocket_api is no WebSocket address"):
        MarginStream(ApiKeyAuth("x" * 64), endpoints=endpoints)


def test_a_stream_raises_at_once_in_another_event_loop():
    with Sandbox() as exchange:
        stream, loop = make_async_stream(exchange), asyncio.new_event_loop()
        loop.run_until_complete(stream.__aenter__())
        for use in (stream.get, stream.__anext__):
            with pytest.raises(StreamError, match="another event loop"):
                asyncio.run(asyncio.wait_for(use(), 5))
        loop.run_until_complete(stream.close())
        loop.close()


def test_a_call_that_no_thread_can_be_started_for_is_made_again(monkeypatch):
    start, refusals = threading.Thread.start, iter([True, True])

    def refuse_twice(thread):
        if thread.name == "margin stream call" and next(refusals, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    async def main():
        with Sandbox() as exchange:
            monkeypatch.setattr(threading.Thread, "start", refuse_twice)
            async with make_async_stream(exchange) as stream:
                assert stream.state is State.LIVE

    asyncio.run(main())
