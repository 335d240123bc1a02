"""Everything that the exchange remembers, in one place, for the modules that act on it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .accounts import Accounts
from .armed import ArmedFaults
from .connections import Connections
from .counts import Tally
from .ledger import Ledger
from .limits import Limits
from .listen_keys import ListenKeys, ListenTokens
from .orders import Orders
from .prices import Prices
from .rules import Rules
from .timers import Timers

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
