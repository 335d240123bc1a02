"""Random trouble for a `World`: any fault, in any combination, also during recovery, renewal and rotation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from fake_exchange import DROPPED, Behaviour, World

from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, State
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import LISTEN_KEY, LISTEN_TOKEN, Source

ACCOUNTS = [CROSS, isolated("BTCUSDT"), isolated("ETHUSDT"), isolated("BNBUSDT")]
REST_TROUBLES = (
    Failure(FailureKind.SERVER_ERROR, "500"),
    Failure(FailureKind.TRANSPORT_ERROR, "timeout"),
    Failure(FailureKind.RATE_LIMITED, "429", 3.0),
    Failure(FailureKind.BANNED, "418", 30.0),
    Failure(FailureKind.FIREWALL_BLOCKED, "403"),
)
CONNECT_TROUBLES = (
    Failure(FailureKind.TRANSPORT_ERROR, "refused"),
    Failure(FailureKind.TRANSPORT_ERROR, "dns"),
    Failure(FailureKind.SERVER_ERROR, "503"),
    Failure(FailureKind.RATE_LIMITED, "429", 5.0),
)


class Adversary:
    """Plays `faults` faults, about one every `pause` seconds, under a busy stream of events."""

    def __init__(
        self,
        seed: int,
        faults: int,
        pause: float = 30.0,
        rules: StreamSettings | None = None,
        *,
        harmless: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.harmless = harmless
        self.left, self.pause = faults, pause
        self.busy = True
        self.played: Counter[str] = Counter()
        self.trouble_until: dict[str, float] = {}
        source: Source = self.random.choice([LISTEN_TOKEN, LISTEN_TOKEN, LISTEN_KEY])
        behaviour = Behaviour(
            ids_in_answers=self.random.random() < 0.7,
            renewal=self.random.choice(["same", "new", "-2035"]),
            shuffle_answers=self.random.random() < 0.3,
            delay=self.delay,
        )
        rules = rules or StreamSettings(
            token_validity=self.random.choice([600.0, 3600.0, 86400.0]),
            connection_max_age=self.random.choice([900.0, 7200.0, 82800.0]),
            connection_age_jitter=300.0,
        )
        accounts = ACCOUNTS[: self.random.randint(1, 4)]
        self.world = World(accounts, (source,), rules=rules, seed=seed, behaviour=behaviour)
        behaviour.rest = lambda _: self.current("rest")
        behaviour.lose_answer = lambda _: self.is_on("lost answers") and self.random.random() < 0.5
        self.source = source
        self.failures: dict[str, Failure] = {}

    def delay(self) -> float:
        if self.is_on("slow") and self.random.random() < 0.2:
            return self.random.uniform(0, 2.0)
        return self.random.uniform(0.001, 0.1)

    def is_on(self, name: str) -> bool:
        return self.trouble_until.get(name, 0.0) > self.world.now

    def current(self, name: str) -> Failure | None:
        return self.failures[name] if self.is_on(name) and self.random.random() < 0.8 else None

    def play(self) -> World:
        world = self.world.start()
        world.until(lambda: world.life.state is State.LIVE, 300)
        self.traffic()
        self.next_fault()
        world.until(lambda: self.left == 0, 10 * self.pause * max(1, self.left) + 10)
        self.trouble_until.clear()
        world.be.refuse_connections = None
        calm = max(world.now, world.forbidden_until)
        world.run(calm - world.now + 180 + self.rest_of_trouble())
        assert world.life.state is State.LIVE, (world.life.state, world.log[-20:])
        self.check_memory()
        self.busy = False
        world.run(5)
        world.verdict()
        return world

    def check_memory(self) -> None:
        """Nothing that the life cycle remembers grew with what it lived through."""
        life, accounts = self.world.life, len(self.world.accounts)
        assert len(life._context.timers) <= 5 * accounts + 20
        assert len(life._context.timers._heap) <= 2 * len(life._context.timers) + 64
        assert len(life._connections.list_all()) <= 3
        for link in life._connections.list_all():
            assert link.unrouted_count <= life._context.settings.max_unrouted_events
            assert len(link.subscriptions) <= accounts
            assert len(link.pending_requests) <= 101
            assert len(link.queued_requests) <= 2 * accounts

    def rest_of_trouble(self) -> float:
        return self.world.rules.firewall_wait

    def traffic(self) -> None:
        if not self.busy:
            return  # what is on its way when the verdict falls could not be judged
        self.world.emit(self.random.choice(self.world.accounts))
        if self.random.random() < 0.02:
            account = self.random.choice(self.world.accounts)
            self.world.emit(account, identity=("twin", self.left, self.world.now))
            self.world.emit(account, identity=("twin", self.left, self.world.now))
        self.world.later(self.random.expovariate(2.0), self.traffic)

    def next_fault(self) -> None:
        if self.left == 0:
            return
        self.left -= 1
        fault = self.random.choice(self.faults())
        self.played[fault.__name__] += 1
        fault()
        gap = self.random.choice([0.0, 0.5, self.pause, self.pause * 2])
        self.world.later(self.random.uniform(0, gap), self.next_fault)

    def faults(self) -> list[Callable[[], None]]:
        if self.harmless:
            return [self.slow, self.announced_shutdown, self.short_rest_trouble, self.twins]
        always = [
            self.drop, self.silent_drop, self.freeze, self.malformed, self.slow, self.shutdown,
            self.rest_trouble, self.connect_trouble, self.lost_answers, self.malformed_route,
        ]  # fmt: skip
        return [*always, self.delete_key if self.source is LISTEN_KEY else self.terminate]

    def any_conn(self):
        conns = self.world.open_conns()
        return self.random.choice(conns) if conns else None

    def drop(self) -> None:
        if (conn := self.any_conn()) is not None:
            self.world.drop(conn)

    def silent_drop(self) -> None:
        if (conn := self.any_conn()) is not None:
            self.world.drop(conn, notice=self.random.uniform(0, 20))

    def freeze(self) -> None:
        if (conn := self.any_conn()) is not None:
            self.world.freeze(conn)

    def malformed(self) -> None:
        self.world.emit(self.any_account(), malformed=True)

    def malformed_route(self) -> None:
        conn = self.any_conn()
        if conn is not None and conn.subs:
            route = self.random.choice(list(conn.subs))
            owner = conn.subs.pop(route)
            self.world.downward(conn, lambda: self.world.life.on_malformed_frame(conn.number, self.world.now))
            if self.source is LISTEN_KEY:
                conn.subs[route] = owner

    def announced_shutdown(self) -> None:
        if (conn := self.any_conn()) is not None:
            self.world.shut_down(conn, 120.0)

    def short_rest_trouble(self) -> None:
        self.failures["rest"] = Failure(FailureKind.SERVER_ERROR, "503")
        self.trouble_until["rest"] = self.world.now + self.random.uniform(1, 10.0)

    def twins(self) -> None:
        account = self.any_account()
        for _ in range(2):
            self.world.emit(account, identity=("twins", self.world.now))

    def slow(self) -> None:
        self.trouble_until["slow"] = self.world.now + self.random.uniform(1, self.pause)

    def shutdown(self) -> None:
        if (conn := self.any_conn()) is not None:
            self.world.shut_down(conn, self.random.choice([0.5, 5.0, 60.0]))

    def rest_trouble(self) -> None:
        self.failures["rest"] = self.random.choice(REST_TROUBLES)
        self.trouble_until["rest"] = self.world.now + self.random.uniform(1, 3 * self.pause)

    def connect_trouble(self) -> None:
        self.world.be.refuse_connections = self.random.choice(CONNECT_TROUBLES)
        self.world.later(self.random.uniform(1, 3 * self.pause), self.let_connect)

    def let_connect(self) -> None:
        self.world.be.refuse_connections = None

    def lost_answers(self) -> None:
        self.trouble_until["lost answers"] = self.world.now + self.random.uniform(1, 2 * self.pause)
        if self.random.random() < 0.5:
            self.drop()

    def terminate(self) -> None:
        self.world.kill_token(self.any_account())

    def delete_key(self) -> None:
        self.world.delete_key(self.source, self.any_account())

    def any_account(self) -> Account:
        return self.random.choice(self.world.accounts)


__all__ = ["DROPPED", "Adversary"]
