"""Consumers of what relays stored."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nats_support import make_store_options, opened_store, restart, run, wait_until

from binance_margin_stream import CROSS, BalanceUpdate, StreamGap, isolated
from binance_margin_stream.exceptions import ApiTypeError, ApiValueError
from binance_margin_stream.relay import AsyncRelayReader, BrokerOptions, RelayReader, RelayReaderOptions, StoreOptions
from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer
from binance_margin_stream.relay.broker.store import EventStore
from binance_margin_stream.relay.errors import BrokerSettingsError, BrokerUnavailableError, RelayError, StoredFormError
from binance_margin_stream.relay.frontier import AccountEntry, FrontierEntry, TimeRange
from binance_margin_stream.relay.stored_item import encode_event, encode_gap
from binance_margin_stream.stream.accounts import Account


def make_update(number: int, account: Account = CROSS) -> BalanceUpdate:
    return BalanceUpdate(account=account, event_time=number, asset="USDT", delta=Decimal(number), clear_time=number)


async def store_update(store: EventStore, number: int, name: str = "desk", account: Account = CROSS) -> None:
    stored = encode_event(
        store.options.subjects, name, make_update(number, account), occurrence=1, source="token", origin="live"
    )
    await store.publish(stored.subject, stored.payload, stored.headers)


def make_options(server: EmbeddedServer, store: StoreOptions, **settings: Any) -> RelayReaderOptions:
    return RelayReaderOptions(
        broker=BrokerOptions(servers=(server.url,)), store=store, **{"durable": "ledger", **settings}
    )


@asynccontextmanager
async def stored(server: EmbeddedServer, numbers: range) -> AsyncIterator[EventStore]:
    async with opened_store(server) as store:
        for number in numbers:
            await store_update(store, number)
        yield store


def test_items_come_typed_in_order_and_once_acknowledged_not_again(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with stored(nats_server, range(1, 6)) as store:
            gap = encode_gap(store.options.subjects, "desk", CROSS, "orders", TimeRange(10, 19))
            await store.publish(gap.subject, gap.payload, gap.headers)
            options = make_options(nats_server, store.options)
            async with AsyncRelayReader(options) as reader:
                items = [await reader.get(5) for _ in range(6)]
                assert [each.item for each in items[:5]] == [make_update(number) for number in range(1, 6)]
                assert items[5].item == StreamGap(account=CROSS, since=9, until=20, reason="not covered")
                assert items[5].headers["Gap-Content"] == "orders"
                assert {(each.name, each.account, each.delivery) for each in items} == {("desk", CROSS, 1)}
                assert items[0].headers["Event-Source"] == "token"
                assert abs(items[0].stored_at - datetime.now(UTC)) < timedelta(minutes=1)
                assert len({each.id for each in items}) == 6
                for each in items[:4]:
                    await reader.acknowledge(each)
            async with AsyncRelayReader(make_options(nats_server, store.options, durable="other")) as reader:
                assert (await reader.get(5)).id == items[0].id
            async with AsyncRelayReader(options) as reader:
                await store_update(store, 6)
                assert (await reader.get(5)).item == make_update(6)

    run(body())


def test_an_item_that_is_not_acknowledged_comes_again_with_its_id(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with stored(nats_server, range(1, 2)) as store:
            async with AsyncRelayReader(make_options(nats_server, store.options, ack_wait=0.3)) as reader:
                first = await reader.get(5)
                again = await reader.get(10)
                assert (again.id, again.item) == (first.id, first.item)
                assert again.delivery > 1

    run(body())


def test_a_reader_takes_only_its_name_and_account(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with stored(nats_server, range(1, 2)) as store:
            account = isolated("币安人生USDT")
            await store_update(store, 2, name="other desk")
            await store_update(store, 3, name="other desk", account=account)
            options = make_options(nats_server, store.options, name="other desk", account=account)
            async with AsyncRelayReader(options) as reader:
                found = await reader.get(5)
                assert (found.name, found.item) == ("other desk", make_update(3, account))
                with pytest.raises(TimeoutError, match=r"no item was stored within 0\.2 s"):
                    await reader.get(0.2)
            with pytest.raises(BrokerSettingsError, match="use another name"):
                await AsyncRelayReader(make_options(nats_server, store.options)).__aenter__()

    run(body())


def test_a_replay_starts_at_a_time(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with stored(nats_server, range(1, 2)) as store:
            async with AsyncRelayReader(make_options(nats_server, store.options)) as reader:
                first = await reader.get(5)
                # A replay begins a millisecond early, so that the second event must not follow within it.
                await wait_until(lambda: datetime.now(UTC) > first.stored_at + timedelta(milliseconds=5))
                await store_update(store, 2)
                second = await reader.get(5)
            options = make_options(nats_server, store.options, durable="replay", start=second.stored_at)
            async with AsyncRelayReader(options) as reader:
                assert (await reader.get(5)).id == second.id

    run(body())


def test_a_reader_waits_while_the_broker_is_away(tmp_path: Path) -> None:
    async def body() -> None:
        server = EmbeddedServer(tmp_path).start()
        try:
            async with stored(server, range(1, 2)) as store:
                async with AsyncRelayReader(make_options(server, store.options)) as reader:
                    await reader.acknowledge(await reader.get(5))
                    server.stop()
                    server = restart(server, tmp_path)
                    await wait_until(lambda: store._connection.reconnects > 0)
                    await store_update(store, 2)
                    assert (await reader.get(20)).item == make_update(2)
        finally:
            server.stop()

    run(body())


def test_coverage_is_what_consumers_may_rely_on(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with stored(nats_server, range(0)) as store:
            entry = AccountEntry({"orders": FrontierEntry(frontier=50, origin=1, pending=(TimeRange(20, 30),))})
            await store.write_entry("desk", CROSS, entry, 0)
            async with AsyncRelayReader(make_options(nats_server, store.options)) as reader:
                assert await reader.read_coverage("desk", CROSS) == {"orders": TimeRange(1, 19)}
                assert await reader.read_coverage("desk", isolated("BTCUSDT")) == {}

    run(body())


def test_what_another_program_stored_is_reported(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with opened_store(nats_server) as store:
            await store.publish(store.options.subjects.event("desk", CROSS, "x"), b"{}", {"Event-Class": "Else"})
            async with AsyncRelayReader(make_options(nats_server, store.options)) as reader:
                with pytest.raises(StoredFormError, match=r"\(Else\) cannot be read by this version"):
                    await reader.get(5)

    run(body())


def test_a_reader_needs_a_stream_that_a_relay_made(nats_server: EmbeddedServer) -> None:
    with pytest.raises(BrokerSettingsError, match="start a relay first"):
        RelayReader(make_options(nats_server, make_store_options())).__enter__()
    options = RelayReaderOptions(broker=BrokerOptions(servers=("nats://127.0.0.1:1",)), durable="x")
    with pytest.raises(BrokerUnavailableError):
        RelayReader(options).__enter__()


def test_the_sync_reader_gives_the_same(nats_server: EmbeddedServer) -> None:
    kept: list[EventStore] = []

    async def prepare() -> None:
        async with stored(nats_server, range(1, 4)) as store:
            kept.append(store)

    run(prepare())
    options = make_options(nats_server, kept[0].options)
    with RelayReader(options) as reader:
        seen = []
        for each in reader:
            seen.append(each.item)
            reader.acknowledge(each)
            if len(seen) == 3:
                break
        assert seen == [make_update(number) for number in range(1, 4)]
        assert reader.read_coverage("desk", CROSS) == {}
        with pytest.raises(TimeoutError):
            reader.get(0.1)
        with pytest.raises(RelayError, match="entered once"):
            reader.__enter__()
    with pytest.raises(RelayError, match="closed"):
        reader.get(1)


def test_closing_ends_the_iteration_of_another_thread(nats_server: EmbeddedServer) -> None:
    kept: list[EventStore] = []

    async def prepare() -> None:
        async with stored(nats_server, range(0)) as store:
            kept.append(store)

    run(prepare())
    with RelayReader(make_options(nats_server, kept[0].options)) as reader:
        threading.Timer(0.3, reader.close).start()
        assert list(reader) == []
    reader.close()


@pytest.mark.parametrize(
    "settings", [{"durable": "a.b"}, {"durable": ""}, {"ack_wait": 0}, {"start": datetime(2026, 1, 1)}], ids=str
)
def test_options_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ApiValueError):
        RelayReaderOptions(**{"broker": BrokerOptions(servers=("nats://x",)), "durable": "d", **settings})


def test_a_reader_takes_its_options_only() -> None:
    for kind in (AsyncRelayReader, RelayReader):
        with pytest.raises(ApiTypeError, match="RelayReaderOptions"):
            kind("nats://127.0.0.1")  # type: ignore[arg-type]
