"""Wrong arguments and settings raise an error of this package before anything is sent."""

from __future__ import annotations

import http.client
import logging
import subprocess
import sys

import pytest
from api_methods import API_KEY, API_METHODS, API_SECRET, PLANTED_SECRETS, READ_METHODS, ApiMethod
from raw_server import make_response as answer

import binance_margin_stream as sdk
from binance_margin_stream import api_client

TOKEN = API_METHODS[6]
BY_NAME = {call.name: call for call in API_METHODS}


@pytest.fixture
def unused_peer(start_server):
    peer = start_server(answer(200, "{}"))
    yield peer
    assert peer.requests == []


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"validity": 0}, sdk.ApiValueError, "validity"),
        ({"validity": -1}, sdk.ApiValueError, "validity"),
        ({"validity": 86_400_001}, sdk.ApiValueError, "validity"),
        ({"validity": 10**30}, sdk.ApiValueError, "validity"),
        ({"validity": "60000"}, sdk.ApiTypeError, "validity"),
        ({"validity": 1.5}, sdk.ApiTypeError, "validity"),
        ({"validity": True}, sdk.ApiTypeError, "validity"),
        ({"recv_window": 60_001}, sdk.ApiValueError, "recv_window"),
        ({"timestamp": -1}, sdk.ApiValueError, "timestamp"),
        ({"is_isolated": "true"}, sdk.ApiTypeError, "is_isolated"),
        ({"is_isolated": True}, sdk.ApiValueError, "pass symbol"),
        ({"is_isolated": True, "symbol": ""}, sdk.ApiValueError, "symbol"),
        ({"symbol": 5}, sdk.ApiTypeError, "symbol"),
        ({"signature": ""}, sdk.ApiValueError, "signature"),
        ({"planted": 1}, sdk.ApiTypeError, "planted"),
        ({"_request_timeout": 0}, sdk.ApiValueError, "_request_timeout"),
        ({"_request_timeout": "1"}, sdk.ApiTypeError, "_request_timeout"),
        ({"_request_timeout": float("inf")}, sdk.ApiValueError, "timeout"),
        ({"_request_timeout": (1.0, 1e9)}, sdk.ApiValueError, "timeout"),
        ({"_headers": {"X-A": "line\nbreak"}}, sdk.ApiValueError, "'X-A'"),
        ({"_headers": {"X-A": "é"}}, sdk.ApiValueError, "'X-A'"),
        ({"_headers": {"X-A": 5}}, sdk.ApiValueError, "'X-A'"),
        ({"_headers": {"X-MBX-APIKEY": "a b"}}, sdk.ApiValueError, "a space"),
        ({"_request_auth": {"in": "query"}}, sdk.ApiValueError, "_request_auth"),
        ({"_request_auth": {"in": "query", "type": "", "key": "", "value": ""}}, sdk.ApiValueError, "_request_auth"),
    ],
)
def test_a_wrong_argument_of_the_token_call_is_named(unused_peer, make_client, arguments, error, says):
    with pytest.raises(sdk.OpenApiException, match=says) as caught:
        TOKEN.bind(make_client(unused_peer))(**arguments)
    assert type(caught.value) is error
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("call", [call for call in API_METHODS if "symbol" in call.arguments], ids=str)
@pytest.mark.parametrize("symbol", [None, "", 5])
def test_an_isolated_call_needs_its_symbol(unused_peer, make_client, call, symbol):
    with pytest.raises((sdk.ApiTypeError, sdk.ApiValueError), match="symbol"):
        call.bind(make_client(unused_peer))(symbol=symbol)


@pytest.mark.parametrize("call", [call for call in API_METHODS if "listen_key" in call.arguments], ids=str)
@pytest.mark.parametrize("value", [b"PLANTED-bytes", ["PLANTED-list"], 5, ""])
def test_a_wrong_listen_key_is_refused_and_never_shown(unused_peer, make_client, call, value):
    with pytest.raises((sdk.ApiTypeError, sdk.ApiValueError), match="listen_key") as caught:
        call.bind(make_client(unused_peer))(listen_key=value)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize("name", ["sapi_v2_margin_listen_key_put", "sapi_v1_margin_listen_key_put"])
def test_a_required_listen_key_cannot_be_left_out(unused_peer, make_client, name):
    with pytest.raises(sdk.ApiTypeError, match="listen_key"):
        ApiMethod(BY_NAME[name].api_class, name, "").bind(make_client(unused_peer))()


def test_an_optional_listen_key_can_be_left_out(start_server, make_client):
    peer = start_server(answer(200, "{}"))
    assert sdk.MarginStreamApi(make_client(peer)).sapi_v1_user_data_stream_put() == {}


def test_positional_arguments_are_named_too(unused_peer, make_client):
    with pytest.raises(sdk.ApiTypeError, match="symbol"):
        sdk.IsolatedMarginStreamApi(make_client(unused_peer)).sapi_v1_user_data_stream_isolated_post(5)
    with pytest.raises(sdk.ApiTypeError, match="argument 9"):
        sdk.IsolatedMarginStreamApi(make_client(unused_peer)).sapi_v1_user_data_stream_isolated_post(
            "A", *[None] * 3, "", {}, 0, 8, 9
        )


def test_without_a_key_nothing_is_sent(unused_peer, make_client):
    with pytest.raises(sdk.ApiValueError, match=r"set BINANCE_API_KEY .*ApiKeyAuth\.from_env"):
        TOKEN.bind(make_client(unused_peer, auth=None))()


def test_an_api_without_a_client_makes_its_own_and_closes_it():
    with sdk.MarginStreamApi() as api:
        assert isinstance(api.api_client, sdk.ApiClient)
        with pytest.raises(sdk.ApiValueError, match="no API key"):
            api.sapi_v1_user_data_stream_post()
        client = api.api_client
    with pytest.raises(sdk.TransportError, match="closed"):
        client.call_api("POST", "https://api.binance.com/", {"X-MBX-APIKEY": API_KEY})


def test_an_api_does_not_close_a_client_that_it_was_given(start_server, make_client):
    client = make_client(start_server(answer(200, "{}")))
    with sdk.MarginStreamApi(client):
        pass
    sdk.MarginStreamApi(client).sapi_v1_user_data_stream_put()


def test_a_key_can_be_given_as_on_the_generated_pages(start_server):
    peer = start_server(answer(200, "{}"))
    configuration = sdk.Configuration(host=peer.url)
    configuration.api_key["ApiKeyAuth"] = API_KEY
    with sdk.ApiClient(configuration) as api_client:
        sdk.MarginStreamApi(api_client).sapi_v1_user_data_stream_put()
    assert API_KEY.encode() in peer.requests[0]


def test_a_hand_made_configuration_with_a_bad_key_is_refused(unused_peer):
    configuration = sdk.Configuration(host=unused_peer.url, api_key={"ApiKeyAuth": "planted\nkey"})
    with sdk.ApiClient(configuration) as client, pytest.raises(sdk.ApiValueError, match="line break") as caught:
        sdk.MarginStreamApi(client).sapi_v1_user_data_stream_put()
    assert "planted" not in str(caught.value)


def test_the_plain_generated_client_raises_errors_of_the_same_tree(start_server):
    peer = start_server(answer(400, '{"code": -1125, "msg": "gone"}'))
    plain = api_client.ApiClient(sdk.Configuration(host=peer.url, api_key={"ApiKeyAuth": API_KEY}))
    with plain, pytest.raises(sdk.ListenKeyUnknownError, match="create a new one"):
        sdk.MarginStreamApi(plain).sapi_v1_user_data_stream_put()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_parameters_are_in_the_query_for_every_method(start_server, make_client, method):
    peer = start_server(answer(200, "{}"))
    client = make_client(peer)
    arguments = {"method": method, "resource_path": "/x", "query_params": [("a", "1 &"), ("b", True)]}
    client.call_api(*client.param_serialize(**arguments, auth_settings=["ApiKeyAuth"]))
    assert peer.requests[0].startswith(f"{method} /x?a=1%20%26&b=true HTTP/1.1\r\n".encode())


def test_a_call_without_a_security_scheme_sends_no_key(start_server, make_client):
    peer = start_server(answer(200, "{}"))
    client = make_client(peer)
    client.call_api(*client.param_serialize(method="GET", resource_path="/x", auth_settings=[]))
    assert b"x-mbx-apikey" not in peer.requests[0].lower()
    assert API_KEY.encode() not in peer.requests[0]


def test_a_json_body_is_carried_too(start_server, make_client):
    peer = start_server(answer(200, "{}"))
    client = make_client(peer)
    client.call_api("POST", f"{peer.url}/later", {"X-MBX-APIKEY": API_KEY}, body={"later": [1]})
    assert peer.requests[0].endswith(b'{"later": [1]}')


def test_a_call_may_bring_its_own_headers_and_key(start_server, make_client):
    peer = start_server(answer(200, "{}"))
    auth = {"in": "header", "type": "api_key", "key": "X-MBX-APIKEY", "value": "other-key"}
    headers = {"User-Agent": "desk/1"}
    API_METHODS[1].bind(make_client(peer))(_headers=headers, _request_auth=auth)
    assert b"User-Agent: desk/1\r\n" in peer.requests[0]
    assert b"other-key" in peer.requests[0]
    assert headers == {"User-Agent": "desk/1"}


@pytest.mark.parametrize(
    "host",
    [
        "",
        "api.binance.com",
        "https://x/?y=z",
        "https://x/#y",
        "ftp://api.binance.com",
        "http://",
        "http://[",
        "http://x:y",
        5,
    ],
)
def test_an_invalid_address_is_refused(host):
    endpoints = sdk.Endpoints(rest=host, websocket_api="", stream="", margin_stream="")
    with pytest.raises(sdk.ApiValueError, match=r"like https://api\.binance\.com"):
        sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY), endpoints=endpoints)


def test_the_address_is_given_once():
    with pytest.raises(sdk.ApiTypeError, match="either"):
        sdk.ApiClient(sdk.Configuration(), endpoints=sdk.Endpoints.production())


@pytest.fixture
def log_levels():
    """Restores what the generated debug switch changes in the process."""
    loggers = [logging.getLogger(name) for name in ("binance_margin_stream", "urllib3")]
    levels = [logger.level for logger in loggers]
    yield
    http.client.HTTPConnection.debuglevel = 0
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("log_levels")
def test_the_process_wide_switch_that_prints_requests_prints_no_key(start_server, capfd):
    peer = start_server(answer(200, "{}"))
    configuration = sdk.Configuration(host=peer.url, debug=True)
    assert http.client.HTTPConnection.debuglevel == 1
    with sdk.ApiClient(configuration, auth=sdk.ApiKeyAuth(API_KEY)) as client:
        API_METHODS[1].bind(client)()
    assert capfd.readouterr() == ("", "")


def test_a_retry_setting_without_effect_is_refused():
    with pytest.raises(sdk.ApiValueError, match="RetryPolicy"):
        sdk.ApiClient(sdk.Configuration(retries=3))


def test_an_invalid_proxy_is_refused():
    with pytest.raises(sdk.ApiValueError, match="proxy"):
        sdk.ApiClient(sdk.Configuration(proxy="gopher://127.0.0.1:1"))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", None, True])
def test_an_invalid_timeout_is_refused(value):
    with pytest.raises(sdk.ApiValueError, match="timeout"):
        sdk.Timeout(read=value)


def test_no_planted_value_is_too_short_to_search_for():
    assert all(len(value) > 30 for value in PLANTED_SECRETS)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sdk.ApiClient(auth="PLANTED-key"), "auth must be of type ApiKeyAuth, not str"),
        (lambda: sdk.ApiClient(sdk.ApiKeyAuth("k")), r"not ApiKeyAuth; pass ApiClient\(auth=...\)"),
        (lambda: sdk.ApiClient("https://x"), "configuration must be a Configuration, not str"),
        (lambda: sdk.ApiClient(endpoints="https://x"), "endpoints must be of type Endpoints"),
        (lambda: sdk.ApiClient(timeout=5), "timeout must be of type Timeout"),
        (lambda: sdk.ApiClient(retry=3), "retry must be of type RetryPolicy"),
        (lambda: sdk.MarginStreamApi("x"), "MarginStreamApi takes an ApiClient, not str"),
    ],
)
def test_a_setting_of_the_wrong_type_is_named_at_once(make, says):
    with pytest.raises(sdk.ApiTypeError, match=says) as caught:
        make()
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"max_attempts": "3"},
        {"max_attempts": None},
        {"backoff_initial": "x"},
        {"backoff_initial": float("nan")},
        {"backoff_max": float("inf")},
        {"max_retry_after": -1},
    ],
)
def test_an_invalid_retry_policy_is_refused(settings):
    with pytest.raises(sdk.ApiValueError):
        sdk.RetryPolicy(**settings)


def test_clients_do_not_share_a_configuration(start_server):
    peer = start_server(answer(200, "{}"))
    configuration = sdk.Configuration(host=f"{peer.url}/")
    first = sdk.ApiClient(configuration, auth=sdk.ApiKeyAuth("first-key"))
    second = sdk.ApiClient(configuration, auth=sdk.ApiKeyAuth("second-key"))
    with first, second:
        API_METHODS[1].bind(first)()
        API_METHODS[1].bind(second)()
    assert [b"first-key" in peer.requests[0], b"second-key" in peer.requests[1]] == [True, True]
    assert peer.requests[0].startswith(b"PUT /sapi/v1/userDataStream?")
    assert configuration.api_key == {}


@pytest.mark.parametrize(("host", "index"), [("http://127.0.0.1:1", 0), (None, 5), (None, "x")])
def test_nothing_leads_to_production_by_accident(host, index):
    configuration = sdk.Configuration(host=host)
    configuration.server_index = index
    with pytest.raises(sdk.ApiValueError, match="server_index"):
        sdk.ApiClient(configuration)


def test_the_environments_proxy_is_not_for_loopback(start_server, make_client, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert API_METHODS[1].bind(make_client(start_server(answer(200, "{}"))))() == {}


def test_a_header_of_the_call_replaces_one_of_another_case(start_server, make_client):
    peer = start_server(answer(200, "{}"))
    call = API_METHODS[1].bind(make_client(peer))
    call(_headers={"x-mbx-apikey": "other-key", "user-agent": "desk/1"})
    head = peer.requests[0].lower()
    assert (head.count(b"x-mbx-apikey"), head.count(b"user-agent")) == (1, 1)
    assert b"other-key" in head
    with pytest.raises(sdk.ApiValueError, match="X-MBX-APIKEY header contains a space"):
        call(_headers={"x-mbx-apikey": "other key"})


@pytest.mark.parametrize("module", ["api.risk_stream_api", "api"])
def test_a_generated_class_raises_these_errors_from_wherever_it_is_imported(module):
    code = f"""
from binance_margin_stream.{module} import RiskStreamApi
import binance_margin_stream as sdk
try:
    RiskStreamApi(sdk.ApiClient()).sapi_v1_margin_listen_key_put(listen_key=["PLANTED"])
except sdk.ApiTypeError as error:
    print(error, error.__context__)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "sapi_v1_margin_listen_key_put: listen_key: Input should be a valid string None\n"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sdk.ListenToken.from_json("{}"), "expirationTime is missing and token is missing"),
        (lambda: sdk.ListenToken.from_json("["), "not JSON"),
        (lambda: sdk.ListenToken(token=["PLANTED"], expiration_time=1), "token has the wrong type"),
        (
            lambda: sdk.ListenToken.from_dict({"token": "PLANTED", "expirationTime": "x"}),
            "expirationTime has the wrong",
        ),
        (lambda: sdk.ListenToken.from_dict(["PLANTED"]), "the object has the wrong type"),
    ],
)
def test_a_model_from_invalid_data_says_what_is_wrong(make, says):
    with pytest.raises(sdk.ApiValueError, match=says) as caught:
        make()
    assert "PLANTED" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(("is_isolated", "is_sent"), [("FALSE", True), ("TRUE", False)])
def test_open_orders_need_a_symbol_only_for_an_isolated_account(start_server, make_client, is_isolated, is_sent):
    peer = start_server(answer(200, "[]"))
    call = READ_METHODS[3].bind(make_client(peer, auth=sdk.ApiKeyAuth(API_KEY, API_SECRET)))
    if is_sent:
        assert call(is_isolated=is_isolated) == []
        return
    with pytest.raises(sdk.ApiValueError, match="needs a symbol"):
        call(is_isolated=is_isolated)


@pytest.mark.parametrize("body", ["{}", "[1]", '[{"id": 1}]'])
def test_a_list_that_is_none_is_refused(start_server, make_client, body):
    peer = start_server(answer(200, body))
    with pytest.raises(sdk.ResponseError):
        READ_METHODS[5].bind(make_client(peer, auth=sdk.ApiKeyAuth(API_KEY, API_SECRET)))()
