"""Every generated call is accepted by a mock server that another project makes from the spec."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_methods import API_KEY, API_METHODS, API_SECRET, READ_METHODS, ApiMethod

import binance_margin_stream as sdk

SERVER = Path(__file__).parents[1] / "support" / "openapi_mock.py"


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    command = [sys.executable, "-W", "ignore", str(SERVER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.kill()


@pytest.mark.parametrize("secret", [None, API_SECRET], ids=["key alone", "secret"])
@pytest.mark.parametrize("call", API_METHODS, ids=str)
def test_a_mock_server_made_from_the_spec_accepts_the_call(mock_url, call: ApiMethod, secret):
    endpoints = sdk.Endpoints(rest=mock_url, websocket_api="", stream="", margin_stream="")
    auth = sdk.ApiKeyAuth(API_KEY, secret)
    with sdk.ApiClient(auth=auth, endpoints=endpoints, retry=sdk.NO_RETRIES) as client:
        method = getattr(getattr(sdk, call.api_class)(client), f"{call.name}_with_http_info")
        assert method(**call.arguments).status_code == 200


@pytest.mark.parametrize("call", READ_METHODS, ids=str)
def test_a_mock_server_made_from_the_spec_accepts_a_signed_call(mock_url, call: ApiMethod):
    endpoints = sdk.Endpoints(rest=mock_url, websocket_api="", stream="", margin_stream="")
    with sdk.ApiClient(auth=sdk.ApiKeyAuth(API_KEY, API_SECRET), endpoints=endpoints, retry=sdk.NO_RETRIES) as client:
        method = getattr(getattr(sdk, call.api_class)(client), f"{call.name}_with_http_info")
        assert method(**call.arguments).status_code == 200


@pytest.mark.parametrize(
    ("query", "headers", "body", "status"),
    [
        ("", {"X-MBX-APIKEY": "k"}, b"listenKey=abc", 400),
        ("", {"X-MBX-APIKEY": "k"}, None, 400),
        ("?listenKey=abc&other=1", {"X-MBX-APIKEY": "k"}, None, 400),
        ("?listenKey=abc", {}, None, 401),
    ],
    ids=["parameters in the body", "missing parameter", "unknown parameter", "no key"],
)
def test_the_mock_server_refuses_what_the_spec_does_not_declare(mock_url, query, headers, body, status):
    url = f"{mock_url}/sapi/v2/margin/listen-key{query}"
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
    with caught.value:
        assert caught.value.code == status
