"""`AsyncRelayReader`: what relays stored, as typed items, at least once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.relay.broker.connection import BrokerConnection, BrokerOptions, map_broker_errors
from binance_margin_stream.relay.broker.store import EventStore, StoreOptions
from binance_margin_stream.relay.errors import BrokerError, BrokerSettingsError, RelayError
from binance_margin_stream.relay.frontier import TimeRange
from binance_margin_stream.relay.stored_item import decode_item
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import StreamItem

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

__all__ = ["AsyncRelayReader", "RelayItem", "RelayReaderOptions"]

_DURABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BATCH = 200
_FETCH_TIMEOUT = 5.0
_RETRY = 1.0
_ROUNDING = timedelta(milliseconds=1)
"""By how much `RelayItem.stored_at` may be later than the time that the broker keeps, with nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReaderOptions:
    """Which stored items a reader takes, and under which name the broker remembers how far it is.

    Raises `ApiValueError` for what cannot be.
    """

    broker: BrokerOptions
    durable: str
    """The name of the consumer: readers with one name share the items, those with different names get all."""
    name: str | None = None
    """Only the items of this key; None for all."""
    account: Account | None = None
    """Only the items of this account; None for all."""
    start: datetime | None = None
    """Only items that were stored at this time or later; None for all. It counts when the consumer is made."""
    ack_wait: float = 30.0
    """Seconds until an item that was not acknowledged comes again."""
    store: StoreOptions = field(default_factory=StoreOptions)

    def __post_init__(self) -> None:
        if not _DURABLE.fullmatch(self.durable):
            raise ApiValueError("durable has 1 to 64 ASCII letters, digits, '_' and '-'")
        if self.start is not None and self.start.tzinfo is None:
            raise ApiValueError("start needs a time zone, such as datetime(2026, 1, 1, tzinfo=UTC)")
        if not self.ack_wait > 0:
            raise ApiValueError("ack_wait has to be a positive number of seconds")


@dataclass(frozen=True, slots=True, eq=False)
class RelayItem:
    """One stored event or gap. Handle it, then acknowledge it; else it comes again."""

    item: StreamItem
    id: str
    """Equal for every delivery of this item, and for no other item: a key for a database."""
    name: str
    """The key's name, as the relay was given it."""
    stored_at: datetime
    headers: Mapping[str, str]
    delivery: int
    """1 at first; more where the item was not acknowledged in time."""
    _message: Msg = field(repr=False)

    @property
    def account(self) -> Account:
        """Whose item it is."""
        return self.item.account


class AsyncRelayReader:
    """Takes stored items: an async context manager, and an async iterator of `RelayItem`.

    ::

        async with AsyncRelayReader(RelayReaderOptions(broker=..., durable="ledger")) as reader:
            async for each in reader:
                store(each.id, each.item)
                await reader.acknowledge(each)

    An item comes at least once: again when it was not acknowledged within `ack_wait`, or when the acknowledgement was
    lost. Use its `id` as a key to handle it exactly once. A broker that is away is waited for.
    """

    def __init__(self, options: RelayReaderOptions) -> None:
        if not isinstance(options, RelayReaderOptions):
            raise ApiTypeError("a reader takes RelayReaderOptions")
        self._options = options
        self._connection = BrokerConnection(options.broker, "binance-margin-stream reader")
        self._store = EventStore(self._connection, options.store)
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._client: object | None = None
        self._fetched: list[Msg] = []
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Connect. Raises `BrokerError` when that cannot be, or when no relay has made the stream yet."""
        await self._connection.connect()
        try:
            await self._store.check()
            await self._subscribe()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> RelayItem:
        """The next item, for as long as it takes; ends when the reader is closed."""
        while not self._is_closed:
            item = await self._fetch(_FETCH_TIMEOUT)
            if item is not None:
                return item
        raise StopAsyncIteration

    async def get(self, timeout: float) -> RelayItem:
        """The next item. Raises `TimeoutError` after so many seconds, and `RelayError` when the reader is closed."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not self._is_closed:
            left = deadline - asyncio.get_running_loop().time()
            if not self._fetched and left <= 0:
                raise TimeoutError(f"no item was stored within {timeout:g} s")
            item = await self._fetch(min(_FETCH_TIMEOUT, max(left, 0.01)))
            if item is not None:
                return item
        raise RelayError("the reader is closed: make a new one")

    async def acknowledge(self, item: RelayItem) -> None:
        """Say that the item is handled. Raises `BrokerError` when that may not have arrived: it may come again."""
        with map_broker_errors():
            await item._message.ack_sync(timeout=5)

    async def read_coverage(self, name: str, account: Account) -> Mapping[str, TimeRange]:
        """In which time each kind of content of an account is stored, or lies in a stored gap.

        Milliseconds of the exchange's time, by ``orders``, ``notices`` and ``risk``. Content of which nothing is
        covered yet is left out. Raises `BrokerError`.
        """
        state = await self._store.read_entry(name, account)
        contents = state.entry.contents if state.entry is not None else {}
        return {
            content: TimeRange(each.origin, each.covered_until)
            for content, each in contents.items()
            if each.covered_until >= each.origin
        }

    async def close(self) -> None:
        """Stop, within seconds; what was not acknowledged comes again. May be called again."""
        self._is_closed = True
        await self._connection.close()

    async def _fetch(self, timeout: float) -> RelayItem | None:
        if not self._fetched:
            try:
                self._fetched = await self._fetch_messages(timeout)
            except BrokerSettingsError:
                raise
            except BrokerError:
                if not self._is_closed:
                    await asyncio.sleep(min(_RETRY, timeout))
        return self._decode(self._fetched.pop(0)) if self._fetched else None

    async def _fetch_messages(self, timeout: float) -> list[Msg]:
        with map_broker_errors():
            subscription = await self._subscribe()
            try:
                return list(await subscription.fetch(_BATCH, timeout=timeout))
            except TimeoutError:
                return []

    def _decode(self, message: Msg) -> RelayItem:
        name, _, event_id = self._options.store.subjects.parse_event(message.subject)
        headers = dict(message.headers or {})
        metadata = message.metadata
        return RelayItem(
            item=decode_item(message.data, headers),
            id=event_id,
            name=name,
            stored_at=metadata.timestamp.astimezone(UTC),
            headers=headers,
            delivery=metadata.num_delivered or 1,
            _message=message,
        )

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        client = self._connection.client
        if self._subscription is None or self._client is not client:
            with map_broker_errors():
                self._subscription = await self._bind()
            self._client = client
        return self._subscription

    async def _bind(self) -> JetStreamContext.PullSubscription:
        """Use the durable consumer as it is, so that nobody restarts it by accident; make it where it is missing."""
        options = self._options
        jetstream = self._connection.jetstream
        subject = options.store.subjects.filter(options.name, options.account)
        try:
            found = (await jetstream.consumer_info(options.store.stream, options.durable)).config
        except nats.js.errors.NotFoundError:
            pass
        else:
            if found.filter_subject != subject:
                raise BrokerSettingsError(
                    f"the consumer {options.durable} takes {found.filter_subject}: use another name for {subject}"
                )
            return await jetstream.pull_subscribe_bind(options.durable, options.store.stream)
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=options.ack_wait,
            max_deliver=-1,
            deliver_policy=DeliverPolicy.ALL if options.start is None else DeliverPolicy.BY_START_TIME,
            opt_start_time=None if options.start is None else options.start.astimezone(UTC) - _ROUNDING,
        )
        return await jetstream.pull_subscribe(
            subject, durable=options.durable, stream=options.store.stream, config=config
        )
