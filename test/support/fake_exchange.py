"""A small exchange in memory, a network with delays, and a virtual clock, around one `Lifecycle`.

It knows what it sent and checks what comes out: each event once, in order, under its own account, or inside a gap
that was reported before any later event of that account; no request that the limits forbid.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.protocol.actions import (
    Action,
    CloseConnection,
    Failure,
    FailureKind,
    OpenConnection,
    RestRequest,
    SendPing,
    SendText,
    State,
    StatusChange,
    Terminate,
)
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import LISTEN_TOKEN, Source

DROPPED = Failure(FailureKind.TRANSPORT_ERROR, "dropped")


@dataclass(frozen=True)
class Ev:
    serial: int
    truth: Account
    identity: object
    at: float
    account: Account | None = None
    event_type: str = "executionReport"

    def with_account(self, account: Account) -> Ev:
        return replace(self, account=account)


@dataclass
class Behaviour:
    """Both readings of what is not documented, and what is wrong at the moment."""

    ids_in_answers: bool = True
    renewal: str = "same"  # same, new, -2035
    seamless: bool = True
    delay: Callable[[], float] = lambda: 0.01
    refuse_connections: Failure | None = None
    rest: Callable[[RestRequest], Failure | None] = lambda _: None
    lose_answer: Callable[[str], bool] = lambda _: False
    shuffle_answers: bool = False
    ping_every: float = 20.0


@dataclass
class Conn:
    number: int
    source: Source
    open: bool = True
    frozen: bool = False
    subs: dict[int | str, tuple[Account, float]] = field(default_factory=dict)
    next_id: int = 0
    up: float = 0.0
    down: float = 0.0


class World:
    def __init__(
        self,
        accounts: list[Account],
        sources: tuple[Source, ...] = (LISTEN_TOKEN,),
        *,
        rules: StreamSettings | None = None,
        seed: int = 0,
        behaviour: Behaviour | None = None,
        consume: bool = True,
        extra: tuple[tuple[Account, tuple[Source, ...]], ...] = (),
    ) -> None:
        self.random = random.Random(seed)
        self.rules = rules or StreamSettings()
        self.now = 1000.0
        self.epoch = 1_700_000_000_000
        feeds = [(account, sources) for account in accounts] + list(extra)
        self.life: Lifecycle[Ev] = Lifecycle(
            feeds, settings=self.rules, jitter=self.random.uniform, to_epoch_ms=self.wall
        )
        self.accounts = accounts
        self.be = behaviour or Behaviour()
        self.consume = consume
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = count()
        self.order = count()
        self.conns: dict[int, Conn] = {}
        self.tokens: dict[str, tuple[Account, float]] = {}
        self.keys: dict[tuple[str, Account], str] = {}
        self.log: list[StatusChange] = []
        self.failed: Failure | None = None
        self.items: list[Ev | StreamGap] = []
        self.requests: list[tuple[float, RestRequest]] = []
        self.connects: list[float] = []
        self.sent_texts: list[tuple[float, dict]] = []
        self.forbidden_until = float("-inf")
        self.violations: list[str] = []
        self.asked_to_open: set[int] = set()
        self.closed_by_us: set[int] = set()
        self.sent: dict[Account, deque[Ev]] = defaultdict(deque)
        self.gaps: dict[Account, list[StreamGap]] = defaultdict(list)
        self.optional: set[int] = set()
        self.delivered = 0
        self.covered = 0

    # -- time

    def wall(self, at: float) -> int:
        return self.epoch + round(at * 1000)

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (when, next(self.order), what))

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.now + seconds, what)

    def start(self) -> World:
        self.life.start(self.now)
        self.obey()
        return self

    def run(self, seconds: float) -> World:
        self.until(lambda: False, seconds)
        return self

    def until(self, condition: Callable[[], bool], within: float) -> World:
        end = self.now + within
        self.obey()
        while not condition():
            due = self.heap[0][0] if self.heap else float("inf")
            wake = self.life.next_timer_at()
            following = min(due, wake if wake is not None else float("inf"))
            if following > end:
                self.now = end
                break
            self.now = max(self.now, following)
            if due <= following:
                heapq.heappop(self.heap)[2]()
            else:
                self.life.on_timer(self.now)
            self.obey()
        return self

    def live(self, within: float = 60.0) -> World:
        self.until(lambda: self.life.state is State.LIVE, within)
        assert self.life.state is State.LIVE, (self.life.state, self.log[-10:])
        return self

    # -- the shell

    def obey(self) -> None:
        while self.life.actions:
            for action in self.life.pop_actions():
                self.perform(action)
        if self.consume:
            self.drain()

    def perform(self, action: Action) -> None:
        match action:
            case OpenConnection():
                self.asked_to_open.add(action.connection_id)
                self.connect(action)
            case CloseConnection(connection_id=number):
                if number not in self.asked_to_open or number in self.closed_by_us:
                    self.violations.append(f"connection {number} is closed, which was not open")
                self.closed_by_us.add(number)
                if number in self.conns:
                    self.later(self.be.delay(), lambda: setattr(self.conns[number], "open", False))
            case SendText(connection_id=number, text=text):
                self.quiet_check("text")
                self.open_check(number)
                self.sent_texts.append((self.now, json.loads(text)))
                self.upward(number, lambda: self.message(self.conns[number], json.loads(text)))
            case SendPing(connection_id=number):
                self.open_check(number)
                self.upward(
                    number, lambda: self.downward(self.conns[number], lambda: self.life.on_pong(number, self.now))
                )
            case RestRequest():
                self.quiet_check("request")
                self.requests.append((self.now, action))
                self.later(self.be.delay(), lambda: self.rest(action))
            case Terminate(failure=failure):
                self.failed = failure
            case StatusChange():
                self.log.append(action)

    def open_check(self, number: int) -> None:
        if number in self.closed_by_us:
            self.violations.append(f"something is sent on connection {number}, which was closed")

    def quiet_check(self, what: str) -> None:
        if self.now < self.forbidden_until:
            self.violations.append(f"{what} at {self.now} while told to wait until {self.forbidden_until}")
        if self.failed is not None:
            self.violations.append(f"{what} after a fatal failure")

    def connect(self, action: OpenConnection) -> None:
        self.quiet_check("connect")
        self.connects.append(self.now)
        number = action.connection_id
        if self.be.refuse_connections is not None:
            failure = self.be.refuse_connections
            self.later(self.be.delay(), lambda: self.life.on_close(number, failure, self.now))
            return
        conn = self.conns[number] = Conn(number, action.source)
        self.later(self.be.delay(), lambda: self.accepted(conn))

    def accepted(self, conn: Conn) -> None:
        if conn.open:
            self.life.on_open(conn.number, self.now)
            self.later(self.be.ping_every, lambda: self.ping(conn))

    def ping(self, conn: Conn) -> None:
        if conn.open:
            self.downward(conn, lambda: self.life.on_ping(conn.number, self.now))
            self.later(self.be.ping_every, lambda: self.ping(conn))

    def upward(self, number: int, what: Callable[[], None]) -> None:
        conn = self.conns[number]
        conn.up = max(conn.up, self.now + self.be.delay())
        self.at(conn.up, lambda: what() if conn.open and not conn.frozen else None)

    def downward(self, conn: Conn, what: Callable[[], None]) -> None:
        if not conn.open or conn.frozen:
            return
        conn.down = max(conn.down, self.now + self.be.delay())
        self.at(conn.down, lambda: what() if conn.open and not conn.frozen else None)

    # -- the exchange: REST

    def rest(self, request: RestRequest) -> None:
        failure = self.be.rest(request)
        if failure is not None:
            self.later(self.be.delay(), lambda: self.refuse(request, failure))
            return
        operation = request.call.operation
        if operation.endswith("_put"):
            self.keep_alive(request)
        elif "listen_token" in operation:
            validity = int(str(request.call.arguments["validity"])) / 1000
            secret = f"token-{next(self.serial)}"
            self.tokens[secret] = (request.account, self.now + validity)
            expires = self.wall(self.now + validity)
            self.later(self.be.delay(), lambda: self.life.on_credential(request.id, secret, expires, self.now))
        else:
            place = (request.source.name, request.account)
            secret = self.keys.setdefault(place, f"key-{next(self.serial)}")
            self.later(self.be.delay(), lambda: self.life.on_credential(request.id, secret, None, self.now))

    def refuse(self, request: RestRequest, failure: Failure) -> None:
        if failure.kind in (FailureKind.RATE_LIMITED, FailureKind.BANNED):
            self.forbidden_until = max(self.forbidden_until, self.now + (failure.retry_after or 60))
        self.life.on_request_failed(request.id, failure, self.now)

    def keep_alive(self, request: RestRequest) -> None:
        known = self.keys.get((request.source.name, request.account)) == request.call.arguments["listen_key"]
        if known:
            self.later(self.be.delay(), lambda: self.life.on_keepalive_ok(request.id, self.now))
        else:
            gone = Failure(FailureKind.UNKNOWN_CREDENTIAL, "code -1125")
            self.later(self.be.delay(), lambda: self.life.on_request_failed(request.id, gone, self.now))

    # -- the exchange: connections

    def message(self, conn: Conn, text: dict) -> None:
        method, number = text["method"], text["id"]
        if method == "userDataStream.subscribe.listenToken":
            self.subscribe(conn, number, text["params"]["listenToken"])
        elif method == "session.subscriptions":
            listed = [{"subscriptionId": each} for each in conn.subs]
            self.reply(conn, ResponseFrame(number, 200, listed), method)
        elif method == "userDataStream.unsubscribe":
            gone = text["params"]["subscriptionId"]
            if conn.subs.pop(gone, None) is not None:
                self.terminate(conn, gone)
            self.reply(conn, ResponseFrame(number, 200, {}), method)
        elif method == "SUBSCRIBE":
            for key in text["params"]:
                owner = next((place for place, known in self.keys.items() if known == key), None)
                if owner is not None:
                    conn.subs[key] = (owner[1], float("inf"))
            self.reply(conn, ResponseFrame(number, None, None), method)

    def subscribe(self, conn: Conn, number: int, token: str) -> None:
        account, expires = self.tokens.get(token, (None, 0.0))
        if account is None or expires <= self.now:
            self.reply(conn, ResponseFrame(number, 400, None, -1209, "token"), "subscribe")
            return
        old = next((each for each, sub in conn.subs.items() if sub[0] == account), None)
        if old is not None and self.be.renewal == "-2035":
            self.reply(conn, ResponseFrame(number, 400, None, -2035, "active"), "subscribe")
            return
        new = old
        if old is None or self.be.renewal == "new":
            new = conn.next_id
            conn.next_id += 1
            if old is not None:
                del conn.subs[old]
        assert new is not None
        if len(conn.subs) >= 1000 and new not in conn.subs:
            self.violations.append("more than 1000 subscriptions on a connection")
        conn.subs[new] = (account, expires)
        self.at(expires, lambda: self.expire(conn, new))
        result = {"subscriptionId": new, "expirationTime": self.wall(expires) * 1000}
        if not self.be.ids_in_answers:
            del result["subscriptionId"]
        self.reply(conn, ResponseFrame(number, 200, result), "subscribe")

    def reply(self, conn: Conn, answer: ResponseFrame, method: str) -> None:
        if self.be.lose_answer(method):
            return
        if self.be.shuffle_answers:
            wait = self.random.uniform(0, 0.2)
            self.later(wait, lambda: self.downward(conn, lambda: self.life.on_response(conn.number, answer, self.now)))
            return
        self.downward(conn, lambda: self.life.on_response(conn.number, answer, self.now))

    def expire(self, conn: Conn, route: int | str) -> None:
        if route in conn.subs and conn.subs[route][1] <= self.now:
            del conn.subs[route]
            self.terminate(conn, route)

    def terminate(self, conn: Conn, route: int | str) -> None:
        self.downward(conn, lambda: self.life.on_subscription_terminated(conn.number, route, self.now))

    # -- what happens to accounts and connections

    def emit(self, account: Account, identity: object = None, malformed: bool = False) -> None:
        serial = next(self.serial)
        event = Ev(serial, account, identity if identity is not None else serial, self.now)
        if self.life.state is not State.CONNECTING:
            self.sent[account].append(event)
        else:
            self.optional.add(serial)
        for conn in self.conns.values():
            for route, (owner, expires) in list(conn.subs.items()):
                if owner == account and expires > self.now:
                    self.deliver(conn, route, event, malformed)

    def deliver(self, conn: Conn, route: int | str, event: Ev, malformed: bool) -> None:
        def arrive() -> None:
            if malformed:
                self.life.on_malformed_frame(conn.number, self.now)
                return
            account = self.life.accounts_by_subscription(conn.number).get(route)
            self.life.on_event(conn.number, route, replace(event, account=account), self.now)

        self.downward(conn, arrive)

    def open_conns(self) -> list[Conn]:
        return [conn for conn in self.conns.values() if conn.open]

    def drop(self, conn: Conn, notice: float = 0.0) -> None:
        conn.open = False
        self.later(notice, lambda: self.life.on_close(conn.number, DROPPED, self.now))

    def freeze(self, conn: Conn) -> None:
        conn.frozen = True

    def shut_down(self, conn: Conn, grace: float = 30.0) -> None:
        self.downward(conn, lambda: self.life.on_server_shutdown(conn.number, self.now))
        self.later(grace, lambda: self.drop(conn) if conn.open else None)

    def delete_key(self, source: Source, account: Account) -> None:
        key = self.keys.pop((source.name, account), None)
        for conn in self.conns.values():
            if key is not None:
                conn.subs.pop(key, None)

    def kill_token(self, account: Account) -> None:
        for conn in self.conns.values():
            for route, (owner, _) in list(conn.subs.items()):
                if owner == account:
                    del conn.subs[route]
                    self.terminate(conn, route)

    # -- the consumer and the judge

    def drain(self) -> None:
        while (item := self.life.next_item()) is not None:
            self.items.append(item)
            if isinstance(item, StreamGap):
                self.gaps[item.account].append(item)
            else:
                self.judge(item)

    def judge(self, event: Ev) -> None:
        self.delivered += 1
        if event.account != event.truth:
            self.violations.append(f"{event} delivered under the wrong account")
        waiting = self.sent[event.truth]
        if not any(each.serial == event.serial or each.identity == event.identity for each in waiting):
            if event.serial not in self.optional:
                self.violations.append(f"{event} delivered twice or too late")
            self.optional.discard(event.serial)
            return
        while waiting:
            first = waiting.popleft()
            if first.serial == event.serial or first.identity == event.identity:
                return
            self.require_gap(first)

    def require_gap(self, event: Ev) -> None:
        moment = self.wall(event.at)
        self.covered += 1
        if not any(gap.since <= moment <= gap.until for gap in self.gaps[event.truth]):
            self.violations.append(f"{event} lost in silence; gaps {self.gaps[event.truth]}")

    def verdict(self) -> None:
        """All that was sent by now has been delivered or is covered; nothing was violated."""
        self.drain()
        for waiting in self.sent.values():
            while waiting:
                self.require_gap(waiting.popleft())
        assert not self.violations, self.violations[:3]
        busiest = max((sum(1 for t in self.connects if s <= t < s + 300) for s in self.connects), default=0)
        assert busiest <= self.rules.connect_limit

    def all_gaps(self) -> list[StreamGap]:
        return [item for item in self.items if isinstance(item, StreamGap)]

    def told(self, name: str) -> list[StatusChange]:
        return [change for change in self.log if change.name == name]
