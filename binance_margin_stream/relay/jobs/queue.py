"""The queue of jobs in JetStream: who follows which key.

One message stands for one replica of a key. The host that received it owns it for as long as it keeps the delivery
alive; otherwise the server delivers it to another host. There is no lease and no election beside that.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats.js.errors
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from binance_margin_stream.relay.broker.connection import BrokerConnection, map_broker_errors
from binance_margin_stream.relay.errors import BrokerSettingsError, StoredFormError
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.subjects import Subjects, encode_part

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

__all__ = ["ACK_WAIT", "JobDelivery", "JobQueue", "JobQueueOptions", "SubmitResult"]

ACK_WAIT = 4.0
"""Seconds until a job whose owner is silent is delivered to another host."""

_CONSUMER = "relays"
_OWNER_TTL = 60.0
_KEYS_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueueOptions:
    """Names in the broker. Hosts that share a queue use the same ones."""

    stream: str = "MARGIN_JOBS"
    owners_bucket: str = "MARGIN_OWNERS"
    subjects: Subjects = field(default_factory=Subjects)
    replicas: int = 1
    """Copies of the queue in a NATS cluster."""

    @property
    def prefix(self) -> str:
        """What the subjects of the queue begin with."""
        return f"{self.subjects.prefix}-jobs"


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What a job file changed in the queue: numbers of replicas."""

    added: int
    replaced: int
    removed: int


@dataclass(slots=True, eq=False)
class JobDelivery:
    """One replica of a job that was delivered to this host."""

    job: Job
    replica: int
    sequence: int
    """The place of its message in the stream: another after every change of the job."""
    kept_at: float
    """When it was last kept alive, by the monotonic clock of `time`."""
    _message: Msg

    @property
    def deliveries(self) -> int:
        """How often this message was delivered, to whichever host."""
        return self._message.metadata.num_delivered or 1

    @property
    def key(self) -> tuple[str, int]:
        """Name and replica."""
        return self.job.name, self.replica

    async def keep(self) -> None:
        """Tell the server that this host still owns it. Raises `BrokerError`."""
        with map_broker_errors():
            await self._message.in_progress()
        self.kept_at = time.monotonic()

    async def release(self, delay: float | None = None) -> None:
        """Let another host have it, after `delay` seconds. Raises `BrokerError`."""
        with map_broker_errors():
            await self._message.nak(delay=delay)


class JobQueue:
    """The queue, and the bucket in which owners write their names."""

    def __init__(self, connection: BrokerConnection, options: JobQueueOptions) -> None:
        self._connection = connection
        self._options = options
        self._owners: KeyValue | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._client: object | None = None

    async def open(self) -> None:
        """Create what is missing. Raises `BrokerSettingsError` when the queue has other settings."""
        with map_broker_errors():
            await self._open_stream()
            jetstream = self._connection.jetstream
            try:
                self._owners = await jetstream.key_value(self._options.owners_bucket)
            except nats.js.errors.NotFoundError:
                self._owners = await jetstream.create_key_value(
                    KeyValueConfig(
                        bucket=self._options.owners_bucket,
                        description="Which host follows which key",
                        ttl=_OWNER_TTL,
                        storage=StorageType.MEMORY,
                        replicas=self._options.replicas,
                    )
                )

    async def _open_stream(self) -> None:
        jetstream = self._connection.jetstream
        expected = StreamConfig(
            name=self._options.stream,
            description="Keys to follow, one message for each replica",
            subjects=[f"{self._options.prefix}.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            discard_new_per_subject=True,
            max_msgs_per_subject=1,
            num_replicas=self._options.replicas,
        )
        try:
            found = (await jetstream.stream_info(self._options.stream)).config
        except nats.js.errors.NotFoundError:
            found = (await jetstream.add_stream(expected)).config
        if (found.retention, found.subjects) != (expected.retention, expected.subjects):
            raise BrokerSettingsError(
                f"the stream {self._options.stream} is no queue of jobs for {self._options.prefix}: use another prefix"
            )

    async def submit(self, jobs: tuple[Job, ...]) -> SubmitResult:
        """Make the queue hold exactly these jobs. An owner notices within seconds that its job changed."""
        wanted = {self._subject(job.name, replica): job.to_json() for job in jobs for replica in range(job.replicas)}
        added = replaced = 0
        with map_broker_errors():
            jetstream = self._connection.jetstream
            present = await self._list_subjects()
            for subject, data in wanted.items():
                if subject in present:
                    found = await jetstream.get_last_msg(self._options.stream, subject)
                    if found.data == data:
                        continue
                    await jetstream.delete_msg(self._options.stream, found.seq or 0)
                    replaced += 1
                else:
                    added += 1
                await jetstream.publish(subject, data)
            for subject in present - wanted.keys():
                await jetstream.purge_stream(self._options.stream, subject=subject)
        return SubmitResult(added, replaced, len(present - wanted.keys()))

    async def fetch(self, most: int, timeout: float) -> list[JobDelivery]:
        """Jobs that nobody owns, none when there is none within `timeout` seconds. Raises `BrokerError`."""
        with map_broker_errors():
            subscription = await self._subscribe()
            try:
                messages = await subscription.fetch(most, timeout=timeout)
            except TimeoutError:
                return []
        return [each for message in messages if (each := await self._read(message)) is not None]

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        """The durable consumer; once for each client, since nats-py's subscriptions end with theirs."""
        client = self._connection.client
        if self._subscription is None or self._client is not client:
            self._subscription = await self._connection.jetstream.pull_subscribe(
                f"{self._options.prefix}.>",
                durable=_CONSUMER,
                stream=self._options.stream,
                config=ConsumerConfig(
                    ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT, max_deliver=-1, max_ack_pending=1_000_000
                ),
            )
            self._client = client
        return self._subscription

    async def _read(self, message: Msg) -> JobDelivery | None:
        try:
            job = Job.from_json(message.data)
            replica = int(message.subject.rpartition(".")[2])
        except (StoredFormError, ValueError):
            await message.nak(delay=60)
            return None
        return JobDelivery(job, replica, message.metadata.sequence.stream, time.monotonic(), message)

    async def is_current(self, delivery: JobDelivery) -> bool:
        """Whether the job was neither changed nor removed since it was delivered. Raises `BrokerError`."""
        with map_broker_errors():
            try:
                await self._connection.jetstream.get_msg(self._options.stream, delivery.sequence)
            except nats.js.errors.NotFoundError:
                return False
        return True

    async def write_owner(self, delivery: JobDelivery, host_id: str) -> None:
        """Say that `host_id` follows this replica; forgotten after a minute. Raises `BrokerError`."""
        with map_broker_errors():
            await self._get_owners().put(self._owner_key(*delivery.key), host_id.encode())

    async def clear_owner(self, delivery: JobDelivery) -> None:
        """Take back what `write_owner` said. Raises `BrokerError`."""
        with map_broker_errors():
            await self._get_owners().delete(self._owner_key(*delivery.key))

    async def read_owner(self, name: str, replica: int) -> str | None:
        """The host that follows a replica, None when nobody said so for a minute. Raises `BrokerError`."""
        with map_broker_errors():
            try:
                return ((await self._get_owners().get(self._owner_key(name, replica))).value or b"").decode()
            except nats.js.errors.KeyNotFoundError:
                return None

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be reached."""
        return self._connection.is_connected

    async def list_unowned(self) -> set[str]:
        """The replicas for which no host has written its name within a minute. Raises `BrokerError`."""
        with map_broker_errors():
            subjects = await self._list_subjects()
            try:
                async with asyncio.timeout(_KEYS_TIMEOUT):  # nats-py waits without a bound
                    owned = await self._get_owners().keys()
            except nats.js.errors.NoKeysError:
                owned = []
        return {subject.removeprefix(f"{self._options.prefix}.") for subject in subjects} - set(owned)

    async def _list_subjects(self) -> set[str]:
        info = await self._connection.jetstream.stream_info(self._options.stream, subjects_filter=">")
        return set(info.state.subjects or {})

    def _subject(self, name: str, replica: int) -> str:
        return f"{self._options.prefix}.{self._owner_key(name, replica)}"

    @staticmethod
    def _owner_key(name: str, replica: int) -> str:
        return f"{encode_part(name)}.{replica}"

    def _get_owners(self) -> KeyValue:
        if self._owners is None:
            raise BrokerSettingsError("the queue of jobs is not open")
        return self._owners
