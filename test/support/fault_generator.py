"""Random faults for a `FakeExchange`, in any combination, also during recovery, renewal and rotation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from fake_exchange import DROPPED, FakeExchange, FakeExchangeOptions

from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.settings import StreamSettings, get_limits
from binance_margin_stream.stream.sources import LISTEN_KEY, LISTEN_TOKEN, Source
from binance_margin_stream.stream.state import State

ACCOUNTS = [CROSS, isolated("BTCUSDT"), isolated("ETHUSDT"), isolated("BNBUSDT")]
REST_FAILURES = (
    Failure(FailureKind.SERVER_ERROR, "500"),
    Failure(FailureKind.TRANSPORT_ERROR, "timeout"),
    Failure(FailureKind.RATE_LIMITED, "429", 3.0),
    Failure(FailureKind.BANNED, "418", 30.0),
    Failure(FailureKind.FIREWALL_BLOCKED, "403"),
)
CONNECT_FAILURES = (
    Failure(FailureKind.TRANSPORT_ERROR, "connection refused"),
    Failure(FailureKind.TRANSPORT_ERROR, "dns"),
    Failure(FailureKind.SERVER_ERROR, "503"),
    Failure(FailureKind.RATE_LIMITED, "429", 5.0),
)


class FaultGenerator:
    """Injects `faults` faults, about one every `interval` seconds, while events are sent."""

    def __init__(
        self,
        seed: int,
        faults: int,
        interval: float = 30.0,
        settings: StreamSettings | None = None,
        *,
        lossless: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.lossless = lossless
        self.remaining, self.interval = faults, interval
        self.is_sending = True
        self.fault_counts: Counter[str] = Counter()
        self.active_until: dict[str, float] = {}
        source: Source = self.random.choice([LISTEN_TOKEN, LISTEN_TOKEN, LISTEN_KEY])
        options = FakeExchangeOptions(
            ids_in_responses=self.random.random() < 0.7,
            renewal=self.random.choice(["same", "new", "-2035"]),
            shuffle_responses=self.random.random() < 0.3,
            delay=self.choose_delay,
        )
        settings = settings or StreamSettings(
            token_validity=self.random.choice([600.0, 3600.0, 86400.0]),
            connection_max_age=self.random.choice([900.0, 7200.0, 82800.0]),
            connection_age_jitter=300.0,
        )
        accounts = ACCOUNTS[: self.random.randint(1, 4)]
        self.exchange = FakeExchange(accounts, (source,), settings=settings, seed=seed, options=options)
        options.rest_failure = lambda _: self.current_failure("rest")
        options.lose_response = lambda _: self.is_active("lost responses") and self.random.random() < 0.5
        self.source = source
        self.failures: dict[str, Failure] = {}

    def choose_delay(self) -> float:
        if self.is_active("slow") and self.random.random() < 0.2:
            return self.random.uniform(0, 2.0)
        return self.random.uniform(0.001, 0.1)

    def is_active(self, name: str) -> bool:
        return self.active_until.get(name, 0.0) > self.exchange.now

    def current_failure(self, name: str) -> Failure | None:
        return self.failures[name] if self.is_active(name) and self.random.random() < 0.8 else None

    def run(self) -> FakeExchange:
        exchange = self.exchange.start()
        exchange.run_until(lambda: exchange.lifecycle.state is State.LIVE, 300)
        self.send_traffic()
        self.inject_next_fault()
        exchange.run_until(lambda: self.remaining == 0, 10 * self.interval * max(1, self.remaining) + 10)
        self.active_until.clear()
        exchange.options.connect_failure = None
        quiet_from = max(exchange.now, exchange.forbidden_until)
        exchange.run(quiet_from - exchange.now + 180 + self.longest_wait())
        assert exchange.lifecycle.state is State.LIVE, (exchange.lifecycle.state, exchange.changes[-20:])
        self.check_memory()
        self.is_sending = False
        exchange.run(5)
        exchange.assert_complete()
        return exchange

    def check_memory(self) -> None:
        """Every table of the state machine is within its bound."""
        lifecycle, accounts = self.exchange.lifecycle, len(self.exchange.accounts)
        timers = lifecycle.context.timers
        assert len(timers) <= 5 * accounts + 20
        assert timers.heap_size <= 2 * len(timers) + 64
        assert len(lifecycle.connections.list_all()) <= 3
        for link in lifecycle.connections.list_all():
            assert link.unrouted_count <= lifecycle.context.limits.max_unrouted_events
            assert len(link.subscriptions) <= accounts
            assert len(link.pending_requests) <= 101
            assert len(link.queued_requests) <= 2 * accounts

    def longest_wait(self) -> float:
        return get_limits(self.exchange.settings).firewall_wait

    def send_traffic(self) -> None:
        if not self.is_sending:
            return  # an event in transit at the final check would count as lost
        self.exchange.send_event(self.random.choice(self.exchange.accounts))
        if self.random.random() < 0.02:
            account = self.random.choice(self.exchange.accounts)
            self.exchange.send_event(account, identity=("equal", self.remaining, self.exchange.now))
            self.exchange.send_event(account, identity=("equal", self.remaining, self.exchange.now))
        self.exchange.call_later(self.random.expovariate(2.0), self.send_traffic)

    def inject_next_fault(self) -> None:
        if self.remaining == 0:
            return
        self.remaining -= 1
        fault = self.random.choice(self.list_faults())
        self.fault_counts[fault.__name__] += 1
        fault()
        delay = self.random.choice([0.0, 0.5, self.interval, self.interval * 2])
        self.exchange.call_later(self.random.uniform(0, delay), self.inject_next_fault)

    def list_faults(self) -> list[Callable[[], None]]:
        if self.lossless:
            return [self.slow_down, self.announce_shutdown, self.fail_rest_briefly, self.send_equal_events]
        always = [
            self.drop_connection, self.drop_silently, self.freeze_connection, self.send_malformed_event, self.slow_down,
            self.shut_down,
            self.fail_rest, self.refuse_connections, self.lose_responses, self.send_malformed_termination,
        ]  # fmt: skip
        return [*always, self.delete_key if self.source is LISTEN_KEY else self.terminate_subscription]

    def choose_connection(self):
        connections = self.exchange.open_connections()
        return self.random.choice(connections) if connections else None

    def drop_connection(self) -> None:
        if (connection := self.choose_connection()) is not None:
            self.exchange.drop_connection(connection)

    def drop_silently(self) -> None:
        if (connection := self.choose_connection()) is not None:
            self.exchange.drop_connection(connection, notice=self.random.uniform(0, 20))

    def freeze_connection(self) -> None:
        if (connection := self.choose_connection()) is not None:
            self.exchange.freeze_connection(connection)

    def send_malformed_event(self) -> None:
        self.exchange.send_event(self.choose_account(), malformed=True)

    def send_malformed_termination(self) -> None:
        connection = self.choose_connection()
        if connection is not None and connection.subscriptions:
            route = self.random.choice(list(connection.subscriptions))
            owner = connection.subscriptions.pop(route)
            self.exchange.send_to_client(
                connection, lambda: self.exchange.lifecycle.on_malformed_frame(connection.number, self.exchange.now)
            )
            if self.source is LISTEN_KEY:
                connection.subscriptions[route] = owner

    def announce_shutdown(self) -> None:
        if (connection := self.choose_connection()) is not None:
            self.exchange.shut_down(connection, 120.0)

    def fail_rest_briefly(self) -> None:
        self.failures["rest"] = Failure(FailureKind.SERVER_ERROR, "503")
        self.active_until["rest"] = self.exchange.now + self.random.uniform(1, 10.0)

    def send_equal_events(self) -> None:
        account = self.choose_account()
        for _ in range(2):
            self.exchange.send_event(account, identity=("equal", self.exchange.now))

    def slow_down(self) -> None:
        self.active_until["slow"] = self.exchange.now + self.random.uniform(1, self.interval)

    def shut_down(self) -> None:
        if (connection := self.choose_connection()) is not None:
            self.exchange.shut_down(connection, self.random.choice([0.5, 5.0, 60.0]))

    def fail_rest(self) -> None:
        self.failures["rest"] = self.random.choice(REST_FAILURES)
        self.active_until["rest"] = self.exchange.now + self.random.uniform(1, 3 * self.interval)

    def refuse_connections(self) -> None:
        self.exchange.options.connect_failure = self.random.choice(CONNECT_FAILURES)
        self.exchange.call_later(self.random.uniform(1, 3 * self.interval), self.accept_connections)

    def accept_connections(self) -> None:
        self.exchange.options.connect_failure = None

    def lose_responses(self) -> None:
        self.active_until["lost responses"] = self.exchange.now + self.random.uniform(1, 2 * self.interval)
        if self.random.random() < 0.5:
            self.drop_connection()

    def terminate_subscription(self) -> None:
        self.exchange.terminate_account(self.choose_account())

    def delete_key(self) -> None:
        self.exchange.delete_key(self.source, self.choose_account())

    def choose_account(self) -> Account:
        return self.random.choice(self.exchange.accounts)


__all__ = ["DROPPED", "FaultGenerator"]
