"""Any bytes as the response of any call give a value or an error of this package, soon, without a secret."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import pytest
from api_methods import API_KEY, API_METHODS, API_SECRET, CALLER_LISTEN_KEY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_server import RawServer

import binance_margin_stream as sdk
import binance_margin_stream.models

ERRORS = st.sampled_from([-1000, -1003, -1015, -1021, -1102, -1121, -1125, -1209, -2014, -2015, -1016, -9, 0, 10**30])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
).map(lambda value: repr(value).replace("'", '"'))
bodies = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(str.encode),
    json_values.map(lambda text: text.encode("utf-8", "replace")),
    st.builds(
        lambda code, msg: f'{{"code": {code}, "msg": "{msg}"}}'.encode("utf-8", "replace"), ERRORS, st.text(max_size=30)
    ),
    st.sampled_from([call.valid_body.encode() for call in API_METHODS]),
    st.sampled_from(
        [b"", b"{}", b"[", b"[" * 50_000, b"<title>x", b"\x1f\x8b\x08\x00rubbish", b'{"listenKey": "\\ud800"}']
    ),
)
header_text = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
WEIGHT = "X-SAPI-USED-IP-WEIGHT-1M"
NAMES = st.sampled_from(["Retry-After", "Date", "Content-Length", "Location", "Content-Type", WEIGHT])
EDGE_CASES = [
    ("Retry-After", ["0", "5", "1e400", "nan", "-0", "Thu, 01 Jan 9999 00:00:00 GMT", "Wed"]),
    ("Date", ["Thu, 01 Jan 2026 00:00:00 -0000", "Thu, 01 Jan 2026 00:00:00 +9999999999", "Sun, 06 Nov 1994 08:49:37"]),
    ("Content-Type", ["application/json", "text/html", "a/b; charset=idna", "a/b;charset=\x00", "; charset=", "x"]),
    ("Content-Encoding", ["gzip", "br", "deflate", "zstd", "identity"]),
    ("Transfer-Encoding", ["chunked", "gzip", "x"]),
    ("Location", ["http://[", "//", "https://elsewhere.invalid/", "\x00"]),
]
edge_case_headers = [st.tuples(st.just(name), st.sampled_from(values)) for name, values in EDGE_CASES]
any_headers = [st.tuples(NAMES | header_text, header_text | st.integers().map(str))]
headers = st.lists(st.one_of(edge_case_headers + any_headers), max_size=5)
statuses = st.integers(100, 599) | st.sampled_from([200, 204, 301, 400, 401, 403, 404, 410, 418, 429, 500, 503, 999])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Generate a response that is almost HTTP."""
    lines = [f"HTTP/1.1 {draw(statuses)} {draw(header_text)}"]
    lines += [f"{name}: {value}" for name, value in draw(headers)]
    body = draw(bodies)
    if draw(st.booleans()):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def peer():
    with RawServer(b"") as peer:
        yield peer


@pytest.fixture(scope="module")
def client(peer):
    auth = sdk.ApiKeyAuth(API_KEY, API_SECRET)
    with sdk.ApiClient(auth=auth, endpoints=peer.endpoints, timeout=sdk.Timeout(2, 2), retry=sdk.NO_RETRIES) as client:
        yield client


@pytest.mark.parametrize("call", API_METHODS, ids=str)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=responses() | st.binary(max_size=200))
def test_only_errors_of_this_package_reach_the_user(peer, client, call, answer):
    peer.responses[:] = [answer]
    started = time.monotonic()
    value, error = catch_error(call.bind(client))
    assert time.monotonic() - started < 5
    assert "\n" not in str(error)
    assert not [
        secret
        for secret in (API_KEY, API_SECRET, CALLER_LISTEN_KEY)
        if secret in "".join(traceback.format_exception(error))
    ]
    assert value is None or isinstance(value, dict) or type(value).__module__.startswith(sdk.models.__name__)


def catch_error(call: Callable[[], object]) -> tuple[object, sdk.OpenApiException | None]:
    try:
        return call(), None
    except sdk.OpenApiException as error:
        return None, error
