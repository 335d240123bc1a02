"""What a stream proves: the subscription of each item, what each has received, and up to when nothing is missing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from stream_helpers import (
    BTC,
    QUICK_SETTINGS,
    make_async_stream,
    make_stream,
    now_ms,
    send_balance,
    take_until,
    wait_until,
)

from binance_margin_stream import StreamError
from binance_margin_stream.sandbox import Sandbox
from binance_margin_stream.sandbox.faults import DropConnections
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap, StreamItem
from binance_margin_stream.stream.settings import with_limits

FREQUENT_PINGS = with_limits(QUICK_SETTINGS, ping_interval=0.2)
ROTATING = with_limits(replace(QUICK_SETTINGS, connection_max_age=1.0, connection_age_jitter=0.0), overlap_window=0.2)


def run(main):
    async def with_exchange():
        with Sandbox() as exchange:
            await main(exchange)

    asyncio.run(with_exchange())


def test_an_item_has_the_number_of_its_subscription_which_is_not_stored_nor_compared():
    async def main(exchange):
        async with make_async_stream(exchange, CROSS, BTC) as stream:
            for account in (CROSS, BTC):
                send_balance(exchange, account)
            first, second = await stream.get(timeout=5), await stream.get(timeout=5)
            assert {first.subscription, second.subscription} == {each.subscription for each in stream.coverage()}
            assert first.subscription != second.subscription
            stored = StreamItem.from_json(first.to_json())
            assert stored == first
            assert stored.subscription is None

    run(main)


def test_a_rotation_makes_a_new_subscription_and_the_old_one_stays_in_the_view():
    async def main(exchange):
        async with make_async_stream(exchange, settings=ROTATING) as stream:
            send_balance(exchange)
            old = (await stream.get(timeout=5)).subscription
            await wait_until(lambda: stream.health.rotations > 0)
            send_balance(exchange)
            new = (await stream.get(timeout=5)).subscription
            views = {each.subscription: each for each in stream.coverage()}
            assert new > old
            assert not views[old].is_open
            assert views[new].is_open
            assert views[old].live_at < views[new].live_at

    run(main)


def test_a_gap_has_the_source_and_no_subscription():
    async def main(exchange):
        async with make_async_stream(exchange, risk=True) as stream:
            await asyncio.to_thread(exchange.inject_fault, DropConnections())
            gaps = [await stream.get(timeout=10), await stream.get(timeout=10)]
            assert {gap.source for gap in gaps} == {"token", "risk"}
            assert {gap.subscription for gap in gaps} == {None}

    run(main)


def test_coverage_grows_by_pings_and_event_times():
    async def main(exchange):
        async with make_async_stream(exchange, settings=FREQUENT_PINGS) as stream:
            (view,) = stream.coverage()
            assert (view.account, view.source, view.largest_event_time) == (CROSS, "token", None)
            assert view.live_at <= now_ms()
            for at in (1_000, 3_000, 2_000):
                exchange.send_event({"e": "balanceUpdate", "E": at, "a": "USDT", "d": "1", "T": 1}, "cross")
                await stream.get(timeout=5)
            await wait_until(lambda: (stream.coverage()[0].ping_sent_at or 0) > view.live_at)
            assert stream.coverage()[0].largest_event_time == 3_000

    run(main)


def test_what_a_pong_proves_was_put_into_the_queue_before():
    async def main(exchange):
        async with make_async_stream(exchange, settings=FREQUENT_PINGS) as stream:
            sent_at = now_ms()
            send_balance(exchange)
            await wait_until(lambda: (stream.coverage()[0].ping_sent_at or 0) > sent_at)
            assert stream.health.buffered == 1

    run(main)


def test_covered_until_grows_on_a_quiet_account_and_not_beyond_what_was_taken():
    async def main(exchange):
        async with make_async_stream(exchange, settings=FREQUENT_PINGS) as stream:
            entered_at = now_ms()
            await wait_until(lambda: stream.covered_until[CROSS] > entered_at)
            assert stream.covered_until[CROSS] <= now_ms()
            sent_at = now_ms()
            send_balance(exchange)
            await wait_until(lambda: (stream.coverage()[0].ping_sent_at or 0) > sent_at + 500)
            assert stream.covered_until[CROSS] <= sent_at
            await stream.get(timeout=5)
            await wait_until(lambda: stream.covered_until[CROSS] > sent_at)

    run(main)


def test_covered_until_stops_at_a_gap_until_the_gap_is_taken():
    async def main(exchange):
        async with make_async_stream(exchange, settings=FREQUENT_PINGS) as stream:
            await asyncio.to_thread(exchange.inject_fault, DropConnections())
            await wait_until(lambda: stream.health.gaps == 1)
            await asyncio.sleep(0.5)
            before = stream.covered_until[CROSS]
            (gap,) = await take_until(stream, StreamGap)
            assert before <= gap.since
            await wait_until(lambda: stream.covered_until[CROSS] >= gap.until)

    run(main)


def test_a_thread_reads_the_same_of_a_sync_stream():
    with Sandbox() as exchange, make_stream(exchange, settings=FREQUENT_PINGS) as stream:
        assert stream.covered_until.keys() == {CROSS}
        for amount in "12":
            send_balance(exchange, amount=amount)
        sent_at = now_ms()
        first = stream.get(timeout=5)
        assert [each.subscription for each in stream.coverage()] == [first.subscription]
        while (stream.coverage()[0].ping_sent_at or 0) < sent_at + 300:
            pass
        assert stream.covered_until[CROSS] < sent_at  # the second item was not taken
        stream.get(timeout=5)
        while stream.covered_until[CROSS] < sent_at:
            pass


class TestGet:
    def test_it_times_out_and_loses_no_item(self):
        async def main(exchange):
            async with make_async_stream(exchange) as stream:
                with pytest.raises(TimeoutError):
                    await stream.get(timeout=0.05)
                waiting = [asyncio.create_task(stream.get()) for _ in range(3)]
                await asyncio.sleep(0.05)
                waiting[0].cancel()
                for amount in "12":
                    send_balance(exchange, amount=amount)
                items = [await each for each in waiting[1:]]
                assert sorted(str(item.delta) for item in items) == ["1", "2"]

        run(main)

    def test_after_the_end_it_raises(self):
        async def main(exchange):
            async with make_async_stream(exchange) as stream:
                await stream.close()
                with pytest.raises(StreamError, match="closed"):
                    await stream.get(timeout=5)

        run(main)
        with Sandbox() as exchange, make_stream(exchange) as stream:
            stream.close()
            with pytest.raises(StreamError, match="closed"):
                stream.get(timeout=5)

    def test_polling_a_quiet_stream_leaves_nothing_behind(self):
        with Sandbox() as exchange, make_stream(exchange) as stream:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    stream.get(timeout=0.01)
            tasks = len(asyncio.all_tasks(stream._worker._loop))
            assert tasks < 10
            send_balance(exchange)
            assert isinstance(stream.get(timeout=5), BalanceUpdate)

    def test_several_threads_share_the_items(self):
        with Sandbox() as exchange, make_stream(exchange) as stream, ThreadPoolExecutor(4) as pool:
            start = threading.Barrier(4)

            def take():
                start.wait()
                return [int(stream.get(timeout=10).delta) for _ in range(25)]

            takers = [pool.submit(take) for _ in range(4)]
            for number in range(100):
                send_balance(exchange, amount=str(number))
            taken = [number for each in takers for number in each.result()]
            assert sorted(taken) == list(range(100))
