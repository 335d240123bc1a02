"""The token call has the key alone, and is signed only if there is a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl

import pytest
from api_methods import API_KEY, API_METHODS, API_SECRET
from raw_server import make_response

import binance_margin_stream as sdk

TOKEN = API_METHODS[6]
AUTH = sdk.ApiKeyAuth(API_KEY, API_SECRET)
LATE = '{"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}'


def parse_sent_parameters(request: bytes) -> dict[str, str]:
    return dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode()))


def test_without_a_secret_the_key_goes_alone(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer))()
    assert peer.requests[0].endswith(b"\r\n\r\n")


def test_with_a_secret_the_payload_is_signed_as_it_is_sent(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer, auth=AUTH))(is_isolated=True, symbol="A+B")
    payload, _, signature = peer.requests[0].partition(b"\r\n\r\n")[2].decode().rpartition("&signature=")
    assert payload.startswith("isIsolated=true&symbol=A%2BB&timestamp=")
    assert signature == AUTH.sign(payload)


@pytest.mark.parametrize("call", [call for call in API_METHODS if call is not TOKEN], ids=str)
def test_no_other_call_is_signed(start_server, make_client, call):
    peer = start_server(make_response(200, call.valid_body))
    call.bind(make_client(peer, auth=AUTH))()
    assert b"signature" not in peer.requests[0]


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


def test_a_clock_that_is_off_is_corrected_from_the_response(start_server, make_client):
    exchange_time = datetime.now(UTC) + timedelta(hours=3)
    late = make_response(400, LATE, {"Date": format_datetime(exchange_time, usegmt=True)})
    peer = start_server(late, make_response(200, TOKEN.valid_body))
    client = make_client(peer, auth=AUTH, retry=sdk.NO_RETRIES)
    TOKEN.bind(client)()
    TOKEN.bind(client)()
    for request in peer.requests[1:]:
        assert abs(int(parse_sent_parameters(request)["timestamp"]) - exchange_time.timestamp() * 1000) < 2500


def test_a_clock_is_corrected_once_and_then_the_error_is_raised(start_server, make_client):
    peer = start_server(make_response(400, LATE, {"Date": format_datetime(datetime.now(UTC), usegmt=True)}))
    with pytest.raises(sdk.TimestampError, match="synchronize the clock"):
        TOKEN.bind(make_client(peer, auth=AUTH))()
    assert len(peer.requests) == 2


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_without_the_exchanges_time_the_error_is_raised_at_once(start_server, make_client, date):
    peer = start_server(make_response(400, LATE, {} if date is None else {"Date": date}))
    with pytest.raises(sdk.TimestampError):
        TOKEN.bind(make_client(peer, auth=AUTH))()
    assert len(peer.requests) == 1
