"""A stream ends within five seconds and leaves no thread, task, socket or warning."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from dataclasses import replace

import pytest
from stream_helpers import BTC, QUICK_SETTINGS, Traffic, make_async_stream, make_stream

from binance_margin_stream import ApiKeyAuth, ApiTypeError, ApiValueError, Configuration, StreamError
from binance_margin_stream.sandbox import Sandbox, faults
from binance_margin_stream.stream.accounts import CROSS, NO_ACCOUNT, isolated
from binance_margin_stream.stream.async_stream import AsyncMarginStream
from binance_margin_stream.stream.events.models import BalanceUpdate
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.state import State
from binance_margin_stream.stream.sync_stream import MarginStream


@pytest.fixture
def exchange():
    """A sandbox on which no connection may be left open."""
    with Sandbox() as running:
        yield running
        gc.collect()
        poll_until(lambda: not running.metrics.connections_open)
        assert running.metrics.connections_open == 0


@pytest.fixture(autouse=True)
def assert_nothing_left():
    """Check that no thread is left and that the garbage collection warns of nothing; `exchange` checks connections."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    poll_until(lambda: not list_remaining_threads(before))
    assert list_remaining_threads(before) == []


def poll_until(condition):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)


def list_remaining_threads(before):
    return [each for each in threading.enumerate() if each not in before and "stream" in each.name]


def run_within(seconds, action):
    started = time.monotonic()
    result = action()
    assert time.monotonic() - started < seconds
    return result


def send_balance_update(exchange, number=1):
    exchange.send_event({"e": "balanceUpdate", "E": 1, "a": "USDT", "d": str(number), "T": 1})


class TestAsync:
    def test_leaving_the_block_ends_all_tasks(self, exchange):
        async def main():
            async with make_async_stream(exchange, CROSS, BTC, risk=True):
                assert len(asyncio.all_tasks()) > 1
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())

    def test_closing_ends_the_iteration_of_another_task(self, exchange):
        async def main():
            async with make_async_stream(exchange) as stream:
                taken = asyncio.create_task(collect(stream))
                await asyncio.to_thread(send_balance_update, exchange)
                await asyncio.sleep(0.1)
                await stream.close()
                await stream.close()
                assert len(await taken) == 1
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)

        async def collect(stream):
            return [item async for item in stream]

        asyncio.run(main())

    def test_a_consumer_that_raises_leaves_nothing_behind(self, exchange):
        async def main():
            async with make_async_stream(exchange) as stream:
                await asyncio.to_thread(send_balance_update, exchange)
                async for _ in stream:
                    raise LookupError("the consumer's own")

        with pytest.raises(LookupError):
            asyncio.run(main())

    def test_a_cancelled_consumer_can_go_on_later(self, exchange):
        async def main():
            async with make_async_stream(exchange) as stream:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await anext(stream)
                await asyncio.to_thread(send_balance_update, exchange, 7)
                assert (await anext(stream)).delta == 7

        asyncio.run(main())

    def test_a_cancelled_main_task_closes_everything(self, exchange):
        async def main():
            async with make_async_stream(exchange) as stream:
                await anext(stream)

        async def outer():
            task = asyncio.create_task(main())
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(outer())

    def test_entering_may_be_cancelled_while_it_waits(self, exchange):
        async def main():
            exchange.inject_fault(faults.server_error(), times=None)
            stream = make_async_stream(exchange)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.__aenter__(), 0.5)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())

    def test_a_forgotten_stream_stops(self, exchange):
        async def main():
            stream = make_async_stream(exchange)
            await stream.__aenter__()
            del stream
            gc.collect()
            await asyncio.sleep(0.3)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())

    def test_a_loop_that_ends_first_is_no_problem(self, exchange):
        async def main():
            stream = make_async_stream(exchange)
            await stream.__aenter__()
            return stream

        stream = asyncio.run(main())
        del stream
        gc.collect()

    def test_several_streams_in_one_loop_and_loops_one_after_the_other(self, exchange):
        async def main():
            async with make_async_stream(exchange) as one, make_async_stream(exchange, BTC) as other:
                await asyncio.to_thread(send_balance_update, exchange)
                assert isinstance(await anext(one), BalanceUpdate)
                assert other.state is State.LIVE

        asyncio.run(main())
        asyncio.run(main())

    def test_one_that_was_made_in_another_thread(self, exchange):
        made = []
        maker = threading.Thread(target=lambda: made.append(make_async_stream(exchange)))
        maker.start()
        maker.join()

        async def main():
            async with made[0] as stream:
                await asyncio.to_thread(send_balance_update, exchange)
                assert isinstance(await anext(stream), BalanceUpdate)

        asyncio.run(main())

    def test_uvloop(self, exchange):
        uvloop = pytest.importorskip("uvloop")

        async def main():
            async with make_async_stream(exchange) as stream:
                await asyncio.to_thread(send_balance_update, exchange)
                assert isinstance(await anext(stream), BalanceUpdate)

        uvloop.run(main())

    def test_it_is_entered_once(self, exchange):
        async def main():
            stream = make_async_stream(exchange)
            with pytest.raises(StreamError, match="enter"):
                await anext(stream)
            async with stream:
                with pytest.raises(StreamError, match="once"):
                    await stream.__aenter__()
            with pytest.raises(StreamError, match="once"):
                await stream.__aenter__()

        asyncio.run(main())

    def test_listen_keys_stay_valid_unless_they_are_deleted(self, exchange):
        async def main():
            for give_up, deletes in ((False, 0), (True, 1)):
                async with make_async_stream(exchange, source="listen-key-v2", close_listen_keys=give_up):
                    pass
                assert sum(1 for call in exchange.rest_log if call.method == "DELETE") == deletes

        asyncio.run(main())

    def test_a_call_that_never_ends_does_not_hold_it_up(self, exchange):
        async def main():
            exchange.inject_fault(faults.NoResponse(), times=None)
            stream = make_async_stream(exchange)
            entering = asyncio.create_task(stream.__aenter__())
            await asyncio.sleep(0.3)
            started = time.monotonic()
            await stream.close()
            assert time.monotonic() - started < 5
            with pytest.raises(StreamError):
                await entering

        asyncio.run(main())

    def test_a_frozen_peer_does_not_hold_it_up(self, exchange):
        async def main():
            async with make_async_stream(exchange):
                await asyncio.to_thread(exchange.inject_fault, faults.FreezeConnections())
                started = time.monotonic()
            assert time.monotonic() - started < 3

        asyncio.run(main())


class TestThreads:
    def test_the_thread_ends_with_the_block(self, exchange):
        with make_stream(exchange) as stream:
            send_balance_update(exchange)
            assert isinstance(next(stream), BalanceUpdate)
        run_within(1, stream.close)

    def test_closing_ends_the_iteration_in_another_thread(self, exchange):
        with make_stream(exchange) as stream:
            threading.Timer(0.3, stream.close).start()
            assert run_within(5, lambda: list(stream)) == []

    def test_it_may_be_used_from_several_threads(self, exchange):
        with make_stream(exchange) as stream:
            taken = []
            threads = [threading.Thread(target=lambda: taken.extend(stream)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for number in range(50):
                send_balance_update(exchange, number)
            deadline = time.monotonic() + 5
            while len(taken) < 50 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert stream.health.state is State.LIVE
            stream.close()
            for thread in threads:
                thread.join()
        assert sorted(int(item.delta) for item in taken) == list(range(50))

    def test_made_in_one_thread_and_entered_in_another(self, exchange):
        stream = make_stream(exchange)

        def use():
            with stream:
                send_balance_update(exchange)
                taken.append(next(stream))

        taken = []
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        assert len(taken) == 1

    def test_a_consumer_that_raises_leaves_nothing_behind(self, exchange):
        send_later = threading.Timer(0.2, send_balance_update, (exchange,))
        send_later.start()
        with pytest.raises(LookupError):
            self.consume_badly(exchange)

    def consume_badly(self, exchange):
        with make_stream(exchange) as stream:
            for _ in stream:
                raise LookupError("the consumer's own")

    def test_a_forgotten_stream_stops(self, exchange):
        stream = make_stream(exchange)
        stream.__enter__()
        del stream
        gc.collect()

    def test_it_may_be_closed_while_it_is_being_entered(self, exchange):
        exchange.inject_fault(faults.server_error(), times=None)
        stream = make_stream(exchange)
        threading.Timer(0.5, stream.close).start()
        with pytest.raises(StreamError, match="closed"):
            run_within(5, stream.__enter__)

    def test_and_while_it_backs_off(self, exchange):
        with make_stream(exchange, settings=replace(QUICK_SETTINGS, backoff_initial=30.0)) as stream:
            exchange.inject_fault(faults.RefuseHandshake(), times=None)
            exchange.inject_fault(faults.DropConnections())
            deadline = time.monotonic() + 5
            while stream.state is not State.RECOVERING and time.monotonic() < deadline:
                time.sleep(0.01)
            run_within(2, stream.close)
            run_within(1, stream.close)

    def test_and_from_its_own_callback(self, exchange):
        closed = threading.Event()

        def on_change(change):
            if change.kind == "live":
                stream.close()
                closed.set()

        stream = make_stream(exchange, on_change=on_change)
        with pytest.raises(StreamError, match="closed"):
            run_within(5, stream.__enter__)
        assert closed.is_set()

    def test_a_callback_that_raises_does_no_harm(self, exchange, caplog):
        def on_change(change):
            raise LookupError("the callback's own")

        with make_stream(exchange, on_change=on_change) as stream:
            assert stream.state is State.LIVE
        assert "the on_change callback raised an error" in caplog.text

    def test_fatal_trouble_raises_out_of_the_iteration(self, exchange):
        with make_stream(exchange, settings=replace(QUICK_SETTINGS, token_validity=2.0)) as stream:
            exchange.revoke_api_key()
            with pytest.raises(StreamError, match="the stream failed"):
                run_within(5, lambda: list(stream))
            with pytest.raises(StreamError, match="the stream failed"):
                next(stream)

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_leaves_it_alone(self, exchange):
        with make_stream(exchange) as stream:
            send_balance_update(exchange, 1)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    stream.close()
                    next(stream)
                except StreamError as error:
                    code = 0 if "fork" in str(error) else 2
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            send_balance_update(exchange, 2)
            assert [next(stream).delta for _ in range(2)] == [1, 2]

    def test_health_can_be_read_to_the_end(self, exchange):
        stream = make_stream(exchange)
        with pytest.raises(StreamError):
            stream.health  # noqa: B018
        assert stream.state is State.CONNECTING
        with stream:
            assert stream.health.accounts == {CROSS: True}
        assert stream.health.state is State.CLOSED


PROGRAM = """
    import signal, sys, warnings
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where pytest runs in the background
    warnings.simplefilter("error")
    from binance_margin_stream import ApiKeyAuth, Endpoints
    from binance_margin_stream.stream.sync_stream import MarginStream

    key, endpoints = sys.argv[1], Endpoints(*sys.argv[2:6])
"""
WAITS = """
    with MarginStream(ApiKeyAuth(key), endpoints=endpoints) as stream:
        print("live", flush=True)
        for event in stream:
            pass
"""
FORGETS = """
    stream = MarginStream(ApiKeyAuth(key), endpoints=endpoints).__enter__()
    print("live", flush=True)
"""


class TestProcess:
    def start(self, exchange, body):
        ends = exchange.endpoints
        addresses = [ends.rest, ends.websocket_api, ends.stream, ends.margin_stream]
        program = textwrap.dedent(PROGRAM) + textwrap.dedent(body)
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", program, exchange.api_key, *addresses],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "live\n", process.stderr.read()
        return process

    def test_ctrl_c_ends_it(self, exchange):
        process = self.start(exchange, WAITS)
        process.send_signal(signal.SIGINT)
        _, errors = run_within(5, lambda: process.communicate(timeout=10))
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert "Warning" not in errors

    def test_a_program_that_forgets_it_ends(self, exchange):
        process = self.start(exchange, FORGETS)
        _, errors = run_within(5, lambda: process.communicate(timeout=10))
        assert (process.returncode, errors) == (0, "")


class TestSettings:
    @pytest.mark.parametrize("kind", [MarginStream, AsyncMarginStream])
    @pytest.mark.parametrize(
        "settings",
        [
            {"accounts": []},
            {"accounts": [NO_ACCOUNT]},
            {"source": "testnet"},
            {"source": "listen-key-v2", "accounts": [BTC]},
            {"accounts": [BTC], "risk": True},
        ],
    )
    def test_what_cannot_be_is_refused_at_once(self, kind, settings):
        with pytest.raises(ApiValueError):
            kind(ApiKeyAuth("x" * 64), **settings)

    @pytest.mark.parametrize("kind", [AsyncMarginStream, MarginStream])
    @pytest.mark.parametrize(
        ("auth", "settings", "says"),
        [
            ("PLANTED-key", {}, "auth must be of type ApiKeyAuth, not str"),
            (None, {"accounts": ["BTCUSDT"]}, r"accounts takes CROSS and isolated\('BTCUSDT'\), not str"),
            (None, {"accounts": "BTCUSDT"}, "accounts takes CROSS"),
            (None, {"accounts": 5}, "accounts takes CROSS"),
            (None, {"endpoints": "wss://x"}, "endpoints must be of type Endpoints"),
            (None, {"settings": {}}, "settings must be of type StreamSettings"),
        ],
    )
    def test_a_setting_of_the_wrong_type_is_named(self, kind, auth, settings, says):
        with pytest.raises(ApiTypeError, match=says) as caught:
            kind(auth or ApiKeyAuth("x" * 64), **settings)
        assert "PLANTED" not in str(caught.value)

    def test_one_account_needs_no_list(self):
        assert repr(AsyncMarginStream(ApiKeyAuth("x" * 64), BTC)) == "<AsyncMarginStream isolated:BTCUSDT: connecting>"

    @pytest.mark.parametrize("kind", [AsyncMarginStream, MarginStream])
    def test_a_configuration_alone_leads_nowhere_by_accident(self, kind):
        with pytest.raises(ApiValueError, match="pass endpoints as well"):
            kind(ApiKeyAuth("x" * 64), configuration=Configuration(host="http://127.0.0.1:1"))

    def test_the_environments_proxy_is_not_for_loopback(self, exchange, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with make_stream(exchange) as stream:
            assert stream.state is State.LIVE

    def test_an_account_that_is_named_twice_is_followed_once(self):
        stream = AsyncMarginStream(ApiKeyAuth("x" * 64), [BTC, isolated("BTCUSDT")])
        assert repr(stream) == "<AsyncMarginStream isolated:BTCUSDT: connecting>"


class TestMistakes:
    @pytest.mark.parametrize("place", ["on_malformed_frame", "on_timer", "on_open"])
    def test_an_internal_error_ends_the_stream_with_an_error_and_never_silently(self, exchange, monkeypatch, place):
        def mistake(*_, **__):
            raise KeyError("PLANTED")

        with make_stream(exchange, settings=replace(QUICK_SETTINGS, token_validity=1)) as stream:
            monkeypatch.setattr(Lifecycle, place, mistake)
            exchange.inject_fault(
                faults.MalformedFrame() if place == "on_malformed_frame" else faults.DropConnections()
            )
            with pytest.raises(StreamError, match=r"internal error \(KeyError\)") as caught:
                deque(stream)
        assert isinstance(caught.value.__cause__, KeyError)
        assert "PLANTED" not in str(caught.value)


class TestSecrets:
    def test_none_is_in_any_record_or_repr(self, exchange, caplog):
        caplog.set_level(logging.DEBUG)
        shown = []
        with make_stream(
            exchange, CROSS, BTC, risk=True, on_change=lambda change: shown.append(repr(change))
        ) as stream:
            Traffic(exchange).send_event()
            shown.append(repr(next(stream)))
            exchange.inject_fault(faults.DropConnections())
            time.sleep(0.5)
            shown += [repr(stream), repr(stream.health), repr(vars(stream))]
            secrets = [exchange.api_key, *list_credentials(stream)]
        text = caplog.text + "".join(shown)
        assert len(secrets) == 4
        assert not [secret for secret in secrets if secret in text]


def list_credentials(stream):
    feeds = stream._worker.engine.lifecycle.coordinator.feeds
    return [feed.credential.secret for feed in feeds]
