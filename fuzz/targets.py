"""The three ways on which bytes from the network come in. Each takes bytes, and raises where something is wrong.

`frames`: one WebSocket frame, decoded. `rest`: the bytes of one HTTP answer, through the whole client. `answers`: a
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
from binance_margin_stream.stream.async_stream import build_config
from binance_margin_stream.stream.events.decoder import EventFrame, ResponseFrame, decode
from binance_margin_stream.stream.events.models import MalformedFrameError
from binance_margin_stream.stream.io import engine as engines
from binance_margin_stream.stream.io.engine import Engine
from binance_margin_stream.stream.io.rest_calls import CredentialGranted
from binance_margin_stream.stream.protocol.actions import (
    CloseConnection,
    Failure,
    FailureKind,
    OpenConnection,
    RestRequest,
    SendText,
    StatusChange,
    Terminate,
)
from binance_margin_stream.stream.settings import StreamSettings

API_KEY = "PLANTED-API-KEY-" + "k" * 48
API_SECRET = "PLANTED-API-SECRET-" + "s" * 45
ARGUMENT = "PLANTED-LISTEN-KEY+/of-the-caller=="
SECRETS = (API_KEY, API_SECRET, ARGUMENT, corpus.KEY, corpus.TOKEN)
LONGEST = 2.0
"""Seconds of CPU that one input may take."""

logging.disable(logging.CRITICAL)  # what is logged is searched elsewhere; here it only costs time


def check(condition: object, what: str) -> None:
    """Raise `AssertionError`; unlike ``assert``, under ``-O`` too."""
    if not condition:
        raise AssertionError(what)


def shows_no_secret(text: str) -> None:
    """Raise if a planted secret is in a text that a user may see."""
    check(not any(secret in text for secret in SECRETS), "a secret is shown")


ACCOUNTS = {0: CROSS, 1: isolated("BTCUSDT"), corpus.KEY: CROSS, None: CROSS}


def frames(data: bytes) -> str:
    """Decode one frame: a frame or `MalformedFrameError`, and what comes out can be shown, stored and compared."""
    try:
        found = decode(data, ACCOUNTS)
    except MalformedFrameError as error:
        shows_no_secret(str(error))
        return "malformed"
    if isinstance(found, ResponseFrame):
        repr(found), found.ok, found.subscription_id, found.expiration_time
        return "answer" if found.ok else "refusal"
    check(isinstance(found, EventFrame), "neither an event nor an answer")
    event = found.event
    hash(event), repr(found), event.to_json(), event.identity, hash(event.identity)
    return type(event).__name__


class _Canned(transport._HTTPConnection):
    """A connection whose other side has said all that it will say."""

    answer = b""
    there: socket.socket | None = None

    def connect(self) -> None:
        """Connect to a socket on which the answer waits; the one before is not needed any more."""
        if _Canned.there is not None:
            _Canned.there.close()
        self.sock, _Canned.there = socket.socketpair()
        self.sock.settimeout(self.timeout)
        _Canned.there.sendall(self.answer)
        _Canned.there.shutdown(socket.SHUT_WR)


class _Pool(transport._HTTPPool):
    ConnectionCls = _Canned


def _client() -> sdk.ApiClient:
    nowhere = sdk.Endpoints(rest="http://127.0.0.1:1", websocket_api="", stream="", margin_stream="")
    auth, timeout = sdk.ApiKeyAuth(API_KEY, API_SECRET), sdk.Timeout(LONGEST, LONGEST)
    client = sdk.ApiClient(auth=auth, endpoints=nowhere, timeout=timeout, retry=sdk.NO_RETRIES)
    client.rest_client.pool_manager.pool_classes_by_scheme = {"http": _Pool}
    return client


def _calls(client: sdk.ApiClient) -> list[Callable[[], object]]:
    key, pair = {"listen_key": ARGUMENT}, {"symbol": "BTCUSDT"}
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


CLIENT = _client()
CALLS = _calls(CLIENT)


def rest(data: bytes) -> str:
    """Make the call that the first byte chooses, and let the other bytes be the answer to it."""
    _Canned.answer = data[1 : 1 << 16]
    try:
        value = CALLS[data[0] % len(CALLS) if data else 0]()
    except sdk.OpenApiException as error:
        text = str(error)
        check(text and "\n" not in text, "an error that is not one line")
        shows_no_secret(text + repr(error))
        return type(error).__name__
    if not isinstance(value, dict):
        shows_no_secret(repr(value))
    return type(value).__name__


RULES = StreamSettings(
    buffer_size=40, max_held_events=30, max_unrouted_events=20, subscriptions_per_connection=200, rest_rate=1000.0
)
NOW = [1000.0]
engines.monotonic = lambda: NOW[0]
engines.to_epoch_ms = lambda at: 1_700_000_000_000 + round(at * 1000)


engines.random = SimpleNamespace(SystemRandom=lambda: random.Random(1))  # so that a story plays the same again


class _Calls:
    """No calls: the story answers them."""

    pending_count = 0

    def close(self) -> None:
        """Nothing to end."""


class _Wired(Engine):
    """An engine whose connections and calls are lists; the story says what comes of them."""

    def __init__(self) -> None:
        endpoints = sdk.Endpoints(rest="http://x", websocket_api="ws://x", stream="ws://x", margin_stream="ws://x")
        settings = build_config(
            sdk.ApiKeyAuth(API_KEY), (CROSS, isolated("BTCUSDT")), endpoints=endpoints, source="auto", risk=True,
            on_change=None, settings=RULES, timeout=transport.Timeout(), configuration=None, tls=None, close_listen_keys=False,
        )  # fmt: skip
        super().__init__(replace(settings, make_rest_caller=_Calls))
        self.requests: list[RestRequest] = []
        self.opening: list[int] = []
        self.live: list[int] = []
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self.named = 0
        self._lifecycle.start(NOW[0])
        self._run_actions()

    def _execute(self, action: Any) -> None:
        match action:
            case OpenConnection(connection_id=number):
                self._connections[number] = action
                self._accounts_by_connection[number] = self._lifecycle.accounts_by_subscription(number)
                self.opening.append(number)
            case CloseConnection(connection_id=number):
                self._remove_connection(number)
                self.gone(number)
            case RestRequest():
                self.requests.append(action)
            case SendText(connection_id=number, text=text):
                self.asked.append((number, json.loads(text)))
            case Terminate(failure=failure):
                self._failure = failure
            case StatusChange():
                shows_no_secret(action.detail)

    def _on_internal_error(self, error: Exception) -> None:
        raise error

    def gone(self, number: int) -> None:
        """Forget a connection that was closed, by whichever side."""
        for numbers in (self.opening, self.live):
            if number in numbers:
                numbers.remove(number)

    def go_on(self) -> None:
        """Let what was asked for succeed."""
        while (self.opening or self.requests or self.asked) and not self.is_over:
            self.open_next()
            self.grant_next()
            self.answer_next()

    def pass_time(self, seconds: float) -> None:
        NOW[0] += seconds
        self._on_timer()

    def answer_next(self) -> None:
        """Answer a question on a connection as the exchange would."""
        if not self.asked:
            return
        number, question = self.asked.pop(0)
        result: Any = None
        if question["method"] == "session.subscriptions":
            result = [{"subscriptionId": each} for each in range(self.named)]
        elif question["method"].startswith("userDataStream.subscribe"):
            result, self.named = {"subscriptionId": self.named}, self.named + 1
        if number in self.live:
            self.on_text(number, json.dumps({"id": question["id"], "status": 200, "result": result}).encode())

    def open_next(self) -> None:
        if self.opening:
            number = self.opening.pop(0)
            self.live.append(number)
            self.on_open(number)

    def grant_next(self) -> None:
        if self.requests:
            request = self.requests.pop(0)
            extended = request.call.operation.endswith("_put")
            secret = corpus.TOKEN if "token" in request.call.operation else corpus.KEY
            self._on_rest_result(request, CredentialGranted() if extended else CredentialGranted(secret))

    def refuse_next(self) -> None:
        if self.requests:
            self._on_rest_result(self.requests.pop(0), Failure(FailureKind.SERVER_ERROR, "refused"))

    def lose(self) -> None:
        number = self.live.pop()
        self.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, "lost"))

    def take_all(self) -> None:
        while self.next_item_nowait() is not None:
            pass

    def look(self) -> None:
        """Every table is within its bounds."""
        life, links = self._lifecycle, self._lifecycle._connections.list_all()
        check(len(life._buffer) <= RULES.buffer_size + 3, "the buffer grows")
        check(len(links) < 20, "connections grow")
        check(len(life._context.timers) < 20 + 10 * len(links), "timers grow")
        for link in links:
            check(link.unrouted_count == sum(map(len, link.unrouted_events.values())), "early events are miscounted")
            check(
                link.unrouted_count <= RULES.max_unrouted_events
                and len(link.terminated_ids) <= RULES.max_unrouted_events,
                "what is early grows",
            )
            check(len(link.pending_requests) < 400, "questions grow")
            check(len(link.subscriptions_by_id) <= RULES.subscriptions_per_connection + 10, "routes grow")
            check(len(link.queued_requests) <= len(link.subscriptions_by_id) + 50, "the outbox grows")
        for feed in life._coordinator.feeds:
            for subscription in filter(None, (feed.active, feed.successor)):
                check(len(subscription.held_events) <= RULES.max_held_events + 1, "what is held grows")


def answers(data: bytes) -> str:
    """Play a story, a line for each thing that happens; `f` is a frame, `t9` nine seconds, and so on."""
    NOW[0] = 1000.0
    engine = _Wired()
    for _ in range(8):
        engine.go_on()
        engine.pass_time(0.3)
    for line in data.split(b"\n"):
        if engine.is_over:
            break
        _happen(engine, line)
        engine.look()
    engine.take_all()
    return engine.state.value if engine._failure is None else engine._failure.kind.value


def _happen(engine: _Wired, line: bytes) -> None:
    kind, rest = line[:1], line[1:]
    if kind == b"t":
        engine.pass_time(float(rest) if rest.isdigit() and len(rest) < 6 else 0.5)
        engine.go_on()
    elif kind in _STEPS:
        _STEPS[kind](engine)
    elif engine.live:
        number = engine.live[-1]
        if kind == b"f":
            engine.on_text(number, rest)
        elif kind in _SIGNS:
            _SIGNS[kind](engine, number)


_STEPS: dict[bytes, Callable[[_Wired], None]] = {
    b"i": _Wired.open_next,
    b"r": _Wired.grant_next,
    b"a": _Wired.answer_next,
    b"R": _Wired.refuse_next,
    b"k": _Wired.take_all,
    b"o": lambda engine: engine.live.insert(0, engine.live.pop()) if engine.live else None,
}
_SIGNS: dict[bytes, Callable[[_Wired, int], None]] = {
    b"c": lambda engine, _: engine.lose(),
    b"b": Engine.on_binary,
    b"p": Engine.on_ping,
    b"g": Engine.on_pong,
}

TARGETS: dict[str, Callable[[bytes], str]] = {"frames": frames, "rest": rest, "answers": answers}
MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "frames": corpus.frame,
    "rest": corpus.rest_answer,
    "answers": corpus.story,
}


def timed(name: str, data: bytes) -> tuple[str, float]:
    """What came of one input, and the seconds of CPU that it took."""
    started = time.process_time()
    outcome = TARGETS[name](data)
    took = time.process_time() - started
    check(took < LONGEST, f"one input took {took:.1f} s")
    return outcome, took
