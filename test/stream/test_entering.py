"""Entering a stream is bounded, and says who is missing and why."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from stream_helpers import BTC, ETH, QUICK_SETTINGS, make_async_stream, make_stream, send_balance, take_until

from binance_margin_stream import AccountLost, AsyncMarginStream, Endpoints, MarginStream, StreamError
from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.exceptions import ServerError
from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.sandbox.faults import ApiError, NoResponse, StaticResponse
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.models import BalanceUpdate
from binance_margin_stream.stream.state import State

TOKEN_PATH = "/sapi/v1/userListenToken"


def run(main):
    async def with_exchange():
        with Sandbox() as exchange:
            async with asyncio.timeout(20):
                await main(exchange)

    asyncio.run(with_exchange())


def test_it_ends_in_time_and_names_who_is_missing_with_the_last_reason():
    async def main(exchange):
        exchange.inject_fault(ApiError(-1000, status=500), path=TOKEN_PATH, account="BTCUSDT", times=None)
        with pytest.raises(StreamError, match=r"not subscribed within 1 s: isolated:BTCUSDT; .*HTTP 500") as raised:
            await make_async_stream(exchange, CROSS, BTC, enter_timeout=1.0).__aenter__()
        assert isinstance(raised.value.__cause__, ServerError)

    run(main)


def test_with_partial_it_returns_if_one_account_is_live_and_the_others_keep_trying():
    async def main(exchange):
        exchange.inject_fault(ApiError(-1000, status=500), path=TOKEN_PATH, account="BTCUSDT", times=None)
        async with make_async_stream(exchange, CROSS, BTC, enter_timeout=0.5, partial=True) as stream:
            assert stream.health.accounts == {CROSS: True, BTC: False}
            send_balance(exchange)
            assert isinstance(await stream.get(timeout=5), BalanceUpdate)
            exchange.clear_faults()
            while stream.state is not State.LIVE:
                await asyncio.sleep(0.02)

    run(main)


def test_with_partial_it_raises_if_no_account_is_live():
    async def main(exchange):
        exchange.inject_fault(NoResponse(), path=TOKEN_PATH, times=None)
        with pytest.raises(StreamError, match="not subscribed within"):
            await make_async_stream(exchange, CROSS, BTC, enter_timeout=0.5, partial=True).__aenter__()

    run(main)


def test_a_firewall_is_the_reason_that_it_gives():
    async def main(exchange):
        exchange.inject_fault(StaticResponse(403, b"<html>"), path=TOKEN_PATH, times=None)
        settings = replace(QUICK_SETTINGS, backoff_max=0.1)
        stream = make_async_stream(exchange, enter_timeout=0.3, settings=settings)
        with pytest.raises(StreamError, match="firewall"):
            await stream.__aenter__()

    run(main)


def test_the_wait_that_a_rate_limit_requires_does_not_count():
    async def main(exchange):
        limited = StaticResponse(429, b'{"code":-1003,"msg":"wait"}', (("Retry-After", "2"),))
        exchange.inject_fault(limited, path=TOKEN_PATH)
        async with make_async_stream(exchange, enter_timeout=0.5) as stream:
            assert stream.state is State.LIVE

    run(main)


def test_without_network_it_says_so():
    endpoints = Endpoints("https://api.invalid", *["wss://stream.invalid"] * 3)
    started = time.monotonic()
    with pytest.raises(StreamError, match=r"not subscribed within 0.5 s: cross; .*(api\.invalid|cannot be resolved)"):
        MarginStream(ApiKeyAuth("x" * 64), endpoints=endpoints, enter_timeout=0.5).__enter__()
    assert time.monotonic() - started < 8


class TestAdd:
    def test_it_returns_when_the_account_is_subscribed_and_no_other_account_notices(self):
        changes = []

        async def main(exchange):
            async with make_async_stream(exchange, on_change=changes.append) as stream:
                await stream.add(BTC)
                assert stream.health.accounts == {CROSS: True, BTC: True}
                send_balance(exchange, BTC)
                assert (await stream.get(timeout=5)).account == BTC
                assert stream.health.gaps == 0
            assert [change.kind for change in changes if change.kind in ("recovering", "gap")] == []

        run(main)

    def test_one_that_is_refused_raises_by_name_and_is_not_followed(self):
        async def main(exchange):
            exchange.disable_account("BTCUSDT")
            async with make_async_stream(exchange) as stream:
                with pytest.raises(StreamError, match=r"account isolated:BTCUSDT: .*-11001"):
                    await stream.add(BTC)
                assert stream.health.accounts == {CROSS: True}
                assert stream.state is State.LIVE

        run(main)

    def test_one_that_takes_too_long_raises_by_name(self):
        async def main(exchange):
            async with make_async_stream(exchange, enter_timeout=0.5) as stream:
                exchange.inject_fault(ApiError(-1000, status=500), path=TOKEN_PATH, account="BTCUSDT", times=None)
                with pytest.raises(StreamError, match="isolated:BTCUSDT"):
                    await stream.add(BTC)
                exchange.clear_faults()
                await stream.add(BTC)

        run(main)

    def test_a_cancelled_one_is_not_followed(self):
        async def main(exchange):
            async with make_async_stream(exchange) as stream:
                exchange.inject_fault(ApiError(-1000, status=500), path=TOKEN_PATH, times=None)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(stream.add(BTC), 0.2)
                assert stream.health.accounts == {CROSS: True}

        run(main)

    def test_an_account_that_is_followed_already_is_refused(self):
        async def main(exchange):
            async with make_async_stream(exchange) as stream:
                with pytest.raises(StreamError, match="already"):
                    await stream.add(CROSS)

        run(main)

    def test_many_join_at_once(self):
        async def main(exchange):
            async with make_async_stream(exchange) as stream:
                accounts = [isolated(f"X{number}USDT") for number in range(40)]
                await asyncio.gather(*map(stream.add, accounts))
                assert all(stream.health.accounts[account] for account in accounts)

        run(main)


class TestRemove:
    def test_what_is_buffered_still_comes_and_nothing_after_it(self):
        async def main(exchange):
            async with make_async_stream(exchange, CROSS, BTC) as stream:
                send_balance(exchange, BTC)
                while not stream.health.buffered:
                    await asyncio.sleep(0.01)
                await stream.remove(BTC)
                send_balance(exchange, BTC, "2")
                send_balance(exchange, CROSS, "3")
                items = [await stream.get(timeout=5) for _ in range(2)]
                assert [(item.account, str(item.delta)) for item in items] == [(BTC, "1"), (CROSS, "3")]
                assert stream.health.accounts == {CROSS: True}

        run(main)

    def test_the_last_one_and_an_unknown_one_are_refused(self):
        with Sandbox() as exchange, make_stream(exchange) as stream:
            with pytest.raises(StreamError, match="the only one"):
                stream.remove(CROSS)
            with pytest.raises(StreamError, match="does not follow"):
                stream.remove(BTC)
            stream.add(BTC)
            stream.remove(CROSS)
            assert stream.health.accounts == {BTC: True}

    def test_a_removed_account_can_be_added_again(self):
        async def main(exchange):
            async with make_async_stream(exchange, CROSS, BTC) as stream:
                for _ in range(3):
                    await stream.remove(BTC)
                    await stream.add(BTC)
                send_balance(exchange, BTC)
                assert (await stream.get(timeout=5)).account == BTC

        run(main)


def test_a_lost_account_can_be_added_again():
    async def main(exchange):
        exchange.disable_account("BTCUSDT")
        async with make_async_stream(exchange, CROSS, BTC, ETH, partial=True) as stream:
            await take_until(stream, AccountLost)
            exchange.enable_account("BTCUSDT")
            await stream.add(BTC)
            assert stream.health.lost_accounts == {}

    run(main)


def test_a_stream_that_is_not_entered_takes_no_account():
    stream = AsyncMarginStream(ApiKeyAuth("x" * 64))
    with pytest.raises(StreamError, match="enter the stream first"):
        asyncio.run(stream.add(BTC))
