"""A small exchange in memory, a network with delays, and a virtual clock, around one `Lifecycle`.

It checks what the state machine delivers: each event once, in order, under its own account, or inside a gap that was
reported before any later event of that account. It also checks that no request is sent that the limits forbid.

It works with decoded events and values, without frames or HTTP, so that a test can set up any situation in a few lines.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
    Terminate,
)
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import LISTEN_TOKEN, CallKind, CredentialKind, Source
from binance_margin_stream.stream.state import State, StatusChange, StatusChangeKind

DROPPED = Failure(FailureKind.TRANSPORT_ERROR, "dropped")


class FakeEvent(Struct, frozen=True):
    serial: int
    true_account: Account
    identity: object
    sent_at: float
    account: Account | None = None
    event_type: str = "executionReport"
    subscription: int | None = None

    @property
    def event_time(self) -> int:
        return round(self.sent_at * 1000)

    def with_account(self, account: Account) -> FakeEvent:
        return replace(self, account=account)


@dataclass
class FakeExchangeOptions:
    """Both readings of facts that are not documented, and the active faults."""

    ids_in_responses: bool = True
    renewal: str = "same"  # same, new, -2035
    seamless: bool = True
    delay: Callable[[], float] = lambda: 0.01
    connect_failure: Failure | None = None
    rest_failure: Callable[[RestRequest], Failure | None] = lambda _: None
    lose_response: Callable[[str], bool] = lambda _: False
    shuffle_responses: bool = False
    ping_interval: float = 20.0


@dataclass
class FakeConnection:
    number: int
    source: Source
    is_open: bool = True
    is_frozen: bool = False
    subscriptions: dict[int | str, tuple[Account, float]] = field(default_factory=dict)
    next_id: int = 0
    uplink_busy_until: float = 0.0
    downlink_busy_until: float = 0.0


class FakeExchange:
    def __init__(
        self,
        accounts: list[Account],
        sources: tuple[Source, ...] = (LISTEN_TOKEN,),
        *,
        settings: StreamSettings | None = None,
        seed: int = 0,
        options: FakeExchangeOptions | None = None,
        consume: bool = True,
        extra: tuple[tuple[Account, tuple[Source, ...]], ...] = (),
    ) -> None:
        self.random = random.Random(seed)
        self.settings = settings or StreamSettings()
        self.now = 1000.0
        self.epoch = 1_700_000_000_000
        feeds = [(account, sources) for account in accounts] + list(extra)
        self.lifecycle: Lifecycle[FakeEvent] = Lifecycle(
            feeds, settings=self.settings, jitter=self.random.uniform, to_epoch_ms=self.to_epoch_ms
        )
        self.accounts = accounts
        self.options = options or FakeExchangeOptions()
        self.consume = consume
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.ids = count()
        self.order = count()
        self.connections: dict[int, FakeConnection] = {}
        self.tokens: dict[str, tuple[Account, float]] = {}
        self.keys: dict[tuple[str, Account], str] = {}
        self.changes: list[StatusChange] = []
        self.failure: Failure | None = None
        self.items: list[FakeEvent | StreamGap] = []
        self.requests: list[tuple[float, RestRequest]] = []
        self.connect_times: list[float] = []
        self.sent_texts: list[tuple[float, dict]] = []
        self.forbidden_until = float("-inf")
        self.violations: list[str] = []
        self.open_requested: set[int] = set()
        self.closed_by_client: set[int] = set()
        self.outstanding: dict[Account, deque[FakeEvent]] = defaultdict(deque)
        self.gaps: dict[Account, list[StreamGap]] = defaultdict(list)
        self.optional_events: set[int] = set()
        self.delivered = 0
        self.covered = 0

    # -- time

    def to_epoch_ms(self, at: float) -> int:
        return self.epoch + round(at * 1000)

    def call_at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (when, next(self.order), action))

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        self.call_at(self.now + seconds, action)

    def start(self) -> FakeExchange:
        self.lifecycle.start(self.now)
        self.run_actions()
        return self

    def run(self, seconds: float) -> FakeExchange:
        self.run_until(lambda: False, seconds)
        return self

    def run_until(self, condition: Callable[[], bool], within: float) -> FakeExchange:
        end = self.now + within
        self.run_actions()
        while not condition():
            due = self.heap[0][0] if self.heap else float("inf")
            wake = self.lifecycle.next_timer_at()
            following = min(due, wake if wake is not None else float("inf"))
            if following > end:
                self.now = end
                break
            self.now = max(self.now, following)
            if due <= following:
                heapq.heappop(self.heap)[2]()
            else:
                self.lifecycle.on_timer(self.now)
            self.run_actions()
        return self

    def run_until_live(self, within: float = 60.0) -> FakeExchange:
        self.run_until(lambda: self.lifecycle.state is State.LIVE, within)
        assert self.lifecycle.state is State.LIVE, (self.lifecycle.state, self.changes[-10:])
        return self

    # -- the driver

    def run_actions(self) -> None:
        while self.lifecycle.actions:
            for action in self.lifecycle.pop_actions():
                self.execute(action)
        if self.consume:
            self.consume_items()

    def execute(self, action: Action) -> None:
        match action:
            case OpenConnection():
                self.open_requested.add(action.connection_id)
                self.connect(action)
            case CloseConnection(connection_id=number):
                if number not in self.open_requested or number in self.closed_by_client:
                    self.violations.append(f"connection {number} is closed although it was not open")
                self.closed_by_client.add(number)
                if number in self.connections:
                    self.call_later(self.options.delay(), lambda: setattr(self.connections[number], "is_open", False))
            case SendText(connection_id=number, text=text):
                self.check_may_send("text")
                self.check_open(number)
                self.sent_texts.append((self.now, json.loads(text)))
                self.send_to_exchange(number, lambda: self.handle_message(self.connections[number], json.loads(text)))
            case SendPing(connection_id=number):
                self.check_open(number)
                self.send_to_exchange(
                    number,
                    lambda: self.send_to_client(
                        self.connections[number], lambda: self.lifecycle.on_pong(number, self.now)
                    ),
                )
            case RestRequest():
                self.check_may_send("request")
                self.requests.append((self.now, action))
                self.call_later(self.options.delay(), lambda: self.handle_request(action))
            case Terminate(failure=failure):
                self.failure = failure
            case StatusChange():
                self.changes.append(action)

    def check_open(self, number: int) -> None:
        if number in self.closed_by_client:
            self.violations.append(f"a frame is sent on connection {number}, which was closed")

    def check_may_send(self, what: str) -> None:
        if self.now < self.forbidden_until:
            self.violations.append(f"{what} at {self.now} although sending is forbidden until {self.forbidden_until}")
        if self.failure is not None:
            self.violations.append(f"{what} after a fatal failure")

    def connect(self, action: OpenConnection) -> None:
        self.check_may_send("connect")
        self.connect_times.append(self.now)
        number = action.connection_id
        if self.options.connect_failure is not None:
            failure = self.options.connect_failure
            self.call_later(self.options.delay(), lambda: self.lifecycle.on_close(number, failure, self.now))
            return
        connection = self.connections[number] = FakeConnection(number, action.source)
        self.call_later(self.options.delay(), lambda: self.accept(connection))

    def accept(self, connection: FakeConnection) -> None:
        if connection.is_open:
            self.lifecycle.on_open(connection.number, self.now)
            self.call_later(self.options.ping_interval, lambda: self.send_ping(connection))

    def send_ping(self, connection: FakeConnection) -> None:
        if connection.is_open:
            self.send_to_client(connection, lambda: self.lifecycle.on_ping(connection.number, self.now))
            self.call_later(self.options.ping_interval, lambda: self.send_ping(connection))

    def send_to_exchange(self, number: int, action: Callable[[], None]) -> None:
        connection = self.connections[number]
        connection.uplink_busy_until = max(connection.uplink_busy_until, self.now + self.options.delay())
        self.call_at(
            connection.uplink_busy_until, lambda: action() if connection.is_open and not connection.is_frozen else None
        )

    def send_to_client(self, connection: FakeConnection, action: Callable[[], None]) -> None:
        if not connection.is_open or connection.is_frozen:
            return
        connection.downlink_busy_until = max(connection.downlink_busy_until, self.now + self.options.delay())
        self.call_at(
            connection.downlink_busy_until,
            lambda: action() if connection.is_open and not connection.is_frozen else None,
        )

    # -- the exchange: REST

    def handle_request(self, request: RestRequest) -> None:
        failure = self.options.rest_failure(request)
        if failure is not None:
            self.call_later(self.options.delay(), lambda: self.refuse_request(request, failure))
            return
        if request.call.kind is CallKind.KEEPALIVE:
            self.extend_key(request)
        elif request.source.credential_kind is CredentialKind.LISTEN_TOKEN:
            validity = int(str(request.call.arguments["validity"])) / 1000
            secret = f"token-{next(self.ids)}"
            self.tokens[secret] = (request.account, self.now + validity)
            expires = self.to_epoch_ms(self.now + validity)
            self.call_later(
                self.options.delay(), lambda: self.lifecycle.on_credential(request.id, secret, expires, self.now)
            )
        else:
            key = (request.source.name, request.account)
            secret = self.keys.setdefault(key, f"key-{next(self.ids)}")
            self.call_later(
                self.options.delay(), lambda: self.lifecycle.on_credential(request.id, secret, None, self.now)
            )

    def refuse_request(self, request: RestRequest, failure: Failure) -> None:
        if failure.kind in (FailureKind.RATE_LIMITED, FailureKind.BANNED):
            self.forbidden_until = max(self.forbidden_until, self.now + (failure.retry_after or 60))
        self.lifecycle.on_request_failed(request.id, failure, self.now)

    def extend_key(self, request: RestRequest) -> None:
        known = self.keys.get((request.source.name, request.account)) == request.call.arguments["listen_key"]
        if known:
            self.call_later(self.options.delay(), lambda: self.lifecycle.on_keepalive_ok(request.id, self.now))
        else:
            gone = Failure(FailureKind.UNKNOWN_CREDENTIAL, "code -1125")
            self.call_later(self.options.delay(), lambda: self.lifecycle.on_request_failed(request.id, gone, self.now))

    # -- the exchange: connections

    def handle_message(self, connection: FakeConnection, text: dict) -> None:
        method, number = text["method"], text["id"]
        if method == "userDataStream.subscribe.listenToken":
            self.subscribe(connection, number, text["params"]["listenToken"])
        elif method == "session.subscriptions":
            listed = [{"subscriptionId": each} for each in connection.subscriptions]
            self.send_response(connection, ResponseFrame(number, 200, listed), method)
        elif method == "userDataStream.unsubscribe":
            gone = text["params"]["subscriptionId"]
            if connection.subscriptions.pop(gone, None) is not None:
                self.terminate_subscription(connection, gone)
            self.send_response(connection, ResponseFrame(number, 200, {}), method)
        elif method == "SUBSCRIBE":
            for key in text["params"]:
                owner = next((place for place, known in self.keys.items() if known == key), None)
                if owner is not None:
                    connection.subscriptions[key] = (owner[1], float("inf"))
            self.send_response(connection, ResponseFrame(number, None, None), method)

    def subscribe(self, connection: FakeConnection, number: int, token: str) -> None:
        account, expires = self.tokens.get(token, (None, 0.0))
        if account is None or expires <= self.now:
            self.send_response(connection, ResponseFrame(number, 400, None, -1209, "token"), "subscribe")
            return
        old = next((each for each, sub in connection.subscriptions.items() if sub[0] == account), None)
        if old is not None and self.options.renewal == "-2035":
            self.send_response(connection, ResponseFrame(number, 400, None, -2035, "active"), "subscribe")
            return
        new = old
        if old is None or self.options.renewal == "new":
            new = connection.next_id
            connection.next_id += 1
            if old is not None:
                del connection.subscriptions[old]
        assert new is not None
        if len(connection.subscriptions) >= 1000 and new not in connection.subscriptions:
            self.violations.append("more than 1000 subscriptions on a connection")
        connection.subscriptions[new] = (account, expires)
        self.call_at(expires, lambda: self.expire_subscription(connection, new))
        result = {"subscriptionId": new, "expirationTime": self.to_epoch_ms(expires) * 1000}
        if not self.options.ids_in_responses:
            del result["subscriptionId"]
        self.send_response(connection, ResponseFrame(number, 200, result), "subscribe")

    def send_response(self, connection: FakeConnection, response: ResponseFrame, method: str) -> None:
        if self.options.lose_response(method):
            return
        if self.options.shuffle_responses:
            wait = self.random.uniform(0, 0.2)
            self.call_later(
                wait,
                lambda: self.send_to_client(
                    connection, lambda: self.lifecycle.on_response(connection.number, response, self.now)
                ),
            )
            return
        self.send_to_client(connection, lambda: self.lifecycle.on_response(connection.number, response, self.now))

    def expire_subscription(self, connection: FakeConnection, route: int | str) -> None:
        if route in connection.subscriptions and connection.subscriptions[route][1] <= self.now:
            del connection.subscriptions[route]
            self.terminate_subscription(connection, route)

    def terminate_subscription(self, connection: FakeConnection, route: int | str) -> None:
        self.send_to_client(
            connection, lambda: self.lifecycle.on_subscription_terminated(connection.number, route, self.now)
        )

    # -- events and faults

    def send_event(self, account: Account, identity: object = None, malformed: bool = False) -> None:
        serial = next(self.ids)
        event = FakeEvent(serial, account, identity if identity is not None else serial, self.now)
        if self.lifecycle.state is not State.CONNECTING:
            self.outstanding[account].append(event)
        else:
            self.optional_events.add(serial)
        for connection in self.connections.values():
            for route, (owner, expires) in list(connection.subscriptions.items()):
                if owner == account and expires > self.now:
                    self.deliver_event(connection, route, event, malformed)

    def deliver_event(self, connection: FakeConnection, route: int | str, event: FakeEvent, malformed: bool) -> None:
        def arrive() -> None:
            if malformed:
                self.lifecycle.on_malformed_frame(connection.number, self.now)
                return
            account = self.lifecycle.accounts_by_subscription(connection.number).get(route)
            self.lifecycle.on_event(connection.number, route, replace(event, account=account), self.now)

        self.send_to_client(connection, arrive)

    def open_connections(self) -> list[FakeConnection]:
        return [connection for connection in self.connections.values() if connection.is_open]

    def drop_connection(self, connection: FakeConnection, notice: float = 0.0) -> None:
        connection.is_open = False
        self.call_later(notice, lambda: self.lifecycle.on_close(connection.number, DROPPED, self.now))

    def freeze_connection(self, connection: FakeConnection) -> None:
        connection.is_frozen = True

    def shut_down(self, connection: FakeConnection, grace: float = 30.0) -> None:
        self.send_to_client(connection, lambda: self.lifecycle.on_server_shutdown(connection.number, self.now))
        self.call_later(grace, lambda: self.drop_connection(connection) if connection.is_open else None)

    def delete_key(self, source: Source, account: Account) -> None:
        key = self.keys.pop((source.name, account), None)
        for connection in self.connections.values():
            if key is not None:
                connection.subscriptions.pop(key, None)

    def terminate_account(self, account: Account) -> None:
        for connection in self.connections.values():
            for route, (owner, _) in list(connection.subscriptions.items()):
                if owner == account:
                    del connection.subscriptions[route]
                    self.terminate_subscription(connection, route)

    # -- the consumer and the checks

    def consume_items(self) -> None:
        while (item := self.lifecycle.next_item()) is not None:
            self.items.append(item)
            if isinstance(item, StreamGap):
                self.gaps[item.account].append(item)
            else:
                self.check_event(item)

    def check_event(self, event: FakeEvent) -> None:
        self.delivered += 1
        if event.account != event.true_account:
            self.violations.append(f"{event} delivered under the wrong account")
        outstanding = self.outstanding[event.true_account]
        if not any(each.serial == event.serial or each.identity == event.identity for each in outstanding):
            if event.serial not in self.optional_events:
                self.violations.append(f"{event} delivered twice or too late")
            self.optional_events.discard(event.serial)
            return
        while outstanding:
            first = outstanding.popleft()
            if first.serial == event.serial or first.identity == event.identity:
                return
            self.require_gap(first)

    def require_gap(self, event: FakeEvent) -> None:
        moment = self.to_epoch_ms(event.sent_at)
        self.covered += 1
        if not any(gap.since <= moment <= gap.until for gap in self.gaps[event.true_account]):
            self.violations.append(f"{event} lost without a gap; gaps {self.gaps[event.true_account]}")

    def assert_complete(self) -> None:
        """Every event so far was delivered or is covered by a gap, and no check failed."""
        self.consume_items()
        for outstanding in self.outstanding.values():
            while outstanding:
                self.require_gap(outstanding.popleft())
        assert not self.violations, self.violations[:3]
        busiest = max((sum(1 for t in self.connect_times if s <= t < s + 300) for s in self.connect_times), default=0)
        assert busiest <= self.settings.connect_limit

    def list_gaps(self) -> list[StreamGap]:
        return [item for item in self.items if isinstance(item, StreamGap)]

    def find_changes(self, kind: StatusChangeKind) -> list[StatusChange]:
        return [change for change in self.changes if change.kind is kind]
