"""What is final for one account ends that account by name, and no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from stream_helpers import (
    BTC,
    ETH,
    QUICK_SETTINGS,
    make_async_stream,
    make_stream,
    send_balance,
    take_until,
    wait_until,
)

from binance_margin_stream import AccountLost, StreamError, exceptions
from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.sandbox.faults import ApiError, StaticResponse
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap, StreamItem
from binance_margin_stream.stream.state import State

TOKEN_PATH = "/sapi/v1/userListenToken"
SHORT_TOKENS = replace(QUICK_SETTINGS, token_validity=3.0)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda exchange: exchange.delist_symbol("BTCUSDT"), -1121),
        (lambda exchange: exchange.disable_account("BTCUSDT"), -11001),
    ],
)
def test_an_account_that_ends_while_running_is_lost_by_name_and_the_others_go_on(end, code):
    changes = []

    async def main():
        with Sandbox() as exchange:
            options = {"settings": SHORT_TOKENS, "on_change": changes.append}
            async with make_async_stream(exchange, CROSS, BTC, ETH, **options) as stream:
                await asyncio.to_thread(end, exchange)
                *before, lost = await take_until(stream, AccountLost)
                assert (lost.account, lost.source, lost.code) == (BTC, "token", code)
                (gap,) = before
                assert isinstance(gap, StreamGap)
                assert (gap.account, gap.since, gap.reason) == (BTC, lost.since, "account lost")
                assert stream.health.lost_accounts.keys() == {BTC}
                assert BTC not in stream.health.accounts
                await wait_until(lambda: stream.state is State.LIVE)
                for account in (CROSS, ETH):
                    send_balance(exchange, account)
                    assert (await stream.get(timeout=5)).account == account
            assert [change.account for change in changes if change.kind == "account lost"] == [BTC]

    asyncio.run(main())


@pytest.mark.parametrize("code", [-11001, -11007, -3003, -3022, -3027, -3028, -3999, -1121])
@pytest.mark.parametrize("as_text", [False, True], ids=["number", "text"])
def test_an_account_that_is_refused_on_entering_raises_by_name(code, as_text):
    written = f'"{code}"' if as_text else code
    body = f'{{"code":{written},"msg":"refused by a test"}}'.encode()

    async def main():
        with Sandbox() as exchange:
            fault = StaticResponse(400, body, (("Content-Type", "application/json"),))
            exchange.inject_fault(fault, path=TOKEN_PATH, account="BTCUSDT", times=None)
            async with asyncio.timeout(5):
                with pytest.raises(StreamError, match=f"account isolated:BTCUSDT: .*code {code}"):
                    await make_async_stream(exchange, CROSS, BTC).__aenter__()

    asyncio.run(main())


def test_the_cause_of_a_refused_account_is_attached():
    with Sandbox() as exchange:
        exchange.disable_account("BTCUSDT")
        with pytest.raises(StreamError) as raised, make_stream(exchange, BTC):
            pass
    assert isinstance(raised.value.__cause__, exceptions.AccountUnavailableError)


def test_with_partial_the_rest_is_live_and_the_lost_account_is_an_item():
    async def main():
        with Sandbox() as exchange:
            exchange.disable_account("BTCUSDT")
            async with make_async_stream(exchange, CROSS, BTC, ETH, partial=True) as stream:
                assert stream.state is State.LIVE
                send_balance(exchange, ETH)
                first, second = await stream.get(timeout=5), await stream.get(timeout=5)
                assert isinstance(first, AccountLost)
                assert (first.account, first.code, first.reason) == (BTC, -11001, "account unavailable")
                assert isinstance(second, BalanceUpdate)

    asyncio.run(main())


def test_the_loss_of_the_last_account_ends_the_stream_after_its_items():
    async def main():
        with Sandbox() as exchange:
            async with make_async_stream(exchange, BTC, settings=SHORT_TOKENS) as stream:
                exchange.disable_account("BTCUSDT")
                items = await take_until(stream, AccountLost)
                assert isinstance(items[0], StreamGap)
                with pytest.raises(StreamError, match="account isolated:BTCUSDT"):
                    await stream.get(timeout=5)
                assert stream.state is State.FAILED

    asyncio.run(main())


def test_a_lost_account_is_unsubscribed_although_it_still_delivers():
    async def main():
        with Sandbox() as exchange:
            async with make_async_stream(exchange, CROSS, BTC, settings=SHORT_TOKENS) as stream:
                exchange.inject_fault(ApiError(-3999), path=TOKEN_PATH, account="BTCUSDT", times=None)
                await take_until(stream, AccountLost)
                for account in (BTC, CROSS):
                    send_balance(exchange, account)
                assert (await stream.get(timeout=5)).account == CROSS

    asyncio.run(main())


def test_when_the_source_of_isolated_accounts_is_retired_cross_moves_and_they_are_lost():
    async def main():
        with Sandbox() as exchange:
            async with make_async_stream(exchange, CROSS, BTC, settings=SHORT_TOKENS) as stream:
                exchange.retire_endpoint(TOKEN_PATH)
                items = await take_until(stream, AccountLost)
                assert {item.account for item in items} == {BTC}
                assert items[-1].reason == "retired"
                await wait_until(lambda: stream.health.sources == {CROSS: "listen-key-v2"})
                send_balance(exchange)
                assert isinstance(await stream.get(timeout=10), BalanceUpdate)

    asyncio.run(main())


@pytest.mark.parametrize("text", ["BTC/USDT", "btcusdt", "btc-usdt", "BTCUSDT"])
def test_the_spellings_of_a_symbol_are_one_account(text):
    assert isolated(text) == BTC


def test_a_symbol_of_any_script_is_an_account():
    symbol = "币安人生USDT"
    with Sandbox(rules=ExchangeRules(symbols=frozenset({symbol}))) as exchange:
        with make_stream(exchange, isolated(symbol)) as stream:
            send_balance(exchange, isolated(symbol))
            assert stream.get(timeout=5).account == Account("isolated", symbol)


@pytest.mark.parametrize("text", ["", "/", "BTC USDT", "BTC\nUSDT", "A" * 65, "BTC/USDT:USDT"])
def test_what_cannot_be_a_symbol_is_refused(text):
    with pytest.raises(exceptions.ApiValueError, match="not a symbol"):
        isolated(text)


def test_a_lost_account_is_read_back_from_json():
    lost = AccountLost(account=BTC, source="token", since=5, reason="account unavailable", error="no", code=-11001)
    assert StreamItem.from_json(lost.to_json()) == lost
    assert lost.since_datetime.timestamp() == 0.005
