"""The error for each failure, over real sockets."""

from __future__ import annotations

import codecs
import dataclasses
import gzip
import re
import socket
import ssl
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from api_methods import API_KEY, API_METHODS, CALLER_LISTEN_KEY, LISTEN_KEY, ApiMethod
from raw_server import (
    RawServer,
    make_html_page,
    make_response,
    never_respond,
    read_request,
    reset_connection,
    send_slowly,
)

import binance_margin_stream as sdk

POST = API_METHODS[0]
PUT = API_METHODS[1]
TOKEN = API_METHODS[6]
RETIRED = [call for call in API_METHODS if "userDataStream" in call.path]


def error_response(code: int, msg: str = "Any words.", status: int = 400) -> bytes:
    return make_response(status, f'{{"code": {code}, "msg": "{msg}"}}')


def catch_error(start_server, make_client, *script, call: ApiMethod = PUT, **settings) -> sdk.OpenApiException:
    peer = start_server(*script)
    with pytest.raises(sdk.OpenApiException) as caught:
        call.bind(make_client(peer, **settings))()
    error = caught.value
    error.sent = len(peer.requests)
    assert "\n" not in str(error)
    assert error.__cause__ is None
    return error


def test_an_unknown_listen_key_asks_for_a_new_one(start_server, make_client):
    error = catch_error(start_server, make_client, error_response(-1125, "This listenKey does not exist."))
    assert type(error) is sdk.ListenKeyUnknownError
    assert (error.status, error.code, error.msg) == (400, -1125, "This listenKey does not exist.")
    assert "create a new one and connect" in str(error)
    assert error.sent == 1


def test_an_invalid_listen_token_asks_for_a_new_one(start_server, make_client):
    error = catch_error(start_server, make_client, error_response(-1209))
    assert type(error) is sdk.ListenTokenInvalidError
    assert "create a new one and subscribe" in str(error)


@pytest.mark.parametrize("code", [-1100, -1102, -1105, -1108, -1121, -1130])
def test_a_bad_parameter_has_code_and_msg(start_server, make_client, code):
    error = catch_error(start_server, make_client, error_response(code, "Parameter 'symbol' was empty."))
    assert type(error) is sdk.BadParameterError
    assert isinstance(error, sdk.BadRequestException)
    assert str(code) in str(error)
    assert "Parameter 'symbol' was empty." in str(error)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, -2014, "format"),
        (400, -2014, "format"),
        (401, -2015, "IP list"),
        (403, -2015, "IP list"),
        (400, -2008, "unknown key"),
        (401, -1002, "permission"),
        (400, -1022, "signature"),
        (401, -9999, "check the key"),
    ],
)
def test_a_rejected_key_says_what_to_check_and_is_not_retried(start_server, make_client, status, code, says):
    error = catch_error(start_server, make_client, error_response(code, status=status))
    assert type(error) is sdk.KeyRejectedError
    assert says in str(error)
    assert error.sent == 1


def test_a_401_without_json_is_a_rejected_key(start_server, make_client):
    assert type(catch_error(start_server, make_client, make_response(401))) is sdk.KeyRejectedError


@pytest.mark.parametrize("status", [403, 451])
def test_a_firewall_page_is_reported_by_its_title_not_as_a_json_error(start_server, make_client, status):
    error = catch_error(start_server, make_client, make_html_page(status, "403 Forbidden by edge"))
    assert type(error) is sdk.BlockedError
    assert "403 Forbidden by edge" in str(error)
    assert "JSON" not in str(error)
    assert "country" in str(error)
    assert error.sent == 1


@pytest.mark.parametrize("call", API_METHODS, ids=str)
@pytest.mark.parametrize(
    "answer",
    [
        make_html_page(404, "404 Not Found"),
        make_html_page(410, "410 Gone"),
        make_response(410),
        make_response(404, "", content_type="text/plain"),
        error_response(-1020, "This operation is not supported.", 404),
        error_response(-1016, "This service is no longer available."),
    ],
    ids=["404 HTML", "410 HTML", "410 empty", "404 empty", "-1020", "-1016"],
)
def test_a_retired_call_names_its_successor(start_server, make_client, call, answer):
    error = catch_error(start_server, make_client, answer, call=call)
    assert type(error) is sdk.EndpointRetiredError
    assert error.sent == 1
    assert error.successor in str(error)
    api, _, method = error.successor.split(" ")[0].partition(".")
    assert callable(getattr(getattr(sdk, api), method))


def test_the_successor_of_an_isolated_call_says_how_to_stay_isolated(start_server, make_client):
    error = catch_error(start_server, make_client, make_response(410), call=API_METHODS[3])
    assert "is_isolated and symbol" in str(error)


def test_a_short_rate_limit_is_waited_out_and_logged(start_server, make_client, caplog):
    peer = start_server(make_response(429, headers={"Retry-After": "1"}), make_response(200, POST.valid_body))
    with caplog.at_level("INFO", logger="binance_margin_stream"):
        assert POST.bind(make_client(peer))().listen_key == LISTEN_KEY
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "wait 1 s" in record.getMessage()


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "31"}, {"Retry-After": "soon"}, {"Retry-After": "-5"}])
def test_a_long_or_missing_wait_is_for_the_caller(start_server, make_client, headers):
    error = catch_error(start_server, make_client, make_response(429, '{"code":-1003,"msg":"Too many"}', headers))
    assert type(error) is sdk.RateLimitError
    assert error.retry_after == (31 if headers.get("Retry-After") == "31" else None)
    assert error.sent == 1


def test_too_many_requests_with_status_400_is_a_rate_limit(start_server, make_client):
    assert type(catch_error(start_server, make_client, error_response(-1015))) is sdk.RateLimitError


def test_a_wait_may_be_given_as_a_date(start_server, make_client):
    later = datetime.now(UTC) + timedelta(hours=1)
    error = catch_error(
        start_server, make_client, make_response(429, headers={"Retry-After": f"{later:%a, %d %b %Y %H:%M:%S} GMT"})
    )
    assert 3590 < error.retry_after <= 3600


def test_a_ban_has_its_end_and_is_never_retried(start_server, make_client):
    error = catch_error(start_server, make_client, make_response(418, headers={"Retry-After": "1"}))
    assert type(error) is sdk.BannedError
    assert error.retry_after == 1
    assert error.until == error.received_at + timedelta(seconds=1)
    assert f"until {error.until:%Y-%m-%d %H:%M:%S} UTC" in str(error)
    assert error.sent == 1


def test_the_end_of_a_ban_may_stand_in_its_message(start_server, make_client):
    end = datetime.now(UTC) + timedelta(minutes=2)
    ms = round(end.timestamp() * 1000)
    error = catch_error(start_server, make_client, error_response(-1003, f"IP banned until {ms}. Use streams.", 418))
    assert error.until == datetime.fromtimestamp(ms / 1000, UTC)
    assert 115 < error.retry_after <= 120


def test_a_ban_without_an_end_is_still_a_ban(start_server, make_client):
    error = catch_error(start_server, make_client, make_html_page(418, "I'm a teapot"))
    assert (error.until, error.retry_after) == (None, None)
    assert "3 days" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        error_response(-1000, status=500),
        make_html_page(502, "502 Bad Gateway"),
        make_response(503),
        error_response(-1008),
        error_response(-1007, status=408),
    ],
    ids=["JSON", "HTML", "empty", "-1008", "408"],
)
def test_a_server_error_is_retried_and_then_the_outcome_is_unknown(start_server, make_client, answer):
    error = catch_error(start_server, make_client, answer)
    assert type(error) is sdk.ServerError
    assert "outcome unknown" in str(error)
    assert error.sent == 3


def test_a_call_that_succeeds_on_a_retry_succeeds(start_server, make_client):
    peer = start_server(make_html_page(502, "Bad Gateway"), reset_connection, make_response(200, POST.valid_body))
    assert POST.bind(make_client(peer))().listen_key == LISTEN_KEY
    assert len(peer.requests) == 3


def test_a_refused_connection_has_its_kind(make_client):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoints = sdk.Endpoints(rest=f"http://127.0.0.1:{port}", websocket_api="", stream="", margin_stream="")
    client = sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=endpoints, retry=sdk.NO_RETRIES)
    with client, pytest.raises(sdk.TransportError) as caught:
        PUT.bind(client)()
    assert caught.value.kind == "refused"
    assert f"127.0.0.1:{port}" in str(caught.value)


def test_an_unknown_host_has_the_kind_dns():
    endpoints = sdk.Endpoints(rest="http://no-such-host.invalid", websocket_api="", stream="", margin_stream="")
    client = sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=endpoints, retry=sdk.NO_RETRIES)
    with client, pytest.raises(sdk.TransportError) as caught:
        PUT.bind(client)()
    assert caught.value.kind == "dns"


WHOLE = make_response(200, POST.valid_body)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (reset_connection, "disconnected"),
        (b"", "disconnected"),
        (WHOLE[: WHOLE.index(b"\r\n\r\n")], "disconnected"),
        (WHOLE[:-5], "disconnected"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", "disconnected"),
        (b"nonsense\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "disconnected"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Endless: 1\r\n" * 10_000 + b"\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (2 << 20), "protocol"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_incomplete_response_is_retried_and_then_raised(start_server, make_client, step, kind):
    error = catch_error(start_server, make_client, step)
    assert type(error) is sdk.TransportError
    assert error.kind == kind
    assert error.sent == 3


@pytest.mark.parametrize(
    "step", [never_respond, send_slowly(WHOLE, 0.02), send_slowly(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 999, 0.02)]
)
def test_an_answer_that_never_ends_ends_in_time(start_server, make_client, step):
    error = catch_error(start_server, make_client, step, timeout=sdk.Timeout(0.2, 0.2), retry=sdk.NO_RETRIES)
    assert type(error) is sdk.TransportError
    assert error.kind == "timeout"


@pytest.fixture
def certificates():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return authority, context


def test_an_untrusted_certificate_has_the_kind_tls_and_is_not_retried(certificates):
    with RawServer(make_response(200, "{}"), tls=certificates[1]) as peer:
        client = sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=peer.endpoints)
        with client, pytest.raises(sdk.TransportError, match="check the certificate") as caught:
            PUT.bind(client)()
    assert caught.value.kind == "tls"
    assert peer.connection_count == 1


def test_a_certificate_authority_of_ones_own_can_be_trusted(certificates):
    authority, context = certificates
    with RawServer(make_response(200, "{}"), tls=context) as peer, authority.cert_pem.tempfile() as trusted:
        configuration = sdk.Configuration(host=peer.url, ssl_ca_cert=trusted)
        with sdk.ApiClient(configuration, auth=sdk.ApiKeyAuth(API_KEY)) as client:
            assert PUT.bind(client)() == {}


def test_a_slow_answer_over_tls_ends_in_time_too(certificates):
    authority, context = certificates
    with RawServer(send_slowly(WHOLE, 0.02), tls=context) as peer, authority.cert_pem.tempfile() as trusted:
        configuration = sdk.Configuration(host=peer.url, ssl_ca_cert=trusted)
        client = sdk.ApiClient(configuration, auth=sdk.ApiKeyAuth(API_KEY), retry=sdk.NO_RETRIES)
        with client, pytest.raises(sdk.TransportError) as caught:
            PUT.bind(client)(_request_timeout=0.3)
    assert caught.value.kind == "timeout"


def test_a_server_without_tls_is_reported(start_server, make_client):
    with RawServer(never_respond, accept=lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer:
        endpoints = dataclasses.replace(peer.endpoints, rest=peer.url.replace("http:", "https:"))
        client = sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=endpoints)
        with client, pytest.raises(sdk.TransportError) as caught:
            PUT.bind(client)()
    assert caught.value.kind == "tls"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(start_server, make_client, status):
    elsewhere = start_server(make_response(200, "{}"))
    error = catch_error(
        start_server, make_client, make_response(status, headers={"Location": f"{elsewhere.url}/x?listenKey=y"})
    )
    assert type(error) is sdk.ResponseError
    assert "redirects to http://127.0.0.1" in str(error)
    assert "listenKey=y" not in str(error)
    assert elsewhere.requests == []
    assert error.sent == 1


@pytest.mark.parametrize("location", ["", "//", "http://[", "/elsewhere"])
def test_a_redirect_without_a_target_is_reported_too(start_server, make_client, location):
    error = catch_error(start_server, make_client, make_response(307, headers={"Location": location}))
    assert type(error) is sdk.ResponseError
    assert "which is not followed" in str(error)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (make_response(200), "the response is empty"),
        (make_html_page(200, "Sign in to the hotel"), "an HTML page titled 'Sign in to the hotel'"),
        (make_response(200, "<p>"), "an HTML page"),
        (make_response(200, "{"), "not JSON"),
        (make_response(200, '{"listenKey": NaN}'), "not JSON"),
        (make_response(200, "[" * 100_000), "not JSON"),
        (make_response(200, b"\xff\xfe{}"), "not JSON"),
        (make_response(200, '{"listenKey": 1' + "0" * 5000 + "}"), "not JSON"),
        (make_response(200, '["a"]'), "JSON, but not an object"),
        (make_response(200, "null"), "JSON, but not an object"),
        (make_response(200, "{}"), "listenKey is missing"),
        (make_response(200, '{"listenKey": 5}'), "listenKey has the wrong type"),
        (make_response(200, '{"listenKey": ""}'), "listenKey has the wrong type"),
        (
            make_response(200, POST.valid_body, content_type="application/json; charset=klingon"),
            "its charset is 'klingon'",
        ),
        (
            make_response(200, POST.valid_body, content_type='application/json; charset="utf-16"'),
            "its charset is 'utf-16'",
        ),
    ],
)
def test_an_unexpected_response_is_raised_with_status_and_body(start_server, make_client, answer, says):
    error = catch_error(start_server, make_client, answer, call=POST)
    assert type(error) is sdk.ResponseError
    assert says in str(error)
    assert "HTTP 200" in str(error)
    assert error.status == 200
    assert len(str(error)) < 400
    assert error.sent == 1


@pytest.mark.parametrize("call", [call for call in API_METHODS if not call.valid_body], ids=str)
@pytest.mark.parametrize("body", ["", "{}", '{"later": "more"}'])
def test_a_call_that_answers_nothing_answers_none(start_server, make_client, call, body):
    assert call.bind(make_client(start_server(make_response(200, body))))() is None


@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_a_login_page_is_never_taken_for_success(start_server, make_client, call):
    error = catch_error(start_server, make_client, make_html_page(200, "Sign in"), call=call)
    assert type(error) is sdk.ResponseError


@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_unknown_fields_are_accepted(start_server, make_client, call):
    body = (call.valid_body or "{}").replace("}", ', "later": [1]}').replace("{,", "{")
    call.bind(make_client(start_server(make_response(200, body))))()


def test_put_and_delete_return_the_json_object_as_it_came(start_server, make_client):
    assert PUT.bind(make_client(start_server(make_response(200, '{"any": [1, "x"]}'))))() == {"any": [1, "x"]}


def test_a_listen_key_arrives_as_it_is(start_server, make_client):
    peer = start_server(make_response(200, POST.valid_body, content_type="application/json; charset=utf-8"))
    assert POST.bind(make_client(peer))().listen_key == LISTEN_KEY


def test_headers_are_found_in_any_case(start_server, make_client):
    peer = start_server(make_response(200, POST.valid_body, {"X-SAPI-USED-IP-WEIGHT-1M": "12"}), error_response(-1102))
    client = make_client(peer)
    response = sdk.MarginStreamApi(client).sapi_v1_user_data_stream_post_with_http_info()
    assert response.headers["x-sapi-used-ip-weight-1m"] == response.headers["X-Sapi-Used-Ip-Weight-1m"] == "12"
    with pytest.raises(sdk.BadParameterError) as caught:
        POST.bind(client)()
    assert caught.value.headers["content-TYPE"] == "application/json"


def test_the_raw_answer_can_be_had_too(start_server, make_client):
    peer = start_server(make_response(200, POST.valid_body))
    raw = sdk.MarginStreamApi(make_client(peer)).sapi_v1_user_data_stream_post_without_preload_content()
    assert (raw.status, raw.read()) == (200, POST.valid_body.encode())


def test_the_key_is_sent_in_the_header_and_parameters_in_the_query(start_server, make_client):
    peer = start_server(make_response(200, "{}"))
    PUT.bind(make_client(peer))()
    (request,) = peer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    encoded = CALLER_LISTEN_KEY.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    assert head.startswith(f"PUT /sapi/v1/userDataStream?listenKey={encoded} HTTP/1.1\r\n".encode())
    assert f"X-MBX-APIKEY: {API_KEY}".encode() in head
    assert b"Content-Type" not in head
    assert body == b""


@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_a_call_accepts_json_alone_as_its_page_says(start_server, make_client, call):
    peer = start_server(make_response(200, call.valid_body))
    call.bind(make_client(peer))()
    page = (Path(__file__).parents[2] / "docs" / f"{call.api_class}.md").read_text()
    assert b"\r\nAccept: application/json\r\n" in peer.requests[0]
    assert set(re.findall(r"^ - \*\*Accept\*\*: (.+)$", page, re.MULTILINE)) == {"application/json"}
    assert set(re.findall(r"^ - \*\*Content-Type\*\*: (.+)$", page, re.MULTILINE)) == {"Not defined"}


def test_a_token_is_requested_with_the_names_of_the_exchange(start_server, make_client):
    peer = start_server(make_response(200, TOKEN.valid_body))
    TOKEN.bind(make_client(peer))(is_isolated=True, symbol="BTCUSDT", validity=60_000, recv_window=5000)
    assert b"?isIsolated=true&symbol=BTCUSDT&validity=60000&recvWindow=5000 HTTP/1.1" in peer.requests[0]


@pytest.mark.parametrize("call", RETIRED, ids=str)
def test_a_retired_call_warns(start_server, make_client, call):
    peer = start_server(make_response(200, call.valid_body))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        call.bind(make_client(peer))()


def test_interim_answers_are_passed_over_and_leave_nothing_to_the_next_call(start_server, make_client):
    def early_hints(sock) -> None:
        for number in (1, 2):
            body = f'{{"listenKey": "key-{number}"}}'
            answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer.encode())
            read_request(sock)

    client = make_client(start_server(early_hints))
    assert [POST.bind(client)().listen_key for _ in range(2)] == ["key-1", "key-2"]


@pytest.mark.parametrize("call", [PUT, API_METHODS[8], POST], ids=str)
def test_an_error_told_with_status_200_is_an_error(start_server, make_client, call):
    error = catch_error(start_server, make_client, make_response(200, '{"code": -1125, "msg": "gone"}'), call=call)
    assert type(error) is sdk.ListenKeyUnknownError
    assert error.status == 200


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error_response(-1102, status=500), sdk.ServerError),
        (error_response(-1003, status=503), sdk.ServerError),
        (error_response(-1003, status=410), sdk.EndpointRetiredError),
        (error_response(-1121, status=404), sdk.EndpointRetiredError),
        (error_response(-9999), sdk.BadRequestException),
        (make_response(409), sdk.ApiException),
    ],
)
def test_what_the_status_says_goes_before_the_code(start_server, make_client, answer, kind):
    assert type(catch_error(start_server, make_client, answer)) is kind


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 01 Jan 2026 00:00:00 -0000",
        "Thu, 01 Jan 2026 00:00:00",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999999",
        "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
    ],
)
def test_an_odd_date_does_no_harm(start_server, make_client, date):
    late = make_response(400, '{"code": -1021, "msg": "late"}', {"Date": date, "Retry-After": date})
    assert type(catch_error(start_server, make_client, late)) is sdk.TimestampError


@pytest.mark.parametrize(
    ("code", "kind"),
    [("-1125", sdk.ListenKeyUnknownError), ("-2015", sdk.KeyRejectedError), ("-1121", sdk.BadParameterError)],
)
def test_a_code_may_be_text(start_server, make_client, code, kind):
    error = catch_error(start_server, make_client, make_response(400, f'{{"code": "{code}", "msg": "From a proxy."}}'))
    assert type(error) is kind
    assert (error.code, error.msg) == (int(code), "From a proxy.")


COMPRESSED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", COMPRESSED)
def test_a_compressed_response_is_read_although_it_was_not_requested(start_server, make_client, coding):
    headers = {"Content-Encoding": coding}
    refused = make_response(400, COMPRESSED[coding](b'{"code": -1125, "msg": "Gone."}'), headers)
    peer = start_server(make_response(200, COMPRESSED[coding](POST.valid_body.encode()), headers), refused)
    client = make_client(peer)
    assert POST.bind(client)().listen_key == LISTEN_KEY
    with pytest.raises(sdk.ListenKeyUnknownError, match=r"Gone\.") as caught:
        PUT.bind(client)()
    assert caught.value.body == '{"code": -1125, "msg": "Gone."}'


def test_a_compressed_page_is_reported_by_its_title(start_server, make_client):
    page = gzip.compress(b"<html><title>403 Forbidden by edge</title></html>")
    error = catch_error(start_server, make_client, make_response(403, page, {"Content-Encoding": "gzip"}))
    assert type(error) is sdk.BlockedError
    assert "403 Forbidden by edge" in str(error)


@pytest.mark.parametrize("status", [200, 400])
def test_a_byte_order_mark_does_no_harm(start_server, make_client, status):
    body = codecs.BOM_UTF8 + (POST.valid_body if status == 200 else '{"code": -1125, "msg": "Gone."}').encode()
    client = make_client(start_server(make_response(status, body)))
    if status == 200:
        assert POST.bind(client)().listen_key == LISTEN_KEY
        return
    with pytest.raises(sdk.ListenKeyUnknownError) as caught:
        PUT.bind(client)()
    assert caught.value.msg == "Gone."
