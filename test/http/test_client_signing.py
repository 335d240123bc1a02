"""Signed calls: which are signed, what is signed, and the clock that the exchange compares."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from api_methods import API_KEY, API_METHODS, API_SECRET
from raw_server import make_response

import binance_margin_stream as sdk

TOKEN = API_METHODS[6]
AUTH = sdk.ApiKeyAuth(API_KEY, API_SECRET)
LATE = '{"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}'
NOT_FOUND = make_response(404)
ORDER_QUERY = {
    "method": "GET",
    "resource_path": "/sapi/v1/margin/order",
    "query_params": [("symbol", "BTCUSDT"), ("orderId", 42)],
    "auth_settings": ["ApiKeyAuth", "Signature"],
}
"""A call that must be signed, as a generated method builds it."""


def parse_target(request: bytes) -> tuple[str, str]:
    """Return path and query of a request."""
    target = urlsplit(request.split(b" ", 2)[1].decode())
    return target.path, target.query


def parse_sent_parameters(request: bytes) -> dict[str, str]:
    return dict(parse_qsl(parse_target(request)[1]))


def select_requests(requests: list[bytes], path: str) -> list[bytes]:
    return [request for request in requests if parse_target(request)[0] == path]


def test_without_a_secret_the_key_goes_alone(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer))()
    assert parse_target(peer.requests[0]) == (TOKEN.path, "")
    assert peer.requests[0].endswith(b"\r\n\r\n")


def test_with_a_secret_the_query_is_signed_as_it_is_sent(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer, auth=AUTH))(is_isolated=True, symbol="A+B")
    payload, _, signature = parse_target(peer.requests[0])[1].rpartition("&signature=")
    assert payload.startswith("isIsolated=true&symbol=A%2BB&timestamp=")
    assert signature == AUTH.sign(payload)
    assert peer.requests[0].endswith(b"\r\n\r\n")


def test_a_symbol_that_is_not_ascii_is_signed_as_it_is_sent(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer, auth=AUTH))(is_isolated=True, symbol="币安人生USDT")
    payload, _, signature = parse_target(peer.requests[0])[1].rpartition("&signature=")
    assert payload.startswith("isIsolated=true&symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&timestamp=")
    assert signature == AUTH.sign(payload)


@pytest.mark.parametrize("call", [call for call in API_METHODS if call is not TOKEN], ids=str)
def test_no_other_call_is_signed(start_server, make_client, call):
    peer = start_server(make_response(200, call.valid_body))
    call.bind(make_client(peer, auth=AUTH))()
    assert b"signature" not in peer.requests[0]


def test_a_read_call_is_signed_where_the_spec_requires_it(start_server, make_client):
    peer = start_server(make_response(200, "{}"))
    client = make_client(peer, auth=AUTH)
    client.call_api(*client.param_serialize(**ORDER_QUERY))
    path, query = parse_target(peer.requests[0])
    payload, _, signature = query.rpartition("&signature=")
    assert path == "/sapi/v1/margin/order"
    assert payload.startswith("symbol=BTCUSDT&orderId=42&timestamp=")
    assert signature == AUTH.sign(payload)


def test_a_list_is_sent_as_one_parameter(start_server, make_client):
    peer = start_server(make_response(200, "{}"))
    client = make_client(peer, auth=AUTH)
    query = {**ORDER_QUERY, "query_params": [("symbols", ["BTCUSDT", "ETHUSDT"])]}
    client.call_api(*client.param_serialize(**query))
    assert parse_target(peer.requests[0])[1].startswith("symbols=BTCUSDT%2CETHUSDT&timestamp=")


def test_the_receive_window_of_the_caller_is_signed(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer, auth=AUTH))(recv_window=2500)
    payload, _, signature = parse_target(peer.requests[0])[1].rpartition("&signature=")
    assert payload.startswith("recvWindow=2500&timestamp=")
    assert signature == AUTH.sign(payload)


@pytest.mark.parametrize("auth", [sdk.ApiKeyAuth(API_KEY), None], ids=["key alone", "key in the configuration"])
def test_a_call_that_must_be_signed_is_not_sent_without_a_secret(start_server, make_client, auth):
    peer = start_server(make_response(200, "{}"))
    client = make_client(peer, auth=auth)
    client.configuration.api_key = {"ApiKeyAuth": API_KEY}
    with pytest.raises(sdk.ApiValueError, match="GET /sapi/v1/margin/order must be signed: pass a secret"):
        client.call_api(*client.param_serialize(**ORDER_QUERY))
    assert peer.requests == []


def test_a_signature_of_the_callers_own_is_left_alone(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer, auth=AUTH))(timestamp=5, signature="abc")
    assert parse_sent_parameters(peer.requests[0]) == {"timestamp": "5", "signature": "abc"}


def test_each_retry_is_signed_with_its_own_time(start_server, make_client):
    peer = start_server(make_response(503), make_response(200, TOKEN.valid_body))
    retry = sdk.RetryPolicy(backoff_initial=0.05, backoff_max=0.05)
    TOKEN.bind(make_client(peer, auth=AUTH, retry=retry))()
    first, second = (parse_sent_parameters(request) for request in peer.requests)
    assert first["timestamp"] <= second["timestamp"]
    for sent in (first, second):
        assert sent["signature"] == AUTH.sign(f"timestamp={sent['timestamp']}")


def assert_clock_is_corrected(peer, make_client, exchange_time: datetime, tolerance_ms: float) -> None:
    client = make_client(peer, auth=AUTH, retry=sdk.NO_RETRIES)
    TOKEN.bind(client)()
    TOKEN.bind(client)()
    _refused, *accepted = select_requests(peer.requests, TOKEN.path)
    assert len(accepted) == 2
    assert len(select_requests(peer.requests, "/api/v3/time")) == 1
    for request in accepted:
        sent = int(parse_sent_parameters(request)["timestamp"])
        assert abs(sent - exchange_time.timestamp() * 1000) < tolerance_ms


def test_a_wrong_clock_is_corrected_from_the_time_call(start_server, make_client):
    exchange_time = datetime.now(UTC) + timedelta(hours=3)
    body = json.dumps({"serverTime": round(exchange_time.timestamp() * 1000)})
    peer = start_server(make_response(400, LATE), make_response(200, body), make_response(200, TOKEN.valid_body))
    assert_clock_is_corrected(peer, make_client, exchange_time, 1500)
    (time_call,) = select_requests(peer.requests, "/api/v3/time")
    assert API_KEY.encode() not in time_call


@pytest.mark.parametrize(
    "no_time", [NOT_FOUND, make_response(200, "{}"), make_response(200, "[" * 9999), make_response(200, "null"), b""]
)
def test_without_the_time_call_a_wrong_clock_is_corrected_from_the_header(start_server, make_client, no_time):
    exchange_time = datetime.now(UTC) + timedelta(hours=3)
    late = make_response(400, LATE, {"Date": format_datetime(exchange_time, usegmt=True)})
    peer = start_server(late, no_time, make_response(200, TOKEN.valid_body))
    assert_clock_is_corrected(peer, make_client, exchange_time, 2500)


def test_a_clock_is_corrected_once_and_then_the_error_is_raised(start_server, make_client):
    peer = start_server(make_response(400, LATE, {"Date": format_datetime(datetime.now(UTC), usegmt=True)}))
    with pytest.raises(sdk.TimestampError, match="synchronize the clock"):
        TOKEN.bind(make_client(peer, auth=AUTH))()
    assert len(select_requests(peer.requests, TOKEN.path)) == 2


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_without_the_exchanges_time_the_error_is_raised_at_once(start_server, make_client, date):
    peer = start_server(make_response(400, LATE, {} if date is None else {"Date": date}))
    with pytest.raises(sdk.TimestampError):
        TOKEN.bind(make_client(peer, auth=AUTH))()
    assert len(select_requests(peer.requests, TOKEN.path)) == 1
