"""A relay process from start to end, with a stream that the test drives, a real broker and a real clock request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_stream import FakeStream, now_ms
from nats_support import make_store_options, restart, run, wait_until

from binance_margin_stream import CROSS, ApiKeyAuth, BalanceUpdate, StreamError, StreamGap
from binance_margin_stream.relay import AsyncRelayReader, BrokerOptions, RelayItem, RelayReaderOptions, StoreOptions
from binance_margin_stream.relay.broker.connection import BrokerConnection
from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.jobs.queue import JobQueueOptions
from binance_margin_stream.relay.jobs.secret_reference import SecretReference
from binance_margin_stream.relay.service.json_log import JsonFormatter
from binance_margin_stream.relay.service.process import JobMode, RelayOptions, RelayProcess
from binance_margin_stream.relay.service.server_time import ServerTimeRequest
from binance_margin_stream.relay.settings import RelaySettings
from binance_margin_stream.sandbox import Sandbox

QUICK = RelaySettings(
    latency_bound_ms=50,
    clock_error_bound_ms=100,
    hole_wait=1.5,
    claim_interval=0.05,
    clock_interval=1.0,
    publish_timeout=1.0,
    drain_timeout=5.0,
)
AUTH = ApiKeyAuth("k")
JOB = Job(name="desk", api_key=SecretReference("env", "DESK_KEY"))


@dataclass
class ExchangeClock:
    """A sandbox, of which only the clock is used, and how far it is ahead of this machine's."""

    sandbox: Sandbox
    offset: int


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeClock]:
    with Sandbox() as sandbox:
        request = ServerTimeRequest(sandbox.endpoints)
        offsets = []
        for _ in range(5):
            before = now_ms()
            server_time = request._request()
            offsets.append((now_ms() - before, server_time - (before + now_ms()) // 2))
        request.close()
        yield ExchangeClock(sandbox, min(offsets)[1])


@dataclass
class Running:
    """A process and the streams that it made."""

    process: RelayProcess
    streams: list[FakeStream]
    task: asyncio.Task[None] | None = None

    @property
    def stream(self) -> FakeStream:
        return self.streams[-1]

    async def end(self) -> None:
        self.process.stop()
        if self.task is not None:
            await self.task


@dataclass
class Lab:
    """Relays on one store, and what they stored."""

    server: EmbeddedServer
    exchange: ExchangeClock
    store: StoreOptions = field(default_factory=make_store_options)

    def make(self, work: Any = (JOB, AUTH), **options: Any) -> Running:
        streams: list[FakeStream] = []

        def make_stream(job: Job, auth: ApiKeyAuth) -> FakeStream:
            streams.append(FakeStream(self.exchange.offset))
            return streams[-1]

        settings = {"broker": BrokerOptions(servers=(self.server.url,)), "store": self.store, "settings": QUICK}
        process = RelayProcess(
            RelayOptions(**{**settings, **options}),
            work,
            make_stream,
            ServerTimeRequest(self.exchange.sandbox.endpoints),
        )
        return Running(process, streams)

    @asynccontextmanager
    async def relay(self, work: Any = (JOB, AUTH), **options: Any) -> AsyncIterator[Running]:
        running = self.make(work, **options)
        running.task = asyncio.create_task(running.process.run())
        try:
            await wait_until(lambda: bool(running.streams and running.stream.is_live) or running.task.done())
            yield running
        finally:
            await running.end()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Callable[[], Any]]:
        """Everything that is stored, item by item."""
        options = RelayReaderOptions(broker=BrokerOptions(servers=(self.server.url,)), durable="test", store=self.store)
        async with AsyncRelayReader(options) as reader:

            async def take(timeout: float = 15.0) -> RelayItem:
                item = await reader.get(timeout)
                await reader.acknowledge(item)
                return item

            yield take

    async def covered_until(self) -> int:
        options = RelayReaderOptions(broker=BrokerOptions(servers=(self.server.url,)), durable="x", store=self.store)
        async with AsyncRelayReader(options) as reader:
            covered = (await reader.read_coverage("desk", CROSS)).get("orders")
            return covered.end if covered is not None else 0


async def ping_until_covered(lab: Lab, *streams: FakeStream) -> None:
    """Let pings prove that everything up to now was received."""
    at = streams[0].exchange_now()
    async with asyncio.timeout(15):
        while await lab.covered_until() < at:
            for stream in streams:
                if stream.is_live:
                    stream.ping()
            await asyncio.sleep(0.05)


@pytest.fixture
def lab(nats_server: EmbeddedServer, exchange: ExchangeClock) -> Lab:
    return Lab(nats_server, exchange)


def test_events_are_stored_with_what_is_known_of_them(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as relay, lab.reader() as take:
            event = relay.stream.deposit("1.50")
            item = await take()
            assert item.item == event
            assert (item.name, item.account) == ("desk", CROSS)
            assert dict(item.headers) | {"Event-Class": "BalanceUpdate"} == {
                **item.headers,
                "Event-Class": "BalanceUpdate",
                "Event-Time": str(event.event_time),
                "Event-Source": "token",
                "Event-Origin": "live",
            }

    run(body())


def test_two_relays_store_each_event_once_and_equal_ones_twice(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as one, lab.relay() as two, lab.reader() as take:
            at = one.stream.exchange_now()
            for relay in (one, two):
                for amount in ("1", "1", "2"):
                    relay.stream.deposit(amount, at)
            await ping_until_covered(lab, one.stream, two.stream)
            deltas = sorted([str((await take()).item.delta) for _ in range(3)])
            assert deltas == ["1", "1", "2"]
            with pytest.raises(TimeoutError):
                await take(0.3)
            await wait_until(lambda: one.process.counters.duplicates + two.process.counters.duplicates == 3)

    run(body())


def test_a_gap_of_one_relay_that_the_other_covered_is_not_reported(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as one, lab.relay() as two, lab.reader() as take:
            await ping_until_covered(lab, one.stream, two.stream)
            one.stream.lose()
            two.stream.deposit("1")
            await asyncio.sleep(0.1)
            one.stream.subscribe()
            one.stream.gap("disconnected")
            await ping_until_covered(lab, one.stream, two.stream)
            assert isinstance((await take()).item, BalanceUpdate)
            with pytest.raises(TimeoutError):
                await take(2 * QUICK.hole_wait)
            assert one.process.counters.gaps + two.process.counters.gaps == 0

    run(body())


def test_a_time_that_no_relay_covered_is_one_stored_gap(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as one, lab.relay() as two, lab.reader() as take:
            await ping_until_covered(lab, one.stream, two.stream)
            for relay in (one, two):
                relay.stream.lose()
            missed_at = one.stream.exchange_now()
            await asyncio.sleep(0.3)
            for relay in (one, two):
                relay.stream.subscribe()
                relay.stream.gap("disconnected")
            await ping_until_covered(lab, one.stream, two.stream)
            gap = (await take()).item
            assert isinstance(gap, StreamGap)
            assert gap.reason == "not covered"
            assert gap.since < missed_at < gap.until
            with pytest.raises(TimeoutError):
                await take(0.5)
            assert one.process.counters.gaps + two.process.counters.gaps == 1

    run(body())


def test_a_gap_within_a_subscription_is_stored_as_a_gap(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as relay, lab.reader() as take:
            await ping_until_covered(lab, relay.stream)
            relay.stream.gap("malformed frame")
            await ping_until_covered(lab, relay.stream)
            gap = (await take()).item
            assert isinstance(gap, StreamGap)
            assert gap.until - gap.since < 5000

    run(body())


def test_a_restart_is_a_gap_and_what_came_before_stays(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as relay:
            relay.stream.deposit("1")
            await ping_until_covered(lab, relay.stream)
            last = relay.stream.deposit("2").event_time
            await wait_until(lambda: relay.process.counters.received == 2)
        assert await lab.covered_until() >= last - 1 - QUICK.latency_bound_ms
        async with lab.relay() as relay:
            await ping_until_covered(lab, relay.stream)
        async with lab.reader() as take:
            kinds = [type((await take()).item) for _ in range(3)]
            assert kinds == [BalanceUpdate, BalanceUpdate, StreamGap]

    run(body())


def test_the_first_events_of_a_new_account_wait_for_its_entry(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as relay, lab.reader() as take:
            relay.stream.deposit("1")
            assert isinstance((await take()).item, BalanceUpdate)
            await ping_until_covered(lab, relay.stream)
            with pytest.raises(TimeoutError):
                await take(0.3)

    run(body())


def test_a_lost_entry_is_reported_as_a_gap_of_the_whole_past(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as relay, lab.reader() as take:
            relay.stream.deposit("1")
            await take()
            await ping_until_covered(lab, relay.stream)
            connection = BrokerConnection(BrokerOptions(servers=(lab.server.url,)))
            await connection.connect()
            bucket = await connection.jetstream.key_value(lab.store.bucket)
            await bucket.delete(lab.store.subjects.entry_key("desk", CROSS))
            await connection.close()
            await ping_until_covered(lab, relay.stream)
            gap = (await take()).item
            assert isinstance(gap, StreamGap)
            assert gap.since == 0

    run(body())


def test_the_stream_goes_on_while_the_broker_is_away(tmp_path: Path, exchange: ExchangeClock) -> None:
    async def body() -> None:
        server = EmbeddedServer(tmp_path / "nats").start()
        lab = Lab(server, exchange)
        settings = RelaySettings(
            latency_bound_ms=50, clock_error_bound_ms=100, hole_wait=0.6, claim_interval=0.05, memory_items=20
        )
        try:
            async with lab.relay(settings=settings, spool_directory=tmp_path / "spool") as relay:
                await ping_until_covered(lab, relay.stream)
                server.stop()
                events = [
                    relay.stream.deposit(str(number), relay.stream.exchange_now() + number) for number in range(1, 101)
                ]
                await wait_until(lambda: relay.process.counters.received == 100)
                server = lab.server = restart(server, tmp_path / "nats")
                async with lab.reader() as take:
                    assert [(await take()).item for _ in range(100)] == events
                assert relay.process.counters.discarded == 0
        finally:
            server.stop()

    run(body())


def test_what_finds_no_room_is_discarded_and_lies_in_a_gap(tmp_path: Path, exchange: ExchangeClock) -> None:
    async def body() -> None:
        server = EmbeddedServer(tmp_path).start()
        lab = Lab(server, exchange)
        settings = RelaySettings(
            latency_bound_ms=50, clock_error_bound_ms=100, hole_wait=0.6, claim_interval=0.05, memory_items=5
        )
        try:
            async with lab.relay(settings=settings) as relay:
                await ping_until_covered(lab, relay.stream)
                server.stop()
                events = [relay.stream.deposit(str(number)) for number in range(1, 11)]
                await wait_until(lambda: relay.process.counters.received == 10)
                assert relay.process.counters.discarded >= 4
                await asyncio.sleep(0.8)
                server = lab.server = restart(server, tmp_path)
                await ping_until_covered(lab, relay.stream)
                found: list[Any] = []
                async with lab.reader() as take:
                    while not found or not isinstance(found[-1], StreamGap):
                        found.append((await take()).item)
                gap = found.pop()
                for event in events:
                    assert event in found or gap.since < event.event_time < gap.until
        finally:
            server.stop()

    run(body())


def test_a_key_that_is_rejected_ends_the_process(lab: Lab) -> None:
    async def body() -> None:
        relay = lab.make()
        task = asyncio.create_task(relay.process.run())
        await wait_until(lambda: bool(relay.streams and relay.stream.is_live))
        relay.stream.error = StreamError("the API key was rejected")
        with pytest.raises(StreamError, match="rejected"):
            await task

    run(body())


async def fetch(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return int(text.split(" ")[1]), text.partition("\r\n\r\n")[2]


def test_health_and_metrics_are_served(lab: Lab) -> None:
    async def body() -> None:
        async with lab.relay() as relay, lab.reader() as take:
            port = relay.process.health_port
            relay.stream.deposit("1")
            await take()
            await ping_until_covered(lab, relay.stream)
            status, text = await fetch(port, "/health?x=1")
            assert (status, json.loads(text)["keys"]) == (200, {"desk": True})
            status, text = await fetch(port, "/metrics")
            assert "binance_margin_relay_stored_total 1.0" in text
            assert 'binance_margin_relay_frontier_age_seconds{account="cross",content="orders",name="desk"}' in text
            relay.stream.lose()
            status, text = await fetch(port, "/health")
            assert (status, json.loads(text)["healthy"]) == (503, False)
            assert (await fetch(port, "/x"))[0] == 404
            assert (await fetch(port, "/health", "POST"))[0] == 405

    run(body())


def test_jobs_run_with_the_secrets_of_their_host(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DESK_KEY", "canary-key")

    async def body() -> None:
        missing = Job(name="other", api_key=SecretReference("env", "NOT_HERE"))
        queue = JobQueueOptions(
            stream=f"{lab.store.stream}_JOBS", owners_bucket=f"{lab.store.stream}_OWN", subjects=lab.store.subjects
        )
        async with AsyncExitStack() as stack:
            mode = JobMode(host_id="one", queue=queue, submitted=(JOB, missing))
            one = await stack.enter_async_context(lab.relay(mode))
            two = await stack.enter_async_context(lab.relay(JobMode(host_id="two", queue=queue)))
            take = await stack.enter_async_context(lab.reader())
            for relay in (one, two):
                relay.stream.deposit("7", 1)
            assert isinstance((await take()).item, BalanceUpdate)
            await wait_until(lambda: one.process.counters.duplicates + two.process.counters.duplicates == 1)
            await wait_until(lambda: "NOT_HERE is not set on this host" in caplog.text)
        assert "canary-key" not in caplog.text

    run(body())


def test_log_records_are_json_without_secrets() -> None:
    record = logging.makeLogRecord({"name": "n", "levelname": "ERROR", "msg": "listenKey=%s", "args": ("canary",)})
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"]) == ("error", "n")
    assert "canary" not in line["message"]
