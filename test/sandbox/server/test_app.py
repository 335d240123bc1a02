"""REST over real sockets: responses, malformed requests, and the lifetime of a sandbox."""

from __future__ import annotations

import http.client
import logging
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from exchange_harness import CROSS_KEY_PATH, LISTEN_KEY_V2_PATH, LISTEN_TOKEN_PATH
from sandbox_client import TIMEOUT_SECONDS, SandboxClient

from binance_margin_stream.sandbox import ExchangeRules, Sandbox, faults
from binance_margin_stream.sandbox.clock import MAX_TIME_MS


def test_a_response_has_the_exchanges_headers(paused_client: SandboxClient) -> None:
    status, headers, body = paused_client.call_rest("POST", LISTEN_TOKEN_PATH)
    assert status == 200
    assert headers["Content-Type"] == "application/json;charset=UTF-8"
    assert headers["X-SAPI-USED-UID-WEIGHT-1M"] == "1"
    assert headers["Date"] == "Sun, 22 Nov 2026 21:00:00 GMT"
    assert headers["Server"] == "nginx"
    assert body.startswith(b'{"token":"')


def test_the_date_follows_the_exchanges_clock(paused_client: SandboxClient) -> None:
    paused_client.exchange.advance_time(3600)
    assert paused_client.call_rest("POST", "/nothing")[1]["Date"] == "Sun, 22 Nov 2026 22:00:00 GMT"


def test_an_empty_body_is_empty(client: SandboxClient) -> None:
    status, headers, body = client.call_rest("DELETE", LISTEN_KEY_V2_PATH)
    assert (status, headers["Content-Length"], body) == (200, "0", b"")


def test_a_gateway_error_is_html(client: SandboxClient) -> None:
    client.exchange.retire_endpoint(LISTEN_TOKEN_PATH)
    status, headers, body = client.call_rest("POST", LISTEN_TOKEN_PATH)
    assert (status, headers["Content-Type"]) == (410, "text/html")
    assert body.startswith(b"<html>\r\n<head><title>410 Gone</title>")


def test_head_has_no_body(client: SandboxClient) -> None:
    assert client.call_rest("HEAD", LISTEN_TOKEN_PATH)[::2] == (405, b"")


def test_one_connection_serves_many_calls(client: SandboxClient) -> None:
    connection = http.client.HTTPConnection(*client.address, timeout=TIMEOUT_SECONDS)
    headers = {"X-MBX-APIKEY": client.exchange.api_key, "Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(3):
        connection.request("POST", LISTEN_TOKEN_PATH, body="validity=1000", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    connection.close()


def test_many_threads_at_once_get_one_key(client: SandboxClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: client.call_json("POST", CROSS_KEY_PATH)["listenKey"], range(80)))
    assert len(keys) == 1
    assert client.exchange.metrics.count_rest_calls(CROSS_KEY_PATH, "POST", 200) == 80


END = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /x HTTP/9.9\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nX-MBX-APIKEY\r\n" + END, 400),
        (b"POST / HTTP/1.1\r\nX-MBX-APIKEY: \x00secret\r\n" + END, 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n" + END, 400),
        (b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + END, 400),
        (b"POST /sapi/v1/userListenToken?%zz=\xff HTTP/1.1\r\nHost: localhost\r\n" + END, 400),
        (b"POST /sapi/v1/userListenToken HTTP/1.1\r\nHost: localhost\r\nX-MBX-APIKEY: \xff\xfe\r\n" + END, 401),
        (
            b"POST /sapi/v1/userListenToken HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n"
            + END
            + b"x" * 70_000,
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" + END + b"zz\r\n", 400),
        (b"GET /ws/x HTTP/1.1\r\nHost: localhost\r\n" + END, 400),
        (b"GET /ws-api/v3 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" + END, 400),
        (b"GET /ws/x HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso\xbeket\r\nConnection: upgrade\r\n" + END, 400),
        (
            b"GET /ws/x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xbe\xbe\r\n" + END,
            400,
        ),
    ],
)
def test_malformed_http_gets_a_gateway_page(client: SandboxClient, data: bytes, status: int) -> None:
    answer = client.send_raw(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == str(status).encode()
    assert body.startswith(b'{"code":' if status == 401 else b"<html>")


def test_a_client_that_disconnects_early_affects_no_other(client: SandboxClient) -> None:
    with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(b"POST /sapi/v1/userListenToken HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nvali")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200


def test_nothing_is_logged(client: SandboxClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client.call_rest("POST", LISTEN_TOKEN_PATH)
    client.send_raw(b"POST / HTTP/1.1\r\nX-MBX-APIKEY: \x00" + client.exchange.api_key.encode() + b"\r\n" + END)
    ours = [record for record in caplog.records if record.name.startswith(("aiohttp", "binance"))]
    assert ours == []


class TestFaults:
    def test_a_connection_can_be_reset(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.ResetConnection())
        with pytest.raises(ConnectionResetError):
            client.call_rest("POST", LISTEN_KEY_V2_PATH)
        assert client.exchange.metrics.count_rest_calls(LISTEN_KEY_V2_PATH, "POST", 200) == 1

    @pytest.mark.third_party_client
    def test_a_response_can_be_truncated(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.TruncatedResponse())
        with pytest.raises(http.client.IncompleteRead):
            client.call_rest("POST", LISTEN_KEY_V2_PATH)

    def test_a_response_without_a_body_can_be_truncated(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.TruncatedResponse())
        assert client.send_raw(
            b"DELETE /sapi/v2/margin/listen-key HTTP/1.1\r\nHost: localhost\r\nX-MBX-APIKEY: "
            + client.exchange.api_key.encode()
            + b"\r\n\r\n"
        ).startswith(b"HTTP/1.1 200 OK\r\nConte")

    def test_a_response_can_be_delayed(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.DelayedResponse(0.05))
        began = time.monotonic()
        assert client.call_rest("POST", LISTEN_KEY_V2_PATH)[0] == 200
        assert time.monotonic() - began >= 0.05

    def test_a_response_may_never_come(self, client: SandboxClient) -> None:
        client.exchange.inject_fault(faults.NoResponse())
        connection = http.client.HTTPConnection(*client.address, timeout=0.1)
        connection.request("POST", LISTEN_KEY_V2_PATH, headers={"X-MBX-APIKEY": client.exchange.api_key})
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()

    @pytest.mark.parametrize("fault", [faults.forbidden(), faults.server_error(), faults.StaticResponse(204)])
    def test_a_response_can_be_replaced(self, client: SandboxClient, fault: faults.StaticResponse) -> None:
        client.exchange.inject_fault(fault, path=LISTEN_KEY_V2_PATH)
        status, _, body = client.call_rest("POST", LISTEN_KEY_V2_PATH)
        assert (status, body) == (fault.status, fault.body)


class TestLifetime:
    def test_close_is_immediate_while_requests_hang(self) -> None:
        exchange = Sandbox().start()
        client = SandboxClient(exchange)
        exchange.inject_fault(faults.NoResponse())
        exchange.inject_fault(faults.SilentConnection())
        with socket.create_connection(client.address, timeout=TIMEOUT_SECONDS) as peer, client.open_websocket():
            key = exchange.api_key.encode()
            peer.sendall(
                b"POST /sapi/v1/userListenToken HTTP/1.1\r\nHost: localhost\r\nX-MBX-APIKEY: " + key + b"\r\n\r\n"
            )
            while exchange.metrics.rest_calls < 1:
                time.sleep(0.001)
            began = time.monotonic()
            exchange.close()
            assert time.monotonic() - began < 2
            assert not any(thread.name == "sandbox-exchange" for thread in threading.enumerate())

    def test_start_and_close_may_be_called_twice(self) -> None:
        exchange = Sandbox()
        exchange.close()
        with pytest.raises(RuntimeError, match="closed"):
            exchange.start()
        exchange = Sandbox().start()
        url = exchange.url
        assert exchange.start().url == url
        exchange.close()
        exchange.close()
        assert "closed" in repr(exchange)

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
    def test_no_thread_or_socket_is_left_behind(self) -> None:
        def count_resources() -> tuple[int, int]:
            return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

        with Sandbox() as exchange:
            SandboxClient(exchange).call_rest("POST", LISTEN_TOKEN_PATH)
        before = count_resources()
        for _ in range(10):
            with Sandbox() as exchange, SandboxClient(exchange).open_subscribed():
                exchange.send_event({"e": "x"})
        assert count_resources() == before

    def test_metrics_can_be_read_after_close(self) -> None:
        with Sandbox() as exchange:
            SandboxClient(exchange).call_rest("POST", LISTEN_TOKEN_PATH)
        assert exchange.metrics.count_rest_calls(LISTEN_TOKEN_PATH) == len(exchange.rest_log) == 1
        with pytest.raises(RuntimeError, match="not running"):
            exchange.send_event({"e": "x"})

    def test_the_port_is_free_afterwards(self) -> None:
        with Sandbox() as exchange:
            _, port = SandboxClient(exchange).address
            with pytest.raises(OSError, match="in use"):
                Sandbox(port=port).start()
        with Sandbox(port=port) as exchange:
            assert SandboxClient(exchange).call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200

    def test_an_error_is_raised_in_the_calling_thread(self, exchange: Sandbox) -> None:
        with pytest.raises(ValueError, match="no order 5"):
            exchange.fill_order(5)
        with pytest.raises(KeyError):
            exchange.send_event({"e": "x"}, api_key="nobodys")
        with pytest.raises(TypeError):
            exchange.send_event({"e": object()})
        with pytest.raises(ValueError, match="seconds takes"):
            exchange.advance_time(-1)

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])
    def test_it_listens_on_loopback_only(self, host: str) -> None:
        with pytest.raises(ValueError, match="i_understand_that_this_listens_beyond_loopback"):
            Sandbox(host=host)

    def test_other_hosts_need_an_explicit_option(self) -> None:
        with Sandbox(host="0.0.0.0", i_understand_that_this_listens_beyond_loopback=True) as exchange:
            assert exchange.url.startswith("http://127.0.0.1:")
            assert SandboxClient(exchange).call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200

    def test_localhost_is_loopback(self) -> None:
        with Sandbox(host="localhost") as exchange:
            assert SandboxClient(exchange).call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200

    def test_addresses_share_one_port(self, exchange: Sandbox) -> None:
        endpoints = exchange.endpoints
        port = exchange.url.rpartition(":")[2]
        assert endpoints.rest == exchange.url == f"http://127.0.0.1:{port}"
        assert endpoints.websocket_api == f"ws://127.0.0.1:{port}/ws-api/v3"
        assert endpoints.stream == endpoints.margin_stream == f"ws://127.0.0.1:{port}"

    def test_two_stream_hosts_have_two_addresses(self) -> None:
        with Sandbox(rules=ExchangeRules(listen_key_v2_host="margin_stream")) as exchange:
            endpoints = exchange.endpoints
        assert endpoints.margin_stream == f"{endpoints.stream}/margin-stream"

    def test_there_is_no_address_before_the_start(self) -> None:
        with pytest.raises(RuntimeError, match="no address"):
            _ = Sandbox().url

    @pytest.mark.parametrize("port", [-1, 70_000])
    def test_an_invalid_port_is_refused(self, port: int) -> None:
        with pytest.raises(ValueError, match="is invalid"):
            Sandbox(port=port)

    def test_only_a_seed_makes_keys_reproducible(self) -> None:
        assert Sandbox(seed=1).api_key == Sandbox(seed=1).api_key
        assert Sandbox().api_key != Sandbox().api_key
        assert Sandbox().add_user().api_secret.startswith("SandboxSecretNotARealOne")

    def test_the_first_user_may_have_a_fixed_key(self) -> None:
        with Sandbox(api_key="K" * 64, api_secret="secret") as exchange:
            assert (exchange.api_key, exchange.api_secret) == ("K" * 64, "secret")
            assert SandboxClient(exchange).call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200
            assert exchange.add_user().api_key != exchange.api_key

    @pytest.mark.parametrize("given", [{"api_key": "short"}, {"api_key": "-" * 64}, {"api_secret": ""}])
    def test_an_invalid_key_is_refused_without_being_shown(self, given: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=r"^api_(key|secret) takes .*") as refused:
            Sandbox(**given)  # type: ignore[arg-type]  # parametrized
        assert "short" not in str(refused.value)

    def test_no_secret_is_in_its_repr(self, exchange: Sandbox) -> None:
        account = exchange.add_user()
        shown = repr((exchange, account))
        for secret in (exchange.api_key, exchange.api_secret, account.api_key, account.api_secret):
            assert secret not in shown


def test_time_stops_at_the_year_9999_and_calls_still_work() -> None:
    with Sandbox(speed=10_000_000, start_ms=MAX_TIME_MS - 1000) as exchange:
        client = SandboxClient(exchange)
        while exchange.now < MAX_TIME_MS:
            assert exchange.now <= MAX_TIME_MS
        assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200
        with pytest.raises(ValueError, match="ends with the year 9999"):
            exchange.advance_time(1)
        with pytest.raises(ValueError, match="every_seconds takes a number from 10000 at this speed"):
            exchange.start_random_faults(1, 9_999)
