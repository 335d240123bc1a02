"""The three ways on which bytes from the network come in. Each takes bytes, and raises where something is wrong.

`frames`: one WebSocket frame, decoded. `rest`: the bytes of one HTTP answer, through the whole client. `engine`: a
story of frames, losses and time, through a stream's engine, with a look at all its tables after every line.
"""

from __future__ import annotations

import json
import logging
import random
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import corpus

import binance_margin_stream as sdk
from binance_margin_stream.http import transport
from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, decode
from binance_margin_stream.stream.events.models import MalformedFrameError
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.io import engine as engines
from binance_margin_stream.stream.io.engine import Engine
from binance_margin_stream.stream.io.rest_calls import CredentialGranted
from binance_margin_stream.stream.options import StreamOptions, build_config
from binance_margin_stream.stream.protocol.actions import (
    CloseConnection,
    OpenConnection,
    RestRequest,
    SendText,
    Terminate,
)
from binance_margin_stream.stream.settings import StreamSettings, get_limits, with_limits
from binance_margin_stream.stream.sources import CallKind, CredentialKind
from binance_margin_stream.stream.state import StatusChange

API_KEY = "PLANTED-API-KEY-" + "k" * 48
API_SECRET = "PLANTED-API-SECRET-" + "s" * 45
GIVEN_KEY = "PLANTED-LISTEN-KEY+/of-the-caller=="
SECRETS = (API_KEY, API_SECRET, GIVEN_KEY, corpus.LISTEN_KEY, corpus.LISTEN_TOKEN)
MAX_CPU_SECONDS = 2.0
"""Seconds of CPU that one input may take."""

logging.disable(logging.CRITICAL)  # what is logged is searched elsewhere; here it only costs time


def check(condition: object, what: str) -> None:
    """Raise `AssertionError`; unlike ``assert``, under ``-O`` too."""
    if not condition:
        raise AssertionError(what)


def check_no_secret(text: str) -> None:
    """Raise if a planted secret is in a text that a user may see."""
    check(not any(secret in text for secret in SECRETS), "a secret is shown")


ACCOUNTS = {0: CROSS, 1: isolated("BTCUSDT"), corpus.LISTEN_KEY: CROSS, None: CROSS}


def fuzz_frame(data: bytes) -> str:
    """Decode one frame: a frame or `MalformedFrameError`, and what comes out can be shown, stored and compared."""
    try:
        found = decode(data, ACCOUNTS)
    except MalformedFrameError as error:
        check_no_secret(str(error))
        return "malformed"
    if isinstance(found, ResponseFrame):
        repr(found), found.ok, found.subscription_id, found.expiration_time
        return "answer" if found.ok else "refusal"
    check(isinstance(found, EventFrame), "neither an event nor an answer")
    event = found.event
    hash(event), repr(found), event.to_json(), event.identity, hash(event.identity)
    return type(event).__name__


class _CannedConnection(transport._HTTPConnection):
    """A connection whose other side has said all that it will say."""

    response = b""
    peer_socket: socket.socket | None = None

    def connect(self) -> None:
        """Connect to a socket on which the answer waits; the one before is not needed any more."""
        if _CannedConnection.peer_socket is not None:
            _CannedConnection.peer_socket.close()
        self.sock, _CannedConnection.peer_socket = socket.socketpair()
        self.sock.settimeout(self.timeout)
        _CannedConnection.peer_socket.sendall(self.response)
        _CannedConnection.peer_socket.shutdown(socket.SHUT_WR)


class _CannedPool(transport._HTTPPool):
    ConnectionCls = _CannedConnection


def _make_client() -> sdk.ApiClient:
    nowhere = sdk.Endpoints(rest="http://127.0.0.1:1", websocket_api="", stream="", margin_stream="")
    auth, timeout = sdk.ApiKeyAuth(API_KEY, API_SECRET), sdk.Timeout(MAX_CPU_SECONDS, MAX_CPU_SECONDS)
    client = sdk.ApiClient(auth=auth, endpoints=nowhere, timeout=timeout, retry=sdk.NO_RETRIES)
    client.rest_client.pool_manager.pool_classes_by_scheme = {"http": _CannedPool}
    return client


def _make_calls(client: sdk.ApiClient) -> list[Callable[[], object]]:
    key, pair = {"listen_key": GIVEN_KEY}, {"symbol": "BTCUSDT"}
    operations = [
        *((sdk.MarginStreamApi, "sapi_v1_user_data_stream", verb, {}) for verb in ("post", "put", "delete")),
        *((sdk.IsolatedMarginStreamApi, "sapi_v1_user_data_stream_isolated", verb, pair) for verb in ("post", "put")),
        (sdk.ListenTokenApi, "sapi_v1_user_listen_token", "post", {}),
        *((sdk.MarginListenKeyApi, "sapi_v2_margin_listen_key", verb, {}) for verb in ("post", "put")),
        *((sdk.RiskStreamApi, "sapi_v1_margin_listen_key", verb, {}) for verb in ("post", "put")),
    ]
    calls = []
    for api, name, verb, arguments in operations:
        given = arguments if verb == "post" else arguments | key
        method = getattr(api(client), f"{name}_{verb}")
        calls.append(lambda method=method, given=given: method(**given))
    return calls


CLIENT = _make_client()
REST_CALLS = _make_calls(CLIENT)


def fuzz_rest(data: bytes) -> str:
    """Make the call that the first byte chooses, and let the other bytes be the answer to it."""
    _CannedConnection.response = data[1 : 1 << 16]
    try:
        value = REST_CALLS[data[0] % len(REST_CALLS) if data else 0]()
    except sdk.OpenApiException as error:
        text = str(error)
        check(text and "\n" not in text, "an error that is not one line")
        check_no_secret(text + repr(error))
        return type(error).__name__
    if not isinstance(value, dict):
        check_no_secret(repr(value))
    return type(value).__name__


SETTINGS = with_limits(
    StreamSettings(buffer_size=40, rest_rate=1000.0),
    max_held_events=30,
    max_unrouted_events=20,
    subscriptions_per_connection=200,
)
LIMITS = get_limits(SETTINGS)
NOW = [1000.0]
engines.monotonic = lambda: NOW[0]
engines.to_epoch_ms = lambda at: 1_700_000_000_000 + round(at * 1000)


engines.random = SimpleNamespace(SystemRandom=lambda: random.Random(1))  # so that a story plays the same again


class _FakeRestCaller:
    """No calls: the story answers them."""

    pending_count = 0

    def close(self) -> None:
        """Nothing to end."""


class _FakeEngine(Engine):
    """An engine whose connections and calls are lists; the story says what comes of them."""

    def __init__(self) -> None:
        endpoints = sdk.Endpoints(rest="http://x", websocket_api="ws://x", stream="ws://x", margin_stream="ws://x")
        auth, accounts = sdk.ApiKeyAuth(API_KEY), (CROSS, isolated("BTCUSDT"))
        options = StreamOptions(auth=auth, accounts=accounts, endpoints=endpoints, risk=True, settings=SETTINGS)
        super().__init__(replace(build_config(options), make_rest_caller=_FakeRestCaller))
        self.requests: list[RestRequest] = []
        self.connecting: list[int] = []
        self.open_connections: list[int] = []
        self.sent_requests: list[tuple[int, dict[str, Any]]] = []
        self.next_subscription_id = 0
        self._lifecycle.start(NOW[0])
        self._run_actions()

    def _execute(self, action: Any) -> None:
        match action:
            case OpenConnection(connection_id=number):
                self._connections[number] = action
                self._accounts_by_connection[number] = self._lifecycle.accounts_by_subscription(number)
                self.connecting.append(number)
            case CloseConnection(connection_id=number):
                self._remove_connection(number)
                self.forget_connection(number)
            case RestRequest():
                self.requests.append(action)
            case SendText(connection_id=number, text=text):
                self.sent_requests.append((number, json.loads(text)))
            case Terminate(failure=failure):
                self._failure = failure
            case StatusChange():
                check_no_secret(action.detail)

    def _on_internal_error(self, error: Exception) -> None:
        raise error

    def forget_connection(self, number: int) -> None:
        """Forget a connection that was closed, by whichever side."""
        for numbers in (self.connecting, self.open_connections):
            if number in numbers:
                numbers.remove(number)

    def complete_pending(self) -> None:
        """Let what was asked for succeed."""
        while (self.connecting or self.requests or self.sent_requests) and not self.is_over:
            self.open_next_connection()
            self.complete_next_call()
            self.respond_next()

    def advance_time(self, seconds: float) -> None:
        NOW[0] += seconds
        self._on_timer()

    def respond_next(self) -> None:
        """Answer a question on a connection as the exchange would."""
        if not self.sent_requests:
            return
        number, request = self.sent_requests.pop(0)
        result: Any = None
        if request["method"] == "session.subscriptions":
            result = [{"subscriptionId": each} for each in range(self.next_subscription_id)]
        elif request["method"].startswith("userDataStream.subscribe"):
            result, self.next_subscription_id = (
                {"subscriptionId": self.next_subscription_id},
                self.next_subscription_id + 1,
            )
        if number in self.open_connections:
            self.on_text(number, json.dumps({"id": request["id"], "status": 200, "result": result}).encode())

    def open_next_connection(self) -> None:
        if self.connecting:
            number = self.connecting.pop(0)
            self.open_connections.append(number)
            self.on_open(number)

    def complete_next_call(self) -> None:
        if self.requests:
            request = self.requests.pop(0)
            extended = request.call.kind is CallKind.KEEPALIVE
            is_token = request.source.credential_kind is CredentialKind.LISTEN_TOKEN
            secret = corpus.LISTEN_TOKEN if is_token else corpus.LISTEN_KEY
            self._on_rest_result(request, CredentialGranted() if extended else CredentialGranted(secret))

    def fail_next_call(self) -> None:
        if self.requests:
            self._on_rest_result(self.requests.pop(0), Failure(FailureKind.SERVER_ERROR, "refused"))

    def lose_connection(self) -> None:
        number = self.open_connections.pop()
        self.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, "lost"))

    def drain(self) -> None:
        while self.next_item_nowait() is not None:
            pass

    def check_bounds(self) -> None:
        """Every table is within its bounds."""
        lifecycle, links = self._lifecycle, self._lifecycle.connections.list_all()
        check(len(lifecycle.buffer) <= SETTINGS.buffer_size + 3, "the buffer grows")
        check(len(links) < 20, "connections grow")
        check(len(lifecycle.context.timers) < 20 + 10 * len(links), "timers grow")
        for link in links:
            check(link.unrouted_count == sum(map(len, link.unrouted_events.values())), "early events are miscounted")
            check(
                link.unrouted_count <= LIMITS.max_unrouted_events
                and len(link.terminated_ids) <= LIMITS.max_unrouted_events,
                "what is early grows",
            )
            check(len(link.pending_requests) < 400, "questions grow")
            check(len(link.subscriptions_by_id) <= LIMITS.subscriptions_per_connection + 10, "routes grow")
            check(len(link.queued_requests) <= len(link.subscriptions_by_id) + 50, "the outbox grows")
        for feed in lifecycle.coordinator.feeds:
            for subscription in filter(None, (feed.active, feed.successor)):
                check(len(subscription.held_events) <= LIMITS.max_held_events + 1, "what is held grows")


def fuzz_engine(data: bytes) -> str:
    """Play a story, a line for each thing that happens; `f` is a frame, `t9` nine seconds, and so on."""
    NOW[0] = 1000.0
    engine = _FakeEngine()
    for _ in range(8):
        engine.complete_pending()
        engine.advance_time(0.3)
    for line in data.split(b"\n"):
        if engine.is_over:
            break
        _run_step(engine, line)
        engine.check_bounds()
    engine.drain()
    return engine.state.value if engine._failure is None else engine._failure.kind.value


def _run_step(engine: _FakeEngine, line: bytes) -> None:
    kind, rest = line[:1], line[1:]
    if kind == b"t":
        engine.advance_time(float(rest) if rest.isdigit() and len(rest) < 6 else 0.5)
        engine.complete_pending()
    elif kind in _STEPS:
        _STEPS[kind](engine)
    elif engine.open_connections:
        number = engine.open_connections[-1]
        if kind == b"f":
            engine.on_text(number, rest)
        elif kind in _CONNECTION_STEPS:
            _CONNECTION_STEPS[kind](engine, number)


_STEPS: dict[bytes, Callable[[_FakeEngine], None]] = {
    b"i": _FakeEngine.open_next_connection,
    b"r": _FakeEngine.complete_next_call,
    b"a": _FakeEngine.respond_next,
    b"R": _FakeEngine.fail_next_call,
    b"k": _FakeEngine.drain,
    b"o": lambda engine: (
        engine.open_connections.insert(0, engine.open_connections.pop()) if engine.open_connections else None
    ),
}
_CONNECTION_STEPS: dict[bytes, Callable[[_FakeEngine, int], None]] = {
    b"c": lambda engine, _: engine.lose_connection(),
    b"b": Engine.on_binary,
    b"p": Engine.on_ping,
    b"g": Engine.on_pong,
}

TARGETS: dict[str, Callable[[bytes], str]] = {"frames": fuzz_frame, "rest": fuzz_rest, "engine": fuzz_engine}
GENERATORS: dict[str, Callable[[random.Random], bytes]] = {
    "frames": corpus.make_frame,
    "rest": corpus.make_rest_response,
    "engine": corpus.make_scenario,
}


def run_timed(name: str, data: bytes) -> tuple[str, float]:
    """What came of one input, and the seconds of CPU that it took."""
    started = time.process_time()
    outcome = TARGETS[name](data)
    seconds = time.process_time() - started
    check(seconds < MAX_CPU_SECONDS, f"one input took {seconds:.1f} s")
    return outcome, seconds
