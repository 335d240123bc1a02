"""A stream that ends while an account is down reports what may be missing first."""

from __future__ import annotations

import asyncio
import time

import pytest
from stream_helpers import make_async_stream, make_stream, wait_until

from binance_margin_stream import StreamError
from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.sandbox.faults import ApiError, DropConnections
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.models import StreamGap

TOKEN_PATH = "/sapi/v1/userListenToken"


def test_closing_while_an_account_is_down_delivers_the_open_gap():
    async def main():
        with Sandbox() as exchange:
            async with make_async_stream(exchange) as stream:
                exchange.inject_fault(ApiError(-1000, status=500), path=TOKEN_PATH, times=None)
                await asyncio.to_thread(exchange.inject_fault, DropConnections())
                await wait_until(lambda: not stream.health.accounts[CROSS])
                await stream.close()
                items = [item async for item in stream]
            assert [type(item) for item in items] == [StreamGap]

    asyncio.run(main())


def test_a_sync_stream_that_is_closed_or_fails_delivers_it_too():
    for end in ("close", "fail"):
        with Sandbox() as exchange, make_stream(exchange) as stream:
            exchange.inject_fault(ApiError(-1000, status=500), path=TOKEN_PATH, times=None)
            exchange.inject_fault(DropConnections())
            while stream.health.accounts[CROSS]:
                time.sleep(0.01)
            if end == "close":
                stream.close()
                assert [type(item) for item in stream] == [StreamGap]
                continue
            exchange.clear_faults()
            exchange.revoke_api_key()
            assert isinstance(stream.get(timeout=10), StreamGap)
            with pytest.raises(StreamError, match="the stream failed"):
                stream.get(timeout=10)
