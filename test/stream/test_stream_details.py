"""Details of the stream over real sockets, each case by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from stream_helpers import BTC, QUICK_SETTINGS, Traffic, TrafficChecker, make_async_stream, make_stream, now_ms

from binance_margin_stream import ApiKeyAuth, StreamError
from binance_margin_stream.exceptions import KeyRejectedError
from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate, StreamGap
from binance_margin_stream.stream.settings import with_limits
from binance_margin_stream.stream.state import State

TOKENS = "/sapi/v1/userListenToken"


async def wait_until(condition, within=10.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def next_gap(stream):
    async with asyncio.timeout(10):
        while not isinstance(item := await anext(stream), StreamGap):
            pass
        return item


async def run_in_thread(function, *arguments, **named):
    return await asyncio.to_thread(function, *arguments, **named)


class FaultyProxy:
    """Relays bytes between a stream and the sandbox; it can drop all bytes, drop single frames, and be slow.

    `swallow` is what is never passed down. `slow` is by how many seconds the first connection is late downwards.
    """

    def __init__(self, exchange, *, dropped=None, delay=0.0):
        self._target = int(exchange.url.rpartition(":")[2])
        self._writers = []
        self._stalled = False
        self._dropped = dropped
        self._delay = delay

    def endpoints(self, exchange, port):
        return replace(exchange.endpoints, websocket_api=f"ws://127.0.0.1:{port}/ws-api/v3")

    @asynccontextmanager
    async def run(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()

    def stall(self):
        """Make the open connections half-open: neither data nor an end arrives."""
        self._stalled = True

    def resume(self):
        """Let connections work that are opened from now on; the earlier ones stay half-open."""
        self._stalled = False

    async def _accept(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, there_writer]
        flags, delay, self._delay = {"silent": False}, self._delay, 0.0
        await asyncio.gather(
            self._forward(reader, there_writer, flags, 0.0), self._forward(there_reader, writer, flags, delay)
        )

    async def _forward(self, reader, writer, flags, delay):
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(65536):
                flags["silent"] = flags["silent"] or self._stalled
                if flags["silent"] or (self._dropped and self._dropped in data):
                    continue
                if delay:
                    loop.call_later(delay, writer.write, data)
                else:
                    writer.write(data)
            if not (flags["silent"] or self._stalled):
                writer.close()
        except OSError:
            writer.close()


class TestConnecting:
    @pytest.mark.parametrize(
        ("address", "cause"),
        [
            ("wss://127.0.0.1:{port}/ws-api/v3", "TLS failed"),
            ("ws://nowhere.invalid:{port}", "host name cannot be resolved"),
            ("ws://127.0.0.1:{unused}", "connection refused"),
        ],
        ids=["tls", "dns", "refused"],
    )
    def test_a_failed_connection_is_reported_with_its_cause_and_retried(self, address, cause):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            changes = asyncio.run(self.list_connect_failures(address, unused.getsockname()[1], cause))
        assert len(changes) >= 2

    async def list_connect_failures(self, address, unused, cause):
        changes = []
        patient = replace(QUICK_SETTINGS, open_timeout=60.0)
        with Sandbox() as exchange:
            where = address.format(port=exchange.url.rpartition(":")[2], unused=unused)
            endpoints = replace(exchange.endpoints, websocket_api=where)
            stream = make_async_stream(exchange, endpoints=endpoints, settings=patient, on_change=changes.append)
            entering = asyncio.create_task(stream.__aenter__())
            await wait_until(lambda: sum(cause in change.detail for change in changes) >= 2, within=5)
            await stream.close()
            await asyncio.gather(entering, return_exceptions=True)
        return [change for change in changes if change.kind == "connection lost"]

    def test_a_slow_handshake_times_out(self):
        async def main():
            changes = []
            with Sandbox() as exchange:
                exchange.inject_fault(faults.SlowHandshake(5.0))
                rules = replace(QUICK_SETTINGS, open_timeout=0.4)
                async with make_async_stream(exchange, settings=rules, on_change=changes.append) as stream:
                    assert stream.health.failures == 1
            assert "handshake timed out" in next(
                change.detail for change in changes if change.kind == "connection lost"
            )

        asyncio.run(main())

    def test_a_refused_handshake_with_a_wait_pauses_everything(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(
                    exchange, settings=replace(QUICK_SETTINGS, backoff_initial=0.02)
                ) as stream:
                    exchange.inject_fault(faults.RefuseHandshake(429, (("Retry-After", "1"),)), times=None)
                    await run_in_thread(exchange.inject_fault, faults.DropConnections("reset"))
                    await wait_until(lambda: exchange.metrics.handshakes_refused == 1)
                    calls = exchange.metrics.rest_calls
                    await asyncio.sleep(0.8)
                    assert exchange.metrics.handshakes_refused == 1
                    assert exchange.metrics.rest_calls == calls
                    exchange.clear_faults()
                    await wait_until(lambda: stream.state is State.LIVE)

        asyncio.run(main())

    def test_attempts_stay_inside_the_connection_limit_however_short_the_backoff(self):
        async def main():
            rules = replace(
                QUICK_SETTINGS, backoff_initial=0.001, backoff_max=0.001, connect_limit=5, connect_window=60.0
            )
            with Sandbox() as exchange:
                exchange.inject_fault(faults.RefuseHandshake(), times=None)
                stream = make_async_stream(exchange, settings=rules)
                entering = asyncio.create_task(stream.__aenter__())
                await wait_until(lambda: exchange.metrics.handshakes_refused == 5)
                await asyncio.sleep(0.5)
                assert exchange.metrics.handshakes_refused == 5
                await stream.close()
                await asyncio.gather(entering, return_exceptions=True)

        asyncio.run(main())

    def test_refused_attempts_come_ever_more_slowly(self):
        async def main():
            with Sandbox() as exchange:
                exchange.inject_fault(faults.RefuseHandshake(), times=None)
                stream = make_async_stream(
                    exchange, settings=replace(QUICK_SETTINGS, backoff_initial=0.1, backoff_max=0.5)
                )
                entering = asyncio.create_task(stream.__aenter__())
                await asyncio.sleep(1.5)
                assert 2 <= exchange.metrics.handshakes_refused <= 40
                await stream.close()
                await asyncio.gather(entering, return_exceptions=True)

        asyncio.run(main())

    def test_more_than_a_thousand_accounts_are_live_on_two_connections(self):
        async def main():
            accounts = [isolated(f"A{number}USDT") for number in range(1001)]
            rules = replace(
                with_limits(QUICK_SETTINGS, rest_concurrency=16, message_rate_factor=1000.0),
                rest_rate=5000.0,
                request_timeout=20.0,
            )
            with Sandbox() as exchange:
                async with make_async_stream(exchange, *accounts, settings=rules) as stream:
                    assert stream.health.connections == 2
                    assert stream.health.failures == 0
                    for account in (accounts[0], accounts[-1]):
                        await run_in_thread(Traffic(exchange).send_event, account)
                        assert (await anext(stream)).account == account

        asyncio.run(main())


class TestGap:
    @pytest.mark.parametrize("fault", [faults.DropConnections("reset"), faults.FreezeConnections()], ids=str)
    def test_it_begins_at_the_last_moment_known_good_and_ends_when_all_is_well_again(self, fault):
        async def main():
            rules = replace(QUICK_SETTINGS, idle_timeout=1.5, latency_allowance=0.2)
            with Sandbox(rules=ExchangeRules(ping_interval_ms=200)) as exchange:
                async with make_async_stream(exchange, settings=rules) as stream:
                    await asyncio.sleep(2.0)  # so that the handshake is long past
                    before = now_ms()
                    await run_in_thread(exchange.inject_fault, fault)
                    gap = await next_gap(stream)
                    taken = now_ms()
                    # A ping at most 200 ms before the fault, less the latency allowance, plus time for the machine.
                    assert before - 400 - 1000 <= gap.since <= before
                    assert before < gap.until <= taken + 1  # each is rounded
                    assert stream.health.gaps == 1

        asyncio.run(main())

    def test_a_half_open_socket_is_found_and_what_was_missed_lies_in_the_gap(self):
        async def main():
            rules = replace(QUICK_SETTINGS, idle_timeout=0.8, latency_allowance=0.2)
            with Sandbox(rules=ExchangeRules(ping_interval_ms=200)) as exchange:
                proxy = FaultyProxy(exchange)
                async with proxy.run() as port:
                    async with make_async_stream(
                        exchange, endpoints=proxy.endpoints(exchange, port), settings=rules
                    ) as stream:
                        traffic = Traffic(exchange)
                        checker = TrafficChecker(traffic)
                        await run_in_thread(traffic.send_event)
                        checker.record(await anext(stream))
                        proxy.stall()
                        await run_in_thread(traffic.send_event)
                        await asyncio.sleep(0.1)  # until the relay has dropped it
                        proxy.resume()
                        checker.record(await next_gap(stream))
                        await run_in_thread(traffic.send_event)
                        checker.record(await anext(stream))
                        checker.assert_complete()
                        assert [gap.reason for gap in checker.gaps] == ["frozen"]
                        assert (checker.delivered, checker.covered) == (2, 1)

        asyncio.run(main())

    def test_an_expiry_that_nobody_announces_is_found_out(self):
        async def main():
            rules = replace(with_limits(QUICK_SETTINGS, expiry_grace=0.2), token_validity=1.0, latency_allowance=0.2)
            with Sandbox() as exchange:
                proxy = FaultyProxy(exchange, dropped=b"eventStreamTerminated")
                async with proxy.run() as port:
                    async with make_async_stream(
                        exchange, endpoints=proxy.endpoints(exchange, port), settings=rules
                    ) as stream:
                        exchange.inject_fault(faults.server_error(), path=TOKENS, times=None)
                        await wait_until(lambda: stream.state is State.RECOVERING, within=5)
                        exchange.clear_faults()
                        assert (await next_gap(stream)).reason == "terminated"

        asyncio.run(main())

    def test_a_rotation_waits_for_what_the_old_connection_still_has_on_its_way(self):
        async def main():
            with Sandbox() as exchange:
                proxy = FaultyProxy(exchange, delay=0.3)
                async with proxy.run() as port:
                    async with make_async_stream(exchange, endpoints=proxy.endpoints(exchange, port)) as stream:
                        traffic = Traffic(exchange, interval=0.005)
                        checker = TrafficChecker(traffic)
                        with traffic:
                            await run_in_thread(exchange.inject_fault, faults.ShutdownNotice())
                            while not stream.health.rotations:
                                checker.record(await anext(stream))
                            await run_in_thread(traffic.stop)
                        last = await run_in_thread(traffic.send_event)
                        while getattr(item := await anext(stream), "delta", None) != last:
                            checker.record(item)
                        checker.record(item)
                        checker.assert_complete()
                        assert checker.gaps == []

        asyncio.run(main())

    def test_it_stands_before_the_first_event_that_comes_after_it(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, CROSS, BTC) as stream:
                    await run_in_thread(exchange.inject_fault, faults.DropConnections())
                    await wait_until(lambda: stream.health.reconnects == 1)
                    await wait_until(lambda: stream.state is State.LIVE)
                    await run_in_thread(Traffic(exchange, (CROSS, BTC)).send_event, CROSS)
                    items = [await anext(stream) for _ in range(3)]
                    assert Counter(type(item) for item in items) == {StreamGap: 2, BalanceUpdate: 1}
                    kinds = [type(item) for item in items if item.account == CROSS]
                    assert kinds == [StreamGap, BalanceUpdate]

        asyncio.run(main())


class TestNotifications:
    def test_a_failing_renewal_is_in_the_log_with_its_account_and_no_token(self, caplog):
        async def main():
            with Sandbox() as exchange:
                rules = replace(with_limits(QUICK_SETTINGS, renewal_fraction=0.05), token_validity=20.0)
                async with make_async_stream(exchange, BTC, settings=rules) as stream:
                    exchange.inject_fault(faults.server_error(), path=TOKENS, times=2)
                    await wait_until(lambda: stream.health.renewals >= 1)

        asyncio.run(main())
        found = [record for record in caplog.records if getattr(record, "change", None) == "renewal failed"]
        assert len(found) == 2
        assert {(record.levelno, record.account) for record in found} == {(logging.WARNING, "isolated:BTCUSDT")}
        assert {record.name for record in found} == {"binance_margin_stream.stream"}

    def test_a_loss_is_reported_in_order_to_log_and_callback(self, caplog):
        changes = []
        caplog.set_level(logging.INFO, "binance_margin_stream")

        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, on_change=changes.append) as stream:
                    await run_in_thread(exchange.inject_fault, faults.DropConnections())
                    await next_gap(stream)

        asyncio.run(main())
        levels = [(change.kind, change.severity) for change in changes if change.severity > logging.DEBUG]
        names = ["connected", "subscribed", "live", "connection lost", "subscription lost", "recovering"]
        names += ["connected", "gap", "recovered", "live", "closed"]
        assert [name for name, _ in levels] == names
        loud = {name for name, level in levels if level >= logging.WARNING}
        assert loud == {"connection lost", "subscription lost", "gap"}
        assert [(record.change, record.levelno) for record in caplog.records] == levels

    def test_health_shows_every_figure(self):
        async def main():
            with Sandbox(rules=ExchangeRules(ping_interval_ms=200)) as exchange:
                async with make_async_stream(
                    exchange, CROSS, BTC, settings=replace(QUICK_SETTINGS, buffer_size=3)
                ) as stream:
                    await run_in_thread(lambda: [Traffic(exchange).send_event() for _ in range(5)])
                    await wait_until(lambda: stream.health.dropped == 2 and stream.health.ping_age is not None)
                    health = stream.health
                    assert health.events == {"BalanceUpdate": 5}
                    assert health.buffered == 4  # three events, and the gap before them
                    assert health.sources == {CROSS: "token", BTC: "token"}
                    assert (health.rest_calls, health.connections) == (2, 1)
                    assert 0 < health.frame_age <= health.connection_age < 10
                    assert 0 <= health.ping_age <= health.connection_age
                    assert health.next_action
                    assert 0 <= health.next_action_in < 24 * 3600
                    exchange.inject_fault(faults.server_error(), times=None)
                    exchange.inject_fault(faults.RefuseHandshake(), times=None)
                    await run_in_thread(exchange.inject_fault, faults.DropConnections())
                    await wait_until(lambda: stream.health.reconnects == 1)
                    assert stream.health.accounts == {CROSS: False, BTC: False}
                    assert stream.health.connection_age is None
                    exchange.clear_faults()
                    await wait_until(lambda: stream.health.gaps == 2)
                    assert stream.health.accounts == {CROSS: True, BTC: True}

        asyncio.run(main())


class TestToken:
    def test_a_secret_signs_the_call_and_a_wrong_clock_is_corrected(self):
        async def main():
            hour = 3_600_000
            with Sandbox(rules=ExchangeRules(signature_policy="required"), start_ms=now_ms() + 3 * hour) as exchange:
                auth = ApiKeyAuth(exchange.api_key, exchange.api_secret)
                settings = {"endpoints": exchange.endpoints, "settings": QUICK_SETTINGS, "recover": None}
                async with AsyncMarginStream(auth, **settings) as stream:
                    await run_in_thread(Traffic(exchange).send_event)
                    assert isinstance(await anext(stream), BalanceUpdate)
                assert [(call.path, call.status) for call in exchange.rest_log] == [
                    ("/sapi/v1/userListenToken", 400),
                    ("/api/v3/time", 200),
                    ("/sapi/v1/userListenToken", 200),
                ]

        asyncio.run(main())

    def test_a_retired_source_is_remembered_and_not_tried_again(self):
        async def main():
            with Sandbox() as exchange:
                exchange.retire_endpoint(TOKENS)
                async with make_async_stream(exchange) as stream:
                    await run_in_thread(exchange.inject_fault, faults.DropConnections())
                    await next_gap(stream)
                assert exchange.metrics.count_rest_calls(TOKENS) == 1

        asyncio.run(main())


class TestConsumer:
    def test_a_slow_one_gets_the_newest_and_the_oldest_lie_in_the_gap(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, settings=replace(QUICK_SETTINGS, buffer_size=10)) as stream:
                    traffic = Traffic(exchange)
                    checker = TrafficChecker(traffic)
                    await run_in_thread(lambda: [traffic.send_event() for _ in range(30)])
                    await wait_until(lambda: stream.health.dropped == 20)
                    items = [await anext(stream) for _ in range(11)]
                    assert [int(item.delta) for item in items[1:]] == list(range(21, 31))
                    for item in items:
                        checker.record(item)
                    checker.assert_complete()

        asyncio.run(main())

    def test_a_cancelled_wait_leaves_nothing(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange) as stream:
                    for _ in range(20):
                        with pytest.raises(TimeoutError):
                            await asyncio.wait_for(anext(stream), 0.001)
                    assert not stream._engine._waiters

        asyncio.run(main())


class TestFatal:
    async def find_fatal_cause(self, action, **rules):
        with Sandbox() as exchange:
            async with make_async_stream(exchange, settings=replace(QUICK_SETTINGS, **rules)) as stream:
                await run_in_thread(action, exchange)
                with pytest.raises(StreamError, match="the stream failed") as raised:
                    async with asyncio.timeout(3):
                        await anext(stream)
        return raised.value.__cause__

    def test_a_rejected_renewal_alone_is_fatal(self):
        body = b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'
        refusal = faults.StaticResponse(401, body, (("Content-Type", "application/json"),))
        cause = asyncio.run(
            self.find_fatal_cause(lambda exchange: exchange.inject_fault(refusal, path=TOKENS), token_validity=1.0)
        )
        assert isinstance(cause, KeyRejectedError)
        assert (cause.status, cause.code) == (401, -2015)

    def test_a_revoked_key_that_only_the_connection_reports_is_fatal(self):
        cause = asyncio.run(self.find_fatal_cause(lambda exchange: exchange.revoke_api_key()))
        assert isinstance(cause, KeyRejectedError)


class TestExit:
    def test_a_closed_stream_leaves_no_connection(self):
        with Sandbox() as exchange:

            async def main():
                async with make_async_stream(exchange, CROSS, risk=True):
                    assert exchange.metrics.connections_open == 2

            asyncio.run(main())
            with make_stream(exchange, CROSS, risk=True):
                pass
            self.assert_no_open_connection(exchange)

    def test_entering_that_is_interrupted_closes_the_stream(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            with Sandbox() as exchange:
                exchange.inject_fault(faults.RefuseHandshake(), times=None)
                stream = make_stream(exchange)
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                with pytest.raises(KeyboardInterrupt):
                    stream.__enter__()
                assert stream.state is State.CLOSED
        finally:
            signal.signal(signal.SIGUSR1, before)

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_takes_nothing_of_what_waits_for_the_parent(self):
        with Sandbox() as exchange, make_stream(exchange) as stream:
            for _ in range(2):
                Traffic(exchange).send_event()
            while stream.health.events.get("BalanceUpdate") != 2:
                time.sleep(0.01)
            next(stream)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    next(stream)
                except StreamError:
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert isinstance(next(stream), BalanceUpdate)

    def assert_no_open_connection(self, exchange):
        deadline = time.monotonic() + 3
        while exchange.metrics.connections_open and time.monotonic() < deadline:
            time.sleep(0.01)
        assert exchange.metrics.connections_open == 0

    @pytest.mark.parametrize("kind", ["sync", "async", "connecting"])
    def test_ctrl_c_ends_each_kind_of_stream(self, kind):
        with Sandbox() as exchange:
            if kind == "connecting":
                exchange.inject_fault(faults.RefuseHandshake(), times=None)
            ends = exchange.endpoints
            addresses = [ends.rest, ends.websocket_api, ends.stream, ends.margin_stream]
            body = ASYNC if kind == "async" else SYNC
            process = subprocess.Popen(
                [sys.executable, "-X", "dev", "-c", textwrap.dedent(IMPORTS + body), exchange.api_key, *addresses],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            first = "connection lost" if kind == "connecting" else "connected"
            assert process.stdout.readline() == f"{first}\n", process.stderr.read()
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=10)
            assert time.monotonic() - started < 5
            assert errors.rstrip().endswith("KeyboardInterrupt")
            assert "Warning" not in errors
            self.assert_no_open_connection(exchange)


IMPORTS = """
    import asyncio, signal, sys, warnings
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where pytest runs in the background
    warnings.simplefilter("error")
    from binance_margin_stream import ApiKeyAuth, Endpoints
    from binance_margin_stream.stream.async_stream import AsyncMarginStream
    from binance_margin_stream.stream.sync_stream import MarginStream

    key, endpoints = sys.argv[1], Endpoints(*sys.argv[2:6])

    def tell(change):
        print(change.kind, flush=True)
"""
SYNC = """
    with MarginStream(ApiKeyAuth(key), endpoints=endpoints, on_change=tell) as stream:
        for event in stream:
            pass
"""
ASYNC = """
    async def main():
        async with AsyncMarginStream(ApiKeyAuth(key), endpoints=endpoints, on_change=tell) as stream:
            async for event in stream:
                pass

    asyncio.run(main())
"""
