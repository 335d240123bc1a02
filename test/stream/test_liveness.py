"""A connection is dead when it leaves a ping unanswered, not when it is quiet."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fake_exchange import FakeExchange, FakeExchangeOptions
from stream_helpers import QUICK_SETTINGS, make_async_stream, send_balance, take_until, wait_until

from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.sandbox.faults import FreezeConnections, HalfOpenConnections
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.protocol.actions import CloseConnection, SendPing
from binance_margin_stream.stream.settings import with_limits
from binance_margin_stream.stream.sources import LISTEN_KEY_V2, LISTEN_TOKEN

DAY = 86_400.0
IMPATIENT = with_limits(replace(QUICK_SETTINGS, idle_timeout=0.5), ping_interval=100.0)
"""Without the regular pings, so that only silence makes the stream ping."""


@pytest.mark.parametrize("ping_interval_ms", [None, 180_000])
@pytest.mark.parametrize("source", ["token", "listen-key-v2"])
def test_a_host_that_pings_rarely_or_never_is_not_left(ping_interval_ms, source):
    async def main():
        with Sandbox(rules=ExchangeRules(ping_interval_ms=ping_interval_ms)) as exchange:
            async with make_async_stream(exchange, source=source, settings=IMPATIENT) as stream:
                await asyncio.sleep(2.5)
                send_balance(exchange)
                assert isinstance(await stream.get(timeout=5), BalanceUpdate)
                assert (stream.health.reconnects, stream.health.gaps, stream.health.connections) == (0, 0, 1)

    asyncio.run(main())


@pytest.mark.parametrize("fault", [FreezeConnections(), HalfOpenConnections()], ids=["frozen", "half-open"])
def test_a_connection_that_answers_no_ping_is_replaced_also_if_the_host_never_pings(fault):
    async def main():
        with Sandbox(rules=ExchangeRules(ping_interval_ms=None)) as exchange:
            async with make_async_stream(exchange, settings=replace(IMPATIENT, request_timeout=0.5)) as stream:
                await asyncio.to_thread(exchange.inject_fault, fault)
                (gap,) = await take_until(stream, StreamGap)
                assert gap.reason == "frozen"
                await wait_until(lambda: stream.health.accounts[CROSS])

    asyncio.run(main())


@pytest.mark.parametrize("source", [LISTEN_TOKEN, LISTEN_KEY_V2], ids=lambda source: source.name)
@pytest.mark.parametrize("ping_interval", [20.0, 180.0, 10 * DAY], ids=["20 s", "180 s", "never"])
def test_a_quiet_week_has_no_reconnect_and_no_gap(source, ping_interval):
    exchange = FakeExchange([CROSS], (source,), options=FakeExchangeOptions(ping_interval=ping_interval)).start()
    exchange.run_until_live().run(7 * DAY)
    health = exchange.lifecycle.health(exchange.now)
    assert (health.reconnects, health.gaps, exchange.list_gaps()) == (0, 0, [])
    assert health.rotations >= 6


@pytest.mark.parametrize("ping_interval", [20.0, 180.0, 10 * DAY], ids=["20 s", "180 s", "never"])
def test_a_frozen_connection_is_noticed_within_a_minute_of_its_last_sign_of_life(ping_interval):
    exchange = FakeExchange([CROSS], options=FakeExchangeOptions(ping_interval=ping_interval)).start()
    exchange.run_until_live().run(1000)
    last_sign = exchange.lifecycle.connections.list_all()[0].last_activity_at
    (connection,) = exchange.open_connections()
    exchange.freeze_connection(connection)
    exchange.run(last_sign + 60 - exchange.now)
    assert exchange.lifecycle.health(exchange.now).reconnects == 1


@pytest.mark.parametrize("asleep_at", [0.0, 50.0], ids=["while quiet", "while a ping is unanswered"])
def test_after_the_machine_slept_the_connection_is_pinged_before_it_is_called_dead(asleep_at):
    exchange = FakeExchange([CROSS], options=FakeExchangeOptions(ping_interval=10 * DAY)).start().run_until_live()
    (connection,) = exchange.open_connections()
    exchange.freeze_connection(connection)
    exchange.run(asleep_at)
    connection.is_frozen = False
    exchange.lifecycle.pop_actions()
    exchange.now += 3600
    exchange.lifecycle.on_timer(exchange.now)
    actions = exchange.lifecycle.pop_actions()
    assert not any(isinstance(action, CloseConnection) for action in actions)
    assert asleep_at or any(isinstance(action, SendPing) for action in actions)
    exchange.lifecycle.on_pong(connection.number, exchange.now + 1)
    exchange.lifecycle.on_timer(exchange.now + 30)
    assert not any(isinstance(action, CloseConnection) for action in exchange.lifecycle.pop_actions())
