"""The exchange handles any request, handshake and frame."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from exchange_harness import ENDPOINTS, SUBSCRIBE, UNSUBSCRIBE, ExchangeHarness
from hypothesis import given, settings
from hypothesis import strategies as st

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.sandbox.api.handshakes import is_websocket_path
from binance_margin_stream.sandbox.config import DAY_MS, HOUR_MS
from binance_margin_stream.sandbox.messages import Accepted, Binary, Frame, Ping, Pong, Request, Response, Text

raw_text = st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]) | st.text(max_size=8)
names = st.sampled_from(["listenKey", "symbol", "isIsolated", "validity", "timestamp", "recvWindow", "signature"])
pairs = st.lists(st.tuples(names, raw_text | st.integers().map(str) | st.just("BTCUSDT")), max_size=5)
queries = raw_text | pairs.map(lambda sent: "&".join(f"{name}={value}" for name, value in sent))
paths = st.sampled_from([path for _, path in ENDPOINTS]) | raw_text
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "method": json_values | st.sampled_from([SUBSCRIBE, UNSUBSCRIBE, "ping", "SUBSCRIBE", "UNSUBSCRIBE"]),
        "params": json_values
        | st.dictionaries(st.sampled_from(["listenToken", "subscriptionId"]), json_values)
        | st.lists(st.text(max_size=8), max_size=3),
    },
)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.text(max_size=60).map(Text),
    json_values.map(json.dumps).map(Text),
    requests.map(json.dumps).map(Text),
    st.binary(max_size=9).map(Binary),
    st.binary(max_size=9).map(Ping),
    st.binary(max_size=9).map(Pong),
)
few = settings(max_examples=150, deadline=None)


@few
@given(
    method=methods, path=paths, query=queries, body=queries, extra=st.lists(st.tuples(raw_text, raw_text), max_size=3)
)
def test_any_request_has_a_response(
    method: str, path: str, query: str, body: str, extra: list[tuple[str, str]]
) -> None:
    harness = ExchangeHarness()
    headers = (("X-MBX-APIKEY", harness.user.api_key), *extra)
    request = Request(method, f"{path}?{query}", headers, body.encode("utf-8", "surrogateescape"))
    answer = harness.exchange.handle_rest(request, harness.now)
    assert answer.status in (200, 400, 401, 404, 405, 413, 415)
    if dict(answer.headers).get("Content-Type", "").startswith("application/json"):
        json.loads(answer.body)


@few
@given(target=raw_text | st.builds("{}{}".format, st.sampled_from(["/ws/", "/stream?streams=", "/stream?"]), raw_text))
def test_every_handshake_is_handled(target: str) -> None:
    is_websocket_path(target)
    assert isinstance(ExchangeHarness().connect(target), Accepted | Response)


@few
@given(
    target=st.sampled_from(["/ws-api/v3", "/ws", "/stream"]),
    sent=st.lists(st.tuples(frames, st.integers(0, 30_000)), max_size=12),
)
def test_every_frame_is_handled(target: str, sent: list[tuple[Frame, int]]) -> None:
    harness = ExchangeHarness(ExchangeRules(retired_endpoints="served"))
    connection = harness.open_connection(target)
    for frame, pause in sent:
        harness.exchange.receive(connection, frame, harness.now)
        harness.now += pause
    harness.take_texts(connection)
    harness.exchange.on_disconnected(connection, harness.now)
    assert harness.exchange.metrics().connections_open == 0


def test_a_jump_with_too_much_work_is_refused() -> None:
    rules = ExchangeRules(hourly_interest_rate=Decimal("0.00001"))
    harness = ExchangeHarness(rules)
    year_ms = 365 * DAY_MS
    harness.exchange.check_jump(harness.now, harness.now + 100 * year_ms)
    harness.exchange.trading.borrow(harness.user.uid, "cross", "BTC", 1, harness.now)
    with pytest.raises(ValueError, match=r"876000 interest charges are due .* advance in shorter steps"):
        harness.exchange.check_jump(harness.now, harness.now + 100 * year_ms)
    harness.exchange.check_jump(harness.now, harness.now + year_ms)
    harness.exchange.start_random_faults(1, 0.001, harness.now)
    with pytest.raises(ValueError, match="about 3600000 random faults"):
        harness.exchange.check_jump(harness.now, harness.now + HOUR_MS)
    harness.exchange.stop_random_faults()
    harness.exchange.check_jump(harness.now, harness.now + HOUR_MS)
    with pytest.raises(ValueError, match="ends with the year 9999"):
        harness.exchange.check_jump(harness.now, harness.now + 10_000 * year_ms)
