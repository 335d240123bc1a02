"""Job files, and jobs that hosts own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats_support import connected, make_store_options, run, wait_until

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
from binance_margin_stream.relay.errors import BrokerSettingsError, JobFileError, StoredFormError
from binance_margin_stream.relay.jobs.host import JobHost
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.jobs.job_file import load_job_file, parse_jobs
from binance_margin_stream.relay.jobs.queue import JobQueue, JobQueueOptions, SubmitResult
from binance_margin_stream.relay.jobs.secret_reference import SecretReference
from binance_margin_stream.stream.accounts import CROSS, isolated

KEY = SecretReference("env", "DESK_KEY")


def make_job(name: str = "desk", **fields: object) -> Job:
    return Job(**{"name": name, "api_key": KEY, **fields})  # type: ignore[arg-type]


def test_a_job_file_is_read() -> None:
    jobs = parse_jobs(
        """
        jobs:
          - name: desk-1
            api_key: env:DESK_KEY
            api_secret: file:/run/secrets/desk
            accounts: [cross, "isolated:币安人生USDT", cross]
            risk: true
            replicas: 3
          - name: desk-2
            api_key: file:/run/secrets/other
        """
    )
    assert jobs == (
        make_job(
            "desk-1",
            api_secret=SecretReference("file", "/run/secrets/desk"),
            accounts=(CROSS, isolated("币安人生USDT")),
            risk=True,
            replicas=3,
        ),
        make_job("desk-2", api_key=SecretReference("file", "/run/secrets/other")),
    )
    assert [Job.from_json(job.to_json()) for job in jobs] == list(jobs)


def test_every_mistake_of_a_job_file_is_named_at_once() -> None:
    with pytest.raises(JobFileError) as raised:
        parse_jobs(
            """
            jobs:
              - {name: a, api_key: canarysecret}
              - {name: b, api_key: "env:K", replicas: 9}
              - {name: c, api_key: "env:K", acounts: [cross]}
              - {name: d, api_key: "env:K", accounts: [isolated]}
              - {name: e, api_key: "env:K", risk: "yes"}
              - {name: f, api_key: "env:K", source: guess}
              - {name: g}
              - {name: h, api_key: "env:K"}
              - {name: h, api_key: "env:K"}
              - word
            """
        )
    text = str(raised.value)
    for part in (
        "job 'a': a secret is given as env:NAME",
        "job 'b': replicas is 1 to 3",
        "job 'c': unknown: acounts",
        "job 'd': not an account",
        "job 'e': risk has to be of type bool",
        "job 'f'",
        "job 'g': missing: api_key",
        "job h: its name occurs 2 times",
        "job number 10: a job is a mapping",
    ):
        assert part in text
    assert "canarysecret" not in text


@pytest.mark.parametrize("text", ["", "[]", "jobs: []", "jobs: x", "jobs: [}", "a: 1\njobs: [x]", "\x00"])
def test_what_is_no_job_file_is_refused(text: str) -> None:
    with pytest.raises(JobFileError, match="the job file"):
        parse_jobs(text)


def test_a_job_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="No such file"):
        load_job_file(tmp_path / "jobs.yaml")
    (tmp_path / "jobs.yaml").write_bytes(b"\xff")
    with pytest.raises(JobFileError, match="not UTF-8"):
        load_job_file(tmp_path / "jobs.yaml")


def test_secrets_are_loaded_where_they_are_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file\n")
    assert SecretReference.parse(f"file:{file}").load() == "from-the-file"
    assert SecretReference.parse("env:A").load({"A": "from-the-environment"}) == "from-the-environment"
    with pytest.raises(ApiValueError, match="A is not set on this host"):
        SecretReference.parse("env:A").load({})
    with pytest.raises(ApiValueError, match="No such file"):
        SecretReference.parse("file:/nowhere").load()
    for text in ("canary", "env:", "env:a-b", "file:relative", "", 5):
        with pytest.raises(ApiValueError) as raised:
            SecretReference.parse(text)
        assert "canary" not in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"api_secret": null}'])
def test_a_foreign_job_is_refused(data: bytes) -> None:
    with pytest.raises(StoredFormError, match="submit the job file again"):
        Job.from_json(data)


class Runner:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_running = False

    async def start(self) -> None:
        self.is_running = True

    async def stop(self) -> None:
        self.is_running = False


class Host:
    """One host of a test, with the runners that it made."""

    def __init__(self, queue: JobQueue, host_id: str, capacity: int) -> None:
        self.runners: list[Runner] = []
        self.jobs = JobHost(queue, self._make, host_id=host_id, capacity=capacity)

    def _make(self, job: Job) -> Runner:
        self.runners.append(Runner(job))
        return self.runners[-1]

    @property
    def running(self) -> list[str]:
        return sorted(each.job.name for each in self.runners if each.is_running)


def make_queue_options() -> JobQueueOptions:
    options = make_store_options()
    return JobQueueOptions(
        stream=f"{options.stream}_JOBS", owners_bucket=f"{options.stream}_OWNERS", subjects=options.subjects
    )


@asynccontextmanager
async def started_host(
    server: EmbeddedServer, options: JobQueueOptions, host_id: str, capacity: int = 100, jobs: tuple[Job, ...] = ()
) -> AsyncIterator[Host]:
    async with connected(server) as connection:
        queue = JobQueue(connection, options)
        await queue.open()
        if jobs:
            await queue.submit(jobs)
        host = Host(queue, host_id, capacity)
        host.jobs.start()
        try:
            yield host
        finally:
            await host.jobs.close()


def test_two_replicas_of_a_key_run_on_two_hosts(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_queue_options()
        jobs = tuple(make_job(f"desk {number}") for number in range(8))
        names = sorted(job.name for job in jobs)
        async with started_host(nats_server, options, "one", jobs=jobs) as one:
            await wait_until(lambda: one.running == names)
            async with started_host(nats_server, options, "two") as two:
                await wait_until(lambda: two.running == names)
                assert {replica for _, replica in one.jobs.owned | two.jobs.owned} == {0, 1}

    run(body())


def test_two_processes_of_one_host_do_not_share_a_key(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_queue_options()
        async with started_host(nats_server, options, "one", jobs=(make_job(),)) as first:
            await wait_until(lambda: first.running == ["desk"])
            async with started_host(nats_server, options, "one") as second:
                async with started_host(nats_server, options, "two") as other:
                    await wait_until(lambda: other.running == ["desk"])
                assert second.runners == []

    run(body())


def test_jobs_of_a_host_that_ends_are_taken_at_once(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_queue_options()
        job = make_job(replicas=1)
        async with started_host(nats_server, options, "two", jobs=(job,)) as two:
            await wait_until(lambda: two.running == ["desk"])
            async with started_host(nats_server, options, "one") as one:
                await two.jobs.close()
                assert two.running == []
                await wait_until(lambda: one.running == ["desk"], timeout=6)

    run(body())


def test_jobs_of_a_host_that_dies_are_taken_within_seconds(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_queue_options()
        async with connected(nats_server) as connection:
            queue = JobQueue(connection, options)
            await queue.open()
            await queue.submit((make_job(replicas=1),))
            (silent,) = await queue.fetch(10, 5)
            assert silent.key == ("desk", 0)
            async with started_host(nats_server, options, "one") as one:
                started = asyncio.get_running_loop().time()
                await wait_until(lambda: one.running == ["desk"])
                assert asyncio.get_running_loop().time() - started < 12

    run(body())


def test_capacity_is_kept(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_queue_options()
        jobs = tuple(make_job(f"desk {number}", replicas=1) for number in range(6))
        async with started_host(nats_server, options, "one", capacity=4, jobs=jobs) as one:
            await wait_until(lambda: len(one.running) == 4)
            async with started_host(nats_server, options, "two", capacity=4) as two:
                await wait_until(lambda: len(one.running) + len(two.running) == 6)
                assert len(one.running) == 4

    run(body())


def test_submitting_makes_the_queue_hold_exactly_the_file(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            queue = JobQueue(connection, make_queue_options())
            await queue.open()
            assert await queue.submit((make_job("a"), make_job("b"))) == SubmitResult(4, 0, 0)
            assert await queue.submit((make_job("a"), make_job("b"))) == SubmitResult(0, 0, 0)
            (delivery,) = await queue.fetch(1, 5)
            assert await queue.is_current(delivery)
            changed = make_job("a", accounts=(CROSS, isolated("BTCUSDT")))
            assert await queue.submit((changed,)) == SubmitResult(0, 2, 2)
            assert not await queue.is_current(delivery)
            assert await queue.list_unowned() == {"a.0", "a.1"}
            await queue.write_owner(delivery, "one")
            assert await queue.read_owner(*delivery.key) == "one"
            assert len(await queue.list_unowned()) == 1

    run(body())


def test_another_stream_in_the_place_of_the_queue_is_refused(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            options = make_queue_options()
            await connection.jetstream.add_stream(name=options.stream, subjects=[f"{options.prefix}.>"])
            with pytest.raises(BrokerSettingsError, match="no queue of jobs"):
                await JobQueue(connection, options).open()

    run(body())
