"""Web pages of other origins, and foreign host names."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from exchange_harness import LISTEN_TOKEN_PATH
from sandbox_client import TIMEOUT_SECONDS, SandboxClient

from binance_margin_stream.sandbox import ExchangeRules, Sandbox
from binance_margin_stream.sandbox.messages import Request
from binance_margin_stream.sandbox.server.origin import find_refusal_reason

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
PATHS = [
    ("POST", LISTEN_TOKEN_PATH, {}),
    ("GET", "/api/v3/time", {}),
    ("GET", "/ws-api/v3", UPGRADE),
    ("GET", "/ws", UPGRADE),
]


def send_request(client: SandboxClient, method: str, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*client.address, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, headers={"X-MBX-APIKEY": client.exchange.api_key, **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read()) if response.status != 101 else None
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path", "headers"), PATHS)
@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Host": "evil.example"},
        {"Host": ""},
    ],
)
def test_a_foreign_request_is_refused_on_every_path(
    client: SandboxClient, method: str, path: str, headers: dict[str, str], foreign: dict[str, str]
) -> None:
    status, answer = send_request(client, method, path, headers | foreign)
    assert (status, answer["code"]) == (403, -1002)
    assert answer["msg"].startswith("The sandbox refused this request: ")


def test_foreign_requests_count_nowhere_but_in_the_log() -> None:
    rules = ExchangeRules(websocket_api_weight_limit=100, connection_attempt_limit=5)
    with Sandbox(rules=rules) as exchange:
        client = SandboxClient(exchange)
        for _ in range(20):
            send_request(client, "GET", "/api/v3/time", {"Sec-Fetch-Site": "cross-site"})
            send_request(client, "GET", "/ws-api/v3", UPGRADE | {"Origin": "https://evil.example"})
        assert exchange.metrics.handshakes_refused == exchange.metrics.rest_calls == 0
        assert client.call_rest("GET", "/api/v3/time")[1]["X-MBX-USED-WEIGHT-1M"] == "1"
        with client.open_websocket():
            assert exchange.metrics.connections_open == 1
        log = exchange.request_log
    assert {(each.method, each.target, each.status) for each in log[:40]} == {("GET", "(refused)", 403)}


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_the_users_own_requests_in_a_browser_are_served(client: SandboxClient, site: str) -> None:
    assert send_request(client, "GET", "/api/v3/time", {"Sec-Fetch-Site": site})[0] == 200


def test_a_link_to_the_page_may_be_followed_from_anywhere() -> None:
    headers = (("Host", "localhost:1"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
    assert find_refusal_reason(Request("GET", "/", headers), ()) is None
    assert find_refusal_reason(Request("GET", "/sandbox/state", headers), ()) is not None
    assert find_refusal_reason(Request("GET", "/", headers[:2]), ()) is not None


def test_an_allowed_name_is_served_like_localhost() -> None:
    with Sandbox(allowed_hosts=("Sandbox",)) as exchange:
        client = SandboxClient(exchange)
        for host in ("sandbox", "sandbox:8650", "SANDBOX"):
            assert send_request(client, "GET", "/api/v3/time", {"Host": host})[0] == 200
            own = {"Host": host, "Origin": f"http://{host}"}
            assert send_request(client, "GET", "/sandbox/state", own)[0] == 200
        assert send_request(client, "GET", "/api/v3/time", {"Host": "sandbox.example"})[0] == 403


@pytest.mark.parametrize("name", ["", "http://sandbox", "sandbox:8650", "[::1", "a/b", "user@sandbox"])
def test_what_is_no_host_name_cannot_be_allowed(name: str) -> None:
    with pytest.raises(ValueError, match=r"^an allowed host takes a name such as sandbox"):
        Sandbox(allowed_hosts=(name,))
