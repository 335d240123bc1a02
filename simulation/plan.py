"""The plan of a month as a value, made from a seed: accounts, sources, settings, exchange rules, faults and events."""

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
from simulation.fault_catalog import DURATIONS, FATAL_FAULTS, FAULT_NAMES, LOSSLESS_FAULTS, TRIGGERS

__all__ = ["HOUR", "MONTH", "PlannedEvent", "PlannedFault", "ScenarioPlan", "make_plan"]

HOUR = 3600.0
DAY = 24 * HOUR
MONTH = 30 * DAY

_ACCOUNTS = (CROSS, isolated("BTCUSDT"), isolated("ETHUSDT"), isolated("BNBUSDT"))
_SOURCE_CHOICES: tuple[tuple[str, tuple[tuple[Source, ...], ...]], ...] = (
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
_FAULT_INTERVALS = (0.0, 0.3, 3.0, 20.0, 60.0, 300.0)
_FIRST_FAULT_AFTER = 2 * HOUR


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault at a moment of the month, in seconds; with a `trigger`, `delay` seconds after the next such trigger.

    `duration` is for faults that last, and `probability` is the share of calls, handshakes or messages that they hit.
    """

    at: float
    name: str
    duration: float = 0.0
    probability: float = 1.0
    trigger: str = ""
    delay: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """An event of an account. Its kind is "order", or "notice" for an event of the risk stream."""

    at: float
    account: Account
    kind: str


@dataclass(frozen=True)
class ScenarioPlan:
    """The plan of a month. The same plan gives the same month, step by step. Times are in seconds."""

    seed: int
    source_name: str
    feeds: tuple[tuple[Account, tuple[Source, ...]], ...]
    settings: StreamSettings
    exchange_rules: ExchangeRules
    clock_skew: float
    exchange_pings: bool
    ping_interval: float | None
    """How often the exchange pings, None for never."""
    is_fatal: bool
    faults: tuple[PlannedFault, ...]
    events: tuple[PlannedEvent, ...]
    duration: float = MONTH

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts, each once."""
        return tuple(dict.fromkeys(account for account, _ in self.feeds))

    def select_faults(self, indexes: Sequence[int]) -> ScenarioPlan:
        """The same month with only these faults."""
        return replace(self, faults=tuple(self.faults[index] for index in indexes))


def make_plan(seed: int, duration: float = MONTH) -> ScenarioPlan:
    """The plan of a seed."""
    rng, readings = random.Random(seed), random.Random(f"readings {seed}")
    source_name, chains = rng.choice(_SOURCE_CHOICES)
    accounts = _choose_accounts(rng, source_name)
    feeds = tuple((account, _filter_sources(account, chain)) for account in accounts for chain in chains)
    feeds = tuple((account, chain) for account, chain in feeds if chain)
    exchange_rules = _add_readings(readings, _make_exchange_rules(rng, source_name))
    kind = rng.choices(("mixed", "lossless", "heavy", "fatal"), (60, 12, 16, 12))[0]
    faults = _plan_faults(rng, kind, duration, can_retire=source_name == "auto" and accounts == (CROSS,))
    if len(accounts) > 1 and readings.random() < 0.25:
        at = readings.choice((readings.uniform(_FIRST_FAULT_AFTER, duration), faults[0].at + readings.uniform(0, 60)))
        end = _plan_fault(readings, min(at, duration - 2 * HOUR), "end of an account")
        faults = tuple(sorted((*faults, replace(end, trigger="")), key=lambda fault: fault.at))
    notices = any(source.has_risk_events for _, chain in feeds for source in chain[:1])
    return ScenarioPlan(
        seed=seed,
        source_name=source_name,
        feeds=feeds,
        settings=_make_settings(rng, exchange_rules),
        exchange_rules=exchange_rules,
        clock_skew=rng.choice((0.0, 0.0, rng.uniform(-3, 3))),
        exchange_pings=rng.random() < 0.01,
        ping_interval=readings.choice((20.0, 20.0, 180.0, None)),
        is_fatal=kind == "fatal",
        faults=faults,
        events=_plan_events(rng, accounts, faults, duration, notices=notices),
        duration=duration,
    )


def _choose_accounts(rng: random.Random, source_name: str) -> tuple[Account, ...]:
    if "V2" in source_name:
        return (CROSS,)
    first = 0 if "risk" in source_name or source_name == "auto" else rng.choice((0, 0, 1))
    limit = 1 if source_name == "auto" and rng.random() < 0.7 else 2 if source_name == "listen key" else 4
    return _ACCOUNTS[first : first + rng.randint(1, limit)]


def _filter_sources(account: Account, chain: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(source for source in chain if source.supports(account))


def _make_exchange_rules(rng: random.Random, source_name: str) -> ExchangeRules:
    """Random rules, with both readings of each fact that the documentation leaves open."""
    return ExchangeRules(
        retired_endpoints="served" if source_name == "listen key" else "gone",
        listen_key_characters="base64",
        signature_policy=rng.choice(("optional", "required")),
        risk_listen_key_validity_ms=rng.choice((1, 24)) * 3_600_000,
        expiration_time_unit=rng.choice(("us", "ms")),
        subscription_id=rng.choice(("present", "present", "missing")),
        resubscribe_response=rng.choice(("same_id", "new_id", "refused", "refused_but_extended")),
        listen_key_expired_time_type=rng.choice(("string", "integer")),
        listen_key_v2_host=rng.choice(("either", "stream", "margin_stream")),
        margin_event_name_style=rng.choice(("upper", "camel")),
        active_subscription_limit=rng.choice((2, 1000, 1000)),
        max_log_entries=1,
        max_history_entries=1,
    )


def _add_readings(rng: random.Random, rules: ExchangeRules) -> ExchangeRules:
    """Further readings: a renewal may leave two subscriptions that deliver, and responses may be bare."""
    renewal = "both_deliver" if rng.random() < 0.25 else rules.resubscribe_response
    return replace(
        rules, resubscribe_response=renewal, subscribe_response=rng.choice(("enveloped", "enveloped", "bare"))
    )


def _make_settings(rng: random.Random, exchange_rules: ExchangeRules) -> StreamSettings:
    max_age = rng.choice((6, 23, 23, 23)) * HOUR
    return StreamSettings(
        token_validity=rng.choice((6, 24, 24)) * HOUR,
        connection_max_age=max_age,
        connection_age_jitter=max_age / 23,
        accounts_per_connection=exchange_rules.active_subscription_limit,
        buffer_size=rng.choice((40, 10_000)),
    )


def _plan_faults(rng: random.Random, kind: str, duration: float, *, can_retire: bool) -> tuple[PlannedFault, ...]:
    names = LOSSLESS_FAULTS if kind == "lossless" else FAULT_NAMES
    bursts = rng.randint(12, 20) if kind == "heavy" else rng.randint(2, 7)
    starts = sorted(rng.uniform(_FIRST_FAULT_AFTER, duration - 2 * HOUR) for _ in range(bursts))
    faults = [fault for start in starts for fault in _plan_burst(rng, start, names, duration)]
    if can_retire and rng.random() < 0.5:
        faults.append(_plan_fault(rng, rng.choice(starts) + rng.uniform(0, 60), "retire listen token"))
    if kind == "fatal":
        end = rng.choice((rng.uniform(HOUR, duration - HOUR), rng.choice(starts) + rng.uniform(0, 90)))
        faults = [fault for fault in faults if fault.at <= end]
        faults.append(_plan_fault(rng, end, rng.choice(FATAL_FAULTS)))
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _plan_burst(rng: random.Random, start: float, names: Sequence[str], duration: float) -> list[PlannedFault]:
    """A series of faults: at once, during the recovery from each other, or some minutes apart."""
    at, interval = start, rng.choice(_FAULT_INTERVALS)
    faults: list[PlannedFault] = []
    preferred = rng.choice(names)
    for _ in range(rng.choice((1, 2, 3, 5, 8, 13))):
        name = preferred if rng.random() < 0.2 else rng.choice(names)
        if name != "not found" or all(fault.name != name for fault in faults):
            faults.append(_plan_fault(rng, min(at, duration - 1.5 * HOUR), name))
        at += rng.choice((0.0, rng.expovariate(1 / interval) if interval else 0.0))
    return faults


def _plan_fault(rng: random.Random, at: float, name: str) -> PlannedFault:
    trigger = rng.choice(TRIGGERS) if rng.random() < 0.25 and name not in FATAL_FAULTS else ""
    shortest, longest = DURATIONS.get(name, (0.0, 0.0))
    return PlannedFault(
        at=round(at, 3),
        name=name,
        duration=round(shortest + (longest - shortest) * rng.random() ** 3, 3),
        probability=rng.choice((0.3, 0.7, 1.0, 1.0)),
        trigger=trigger,
        delay=rng.choice((0.0, round(rng.uniform(0, 0.3), 3), round(rng.uniform(0, 15), 3))) if trigger else 0.0,
        seed=rng.randrange(1_000_000),
    )


def _plan_events(
    rng: random.Random, accounts: Sequence[Account], faults: Sequence[PlannedFault], duration: float, *, notices: bool
) -> tuple[PlannedEvent, ...]:
    """A few events at any time, and many around the faults."""
    times = [rng.uniform(60, duration - HOUR) for _ in range(100)]
    for fault in faults:
        spread = rng.choice((5.0, 30.0, 100.0))
        times += [fault.at + rng.uniform(-2, spread) for _ in range(12)]
        times += [fault.at + rng.uniform(0, 1)] * rng.choice((0, 0, 0, 0, 50))
    return tuple(PlannedEvent(round(at, 3), *_choose_account_and_kind(rng, accounts, notices)) for at in sorted(times))


def _choose_account_and_kind(rng: random.Random, accounts: Sequence[Account], notices: bool) -> tuple[Account, str]:
    account = rng.choice(accounts)
    return account, "notice" if notices and account == CROSS and rng.random() < 0.3 else "order"
