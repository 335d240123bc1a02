"""How a stream closes when something delays it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from stream_helpers import QUICK_SETTINGS, Traffic, make_async_stream, make_stream, now_ms
from websockets.utils import accept_key

from binance_margin_stream import StreamError
from binance_margin_stream.http.transport import Timeout
from binance_margin_stream.sandbox import Sandbox, faults
from binance_margin_stream.stream import sync_stream as sync_module
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.io import engine as engine_module
from binance_margin_stream.stream.io import websocket as connection_module
from binance_margin_stream.stream.io.rest_calls import CredentialGranted
from binance_margin_stream.stream.io.websocket import WebSocketConnection
from binance_margin_stream.stream.settings import with_limits

TOKENS = "/sapi/v1/userListenToken"
KEYS = "/sapi/v2/margin/listen-key"


async def wait_until(condition, within=10.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def poll_until(condition, within=5.0):
    deadline = time.monotonic() + within
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


async def close_stream(stream, entering):
    await stream.close()
    with suppress(StreamError):
        await entering


def list_pending_calls():
    return [each for each in threading.enumerate() if each.name == "margin stream call"]


class SilentPeer:
    """Accepts a WebSocket and never responds; it reads only on request."""

    def __init__(self, *, reads):
        self.received = bytearray()
        self._reads = reads
        self._writers = []

    @asynccontextmanager
    async def run(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()

    async def _accept(self, reader, writer):
        self._writers.append(writer)
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in request.splitlines() if line.lower().startswith("sec-websocket-key"))
        response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{response}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
        if not self._reads:
            writer.transport.pause_reading()
            return
        with suppress(OSError):
            while data := await reader.read(65536):
                self.received += data


class Recorder:
    """The listener of a connection; only `on_open` matters here."""

    def __init__(self):
        self.is_open = asyncio.Event()

    def on_open(self, connection_id):
        self.is_open.set()

    def on_close(self, connection_id, failure):
        raise AssertionError(failure)


class TestConnection:
    @asynccontextmanager
    async def open_connection(self, peer):
        async with peer.run() as port:
            recorder = Recorder()
            connection = WebSocketConnection(1, f"ws://127.0.0.1:{port}", recorder, open_timeout=5.0)
            task = connection.open()
            await recorder.is_open.wait()
            try:
                yield connection, task
            finally:
                task.cancel()

    def test_one_whose_peer_reads_nothing_is_cut_off_with_what_it_still_had_to_send(self, monkeypatch):
        monkeypatch.setattr(connection_module, "_CLOSE_TIMEOUT", 0.2)
        monkeypatch.setattr(connection_module, "MAX_WRITE_BUFFER", 1 << 26)

        async def main():
            async with self.open_connection(SilentPeer(reads=False)) as (connection, task):
                connection.send("x" * (1 << 25))
                assert connection._websocket.transport.get_write_buffer_size() > 1 << 20
                connection.close()
                done, _ = await asyncio.wait({task}, timeout=2)
                assert done == {task}
                async with asyncio.timeout(1):
                    await connection._websocket.wait_closed()

        asyncio.run(main())

    def test_it_sends_a_close_frame_and_waits_for_no_response(self, monkeypatch):
        monkeypatch.setattr(connection_module, "_CLOSE_TIMEOUT", 10.0)

        async def main():
            peer = SilentPeer(reads=True)
            async with self.open_connection(peer) as (connection, task):
                connection.close()
                done, _ = await asyncio.wait({task}, timeout=2)
                assert done == {task}
                await wait_until(lambda: peer.received.startswith(b"\x88\x82"))  # a close frame with a code

        asyncio.run(main())


class TestClosing:
    def test_a_call_that_never_ends_is_ended_after_a_while(self, monkeypatch):
        monkeypatch.setattr(engine_module, "_CLOSE_TIMEOUT", 0.3)

        async def main():
            with Sandbox() as exchange:
                exchange.inject_fault(faults.NoResponse(), path=TOKENS, times=None)
                stream = make_async_stream(exchange, timeout=Timeout(connect=2.0, read=30.0))
                entering = asyncio.create_task(stream.__aenter__())
                await wait_until(lambda: exchange.metrics.count_rest_calls(TOKENS) == 1)
                async with asyncio.timeout(3):
                    await close_stream(stream, entering)
                await wait_until(lambda: not list_pending_calls(), within=3)

        asyncio.run(main())

    def test_a_result_after_the_loop_is_closed_does_no_harm(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange) as stream:
                    return stream._engine._make_result_callback(None)

        asyncio.run(main())(1, CredentialGranted("late"))

    def test_a_call_that_ends_in_time_is_waited_for(self):
        async def main():
            with Sandbox() as exchange:
                exchange.inject_fault(faults.DelayedResponse(1.0), path=TOKENS)
                stream = make_async_stream(exchange)
                entering = asyncio.create_task(stream.__aenter__())
                await wait_until(lambda: len(list_pending_calls()) == 1)
                await close_stream(stream, entering)
                assert list_pending_calls() == []

        asyncio.run(main())

    def test_a_result_after_the_end_is_ignored(self):
        changes = []

        async def main():
            asked, answer = asyncio.Event(), asyncio.Event()

            async def limit(reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                asked.set()
                await answer.wait()
                writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()

            server = await asyncio.start_server(limit, "127.0.0.1", 0)
            with Sandbox() as exchange:
                rest = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                stream = make_async_stream(
                    exchange, endpoints=replace(exchange.endpoints, rest=rest), on_change=changes.append
                )
                entering = asyncio.create_task(stream.__aenter__())
                await asked.wait()
                closing = asyncio.create_task(close_stream(stream, entering))
                await wait_until(lambda: changes and changes[-1].kind == "closed")
                answer.set()
                await closing
                await wait_until(lambda: not list_pending_calls())
                assert stream.health.failures == 0
            server.close()

        asyncio.run(main())
        assert changes[-1].kind == "closed"

    def test_it_is_quick_and_wakes_who_waits(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange) as stream:
                    waiting = asyncio.create_task(anext(stream))
                    await wait_until(lambda: stream._engine._waiters)
                    started = time.monotonic()
                    await stream.close()
                    with pytest.raises(StopAsyncIteration):
                        await waiting
                    assert time.monotonic() - started < 2
                    await wait_until(lambda: exchange.metrics.connections_open == 0)

        asyncio.run(main())

    def test_a_connection_that_will_not_end_is_ended_with_the_thread(self, monkeypatch, caplog):
        async def stay(connection):
            try:
                await asyncio.Event().wait()
            finally:
                connection._websocket.transport.abort()

        monkeypatch.setattr(engine_module, "_CLOSE_TIMEOUT", 0.2)
        with Sandbox() as exchange:
            with make_stream(exchange) as stream:
                monkeypatch.setattr(WebSocketConnection, "_close_handshake", stay)
                tasks = list(stream._worker.engine._tasks)
            assert [task.done() for task in tasks] == [True]
            del stream, tasks
            gc.collect()
        assert "pending" not in caplog.text

    def test_a_call_while_the_thread_is_ending_returns(self, monkeypatch):
        monkeypatch.setattr(sync_module, "_CLOSE_TIMEOUT", 0.2)
        with Sandbox() as exchange:
            stream = make_stream(exchange).__enter__()
            loop, resolved, taken = stream._worker._loop, threading.Event(), []
            loop.call_soon_threadsafe(loop.run_in_executor, None, resolved.wait)  # a name that is slow to resolve
            closer = threading.Thread(target=stream.close, daemon=True)
            asker = threading.Thread(target=lambda: taken.append(list(stream)), daemon=True)
            closer.start()
            assert poll_until(lambda: not loop.is_running())
            asker.start()
            asker.join(0.1)
            assert asker.is_alive()
            closer.join(3)
            assert not closer.is_alive()
            resolved.set()
            asker.join(5)
            assert taken == [[]]

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_child_that_was_forked_while_it_was_being_closed_can_end(self):
        with Sandbox() as exchange, make_stream(exchange) as stream:
            with stream._worker._close_lock:  # as in a thread that is closing the stream at this moment
                child = os.fork()
                if child == 0:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(3)
                    stream.close()
                    os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            Traffic(exchange).send_event()
            assert next(stream).account == CROSS


class TestRenewal:
    def test_a_renewal_that_the_connection_refuses_is_retried_soon(self):
        async def main():
            changes = []
            rules = replace(
                with_limits(QUICK_SETTINGS, renewal_fraction=0.015, renewal_jitter=0.0), token_validity=100.0
            )  # after 1.5 s
            with Sandbox() as exchange:
                async with make_async_stream(exchange, settings=rules, on_change=changes.append) as stream:
                    exchange.inject_fault(faults.RefuseSubscribe())
                    await wait_until(lambda: any(change.kind == "renewal failed" for change in changes))
                    await wait_until(lambda: stream.health.renewals == 1, within=1.0)
                    assert exchange.metrics.count_rest_calls(TOKENS) == 3

        asyncio.run(main())


class TestSources:
    def test_one_that_was_retired_is_not_gone_back_to_when_the_next_is_retired_too(self):
        async def main():
            with Sandbox() as exchange:
                exchange.retire_endpoint(TOKENS)
                exchange.retire_endpoint(KEYS)
                with pytest.raises(StreamError, match="the stream failed"):
                    async with asyncio.timeout(5), make_async_stream(exchange):
                        pass
                assert (exchange.metrics.count_rest_calls(TOKENS), exchange.metrics.count_rest_calls(KEYS)) == (1, 1)

        asyncio.run(main())


class TestConsumer:
    def test_the_gap_of_a_slow_one_begins_before_the_oldest_left_the_exchange(self):
        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(
                    exchange, settings=replace(QUICK_SETTINGS, buffer_size=2, latency_allowance=3.0)
                ) as stream:
                    before = now_ms()
                    await asyncio.to_thread(lambda: [Traffic(exchange).send_event() for _ in range(4)])
                    await wait_until(lambda: stream.health.dropped == 2)
                    after = now_ms()
                    gap = await anext(stream)
                    assert before - 3000 <= gap.since <= after - 3000
                    assert before <= gap.until <= after

        asyncio.run(main())


class TestSecrets:
    def test_the_websocket_library_logs_nothing(self, caplog):
        caplog.set_level(logging.DEBUG)

        async def main():
            with Sandbox() as exchange:
                async with make_async_stream(exchange, risk=True):
                    pass

        asyncio.run(main())
        assert not [record.name for record in caplog.records if record.name.startswith("websockets")]


def test_a_signal_handler_may_close_in_the_midst_of_closing():
    busy, closing, released = threading.Event(), threading.Event(), threading.Event()
    handled = []
    released.set()

    def hold_up(_change):
        busy.set()
        released.wait(5)

    def interrupt():
        closing.wait(5)
        time.sleep(0.2)  # to arrive while the other close waits; any other moment is fine, too
        os.kill(os.getpid(), signal.SIGUSR1)

    def close_too(*_):
        released.set()
        handled.append(stream.close())

    before = signal.signal(signal.SIGUSR1, close_too)
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with Sandbox() as exchange, make_stream(exchange, on_change=hold_up) as stream:
            released.clear()
            busy.clear()
            exchange.inject_fault(faults.DropConnections("reset"))
            assert busy.wait(5)
            closing.set()
            stream.close()
            assert poll_until(lambda: handled)
    finally:
        interrupter.join()
        signal.signal(signal.SIGUSR1, before)
