"""The whole state of the exchange, for the modules that act on it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from binance_margin_stream.sandbox.clock import SigningClock
from binance_margin_stream.sandbox.config import ExchangeRules
from binance_margin_stream.sandbox.model.availability import Availability
from binance_margin_stream.sandbox.model.connections import Connections
from binance_margin_stream.sandbox.model.credential_generator import CredentialGenerator
from binance_margin_stream.sandbox.model.history.order_lists import OrderLists
from binance_margin_stream.sandbox.model.history.prevented_matches import PreventedMatch
from binance_margin_stream.sandbox.model.history.records import Records, RecordSeries
from binance_margin_stream.sandbox.model.history.trades import Trades
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.listen_keys import ListenKeys, ListenTokens
from binance_margin_stream.sandbox.model.market.prices import Prices
from binance_margin_stream.sandbox.model.metrics import MetricsRecorder
from binance_margin_stream.sandbox.model.order_store import Orders
from binance_margin_stream.sandbox.model.pending_faults import PendingFaults
from binance_margin_stream.sandbox.model.rate_limits import OrderCounts, RateLimits
from binance_margin_stream.sandbox.model.scheduler import Scheduler
from binance_margin_stream.sandbox.model.users import Users

__all__ = ["ExchangeState"]


@dataclass(frozen=True, slots=True)
class ExchangeState:
    """The state of the exchange. The parts are mutable, the references to them are not."""

    rules: ExchangeRules
    users: Users
    listen_keys: ListenKeys
    listen_tokens: ListenTokens
    rate_limits: RateLimits
    scheduler: Scheduler
    connections: Connections
    pending_faults: PendingFaults
    metrics: MetricsRecorder
    retired_paths: set[str]
    availability: Availability
    ledger: Ledger
    orders: Orders
    prices: Prices
    order_lists: OrderLists
    trades: Trades
    records: Records
    prevented_matches: RecordSeries[PreventedMatch]
    order_counts: OrderCounts
    signing_clock: SigningClock

    @classmethod
    def create(cls, rules: ExchangeRules, rng: random.Random) -> ExchangeState:
        """The state of a new exchange."""
        generator = CredentialGenerator(rules, rng)
        scheduler = Scheduler()
        metrics = MetricsRecorder(rules.max_log_entries)
        ledger = Ledger(rules.opening_balance)
        return cls(
            rules=rules,
            users=Users(generator),
            listen_keys=ListenKeys(rules, generator),
            listen_tokens=ListenTokens(generator),
            rate_limits=RateLimits(rules),
            scheduler=scheduler,
            connections=Connections(rules, scheduler, metrics),
            pending_faults=PendingFaults(rng, metrics, scheduler),
            metrics=metrics,
            retired_paths=set(rules.initial_retired_paths()),
            availability=Availability(),
            ledger=ledger,
            orders=Orders(rules, ledger),
            prices=Prices(rules),
            order_lists=OrderLists(),
            trades=Trades(rules.max_history_entries),
            records=Records(rules.max_history_entries),
            prevented_matches=RecordSeries(rules.max_history_entries),
            order_counts=OrderCounts(),
            signing_clock=SigningClock(),
        )
