"""A stream without I/O: the dispatcher and the state machine, driven by a scenario with one step per line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import corpus
from checks import check, check_no_secret

from binance_margin_stream.stream.accounts import CROSS, isolated
from binance_margin_stream.stream.events.models import AccountEvent
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.io.dispatcher import Dispatcher
from binance_margin_stream.stream.io.rest_calls import CredentialGranted, RestResult
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    OpenConnection,
    RestRequest,
    SendText,
    Terminate,
)
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings, get_limits, with_limits
from binance_margin_stream.stream.sources import AUTO_SOURCES, RISK_LISTEN_KEY, CallKind, CredentialKind
from binance_margin_stream.stream.state import State, StatusChange

SETTINGS = with_limits(
    StreamSettings(buffer_size=40, rest_rate=1000.0),
    max_held_events=30,
    max_unrouted_events=20,
    subscriptions_per_connection=200,
)
LIMITS = get_limits(SETTINGS)
FEEDS = (
    (CROSS, AUTO_SOURCES),
    (isolated("BTCUSDT"), AUTO_SOURCES),
    (CROSS, (RISK_LISTEN_KEY,)),
)
START = 1000.0


class FuzzedStream:
    """A stream whose connections and calls are lists. The steps of a scenario decide how each of them ends."""

    def __init__(self) -> None:
        self.now = START
        self.failure: Failure | None = None
        self.requests: list[RestRequest] = []
        self.connecting: list[int] = []
        self.open_connections: list[int] = []
        self.sent_requests: list[tuple[int, dict[str, Any]]] = []
        self.next_subscription_id = 0
        self.lifecycle: Lifecycle[AccountEvent] = Lifecycle(
            FEEDS,
            settings=SETTINGS,
            jitter=random.Random(1).uniform,
            to_epoch_ms=lambda at: 1_700_000_000_000 + round(at * 1000),
        )
        self.dispatcher = Dispatcher(self.lifecycle)
        self.lifecycle.start(self.now)
        self.run_actions()

    @property
    def is_over(self) -> bool:
        return self.lifecycle.state in (State.CLOSED, State.FAILED)

    def run_actions(self) -> None:
        while self.lifecycle.actions:
            for action in self.lifecycle.pop_actions():
                self.execute(action)

    def execute(self, action: Action) -> None:
        match action:
            case OpenConnection(connection_id=number):
                self.connecting.append(number)
            case CloseConnection(connection_id=number):
                self.remove_connection(number)
            case RestRequest():
                self.requests.append(action)
            case SendText(connection_id=number, text=text):
                self.sent_requests.append((number, json.loads(text)))
            case Terminate(failure=failure):
                self.failure = failure
            case StatusChange():
                check_no_secret(action.detail)

    def remove_connection(self, number: int) -> None:
        """Forget a connection that was closed by either side."""
        for numbers in (self.connecting, self.open_connections):
            if number in numbers:
                numbers.remove(number)

    def complete_pending(self) -> None:
        """Let every pending connection, call and request succeed."""
        while (self.connecting or self.requests or self.sent_requests) and not self.is_over:
            self.open_next_connection()
            self.complete_next_call()
            self.respond_next()

    def advance_time(self, seconds: float) -> None:
        self.now += seconds
        self.lifecycle.on_timer(self.now)
        self.run_actions()

    def respond_next(self) -> None:
        """Respond to the next request on a connection as the exchange would."""
        if not self.sent_requests:
            return
        number, request = self.sent_requests.pop(0)
        result: Any = None
        if request["method"] == "session.subscriptions":
            result = [{"subscriptionId": each} for each in range(self.next_subscription_id)]
        elif request["method"].startswith("userDataStream.subscribe"):
            result = {"subscriptionId": self.next_subscription_id}
            self.next_subscription_id += 1
        if number in self.open_connections:
            self.on_text(number, json.dumps({"id": request["id"], "status": 200, "result": result}).encode())

    def open_next_connection(self) -> None:
        if self.connecting:
            number = self.connecting.pop(0)
            self.open_connections.append(number)
            self.lifecycle.on_open(number, self.now)
            self.run_actions()

    def rotate_connections(self) -> None:
        """Make another connection the one that the next steps use."""
        if self.open_connections:
            self.open_connections.insert(0, self.open_connections.pop())

    def complete_next_call(self) -> None:
        if self.requests:
            request = self.requests.pop(0)
            is_token = request.source.credential_kind is CredentialKind.LISTEN_TOKEN
            secret = corpus.LISTEN_TOKEN if is_token else corpus.LISTEN_KEY
            is_new = request.call.kind is CallKind.CREATE
            self.end_call(request, CredentialGranted(secret) if is_new else CredentialGranted())

    def fail_next_call(self) -> None:
        if self.requests:
            self.end_call(self.requests.pop(0), Failure(FailureKind.SERVER_ERROR, "refused"))

    def end_call(self, request: RestRequest, result: RestResult) -> None:
        self.dispatcher.on_rest_result(request, result, self.now)
        self.run_actions()

    def on_text(self, number: int, data: bytes) -> None:
        self.dispatcher.on_text(number, data, self.lifecycle.accounts_by_subscription(number), self.now)
        self.run_actions()

    def on_binary(self, number: int) -> None:
        self.dispatcher.on_binary(number, self.now)
        self.run_actions()

    def on_ping(self, number: int) -> None:
        self.lifecycle.on_ping(number, self.now)

    def on_pong(self, number: int) -> None:
        self.lifecycle.on_pong(number, self.now)
        self.run_actions()

    def lose_connection(self, number: int) -> None:
        self.remove_connection(number)
        self.lifecycle.on_close(number, Failure(FailureKind.TRANSPORT_ERROR, "lost"), self.now)
        self.run_actions()

    def drain(self) -> None:
        while self.lifecycle.next_item() is not None:
            pass

    def check_bounds(self) -> None:
        """Every table is within its bound."""
        lifecycle, connections = self.lifecycle, self.lifecycle.connections.list_all()
        check(len(lifecycle.buffer) <= SETTINGS.buffer_size + len(FEEDS), "the buffer grows")
        check(len(connections) < 20, "connections grow")
        check(len(lifecycle.context.timers) < 20 + 10 * len(connections), "timers grow")
        for each in connections:
            unrouted = sum(map(len, each.unrouted_events.values()))
            check(each.unrouted_count == unrouted, "unrouted events are miscounted")
            check(each.unrouted_count <= LIMITS.max_unrouted_events, "unrouted events grow")
            check(len(each.terminated_ids) <= LIMITS.max_unrouted_events, "terminated ids grow")
            check(len(each.pending_requests) < 400, "requests grow")
            check(len(each.subscriptions_by_id) <= LIMITS.subscriptions_per_connection + 10, "subscriptions grow")
            check(len(each.queued_requests) <= len(each.subscriptions_by_id) + 50, "the request queue grows")
        for feed in lifecycle.coordinator.feeds:
            for subscription in filter(None, (feed.active, feed.successor)):
                check(len(subscription.held_events) <= LIMITS.max_held_events + 1, "held events grow")


def fuzz_stream(data: bytes) -> str:
    """Run a scenario: `f` and a frame, `t9` for nine seconds, and the steps below. Returns how the stream ended."""
    stream = FuzzedStream()
    for _ in range(8):
        stream.complete_pending()
        stream.advance_time(0.3)
    for line in data.split(b"\n"):
        if stream.is_over:
            break
        run_step(stream, line)
        stream.check_bounds()
    stream.drain()
    return stream.lifecycle.state.value if stream.failure is None else stream.failure.kind.value


def run_step(stream: FuzzedStream, line: bytes) -> None:
    kind, rest = line[:1], line[1:]
    if kind == b"t":
        stream.advance_time(float(rest) if rest.isdigit() and len(rest) < 6 else 0.5)
        stream.complete_pending()
    elif kind in STEPS:
        STEPS[kind](stream)
    elif stream.open_connections:
        number = stream.open_connections[-1]
        if kind == b"f":
            stream.on_text(number, rest)
        elif kind in CONNECTION_STEPS:
            CONNECTION_STEPS[kind](stream, number)


STEPS: dict[bytes, Callable[[FuzzedStream], None]] = {
    b"i": FuzzedStream.open_next_connection,
    b"r": FuzzedStream.complete_next_call,
    b"a": FuzzedStream.respond_next,
    b"R": FuzzedStream.fail_next_call,
    b"k": FuzzedStream.drain,
    b"o": FuzzedStream.rotate_connections,
}
CONNECTION_STEPS: dict[bytes, Callable[[FuzzedStream, int], None]] = {
    b"c": FuzzedStream.lose_connection,
    b"b": FuzzedStream.on_binary,
    b"p": FuzzedStream.on_ping,
    b"g": FuzzedStream.on_pong,
}
