"""Everything that the exchange remembers, in one place, for the modules that act on it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from binance_margin_stream.sandbox.config import Rules
from binance_margin_stream.sandbox.model.connections import Connections
from binance_margin_stream.sandbox.model.ledger import Ledger
from binance_margin_stream.sandbox.model.listen_keys import ListenKeys, ListenTokens
from binance_margin_stream.sandbox.model.metrics import Tally
from binance_margin_stream.sandbox.model.orders import Orders
from binance_margin_stream.sandbox.model.pending_faults import ArmedFaults
from binance_margin_stream.sandbox.model.prices import Prices
from binance_margin_stream.sandbox.model.rate_limits import Limits
from binance_margin_stream.sandbox.model.scheduler import Timers
from binance_margin_stream.sandbox.model.users import Accounts

__all__ = ["State"]


@dataclass(frozen=True, slots=True)
class State:
    """The exchange's books. The parts change, the set of them does not."""

    rules: Rules
    accounts: Accounts
    keys: ListenKeys
    tokens: ListenTokens
    limits: Limits
    timers: Timers
    connections: Connections
    faults: ArmedFaults
    tally: Tally
    retired: set[str]
    ledger: Ledger
    orders: Orders
    prices: Prices

    @classmethod
    def fresh(cls, rules: Rules, source: random.Random) -> State:
        """The books of an exchange that has just opened."""
        timers = Timers()
        tally = Tally(rules.log_size)
        ledger = Ledger(rules.opening_balance)
        return cls(
            rules=rules,
            accounts=Accounts(source),
            keys=ListenKeys(rules, source),
            tokens=ListenTokens(source),
            limits=Limits(rules),
            timers=timers,
            connections=Connections(rules, timers, tally),
            faults=ArmedFaults(source, tally),
            tally=tally,
            retired=set(rules.retired_from_the_start()),
            ledger=ledger,
            orders=Orders(rules, ledger),
            prices=Prices(rules),
        )
