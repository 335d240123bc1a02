"""WebSocket over real sockets: events, time, and every way a connection can go wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from urllib.parse import quote

import pytest
import websockets
from exchange_harness import CROSS, RISK, SUBSCRIBE, TOKEN
from sandbox_client import SECONDS, Client, read
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from binance_margin_stream.sandbox import Rules, Sandbox, faults, named
from binance_margin_stream.sandbox.server import websocket as websocket_link

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}


def ending(websocket: ClientConnection) -> Close | None:
    """The close frame that ended a connection, if one did."""
    try:
        while True:
            websocket.recv(timeout=SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd


def test_a_listen_key_can_be_listened_to(client: Client) -> None:
    key = client.json("POST", CROSS)["listenKey"]
    stream = client.exchange.endpoints.stream
    with (
        client.websocket(f"{stream}/ws/{quote(key, safe='')}") as bare,
        client.websocket(f"{stream}/stream?streams={quote(key, safe='')}") as combined,
        client.websocket(f"{stream}/stream") as later,
    ):
        later.send(json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 1}))
        assert read(later) == {"result": None, "id": 1}
        assert client.exchange.emit(EVENT) == 3
        assert read(bare) == EVENT
        assert read(combined) == read(later) == {"stream": key, "data": EVENT}


def test_orders_and_risk_arrive(client: Client) -> None:
    exchange = client.exchange
    risk_key = client.json("POST", RISK)["listenKey"]
    with (
        client.subscribed() as account,
        client.websocket(f"{exchange.endpoints.margin_stream}/ws/{quote(risk_key, safe='')}") as risk,
    ):
        order = exchange.place_order("ETHUSDT", "SELL", quantity="0.3", price="2000.5")
        exchange.fill_order(order.order_id, "0.1")
        exchange.cancel_order(order.order_id)
        exchange.balance_update("USDT", -5)
        exchange.borrow("BTC", "0.5")
        exchange.margin_call("1.05", "PRE_LIQUIDATION")
        seen = [read(account)["event"] for _ in range(10)]
        assert [event.get("x", event["e"]) for event in seen] == [
            "NEW",
            "outboundAccountPosition",
            "TRADE",
            "outboundAccountPosition",
            "CANCELED",
            "outboundAccountPosition",
            "balanceUpdate",
            "outboundAccountPosition",
            "balanceUpdate",
            "outboundAccountPosition",
        ]
        assert [read(risk)["e"] for _ in range(2)] == ["USER_LIABILITY_CHANGE", "MARGIN_LEVEL_STATUS_CHANGE"]


def test_many_threads_may_emit(client: Client) -> None:
    with client.subscribed() as websocket:
        threads = [threading.Thread(target=lambda: [client.exchange.emit(EVENT) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            assert read(websocket)["event"] == EVENT
        for thread in threads:
            thread.join()
        assert client.exchange.counts.events_sent == 200


def test_it_may_be_used_from_within_an_event_loop(exchange: Sandbox) -> None:
    async def listen() -> object:
        async with websockets.connect(exchange.endpoints.stream + "/ws", proxy=None) as websocket:
            exchange.fail(faults.MalformedFrame("here"))
            return await websocket.recv()

    assert asyncio.run(listen()) == "here"


def test_stepping_from_within_the_clients_own_loop_does_not_hang(standing: Client) -> None:
    async def listen() -> object:
        async with websockets.connect(standing.exchange.endpoints.stream + "/ws", proxy=None) as websocket:
            standing.exchange.advance(20)
            standing.exchange.fail(faults.MalformedFrame("still here"))
            return await websocket.recv()

    assert asyncio.run(listen()) == "still here"


def test_a_revoked_key_is_told_unasked(client: Client) -> None:
    with client.subscribed() as websocket:
        client.exchange.revoke_api_key()
        assert read(websocket)["error"]["code"] == -2015
        assert client.exchange.emit(EVENT) == 0


def test_a_call_retired_while_running_is_gone(client: Client) -> None:
    client.exchange.retire(TOKEN)
    assert client.call("POST", TOKEN)[0] == 410
    client.exchange.reinstate(TOKEN)
    assert client.call("POST", TOKEN)[0] == 200


def test_a_deleted_key_goes_quiet(client: Client) -> None:
    key = client.json("POST", CROSS)["listenKey"]
    assert client.exchange.delete_listen_key(key)
    assert not client.exchange.delete_listen_key()
    assert client.json("PUT", CROSS, listenKey=key)["code"] == -1125


class TestTime:
    def test_stepping_brings_pings_and_healthy_clients_stay(self, standing: Client) -> None:
        with standing.subscribed() as websocket:
            for _ in range(20):
                standing.exchange.advance(20)
            standing.exchange.advance(3600)
            standing.exchange.emit(EVENT)
            assert read(websocket)["event"] == EVENT
            assert standing.exchange.counts.frames_received >= 22

    def test_stepping_a_day_ends_subscription_and_connection(self, standing: Client) -> None:
        with standing.websocket() as early:
            standing.exchange.advance(1)
            with standing.subscribed(validity=86_399_000) as websocket:
                standing.exchange.advance(86_399)
                assert ending(early) == Close(1001, "")
                assert read(websocket)["event"]["e"] == "eventStreamTerminated"
                standing.exchange.advance(1)
                assert ending(websocket) == Close(1001, "")

    def test_a_peer_without_pongs_is_dropped(self, standing: Client) -> None:
        with socket.create_connection(standing.address, timeout=SECONDS) as peer:
            peer.sendall(
                b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b" 101 " in peer.recv(4096)
            for _ in range(4):
                standing.exchange.advance(20)
            received = b""
            while chunk := peer.recv(4096):
                received += chunk
            assert received.endswith(b"Pong timeout")
            assert received.count(b"\x89") == 3

    def test_time_that_runs_fast_keeps_healthy_clients(self) -> None:
        with Sandbox(speed=1440.0) as exchange:
            client = Client(exchange)
            with client.subscribed(validity=600_000) as websocket:
                assert read(websocket)["event"]["e"] == "eventStreamTerminated"
                assert exchange.counts.frames_received > 10
                assert exchange.counts.connections_open == 1

    def test_a_client_that_answers_many_pings_at_once_is_healthy(self) -> None:
        with Sandbox(speed=1440.0) as exchange:
            client = Client(exchange)
            with client.websocket(f"{exchange.endpoints.stream}/ws") as websocket:
                for _ in range(40):
                    websocket.pong(b"")
                websocket.send('{"id": 1, "method": "LIST_SUBSCRIPTIONS"}')
                assert read(websocket) == {"result": [], "id": 1}

    def test_a_day_passes_in_a_moment(self) -> None:
        with Sandbox(speed=864_000.0) as exchange:
            began = exchange.now
            with Client(exchange).websocket() as websocket:
                assert ending(websocket) == Close(1001, "")
            assert exchange.now - began >= 86_400_000


class TestFaults:
    @pytest.mark.parametrize(("how", "end"), [("close", Close(1001, "")), ("reset", None), ("eof", None)])
    def test_connections_can_be_dropped(self, client: Client, how: str, end: Close | None) -> None:
        with client.subscribed() as websocket:
            client.exchange.fail(faults.DropConnections(how))  # type: ignore[arg-type]  # parametrized literal
            assert ending(websocket) == end
        assert client.exchange.counts.connections_open == 0

    @pytest.mark.parametrize(("how", "reset"), [("reset", True), ("eof", False)])
    def test_a_reset_is_one_on_the_wire(self, client: Client, how: str, reset: bool) -> None:
        with socket.create_connection(client.address, timeout=SECONDS) as peer:
            peer.sendall(
                b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            peer.recv(4096)
            client.exchange.fail(faults.DropConnections(how))  # type: ignore[arg-type]  # parametrized literal
            try:
                assert peer.recv(4096) == b""
                was_reset = False
            except ConnectionResetError:
                was_reset = True
            assert was_reset is reset

    def test_frozen_connections_say_nothing_not_even_goodbye(self, standing: Client) -> None:
        with standing.subscribed() as websocket:
            standing.exchange.fail(faults.FreezeConnections())
            standing.exchange.emit(EVENT)
            standing.exchange.advance(3600)
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.05)
            websocket.close()
            assert ending(websocket) is None
        assert standing.exchange.counts.frames_lost >= 1

    def test_half_open_connections_take_bytes_that_go_nowhere(self, client: Client) -> None:
        with client.subscribed() as websocket:
            client.exchange.fail("half-open")
            assert client.exchange.counts.connections_open == 0
            assert client.exchange.emit(EVENT) == 0
            websocket.send('{"id": 1, "method": "ping"}')
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.05)
            websocket.close()
            assert ending(websocket) is None

    def test_a_sandbox_ends_at_once_while_connections_are_half_open(self) -> None:
        with Sandbox() as exchange, Client(exchange).subscribed() as websocket:
            exchange.fail("half-open")
            began = time.monotonic()
            exchange.close()
            assert ending(websocket) is None
            assert time.monotonic() - began < SECONDS / 2

    def test_frames_can_be_late(self, client: Client) -> None:
        with client.subscribed() as websocket:
            client.exchange.fail(named("delay", seconds=0.2))
            began = time.monotonic()
            client.exchange.emit(EVENT)
            assert read(websocket)["event"] == EVENT
            assert time.monotonic() - began >= 0.19

    def test_an_event_can_be_cut_in_half(self, client: Client) -> None:
        with client.subscribed() as websocket:
            client.exchange.fail("truncate")
            client.exchange.emit(EVENT)
            with pytest.raises(ValueError, match=r"."):
                json.loads(websocket.recv(timeout=SECONDS))

    def test_events_of_two_accounts_can_change_places(self, client: Client) -> None:
        with client.subscribed() as websocket:
            token = client.json("POST", TOKEN, isIsolated="true", symbol="BTCUSDT")["token"]
            websocket.send(json.dumps({"id": 1, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            read(websocket)
            client.exchange.fail("reorder")
            client.exchange.emit(EVENT)
            client.exchange.emit(EVENT, "BTCUSDT")
            assert [read(websocket)["subscriptionId"] for _ in range(2)] == [1, 0]

    def test_a_handshake_can_be_accepted_with_nothing_after_it(self, client: Client) -> None:
        client.exchange.fail(faults.AcceptThenNothing())
        with client.websocket() as websocket:
            websocket.send('{"id":1,"method":"ping"}')
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.05)

    def test_a_handshake_can_be_slow(self, client: Client) -> None:
        client.exchange.fail(faults.SlowHandshake(0.05))
        began = time.monotonic()
        with client.websocket():
            assert time.monotonic() - began >= 0.05

    def test_a_client_may_give_up_on_a_slow_handshake(self, client: Client) -> None:
        client.exchange.fail(faults.SlowHandshake(60))
        url = client.exchange.endpoints.stream + "/ws"
        with pytest.raises(TimeoutError), connect(url, open_timeout=0.05, proxy=None):
            pass
        deadline = time.monotonic() + SECONDS
        while client.exchange.counts.connections_open and time.monotonic() < deadline:
            time.sleep(0.001)
        assert client.exchange.counts.connections_open == 0

    @pytest.mark.parametrize("status", [403, 429, 503])
    def test_a_handshake_can_be_refused(self, client: Client, status: int) -> None:
        client.exchange.fail(faults.RefuseHandshake(status))
        with pytest.raises(InvalidStatus) as caught, client.websocket():
            pass
        assert caught.value.response.status_code == status
        with client.websocket():
            pass

    def test_frames_can_be_malformed(self, client: Client) -> None:
        with client.websocket() as websocket:
            client.exchange.fail(faults.MalformedFrame())
            client.exchange.fail(faults.BinaryFrame(b"\xff"))
            text = websocket.recv(timeout=SECONDS)
            assert isinstance(text, str)
            with pytest.raises(ValueError, match="Expecting"):
                json.loads(text)
            assert websocket.recv(timeout=SECONDS) == b"\xff"

    def test_a_shutdown_is_announced_and_follows(self, standing: Client) -> None:
        with standing.websocket() as websocket:
            standing.exchange.fail(faults.ServerShutdown(close_after_seconds=10))
            assert read(websocket)["event"]["e"] == "serverShutdown"
            standing.exchange.advance(10)
            assert ending(websocket) == Close(1001, "")

    def test_an_answer_can_come_after_an_event(self, client: Client) -> None:
        client.exchange.fail(faults.DelaySubscribeAnswer())
        with client.websocket() as websocket:
            token = client.json("POST", TOKEN)["token"]
            websocket.send(json.dumps({"id": 1, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            while client.exchange.counts.frames_received < 1:
                time.sleep(0.001)
            client.exchange.emit(EVENT)
            assert read(websocket)["event"] == EVENT
            assert read(websocket)["status"] == 200

    def test_a_client_that_does_not_read_is_cut_off(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket_link, "_LONGEST_QUEUE", 10)
        key = client.json("POST", CROSS)["listenKey"]
        with socket.create_connection(client.address, timeout=SECONDS) as peer:
            peer.sendall(
                f"GET /ws/{quote(key, safe='')} HTTP/1.1\r\nHost: a\r\n".encode()
                + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            peer.recv(4096)
            large = {"e": "large", "x": "x" * 500_000}
            for _ in range(100):
                if client.exchange.emit(large) == 0:
                    break
            assert client.exchange.counts.connections_open == 0

    def test_text_that_is_not_utf8_ends_the_connection(self, client: Client) -> None:
        with socket.create_connection(client.address, timeout=SECONDS) as peer:
            peer.sendall(
                b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            peer.recv(4096)
            peer.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
            assert peer.recv(4096)[2:4] == (1007).to_bytes(2)

    def test_a_frame_that_is_too_large_ends_the_connection(self, client: Client) -> None:
        with client.websocket() as websocket:
            websocket.send("x" * 2_000_000)
            assert getattr(ending(websocket), "code", None) == 1009


def test_rules_reach_the_wire() -> None:
    with Sandbox(rules=Rules(websocket_expiration="ms", renewal="new_id")) as exchange:
        client = Client(exchange)
        with client.subscribed() as websocket:
            token = client.json("POST", TOKEN)["token"]
            websocket.send(json.dumps({"id": 2, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            result = read(websocket)["result"]
            assert result["subscriptionId"] == 1
            assert len(str(result["expirationTime"])) == 13
