"""One relay process: the broker, the workers, health and metrics, from start to drained end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.exceptions import OpenApiException, StreamError
from binance_margin_stream.relay.broker.connection import BrokerConnection, BrokerOptions
from binance_margin_stream.relay.broker.publisher import Publisher
from binance_margin_stream.relay.broker.spool import Spool, SpooledMessage
from binance_margin_stream.relay.broker.store import EventStore, StoreOptions
from binance_margin_stream.relay.broker.tasks import cancel_tasks
from binance_margin_stream.relay.counters import RelayCounters
from binance_margin_stream.relay.errors import BrokerError
from binance_margin_stream.relay.jobs.host import JobHost
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.jobs.queue import JobQueue, JobQueueOptions
from binance_margin_stream.relay.server_clock import ServerClock
from binance_margin_stream.relay.service.context import RelayContext
from binance_margin_stream.relay.service.http_server import HttpServer, Page
from binance_margin_stream.relay.service.key_worker import KeyWorker
from binance_margin_stream.relay.service.metrics import METRICS_CONTENT_TYPE, render_metrics
from binance_margin_stream.relay.service.server_time import ServerTimeRequest
from binance_margin_stream.relay.settings import RelaySettings
from binance_margin_stream.relay.stored_item import TIME_HEADER
from binance_margin_stream.relay.stream_view import FollowedStream
from binance_margin_stream.stream.accounts import Account

__all__ = ["JobMode", "RelayOptions", "RelayProcess", "StreamMaker"]

log = logging.getLogger(__name__)

StreamMaker = Callable[[Job, ApiKeyAuth], AbstractAsyncContextManager[FollowedStream]]
"""Makes the stream of a key."""

_COMPARE_INTERVAL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMode:
    """Take keys from the queue of jobs, in place of one key of one's own."""

    host_id: str
    capacity: int = 1000
    queue: JobQueueOptions = field(default_factory=JobQueueOptions)
    submitted: tuple[Job, ...] | None = None
    """Jobs that the queue has to hold from now on; None leaves it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """The options of a process."""

    broker: BrokerOptions
    store: StoreOptions = field(default_factory=StoreOptions)
    settings: RelaySettings = field(default_factory=RelaySettings)
    spool_directory: Path | None = None
    """Where events wait while the broker is away and memory is full; no other process may use it."""
    health_host: str = "127.0.0.1"
    health_port: int = 0


class RelayProcess:
    """Runs until it is stopped; `run` is called once."""

    def __init__(
        self,
        options: RelayOptions,
        work: tuple[Job, ApiKeyAuth] | JobMode,
        make_stream: StreamMaker,
        fetch_server_time: ServerTimeRequest,
    ) -> None:
        self._options = options
        self._work = work
        self._make_stream = make_stream
        self._fetch_server_time = fetch_server_time
        self.counters = RelayCounters()
        self._connection = BrokerConnection(options.broker)
        self._store = EventStore(self._connection, options.store)
        self._http = HttpServer({"/health": self._health_page, "/metrics": self._metrics_page})
        self._clock = ServerClock(
            fetch_server_time,
            max_error_ms=options.settings.clock_error_bound_ms // 2,
            interval=options.settings.clock_interval,
        )
        self._publisher: Publisher | None = None
        self._workers: dict[str, KeyWorker] = {}
        self._host: JobHost | None = None
        self._stop = asyncio.Event()
        self._failure: OpenApiException | None = None
        self._duplicate: SpooledMessage | None = None

    def stop(self) -> None:
        """Drain and end; may be called from a signal handler, and again."""
        self._stop.set()

    @property
    def health_port(self) -> int:
        """Where ``/health`` and ``/metrics`` are."""
        return self._http.port

    async def run(self) -> None:
        """Relay until `stop`. Raises `BrokerError` at the start, and `StreamError` when the only key fails."""
        async with AsyncExitStack() as stack:
            await self._connection.connect()
            stack.push_async_callback(self._connection.close)
            await self._store.open()
            await self._http.start(self._options.health_host, self._options.health_port)
            stack.push_async_callback(self._http.close)
            stack.callback(self._fetch_server_time.close)
            publisher = self._make_publisher()
            publisher.start()
            stack.push_async_callback(self._close_publisher, publisher)
            for step in (self._clock.run(), self._compare_event_times()):
                stack.push_async_callback(cancel_tasks, [asyncio.create_task(step)])
            context = RelayContext(self._store, publisher, self._clock, self._options.settings, self.counters)
            await self._start_work(context, stack)
            log.info("relaying to %s; health and metrics on port %d", self._options.broker.shown, self.health_port)
            await self._stop.wait()
        if self._failure is not None:
            raise self._failure

    def _make_publisher(self) -> Publisher:
        settings = self._options.settings
        spool = Spool(self._options.spool_directory, memory_items=settings.memory_items, disk_bytes=settings.disk_bytes)
        self._publisher = publisher = Publisher(
            self._connection,
            spool,
            self.counters,
            on_duplicate=self._on_duplicate,
            timeout=settings.publish_timeout,
            window=settings.max_unacknowledged,
        )
        if len(spool):
            log.warning("%d events of an earlier process wait on disk: they are published now", len(spool))
        return publisher

    async def _close_publisher(self, publisher: Publisher) -> None:
        if self._connection.is_connected:
            await publisher.drain(self._options.settings.drain_timeout)
        try:
            kept = await publisher.close()
        except OSError as error:
            log.error("events that wait cannot be kept on disk: %s; the frontier reports a gap", error.strerror)
            return
        if kept:
            log.warning("%d events wait on disk: the next start publishes them", kept)

    async def _start_work(self, context: RelayContext, stack: AsyncExitStack) -> None:
        if isinstance(self._work, JobMode):
            await self._start_jobs(self._work, context, stack)
            return
        job, auth = self._work
        worker = self._make_worker(job, auth, context, self._on_stream_failure)
        await worker.start()
        stack.push_async_callback(worker.stop)

    async def _start_jobs(self, mode: JobMode, context: RelayContext, stack: AsyncExitStack) -> None:
        queue = JobQueue(self._connection, mode.queue)
        await queue.open()
        if mode.submitted is not None:
            result = await queue.submit(mode.submitted)
            log.info("jobs: %d added, %d replaced, %d removed", result.added, result.replaced, result.removed)
        self._host = host = JobHost(
            queue,
            lambda job: _JobRunner(self, job, context),
            host_id=mode.host_id,
            capacity=mode.capacity,
        )
        host.start()
        stack.push_async_callback(host.close)

    def _make_worker(
        self,
        job: Job,
        auth: ApiKeyAuth,
        context: RelayContext,
        on_failure: Callable[[StreamError], None] | None = None,
    ) -> KeyWorker:
        worker = KeyWorker(job.name, lambda: self._make_stream(job, auth), context, on_failure)
        self._workers[job.name] = worker
        return worker

    def _on_stream_failure(self, error: StreamError) -> None:
        self._failure = error
        self.stop()

    def _on_duplicate(self, message: SpooledMessage) -> None:
        self._duplicate = message

    async def _compare_event_times(self) -> None:
        """The frontier assumes that every copy of an event has one event time: look at one copy a second."""
        while True:
            await asyncio.sleep(_COMPARE_INTERVAL)
            message, self._duplicate = self._duplicate, None
            if message is None or TIME_HEADER not in message.headers:
                continue
            with contextlib.suppress(BrokerError):
                stored = await self._store.read_header(message.subject, TIME_HEADER)
                if stored is not None:
                    self.counters.event_times_compared += 1
                    self._compare(stored, message.headers[TIME_HEADER])

    def _compare(self, stored: str, received: str) -> None:
        if stored == received:
            return
        self.counters.event_times_differ += 1
        difference = abs(int(stored) - int(received)) if stored.isdecimal() and received.isdecimal() else 0
        if difference > self._options.settings.latency_bound_ms:
            log.error("copies of one event differ by %d ms: raise latency_bound_ms in every relay", difference)

    @property
    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """The figures of this moment."""
        publisher, host = self._publisher, self._host
        yield "broker_connected", "Whether NATS can be reached", float(self._connection.is_connected)
        yield "clock_set", "Whether the exchange's clock is known", float(self._clock.is_set)
        yield "keys_followed", "Keys that this process follows", float(len(self._workers))
        yield (
            "keys_live",
            "Keys whose accounts are all subscribed",
            float(sum(w.is_live for w in self._workers.values())),
        )
        yield "waiting", "Events that are not acknowledged yet", float(publisher.waiting if publisher else 0)
        yield "spool_bytes", "Bytes that wait on disk", float(publisher.spool.bytes_on_disk if publisher else 0)
        yield "latency_ms_max", "Longest time from an event to its arrival", float(self.counters.largest_latency_ms)
        yield "clock_error_ms_max", "Largest error of the estimated clock", float(self._clock.largest_error_ms)
        if host is not None:
            yield "jobs_unowned", "Replicas of jobs that nobody has owned for a minute", float(host.unowned)

    @property
    def coverage(self) -> Iterable[tuple[str, Account, str, float]]:
        """For how long nothing is known to be stored, by key, account and content; in seconds."""
        now = self._clock.to_server_time(self._clock.now())
        for name, worker in self._workers.items():
            for (account, content), until in worker.covered_until.items():
                if now is not None:
                    yield name, account, content, (now - until) / 1000

    @property
    def reconnects(self) -> Iterable[tuple[str, int]]:
        """Reconnects by key."""
        return [(name, worker.reconnects) for name, worker in self._workers.items()]

    def forget_worker(self, worker: KeyWorker) -> None:
        """A job ended here."""
        if self._workers.get(worker.name) is worker:
            del self._workers[worker.name]

    def _health_page(self) -> Page:
        keys = {name: worker.is_live for name, worker in self._workers.items()}
        is_healthy = self._connection.is_connected and self._clock.is_set and all(keys.values())
        figures = {name: value for name, _, value in self.gauges}
        return Page.from_json({"healthy": is_healthy, "keys": keys, **figures}, 200 if is_healthy else 503)

    def _metrics_page(self) -> Page:
        return Page(render_metrics(self), content_type=METRICS_CONTENT_TYPE)


class _JobRunner:
    """A worker whose key is loaded when the job starts."""

    def __init__(self, process: RelayProcess, job: Job, context: RelayContext) -> None:
        self._process = process
        self._job = job
        self._context = context
        self._worker: KeyWorker | None = None

    async def start(self) -> None:
        """Follow the key. Raises `ApiValueError` when its secret is not on this host."""
        self._worker = self._process._make_worker(self._job, self._job.load_auth(), self._context)
        await self._worker.start()

    async def stop(self) -> None:
        """End, and claim what was received."""
        if self._worker is not None:
            await self._worker.stop()
            self._process.forget_worker(self._worker)
