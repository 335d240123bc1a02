"""The stored stream and the frontier entries: made where they are missing, checked where they exist."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
from nats.js.api import DiscardPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig

from binance_margin_stream.relay.broker.connection import BrokerConnection, map_broker_errors
from binance_margin_stream.relay.broker.publisher import NO_DUPLICATE, PublishResult, read_publish_response
from binance_margin_stream.relay.entry_codec import entry_from_json, entry_to_json
from binance_margin_stream.relay.errors import BrokerSettingsError, BrokerUnavailableError
from binance_margin_stream.relay.frontier import AccountEntry
from binance_margin_stream.relay.subjects import Subjects
from binance_margin_stream.stream.accounts import Account

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

__all__ = ["EntryState", "EventStore", "StoreOptions"]

_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Names and settings of what is stored, as a relay creates it where it is missing."""

    stream: str = "MARGIN_EVENTS"
    bucket: str = "MARGIN_FRONTIER"
    subjects: Subjects = field(default_factory=Subjects)
    replicas: int = 1
    """Copies in a NATS cluster: 1, 3 or 5."""
    max_age: float = 0.0
    """Seconds that events are kept, 0 for as long as there is room. It is also how far back a duplicate is noticed."""
    max_bytes: int = -1
    """How large the stream may grow, -1 without a limit. A full stream refuses new events; it discards no old ones."""


@dataclass(frozen=True, slots=True)
class EntryState:
    """An account's entry as one read shows it. `revision` is 0 when there never was one."""

    entry: AccountEntry | None
    revision: int

    @property
    def was_deleted(self) -> bool:
        """Whether the bucket remembers an entry that somebody deleted."""
        return self.entry is None and self.revision > 0


class EventStore:
    """The stream of events and the bucket of entries."""

    def __init__(self, connection: BrokerConnection, options: StoreOptions) -> None:
        self._connection = connection
        self.options = options
        self._bucket: KeyValue | None = None

    async def open(self) -> None:
        """Create or check the stream and the bucket. Raises `BrokerSettingsError` when they have other settings."""
        with map_broker_errors():
            await self._open_stream()
            await self._open_bucket()

    async def check(self) -> None:
        """For a reader: create nothing. Raises `BrokerSettingsError` when no relay has made the stream yet."""
        with map_broker_errors():
            jetstream = self._connection.jetstream
            try:
                await jetstream.stream_info(self.options.stream)
                self._bucket = await jetstream.key_value(self.options.bucket)
            except nats.js.errors.NotFoundError:
                raise BrokerSettingsError(
                    f"there is no stream {self.options.stream}: start a relay first, or name its stream"
                ) from None

    async def _open_stream(self) -> None:
        expected = StreamConfig(
            name=self.options.stream,
            description="Events and gaps of margin accounts",
            subjects=[self.options.subjects.all_events],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            discard_new_per_subject=True,
            max_msgs_per_subject=1,
            max_age=self.options.max_age,
            max_bytes=self.options.max_bytes,
            num_replicas=self.options.replicas,
            allow_direct=True,
        )
        jetstream = self._connection.jetstream
        try:
            found = (await jetstream.stream_info(self.options.stream)).config
        except nats.js.errors.NotFoundError:
            await jetstream.add_stream(expected)
            return
        wrong = [
            f"{name} is {_show(getattr(found, name))} and has to be {_show(getattr(expected, name))}"
            for name in (
                "subjects",
                "retention",
                "storage",
                "discard",
                "discard_new_per_subject",
                "max_msgs_per_subject",
            )
            if getattr(found, name) != getattr(expected, name)
        ]
        if wrong:
            raise BrokerSettingsError(
                f"the stream {self.options.stream} has other settings: {'; '.join(wrong)}; edit it, or use another name"
            )

    async def _open_bucket(self) -> None:
        jetstream = self._connection.jetstream
        try:
            self._bucket = await jetstream.key_value(self.options.bucket)
        except nats.js.errors.NotFoundError:
            self._bucket = await jetstream.create_key_value(
                KeyValueConfig(
                    bucket=self.options.bucket,
                    description="What of each account is stored, and where its gaps are",
                    history=1,
                    storage=StorageType.FILE,
                    replicas=self.options.replicas,
                )
            )
        status = await self._bucket.status()
        if status.ttl:
            raise BrokerSettingsError(
                f"the bucket {self.options.bucket} lets its entries expire: remove its ttl, "
                "since an entry that expires is reported as a gap of the whole past"
            )

    async def read_entry(self, name: str, account: Account) -> EntryState:
        """An account's entry. Raises `BrokerError`, and `StoredFormError` for one of another version."""
        with map_broker_errors():
            try:
                found = await self._get_bucket().get(Subjects.entry_key(name, account))
            except nats.js.errors.KeyNotFoundError as error:
                return EntryState(None, error.entry.revision or 0 if error.entry is not None else 0)
        return EntryState(entry_from_json(found.value or b""), found.revision or 0)

    async def write_entry(self, name: str, account: Account, entry: AccountEntry, revision: int) -> bool:
        """Write an entry if nobody did since `revision`; whether it was written.

        Raises `BrokerError` when the outcome is unknown: read again.
        """
        with map_broker_errors():
            try:
                await self._get_bucket().update(Subjects.entry_key(name, account), entry_to_json(entry), last=revision)
            except nats.js.errors.KeyWrongLastSequenceError:
                return False
        return True

    async def has_events(self, name: str, account: Account) -> bool:
        """Whether any event or gap of an account is stored."""
        with map_broker_errors():
            try:
                await self._connection.jetstream.get_last_msg(
                    self.options.stream, self.options.subjects.filter(name, account)
                )
            except nats.js.errors.NotFoundError:
                return False
        return True

    async def read_header(self, subject: str, header: str) -> str | None:
        """One header of a stored event, None when it is not stored any more."""
        with map_broker_errors():
            try:
                found = await self._connection.jetstream.get_last_msg(self.options.stream, subject, direct=True)
            except nats.js.errors.NotFoundError:
                return None
        return (found.headers or {}).get(header)

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> PublishResult:
        """Store one message and wait for it. Raises `BrokerError` when that is not known to have happened."""
        response = await self._connection.publish(subject, payload, {**headers, **NO_DUPLICATE})
        try:
            return read_publish_response(await asyncio.wait_for(response, _TIMEOUT))
        except TimeoutError:
            raise BrokerUnavailableError(f"NATS did not acknowledge a message within {_TIMEOUT:g} s") from None

    def _get_bucket(self) -> KeyValue:
        if self._bucket is None:
            raise BrokerUnavailableError("the bucket of the frontier is not open yet")
        return self._bucket


def _show(value: object) -> str:
    return str(getattr(value, "value", value))
