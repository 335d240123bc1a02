"""Store and publisher against a real NATS server."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import StreamConfig
from nats_support import connected, make_store_options, opened_store, restart, run, wait_until

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.broker.connection import BrokerConnection, BrokerOptions
from binance_margin_stream.relay.broker.embedded_server import EmbeddedServer, find_server_program
from binance_margin_stream.relay.broker.publisher import Publisher
from binance_margin_stream.relay.broker.spool import Spool, SpooledMessage
from binance_margin_stream.relay.broker.store import EventStore
from binance_margin_stream.relay.counters import RelayCounters
from binance_margin_stream.relay.errors import BrokerError, BrokerSettingsError, BrokerUnavailableError
from binance_margin_stream.relay.frontier import AccountEntry, FrontierEntry
from binance_margin_stream.stream.accounts import CROSS, isolated

ENTRY = AccountEntry({"orders": FrontierEntry(frontier=9, origin=1)})
MOVED = AccountEntry({"orders": FrontierEntry(frontier=19, origin=1)})


def make_publisher(
    store: EventStore, connection: BrokerConnection, directory: Path | None = None, **settings: Any
) -> Publisher:
    return Publisher(
        connection,
        Spool(directory, memory_items=settings.pop("memory_items", 100_000), disk_bytes=1 << 24),
        RelayCounters(),
        on_duplicate=lambda _: None,
        **settings,
    )


def message(store: EventStore, number: int) -> SpooledMessage:
    return SpooledMessage(
        store.options.subjects.event("a", CROSS, f"id{number}"), {"Event-Time": "5"}, str(number).encode()
    )


async def stored_numbers(store: EventStore, connection: BrokerConnection) -> list[int]:
    subscription = await connection.jetstream.subscribe(store.options.subjects.all_events, ordered_consumer=True)
    numbers: list[int] = []
    while True:
        try:
            numbers.append(int((await subscription.next_msg(timeout=0.3)).data))
        except Exception:  # nats-py raises its own timeout
            return numbers


def test_an_entry_is_changed_by_compare_and_set_only(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with opened_store(nats_server) as store:
            name, account = "Käthe", isolated("币安人生USDT")
            state = await store.read_entry(name, account)
            assert (state.entry, state.revision, state.was_deleted) == (None, 0, False)
            assert await store.write_entry(name, account, ENTRY, 0)
            assert not await store.write_entry(name, account, MOVED, 0)
            state = await store.read_entry(name, account)
            assert state.entry == ENTRY
            assert await store.write_entry(name, account, MOVED, state.revision)
            assert not await store.write_entry(name, account, ENTRY, state.revision)
            assert (await store.read_entry(name, account)).entry == MOVED

    run(body())


def test_a_deleted_entry_is_remembered(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            store = EventStore(connection, make_store_options())
            await store.open()
            await store.write_entry("a", CROSS, ENTRY, 0)
            bucket = await connection.jetstream.key_value(store.options.bucket)
            await bucket.delete(store.options.subjects.entry_key("a", CROSS))
            state = await store.read_entry("a", CROSS)
            assert state.was_deleted
            assert not await store.write_entry("a", CROSS, ENTRY, 0)
            assert await store.write_entry("a", CROSS, ENTRY, state.revision)

    run(body())


def test_a_message_is_stored_once_and_found(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with opened_store(nats_server) as store:
            subject = store.options.subjects.event("a", CROSS, "1")
            assert not await store.has_events("a", CROSS)
            assert not (await store.publish(subject, b"x", {"Event-Time": "7"})).is_duplicate
            assert (await store.publish(subject, b"y", {})).is_duplicate
            assert await store.has_events("a", CROSS)
            assert not await store.has_events("a", isolated("BTCUSDT"))
            assert await store.read_header(subject, "Event-Time") == "7"
            assert await store.read_header(f"{subject}0", "Event-Time") is None

    run(body())


def test_a_stream_with_other_settings_is_refused_by_name(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_store_options()
        async with connected(nats_server) as connection:
            await connection.jetstream.add_stream(
                StreamConfig(name=options.stream, subjects=[options.subjects.all_events])
            )
            with pytest.raises(BrokerSettingsError, match=r"max_msgs_per_subject is -1 and has to be 1"):
                await EventStore(connection, options).open()

    run(body())


def test_a_bucket_whose_entries_expire_is_refused(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        options = make_store_options()
        async with connected(nats_server) as connection:
            await connection.jetstream.create_key_value(bucket=options.bucket, ttl=60)
            with pytest.raises(BrokerSettingsError, match="remove its ttl"):
                await EventStore(connection, options).open()

    run(body())


def test_a_full_stream_says_what_to_do_and_events_wait(
    nats_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            store = EventStore(connection, make_store_options(max_bytes=3000))
            await store.open()
            publisher = make_publisher(store, connection)
            publisher.start()
            for number in range(40):
                publisher.submit(message(store, number))
            await wait_until(lambda: "raise its limits" in caplog.text)
            await wait_until(lambda: publisher.counters.publish_failures > 1)  # all that was under way is refused
            assert publisher.acknowledged < 40
            config = (await connection.jetstream.stream_info(store.options.stream)).config
            config.max_bytes = 100_000
            await connection.jetstream.update_stream(config)
            await wait_until(lambda: publisher.acknowledged == 40)
            assert await stored_numbers(store, connection) == list(range(40))
            await publisher.close()

    run(body())


def test_a_missing_stream_is_reported(nats_server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            store = EventStore(connection, make_store_options())
            publisher = make_publisher(store, connection)
            publisher.start()
            publisher.submit(message(store, 0))
            await wait_until(lambda: "no stream takes this subject" in caplog.text)
            await store.open()
            await wait_until(lambda: publisher.acknowledged == 1)
            await publisher.close()

    run(body())


def test_events_wait_while_the_broker_is_away_and_go_out_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        server = EmbeddedServer(tmp_path / "nats").start()
        try:
            async with connected(server) as connection:
                store = EventStore(connection, make_store_options())
                await store.open()
                publisher = make_publisher(store, connection, tmp_path / "spool", memory_items=50)
                publisher.start()
                for number in range(100):
                    publisher.submit(message(store, number))
                await wait_until(lambda: publisher.acknowledged == 100)
                server.stop()
                for number in range(100, 400):
                    publisher.submit(message(store, number))
                assert any((tmp_path / "spool").iterdir())
                server = restart(server, tmp_path / "nats")
                await wait_until(lambda: publisher.acknowledged == 400)
                assert await stored_numbers(store, connection) == list(range(400))
                await publisher.close()
        finally:
            server.stop()

    run(body())


def test_what_was_not_stored_goes_out_at_the_next_start(nats_server: EmbeddedServer, tmp_path: Path) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            store = EventStore(connection, make_store_options())
            publisher = make_publisher(store, connection, tmp_path)
            for number in range(5):
                publisher.submit(message(store, number))
            publisher.start()
            await wait_until(lambda: publisher.counters.publish_failures > 0)
            assert await publisher.close() == 5
            await store.open()
            following = make_publisher(store, connection, tmp_path)
            assert following.submit(message(store, 5)) == 6
            following.start()
            assert await following.drain(10)
            assert following.acknowledged == 6
            assert await stored_numbers(store, connection) == list(range(6))
            await following.close()

    run(body())


def test_a_stored_event_that_is_sent_again_is_counted_as_a_duplicate(nats_server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(nats_server) as connection:
            store = EventStore(connection, make_store_options())
            await store.open()
            publisher = make_publisher(store, connection)
            publisher.start()
            for number in (1, 2, 1, 1):
                publisher.submit(message(store, number))
            assert await publisher.drain(10)
            assert (publisher.counters.stored, publisher.counters.duplicates) == (2, 2)
            await publisher.close()

    run(body())


@pytest.fixture
def listen() -> Any:
    sockets = []

    def start(greeting: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            try:
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(greeting)
                    peer.recv(100)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in sockets:
        each.close()


def connect_error(url: str) -> Exception:
    with pytest.raises(BrokerError) as raised:
        asyncio.run(BrokerConnection(BrokerOptions(servers=(url,))).connect())
    return raised.value


def test_nobody_at_the_address_is_unavailable() -> None:
    error = connect_error("nats://127.0.0.1:1")
    assert isinstance(error, BrokerUnavailableError)
    assert "no NATS server at 127.0.0.1:1: Connect call failed" in str(error)


def test_another_server_at_the_address_is_a_wrong_setting(listen: Callable[[bytes], str]) -> None:
    address = listen(b"SSH-2.0-x\r\n")
    error = connect_error(f"nats://{address}")
    assert isinstance(error, BrokerSettingsError)
    assert "is no NATS server" in str(error)


def test_a_server_without_tls_is_refused_before_anything_logs_in(listen: Callable[[bytes], str]) -> None:
    address = listen(b'INFO {"server_id":"x"}\r\n')
    error = connect_error(f"tls://user:canary@{address}")
    assert isinstance(error, BrokerSettingsError)
    assert "does not offer TLS" in str(error)
    assert "canary" not in str(error)


def test_wrong_credentials_are_a_wrong_setting_and_not_shown(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        address = server.url.removeprefix("nats://")
    conf = tmp_path / "server.conf"
    conf.write_text(conf.read_text() + "authorization { user: u, password: right }\n")
    options = BrokerOptions(servers=(f"nats://u:canary@{address}",))
    assert "canary" not in repr(options)
    # The embedded server writes its own configuration, so this one is started by hand.
    conf.write_text(conf.read_text().replace('"127.0.0.1:-1"', f'"{address}"'))
    process = subprocess.Popen([find_server_program(), "-c", str(conf)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            try:
                socket.create_connection(tuple(address.split(":")), 1).close()  # type: ignore[arg-type]
                break
            except OSError:
                threading.Event().wait(0.01)
        error = connect_error(f"nats://u:canary@{address}")
        assert isinstance(error, BrokerSettingsError)
        assert "rejects the credentials" in str(error)
        assert "canary" not in str(error)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("url", ["", "http://x", "nats://", "127.0.0.1:4222", "nats://x:99999"])
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ApiValueError, match="nats://"):
        BrokerOptions(servers=(url,))


def test_an_embedded_server_that_was_left_behind_is_used_again(tmp_path: Path) -> None:
    first = EmbeddedServer(tmp_path).start()
    second = EmbeddedServer(tmp_path).start()
    assert (second.url, second.pid) == (first.url, first.pid)
    process = first._process
    assert process is not None
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays as a zombie of this process
    second.stop()
    second.stop()
    assert process.wait(10) is not None
    first.stop()


def test_an_embedded_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "one") as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(BrokerUnavailableError, match="address already in use"):
            EmbeddedServer(tmp_path / "two", port=port).start()


def test_a_lost_connection_is_reported_once_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        server = EmbeddedServer(tmp_path).start()
        try:
            async with connected(server) as connection:
                with caplog.at_level(logging.WARNING, "binance_margin_stream.relay"):
                    server.stop()
                    await wait_until(lambda: not connection.is_connected)
                    await wait_until(lambda: "events wait" in caplog.text)
                    server = restart(server, tmp_path)
                    await connection.wait_connected()
                    await wait_until(lambda: "connected to NATS again" in caplog.text)
                assert connection.reconnects == 1
                assert caplog.text.count("events wait") == 1
        finally:
            server.stop()

    run(body())
