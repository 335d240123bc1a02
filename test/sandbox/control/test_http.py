"""The HTTP control interface: operations, errors, and protection from other origins."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from exchange_harness import LISTEN_TOKEN_PATH, RISK_LISTEN_KEY_PATH
from sandbox_client import TIMEOUT_SECONDS, SandboxClient, read_json
from websockets.exceptions import ConnectionClosed

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.sandbox import OPERATIONS

JSON_BODY = {"Content-Type": "application/json"}


def send_request(
    client: SandboxClient, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send a control request; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection(*client.address, timeout=TIMEOUT_SECONDS)
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, sent, JSON_BODY if headers is None else headers)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Access-Control-Allow-Origin"] is None
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def call_operation(client: SandboxClient, name: str, **arguments: object) -> Any:
    status, answer = send_request(client, "POST", f"/sandbox/{name}", arguments)
    assert status == 200, answer
    return answer["result"]


def get_state(client: SandboxClient) -> Any:
    return send_request(client, "GET", "/sandbox/state")[1]


def test_the_operations_are_listed_with_their_parameters(client: SandboxClient) -> None:
    for path in ("/sandbox", "/sandbox/"):
        listed = {each["name"]: each for each in send_request(client, "GET", path)[1]["operations"]}
        assert list(listed) == [each.name for each in OPERATIONS.all()]
    assert listed["borrow"]["summary"].startswith("Borrow:")
    assert listed["borrow"]["parameters"][0] == {
        "name": "asset",
        "type": "text",
        "required": True,
        "description": "such as USDT",
    }
    quantity = next(each for each in listed["place-order"]["parameters"] if each["name"] == "quantity")
    assert (quantity["type"], quantity["required"], quantity["default"]) == ("number", False, "1")


def test_every_parameter_has_a_description(client: SandboxClient) -> None:
    for each in OPERATIONS.all():
        assert each.summary, each.name
        assert each.method is getattr(type(client.exchange), each.name.replace("-", "_"))
        for parameter in each.parameters:
            assert parameter.description, (each.name, parameter.name)
            assert parameter.name not in ("api_key", "listen_key")


def test_orders_are_placed_filled_and_cancelled(client: SandboxClient) -> None:
    with client.open_subscribed() as websocket:
        order = call_operation(client, "place-order", symbol="ETHUSDT", side="SELL", quantity=0.3, price="3000.10")
        assert (order["order_id"], order["quantity"], order["price"]) == (1, "0.3", "3000.10")
        report = read_json(websocket)["event"]
        assert (report["s"], report["S"], report["q"], report["p"]) == (
            "ETHUSDT",
            "SELL",
            "0.30000000",
            "3000.10000000",
        )
        assert call_operation(client, "fill-order", order_id=1, quantity="0.1")["status"] == "PARTIALLY_FILLED"
        assert call_operation(client, "fill-order")["status"] == "FILLED"
        call_operation(client, "place-order")
        second = call_operation(client, "cancel-order")
        assert (second["order_id"], second["status"]) == (2, "CANCELED")
        assert send_request(client, "POST", "/sandbox/cancel-order", {}) == (400, {"error": "no order is open"})


def test_an_event_is_sent_as_it_is(client: SandboxClient) -> None:
    with client.open_subscribed() as websocket:
        assert call_operation(client, "send-event", event={"e": "news", "E": 1, "x": [0.5, None, True]}) == 1
        assert read_json(websocket)["event"] == {"e": "news", "E": 1, "x": [0.5, None, True]}


def test_another_user_is_identified_by_number(client: SandboxClient) -> None:
    other = call_operation(client, "add-user")
    assert other["uid"] == 2
    call_operation(client, "borrow", asset="BTC", amount="0.5", uid=2)
    assert {each["uid"] for each in get_state(client)["events"]} == {2}
    call_operation(client, "revoke-api-key", uid=2)
    assert [user["revoked"] for user in get_state(client)["users"]] == [False, True]
    status, answer = send_request(client, "POST", "/sandbox/revoke-api-key", {"uid": 3})
    assert (status, answer) == (400, {"error": "uid takes the number of a user: 1, 2"})


def test_time_is_advanced(paused_client: SandboxClient) -> None:
    before = get_state(paused_client)["time"]
    call_operation(paused_client, "advance-time", seconds=90.5)
    assert get_state(paused_client)["time"] == before + 90_500


def test_endpoints_are_retired_and_restored_and_listen_keys_deleted(client: SandboxClient) -> None:
    call_operation(client, "retire-endpoint", path=LISTEN_TOKEN_PATH)
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 410
    call_operation(client, "restore-endpoint", path=LISTEN_TOKEN_PATH)
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200
    client.call_json("POST", RISK_LISTEN_KEY_PATH)
    assert call_operation(client, "delete-listen-key", kind="risk_listen_key") is True
    assert call_operation(client, "delete-listen-key") is False


def test_the_state_is_complete_and_has_no_secret(paused_client: SandboxClient) -> None:
    key = paused_client.call_json("POST", RISK_LISTEN_KEY_PATH)["listenKey"]
    paused_client.exchange.inject_fault(faults.ip_banned(), path=LISTEN_TOKEN_PATH, times=2)
    paused_client.exchange.clear_faults()
    with paused_client.open_subscribed(isIsolated="true", symbol="BTCUSDT"):
        with paused_client.open_websocket(f"{paused_client.exchange.endpoints.margin_stream}/ws/{key}"):
            paused_client.exchange.place_order(account="BTCUSDT", quantity="2")
            paused_client.exchange.inject_fault(faults.server_error(), times=None)
            paused_client.exchange.advance_time(60)
            shown = get_state(paused_client)
            raw = json.dumps(shown)
    secrets = [key, paused_client.exchange.api_key, paused_client.exchange.api_secret]
    assert not [secret for secret in secrets if secret in raw]
    assert (shown["users"][0]["uid"], shown["users"][0]["api_key"]) == (1, f"…{paused_client.exchange.api_key[-4:]}")
    isolated = next(each for each in shown["accounts"] if each["account"] == "BTCUSDT")
    assert isolated["balances"]["USDT"] == {"free": "999800", "locked": "200", "borrowed": "0", "interest": "0"}
    assert (isolated["margin_level"], isolated["status"]) == ("999", "EXCESSIVE")
    assert [(order["order_id"], order["quantity"], order["status"]) for order in shown["orders"]] == [(1, "2", "NEW")]
    subscribed, listening = shown["connections"]
    assert (subscribed["host"], subscribed["age_seconds"]) == ("websocket_api", 60)
    assert subscribed["subscriptions"][0]["account"] == "BTCUSDT"
    assert subscribed["subscriptions"][0]["remaining_seconds"] == 24 * 3600 - 60
    assert listening["streams"] == [f"…{key[-4:]}"]
    lives = {each["kind"]: each["remaining_seconds"] for each in shown["credentials"]}
    assert lives == {"risk_listen_key": 3540, "listen_token": 24 * 3600 - 60}
    assert [armed["remaining_uses"] for armed in shown["faults"]] == [None]
    assert [event["event"]["e"] for event in shown["events"]] == ["executionReport", "outboundAccountPosition"]
    assert [event["frames"] for event in shown["events"]] == [1, 1]
    assert shown["metrics"]["connections_open"] == 2


def test_a_listen_key_is_masked_in_the_event_that_ends_it(client: SandboxClient) -> None:
    key = client.call_json("POST", RISK_LISTEN_KEY_PATH)["listenKey"]
    client.exchange.inject_fault(faults.ExpireCredentials())
    (ended,) = get_state(client)["events"]
    assert (ended["event"]["e"], ended["event"]["listenKey"]) == ("listenKeyExpired", f"…{key[-4:]}")


def test_faults_affect_the_exchange_and_not_its_control_interface(client: SandboxClient) -> None:
    client.exchange.inject_fault(faults.server_error(), times=None)
    assert send_request(client, "GET", "/sandbox/state")[0] == 200
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 503
    call_operation(client, "clear-faults")
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200
    assert client.exchange.metrics.rest_calls == 2


def test_faults_are_injected_by_name(client: SandboxClient) -> None:
    call_operation(client, "inject-fault", fault="server-error", status=502, times=2, path=LISTEN_TOKEN_PATH)
    assert [
        client.call_rest("POST", path)[0]
        for path in (RISK_LISTEN_KEY_PATH, LISTEN_TOKEN_PATH, LISTEN_TOKEN_PATH, LISTEN_TOKEN_PATH)
    ] == [200, 502, 502, 200]
    call_operation(client, "inject-fault", fault="418", times="null", retry_after="60")
    status, headers, _ = client.call_rest("POST", LISTEN_TOKEN_PATH)
    assert (status, headers["Retry-After"]) == (418, "60")
    assert get_state(client)["faults"][0]["remaining_uses"] is None
    call_operation(client, "clear-faults")
    with client.open_subscribed() as websocket:
        call_operation(client, "inject-fault", fault="drop", code=1012, connection=1)
        with pytest.raises(ConnectionClosed, match="1012"):
            read_json(websocket)


def test_accounts_are_disabled_and_symbols_delisted(client: SandboxClient) -> None:
    isolated = {"isIsolated": "true", "symbol": "BTCUSDT"}
    call_operation(client, "disable-account", account="BTCUSDT")
    assert client.call_json("POST", LISTEN_TOKEN_PATH, **isolated)["code"] == -11001
    call_operation(client, "delist-symbol", symbol="BTCUSDT")
    assert client.call_json("POST", LISTEN_TOKEN_PATH, **isolated)["code"] == -1121
    assert get_state(client)["delisted"] == ["BTCUSDT"]
    call_operation(client, "relist-symbol", symbol="BTCUSDT")
    call_operation(client, "enable-account", account="BTCUSDT")
    assert client.call_json("POST", LISTEN_TOKEN_PATH, **isolated)["token"]
    call_operation(client, "inject-fault", fault="not-found", account="BTCUSDT", times="null", for_seconds=60)
    assert client.call_rest("POST", LISTEN_TOKEN_PATH, **isolated)[0] == 404
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 200


def test_random_faults_come_until_they_are_stopped(paused_client: SandboxClient) -> None:
    with paused_client.open_subscribed() as websocket:
        call_operation(
            paused_client, "start-random-faults", seed=1, every_seconds=1, faults="malformed-frame,binary-frame"
        )
        call_operation(paused_client, "advance-time", seconds=10)
        assert websocket.recv(timeout=TIMEOUT_SECONDS)
        call_operation(paused_client, "stop-random-faults")
        before = paused_client.exchange.metrics.fault_counts
        assert set(before) == {"MalformedFrame", "BinaryFrame"}
        call_operation(paused_client, "advance-time", seconds=10)
        assert paused_client.exchange.metrics.fault_counts == before


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("borrow", {"amount": 1}, "asset is missing: it takes a text"),
        ("borrow", {"asset": 7, "amount": 1}, "asset takes a text"),
        ("borrow", {"asset": "BTC", "amount": "much"}, 'amount takes a number such as 12 or "0.5"'),
        ("borrow", {"asset": "BTC", "amount": True}, 'amount takes a number such as 12 or "0.5"'),
        ("borrow", {"asset": "BTC", "amount": 1, "speed": 2}, "no parameter 'speed'; there are asset, amount"),
        ("borrow", {"asset": "BTC", "amount": -1}, "the amount has to be above zero"),
        ("fill-order", {"order_id": 1.5}, "order_id takes a whole number"),
        ("fill-order", {"order_id": "9" * 5000}, "order_id takes a whole number"),
        ("fill-order", {"order_id": 9}, "no order 9"),
        ("add-user", {"name": "x"}, "no parameter 'name'; there are none"),
        ("advance-time", {"seconds": -1}, "seconds takes a number from 0"),
        ("advance-time", {"seconds": "inf"}, "seconds takes a number from 0"),
        ("advance-time", {"seconds": 1e12}, "seconds takes a number from 0"),
        ("advance-time", {"seconds": 252_000_000_000}, "the exchange's time ends with the year 9999"),
        ("borrow", {"asset": "BTC", "amount": "1e-999"}, 'amount takes a number such as 12 or "0.5"'),
        ("place-order", {"quantity": "1e-999999999"}, 'quantity takes a number such as 12 or "0.5"'),
        ("place-order", {"quantity": 10**40}, 'quantity takes a number such as 12 or "0.5"'),
        ("inject-fault", {"fault": "delay-frames", "seconds": 1e300}, "seconds takes a number from 0"),
        ("inject-fault", {"fault": "drop", "code": 10**40}, "code takes a whole number"),
        ("inject-fault", {"fault": "drop", "after_seconds": 1e300}, "after_seconds takes a number from 0"),
        ("start-random-faults", {"seed": 1, "every_seconds": 0.0001}, "every_seconds takes a number from 0.001"),
        ("inject-fault", {"fault": "fire"}, "fault takes one of drop, reset"),
        ("inject-fault", {"fault": "drop", "status": 503}, "the fault drop takes code, not status"),
        ("inject-fault", {"fault": "server-error", "status": 200}, "status takes an HTTP status from 400"),
        ("inject-fault", {"fault": "server-error", "times": 0}, "times takes a whole number from 1"),
        ("inject-fault", {"fault": "server-error", "probability": 2}, "probability takes a number above 0"),
        ("start-random-faults", {"seed": 1, "faults": "drop,fire"}, "faults takes names of faults"),
        ("delete-listen-key", {"kind": "old"}, "kind takes one of listen_key, listen_key_v2, risk_listen_key"),
        ("send-event", {"event": [1]}, "event takes a JSON object"),
        ("send-event", {"event": "[1]"}, "event takes a JSON object"),
        ("place-order", {"side": "HOLD"}, "side takes one of BUY, SELL"),
        ("place-order", b"[]", "the body has to be a JSON object"),
        ("place-order", b"{", "the body has to be a JSON object"),
        ("place-order", b"\xff", "the body has to be a JSON object"),
        ("place-order", b'{"quantity": NaN}', "the body has to be a JSON object"),
        ("place-order", b"[" * 60_000, "the body has to be a JSON object"),
    ],
)
def test_an_invalid_request_gets_a_reason(client: SandboxClient, name: str, body: object, error: str) -> None:
    status, answer = send_request(client, "POST", f"/sandbox/{name}", body)
    assert status == 400
    assert answer["error"].startswith(error)
    assert get_state(client)["events"] == []


def test_unknown_operations_wrong_methods_and_long_bodies_are_refused(client: SandboxClient) -> None:
    status, answer = send_request(client, "POST", "/sandbox/deposit", {})
    assert status == 404
    assert answer["error"].startswith("no such operation; there are place-order, fill-order")
    assert send_request(client, "GET", "/sandbox/borrow") == (405, {"error": "POST only"})
    assert send_request(client, "POST", "/sandbox/state", {}) == (405, {"error": "GET only"})
    assert send_request(client, "POST", "/", {}) == (405, {"error": "GET only"})
    assert send_request(client, "POST", "/sandbox/place-order", b" " * 70_000)[0] == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_of_another_page_cannot_control_it(client: SandboxClient, kind: str) -> None:
    status, answer = send_request(client, "POST", "/sandbox/add-user", b"{}", {"Content-Type": kind})
    assert (status, answer) == (415, {"error": "send a JSON object, with Content-Type: application/json"})


@pytest.mark.parametrize("path", ["/sandbox/", "/sandbox/state", "/sandbox/add-user", "/"])
@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:1", "http://{host}1"])
def test_a_page_of_another_origin_is_refused(client: SandboxClient, path: str, origin: str) -> None:
    headers = {**JSON_BODY, "Origin": origin.format(host="{}:{}".format(*client.address))}
    assert send_request(client, "POST", path, {}, headers)[0] == 403
    assert send_request(client, "GET", path, None, headers)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::1"])
def test_a_foreign_host_name_is_refused(client: SandboxClient, host: str) -> None:
    status, answer = send_request(client, "GET", "/sandbox/state", None, {"Host": host})
    assert (status, answer) == (
        403,
        {"error": "address the sandbox as localhost, by its IP address, or by a name that --allow-host allows"},
    )


def test_its_own_page_may_control_it(client: SandboxClient) -> None:
    for host in ("localhost:80", "127.0.0.1", "[::1]:80"):
        for scheme in ("http", "https"):
            headers = {**JSON_BODY, "Host": host, "Origin": f"{scheme}://{host}"}
            assert send_request(client, "POST", "/sandbox/add-user", {}, headers)[0] == 200


def test_the_page_brings_its_own_policy_and_nothing_from_elsewhere(client: SandboxClient) -> None:
    status, headers, body = client.call_rest("GET", "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert b"http://" not in body
    assert b"https://" not in body
    assert b"not an exchange" in body


def test_close_is_immediate_while_operations_run(paused_client: SandboxClient) -> None:
    first = threading.Event()

    def advance_repeatedly() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while send_request(paused_client, "POST", "/sandbox/advance-time", {"seconds": 1})[0] == 200:
                first.set()

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(advance_repeatedly) for _ in range(8)]
        assert first.wait(TIMEOUT_SECONDS)
        began = time.monotonic()
        paused_client.exchange.close()
        assert time.monotonic() - began < 2
        for each in asked:
            each.result(2 * TIMEOUT_SECONDS)
