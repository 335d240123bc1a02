"""A month as a value, made from a seed: who follows what, by which rules, and what strikes when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from binance_margin_stream.sandbox import ExchangeRules
from binance_margin_stream.stream.accounts import CROSS, Account, isolated
from binance_margin_stream.stream.settings import StreamSettings
from binance_margin_stream.stream.sources import (
    AUTO_SOURCES,
    LISTEN_KEY,
    LISTEN_KEY_V2,
    LISTEN_TOKEN,
    RISK_LISTEN_KEY,
    Source,
)
from simulation.fault_catalog import FATAL, HARMLESS, NAMES, OCCASIONS, WINDOWS

__all__ = ["HOUR", "MONTH", "Emission", "Plan", "Strike", "plan_of"]

HOUR = 3600.0
DAY = 24 * HOUR
MONTH = 30 * DAY

_ACCOUNTS = (CROSS, isolated("BTCUSDT"), isolated("ETHUSDT"), isolated("BNBUSDT"))
_WAYS: tuple[tuple[str, tuple[tuple[Source, ...], ...]], ...] = (
    ("token", ((LISTEN_TOKEN,),)),
    ("token", ((LISTEN_TOKEN,),)),
    ("token", ((LISTEN_TOKEN,),)),
    ("token and risk", ((LISTEN_TOKEN,), (RISK_LISTEN_KEY,))),
    ("auto", (AUTO_SOURCES,)),
    ("auto", (AUTO_SOURCES,)),
    ("listen key V2", ((LISTEN_KEY_V2,),)),
    ("V2 and risk", ((LISTEN_KEY_V2,), (RISK_LISTEN_KEY,))),
    ("listen key", ((LISTEN_KEY,),)),
    ("listen key", ((LISTEN_KEY,),)),
)
_PAUSES = (0.0, 0.3, 3.0, 20.0, 60.0, 300.0)
_CALM_BEFORE = 2 * HOUR


@dataclass(frozen=True, slots=True)
class Strike:
    """Something that goes wrong: at a moment, or `after` seconds after the next `occasion` that follows it.

    `lasts` is for what goes on for a while, and `share` says how many calls, handshakes or messages it then hits.
    """

    at: float
    name: str
    lasts: float = 0.0
    share: float = 1.0
    occasion: str = ""
    after: float = 0.0
    dice: int = 0


@dataclass(frozen=True, slots=True)
class Emission:
    """An event of an account: an order's, or a notice of the risk stream."""

    at: float
    account: Account
    kind: str


@dataclass(frozen=True)
class Plan:
    """A whole month. The same plan gives the same month, step by step."""

    seed: int
    way: str
    feeds: tuple[tuple[Account, tuple[Source, ...]], ...]
    rules: StreamSettings
    exchange: ExchangeRules
    skew: float
    pings: bool
    fatal: bool
    strikes: tuple[Strike, ...]
    emissions: tuple[Emission, ...]
    lasts: float = MONTH

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Every account once."""
        return tuple(dict.fromkeys(account for account, _ in self.feeds))

    def keeping(self, kept: Sequence[int]) -> Plan:
        """The same month with only these strikes."""
        return replace(self, strikes=tuple(self.strikes[index] for index in kept))


def plan_of(seed: int, lasts: float = MONTH) -> Plan:
    """The month of a seed."""
    dice = random.Random(seed)
    way, chains = dice.choice(_WAYS)
    accounts = _accounts(dice, way)
    feeds = tuple((account, _fitting(account, chain)) for account in accounts for chain in chains)
    feeds = tuple((account, chain) for account, chain in feeds if chain)
    exchange = _exchange(dice, way)
    kind = dice.choices(("mixed", "harmless", "heavy", "fatal"), (60, 12, 16, 12))[0]
    strikes = _strikes(dice, kind, lasts, can_retire=way == "auto" and accounts == (CROSS,))
    notices = any(source.has_risk_events for _, chain in feeds for source in chain[:1])
    return Plan(
        seed=seed,
        way=way,
        feeds=feeds,
        rules=_rules(dice, exchange),
        exchange=exchange,
        skew=dice.choice((0.0, 0.0, dice.uniform(-3, 3))),
        pings=dice.random() < 0.01,
        fatal=kind == "fatal",
        strikes=strikes,
        emissions=_emissions(dice, accounts, strikes, lasts, notices=notices),
        lasts=lasts,
    )


def _accounts(dice: random.Random, way: str) -> tuple[Account, ...]:
    if "V2" in way:
        return (CROSS,)
    first = 0 if "risk" in way or way == "auto" else dice.choice((0, 0, 1))
    most = 1 if way == "auto" and dice.random() < 0.7 else 2 if way == "listen key" else 4
    return _ACCOUNTS[first : first + dice.randint(1, most)]


def _fitting(account: Account, chain: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(source for source in chain if source.supports(account))


def _exchange(dice: random.Random, way: str) -> ExchangeRules:
    """Both readings of whatever the documentation leaves open."""
    return ExchangeRules(
        retired_endpoints="served" if way == "listen key" else "gone",
        signature_policy=dice.choice(("optional", "required")),
        risk_listen_key_validity_ms=dice.choice((1, 24)) * 3_600_000,
        expiration_time_unit=dice.choice(("us", "ms")),
        subscription_id=dice.choice(("present", "present", "missing")),
        resubscribe_response=dice.choice(("same_id", "new_id", "refused", "refused_but_extended")),
        listen_key_expired_time_type=dice.choice(("string", "integer")),
        listen_key_v2_host=dice.choice(("either", "stream", "margin_stream")),
        margin_event_name_style=dice.choice(("upper", "camel")),
        active_subscription_limit=dice.choice((2, 1000, 1000)),
        max_log_entries=1,
    )


def _rules(dice: random.Random, exchange: ExchangeRules) -> StreamSettings:
    life = dice.choice((6, 23, 23, 23)) * HOUR
    return StreamSettings(
        token_validity=dice.choice((6, 24, 24)) * HOUR,
        connection_max_age=life,
        connection_age_jitter=life / 23,
        accounts_per_connection=exchange.active_subscription_limit,
        buffer_size=dice.choice((40, 10_000)),
    )


def _strikes(dice: random.Random, kind: str, lasts: float, *, can_retire: bool) -> tuple[Strike, ...]:
    names = HARMLESS if kind == "harmless" else NAMES
    storms = dice.randint(12, 20) if kind == "heavy" else dice.randint(2, 7)
    starts = sorted(dice.uniform(_CALM_BEFORE, lasts - 2 * HOUR) for _ in range(storms))
    strikes = [strike for start in starts for strike in _storm(dice, start, names, lasts)]
    if can_retire and dice.random() < 0.5:
        strikes.append(_strike(dice, dice.choice(starts) + dice.uniform(0, 60), "retire"))
    if kind == "fatal":
        end = dice.choice((dice.uniform(HOUR, lasts - HOUR), dice.choice(starts) + dice.uniform(0, 90)))
        strikes = [strike for strike in strikes if strike.at <= end]
        strikes.append(_strike(dice, end, dice.choice(FATAL)))
    return tuple(sorted(strikes, key=lambda strike: strike.at))


def _storm(dice: random.Random, start: float, names: Sequence[str], lasts: float) -> list[Strike]:
    """Some faults in a row: at once, during the recovery, or some minutes apart."""
    at, pause = start, dice.choice(_PAUSES)
    strikes: list[Strike] = []
    favourite = dice.choice(names)
    for _ in range(dice.choice((1, 2, 3, 5, 8, 13))):
        name = favourite if dice.random() < 0.2 else dice.choice(names)
        if name != "not found" or all(strike.name != name for strike in strikes):
            strikes.append(_strike(dice, min(at, lasts - 1.5 * HOUR), name))
        at += dice.choice((0.0, dice.expovariate(1 / pause) if pause else 0.0))
    return strikes


def _strike(dice: random.Random, at: float, name: str) -> Strike:
    occasion = dice.choice(OCCASIONS) if dice.random() < 0.25 and name not in FATAL else ""
    shortest, longest = WINDOWS.get(name, (0.0, 0.0))
    return Strike(
        at=round(at, 3),
        name=name,
        lasts=round(shortest + (longest - shortest) * dice.random() ** 3, 3),
        share=dice.choice((0.3, 0.7, 1.0, 1.0)),
        occasion=occasion,
        after=dice.choice((0.0, round(dice.uniform(0, 0.3), 3), round(dice.uniform(0, 15), 3))) if occasion else 0.0,
        dice=dice.randrange(1_000_000),
    )


def _emissions(
    dice: random.Random, accounts: Sequence[Account], strikes: Sequence[Strike], lasts: float, *, notices: bool
) -> tuple[Emission, ...]:
    """Some events at any time, and many around what goes wrong."""
    times = [dice.uniform(60, lasts - HOUR) for _ in range(100)]
    for strike in strikes:
        around = dice.choice((5.0, 30.0, 100.0))
        times += [strike.at + dice.uniform(-2, around) for _ in range(12)]
        times += [strike.at + dice.uniform(0, 1)] * dice.choice((0, 0, 0, 0, 50))
    return tuple(Emission(round(at, 3), *_whose(dice, accounts, notices)) for at in sorted(times))


def _whose(dice: random.Random, accounts: Sequence[Account], notices: bool) -> tuple[Account, str]:
    account = dice.choice(accounts)
    return account, "notice" if notices and account == CROSS and dice.random() < 0.3 else "order"
