"""WebSocket over real sockets: events, time, and connection faults."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from urllib.parse import quote

import pytest
import websockets
from exchange_harness import CROSS_KEY_PATH, LISTEN_TOKEN_PATH, RISK_LISTEN_KEY_PATH, SUBSCRIBE
from sandbox_client import TIMEOUT_SECONDS, SandboxClient, read_json
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from binance_margin_stream.sandbox import ExchangeRules, Sandbox, create_fault, faults
from binance_margin_stream.sandbox.server import websocket as websocket_module

EVENT: dict[str, object] = {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "1.0", "T": 1}


def read_close_frame(websocket: ClientConnection) -> Close | None:
    """The close frame that ended a connection, if one did."""
    try:
        while True:
            websocket.recv(timeout=TIMEOUT_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd


def test_a_listen_key_delivers_events_on_every_path(client: SandboxClient) -> None:
    key = client.call_json("POST", CROSS_KEY_PATH)["listenKey"]
    stream = client.exchange.endpoints.stream
    with (
        client.open_websocket(f"{stream}/ws/{quote(key, safe='')}") as bare,
        client.open_websocket(f"{stream}/stream?streams={quote(key, safe='')}") as combined,
        client.open_websocket(f"{stream}/stream") as later,
    ):
        later.send(json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 1}))
        assert read_json(later) == {"result": None, "id": 1}
        assert client.exchange.send_event(EVENT) == 3
        assert read_json(bare) == EVENT
        assert read_json(combined) == read_json(later) == {"stream": key, "data": EVENT}


def test_order_and_risk_events_arrive(client: SandboxClient) -> None:
    exchange = client.exchange
    risk_key = client.call_json("POST", RISK_LISTEN_KEY_PATH)["listenKey"]
    with (
        client.open_subscribed() as account,
        client.open_websocket(f"{exchange.endpoints.margin_stream}/ws/{quote(risk_key, safe='')}") as risk,
    ):
        order = exchange.place_order("ETHUSDT", "SELL", quantity="0.3", price="2000.5")
        exchange.fill_order(order.order_id, "0.1")
        exchange.cancel_order(order.order_id)
        exchange.change_balance("USDT", -5)
        exchange.borrow("BTC", "0.5")
        exchange.send_margin_call("1.05", "PRE_LIQUIDATION")
        seen = [read_json(account)["event"] for _ in range(10)]
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
        assert [read_json(risk)["e"] for _ in range(2)] == ["USER_LIABILITY_CHANGE", "MARGIN_LEVEL_STATUS_CHANGE"]


def test_many_threads_may_send_events(client: SandboxClient) -> None:
    with client.open_subscribed() as websocket:
        threads = [
            threading.Thread(target=lambda: [client.exchange.send_event(EVENT) for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for _ in range(200):
            assert read_json(websocket)["event"] == EVENT
        for thread in threads:
            thread.join()
        assert client.exchange.metrics.events_sent == 200


def test_it_may_be_used_inside_an_event_loop(exchange: Sandbox) -> None:
    async def listen() -> object:
        async with websockets.connect(exchange.endpoints.stream + "/ws", proxy=None) as websocket:
            exchange.inject_fault(faults.MalformedFrame("here"))
            return await websocket.recv()

    assert asyncio.run(listen()) == "here"


def test_advancing_inside_the_clients_event_loop_does_not_hang(paused_client: SandboxClient) -> None:
    async def listen() -> object:
        async with websockets.connect(paused_client.exchange.endpoints.stream + "/ws", proxy=None) as websocket:
            paused_client.exchange.advance_time(20)
            paused_client.exchange.inject_fault(faults.MalformedFrame("still here"))
            return await websocket.recv()

    assert asyncio.run(listen()) == "still here"


def test_a_revoked_key_brings_an_unsolicited_error(client: SandboxClient) -> None:
    with client.open_subscribed() as websocket:
        client.exchange.revoke_api_key()
        assert read_json(websocket)["error"]["code"] == -2015
        assert client.exchange.send_event(EVENT) == 0


def test_an_endpoint_can_be_retired_while_running(client: SandboxClient) -> None:
    client.exchange.retire_endpoint(LISTEN_TOKEN_PATH)
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 410
    client.exchange.restore_endpoint(LISTEN_TOKEN_PATH)
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200


def test_a_deleted_key_is_unknown(client: SandboxClient) -> None:
    key = client.call_json("POST", CROSS_KEY_PATH)["listenKey"]
    assert client.exchange.delete_listen_key(key)
    assert not client.exchange.delete_listen_key()
    assert client.call_json("PUT", CROSS_KEY_PATH, listenKey=key)["code"] == -1125


class TestTime:
    def test_advancing_sends_pings_and_healthy_clients_stay(self, paused_client: SandboxClient) -> None:
        with paused_client.open_subscribed() as websocket:
            for _ in range(20):
                paused_client.exchange.advance_time(20)
            paused_client.exchange.advance_time(3600)
            paused_client.exchange.send_event(EVENT)
            assert read_json(websocket)["event"] == EVENT
            assert paused_client.exchange.metrics.frames_received >= 22

    def test_advancing_a_day_ends_subscription_and_connection(self, paused_client: SandboxClient) -> None:
        with paused_client.open_websocket() as early:
            paused_client.exchange.advance_time(1)
            with paused_client.open_subscribed(validity=86_399_000) as websocket:
                paused_client.exchange.advance_time(86_399)
                assert read_close_frame(early) == Close(1001, "")
                assert read_json(websocket)["event"]["e"] == "eventStreamTerminated"
                paused_client.exchange.advance_time(1)
                assert read_close_frame(websocket) == Close(1001, "")

    def test_a_peer_without_pongs_is_dropped(self, paused_client: SandboxClient) -> None:
        with socket.create_connection(paused_client.address, timeout=TIMEOUT_SECONDS) as peer:
            peer.sendall(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b" 101 " in peer.recv(4096)
            for _ in range(4):
                paused_client.exchange.advance_time(20)
            received = b""
            while chunk := peer.recv(4096):
                received += chunk
            assert received.endswith(b"Pong timeout")
            assert received.count(b"\x89") == 3

    def test_time_that_runs_fast_keeps_healthy_clients(self) -> None:
        with Sandbox(speed=1440.0) as exchange:
            client = SandboxClient(exchange)
            with client.open_subscribed(validity=600_000) as websocket:
                assert read_json(websocket)["event"]["e"] == "eventStreamTerminated"
                assert exchange.metrics.frames_received > 10
                assert exchange.metrics.connections_open == 1

    def test_a_client_that_answers_many_pings_at_once_is_healthy(self) -> None:
        with Sandbox(speed=1440.0) as exchange:
            client = SandboxClient(exchange)
            with client.open_websocket(f"{exchange.endpoints.stream}/ws") as websocket:
                for _ in range(40):
                    websocket.pong(b"")
                websocket.send('{"id": 1, "method": "LIST_SUBSCRIPTIONS"}')
                assert read_json(websocket) == {"result": [], "id": 1}

    def test_a_day_passes_in_a_fraction_of_a_second(self) -> None:
        with Sandbox(speed=864_000.0) as exchange:
            began = exchange.now
            with SandboxClient(exchange).open_websocket() as websocket:
                assert read_close_frame(websocket) == Close(1001, "")
            assert exchange.now - began >= 86_400_000


class TestFaults:
    @pytest.mark.parametrize(("how", "end"), [("close", Close(1001, "")), ("reset", None), ("eof", None)])
    def test_connections_can_be_dropped(self, client: SandboxClient, how: str, end: Close | None) -> None:
        with client.open_subscribed() as websocket:
            client.exchange.inject_fault(faults.DropConnections(how))  # type: ignore[arg-type]  # parametrized literal
            assert read_close_frame(websocket) == end
        assert client.exchange.metrics.connections_open == 0

    @pytest.mark.parametrize(("how", "reset"), [("reset", True), ("eof", False)])
    def test_a_reset_sends_a_tcp_rst(self, client: SandboxClient, how: str, reset: bool) -> None:
        with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
            peer.sendall(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            peer.recv(4096)
            client.exchange.inject_fault(faults.DropConnections(how))  # type: ignore[arg-type]  # parametrized literal
            try:
                assert peer.recv(4096) == b""
                was_reset = False
            except ConnectionResetError:
                was_reset = True
            assert was_reset is reset

    def test_frozen_connections_send_nothing_and_no_close_frame(self, paused_client: SandboxClient) -> None:
        with paused_client.open_subscribed() as websocket:
            paused_client.exchange.inject_fault(faults.FreezeConnections())
            paused_client.exchange.send_event(EVENT)
            paused_client.exchange.advance_time(3600)
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.05)
            websocket.close()
            assert read_close_frame(websocket) is None
        assert paused_client.exchange.metrics.frames_dropped >= 1

    def test_half_open_connections_discard_what_they_receive(self, client: SandboxClient) -> None:
        with client.open_subscribed() as websocket:
            client.exchange.inject_fault("half-open")
            assert client.exchange.metrics.connections_open == 0
            assert client.exchange.send_event(EVENT) == 0
            websocket.send('{"id": 1, "method": "ping"}')
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.05)
            websocket.close()
            assert read_close_frame(websocket) is None

    def test_close_is_immediate_while_connections_are_half_open(self) -> None:
        with Sandbox() as exchange, SandboxClient(exchange).open_subscribed() as websocket:
            exchange.inject_fault("half-open")
            began = time.monotonic()
            exchange.close()
            assert read_close_frame(websocket) is None
            assert time.monotonic() - began < TIMEOUT_SECONDS / 2

    def test_frames_can_be_delayed(self, client: SandboxClient) -> None:
        with client.open_subscribed() as websocket:
            client.exchange.inject_fault(create_fault("delay-frames", seconds=0.2))
            began = time.monotonic()
            client.exchange.send_event(EVENT)
            assert read_json(websocket)["event"] == EVENT
            assert time.monotonic() - began >= 0.19

    def test_an_event_can_be_truncated(self, client: SandboxClient) -> None:
        with client.open_subscribed() as websocket:
            client.exchange.inject_fault("truncate-event")
            client.exchange.send_event(EVENT)
            with pytest.raises(ValueError, match=r"."):
                json.loads(websocket.recv(timeout=TIMEOUT_SECONDS))

    def test_events_of_two_accounts_can_be_reordered(self, client: SandboxClient) -> None:
        with client.open_subscribed() as websocket:
            token = client.call_json("POST", LISTEN_TOKEN_PATH, isIsolated="true", symbol="BTCUSDT")["token"]
            websocket.send(json.dumps({"id": 1, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            read_json(websocket)
            client.exchange.inject_fault("reorder-events")
            client.exchange.send_event(EVENT)
            client.exchange.send_event(EVENT, "BTCUSDT")
            assert [read_json(websocket)["subscriptionId"] for _ in range(2)] == [1, 0]

    def test_a_connection_can_be_silent_from_the_start(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.SilentConnection())
        with client.open_websocket() as websocket:
            websocket.send('{"id":1,"method":"ping"}')
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.05)

    def test_a_handshake_can_be_slow(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.SlowHandshake(0.05))
        began = time.monotonic()
        with client.open_websocket():
            assert time.monotonic() - began >= 0.05

    def test_a_client_may_time_out_during_a_slow_handshake(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.SlowHandshake(60))
        url = client.exchange.endpoints.stream + "/ws"
        with pytest.raises(TimeoutError), connect(url, open_timeout=0.05, proxy=None):
            pass
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while client.exchange.metrics.connections_open and time.monotonic() < deadline:
            time.sleep(0.001)
        assert client.exchange.metrics.connections_open == 0

    @pytest.mark.parametrize("status", [403, 429, 503])
    def test_a_handshake_can_be_refused(self, client: SandboxClient, status: int) -> None:
        client.exchange.inject_fault(faults.RefuseHandshake(status))
        with pytest.raises(InvalidStatus) as caught, client.open_websocket():
            pass
        assert caught.value.response.status_code == status
        with client.open_websocket():
            pass

    def test_frames_can_be_malformed(self, client: SandboxClient) -> None:
        with client.open_websocket() as websocket:
            client.exchange.inject_fault(faults.MalformedFrame())
            client.exchange.inject_fault(faults.BinaryFrame(b"\xff"))
            text = websocket.recv(timeout=TIMEOUT_SECONDS)
            assert isinstance(text, str)
            with pytest.raises(ValueError, match="Expecting"):
                json.loads(text)
            assert websocket.recv(timeout=TIMEOUT_SECONDS) == b"\xff"

    def test_a_shutdown_is_announced_and_follows(self, paused_client: SandboxClient) -> None:
        with paused_client.open_websocket() as websocket:
            paused_client.exchange.inject_fault(faults.ShutdownNotice(close_after_seconds=10))
            assert read_json(websocket)["event"]["e"] == "serverShutdown"
            paused_client.exchange.advance_time(10)
            assert read_close_frame(websocket) == Close(1001, "")

    def test_a_subscribe_response_can_follow_an_event(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.DelayedSubscribeResponse())
        with client.open_websocket() as websocket:
            token = client.call_json("POST", LISTEN_TOKEN_PATH)["token"]
            websocket.send(json.dumps({"id": 1, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            while client.exchange.metrics.frames_received < 1:
                time.sleep(0.001)
            client.exchange.send_event(EVENT)
            assert read_json(websocket)["event"] == EVENT
            assert read_json(websocket)["status"] == 200

    @pytest.mark.parametrize(("limit", "value"), [("_MAX_QUEUED_FRAMES", 10), ("_MAX_QUEUED_CHARACTERS", 5_000_000)])
    def test_a_client_that_does_not_read_is_disconnected(
        self, client: SandboxClient, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
    ) -> None:
        monkeypatch.setattr(websocket_module, limit, value)
        key = client.call_json("POST", CROSS_KEY_PATH)["listenKey"]
        with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
            peer.sendall(
                f"GET /ws/{quote(key, safe='')} HTTP/1.1\r\nHost: localhost\r\n".encode()
                + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            peer.recv(4096)
            large = {"e": "large", "x": "x" * 500_000}
            for _ in range(100):
                if client.exchange.send_event(large) == 0:
                    break
            assert client.exchange.metrics.connections_open == 0

    def test_text_that_is_not_utf8_ends_the_connection(self, client: SandboxClient) -> None:
        with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
            peer.sendall(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            peer.recv(4096)
            peer.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
            assert peer.recv(4096)[2:4] == (1007).to_bytes(2)

    def test_a_frame_that_is_too_large_ends_the_connection(self, client: SandboxClient) -> None:
        with client.open_websocket() as websocket:
            websocket.send("x" * 2_000_000)
            assert getattr(read_close_frame(websocket), "code", None) == 1009


def test_rules_apply_over_sockets() -> None:
    with Sandbox(rules=ExchangeRules(expiration_time_unit="ms", resubscribe_response="new_id")) as exchange:
        client = SandboxClient(exchange)
        with client.open_subscribed() as websocket:
            token = client.call_json("POST", LISTEN_TOKEN_PATH)["token"]
            websocket.send(json.dumps({"id": 2, "method": SUBSCRIBE, "params": {"listenToken": token}}))
            result = read_json(websocket)["result"]
            assert result["subscriptionId"] == 1
            assert len(str(result["expirationTime"])) == 13
