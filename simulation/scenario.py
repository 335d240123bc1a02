"""One month, played: the clock, the strikes, the events, and the checks after every step."""

from __future__ import annotations

import heapq
import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count

from binance_margin_stream.sandbox import faults
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.models import BalanceUpdate, Event, UserLiabilityChange
from binance_margin_stream.stream.protocol.actions import GapReason, State, StatusChange
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from simulation.active_faults import Weather
from simulation.delivery_checker import Ledger, Sent
from simulation.driver import Shell, endpoints_of
from simulation.expected_gaps import Hurts
from simulation.fault_injector import Striker
from simulation.idle_speedup import SEASON, Calm
from simulation.limit_checker import Limits, check_memory
from simulation.network import EPOCH, Network
from simulation.plan import Emission, Plan, Strike
from simulation.result import Outcome
from simulation.violation import Violation

__all__ = ["Month"]

_WITHIN = 120.0
_SETTLED = 30.0
_FATAL_WITHIN = 60.0
_PATIENCE = 14_400.0
_MEMORY_EVERY = 32
_EVENTS_THEN = 8


class Month:
    """Plays a plan. The first violation ends it."""

    def __init__(self, plan: Plan, *, trace: bool = False) -> None:
        self._plan = plan
        self._dice = random.Random(plan.seed + 1)
        self._rules = replace(plan.rules)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._serial = count(1)
        self._tracing = trace
        self._trace: list[str] = []
        exchange = replace(plan.exchange, ping_interval_ms=plan.exchange.ping_interval_ms if plan.pings else 10**12)
        self._network = Network(exchange, random.Random(plan.seed + 2), self._at)
        self._weather = Weather(self._dice, lambda: self._network.now)
        self._limits = Limits(plan.rules, exchange)
        self._ledger = Ledger(
            frozenset({"notice"}) if plan.way == "V2 and risk" else frozenset(),
            slack=round(plan.rules.latency_allowance * 1000),
        )
        self._life: Lifecycle[Event] = Lifecycle(
            plan.feeds, settings=self._rules, jitter=random.Random(plan.seed + 3).uniform, to_epoch_ms=self._wall
        )
        self._shell = Shell(
            self._life,
            self._network,
            endpoints=endpoints_of(exchange),
            weather=self._weather,
            limits=self._limits,
            later=self._later,
            open_timeout=plan.rules.open_timeout,
            signs=exchange.signature_policy == "required",
        )
        hurts = Hurts(self._life, self._network, self._ledger, self._wall)
        self._striker = Striker(plan, self._network, self._weather, hurts)
        self._network.ended = hurts.all_on
        self._network.told = hurts.told
        self._weather.due = self._occasion
        self._shell.changed = self._changed
        self._strikes = list(plan.strikes)
        self._calm = Calm(
            self._life,
            self._network,
            self._rules,
            stormy=self._is_stormy,
            quiet_until=self._quiet_until,
            later=self._later,
            told_by_exchange=plan.pings,
        )
        self._weather.opened = self._calm.opened
        self._ordering = [account for account, chain in plan.feeds if chain[0].name != "risk"]
        self._coming = 0
        self._down_since: float | None = 0.0
        self.outcome = Outcome(plan.seed, self._ledger.figures, self._weather.struck, trace=self._trace)

    # the clock

    @property
    def _now(self) -> float:
        return self._network.now

    def _wall(self, at: float) -> int:
        return EPOCH + round((at + self._plan.skew) * 1000)

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), what))

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._at(self._network.now + seconds, what)

    def play(self) -> Outcome:
        """Play the month to its end, or to the first violation."""
        try:
            self._prepare()
            self._run(self._plan.lasts)
            self._finish()
        except Violation as violation:
            self.outcome.violation = violation
        except Exception as error:
            self.outcome.violation = Violation(7, _line_of(error))
        self.outcome.busiest_minute = self._limits.busiest_minute
        return self.outcome

    def _prepare(self) -> None:
        for strike in self._strikes:
            self._at(max(0.0, strike.at - SEASON), self._calm.season)
            self._at(strike.at, partial(self._arm, strike))
        for emission in self._plan.emissions:
            self._at(emission.at, partial(self._emit, emission))
        self._life.start(0.0)
        self._shell.obey()
        self._weather.troubled(0.0)
        self._at(_WITHIN, lambda: self._look_after_trouble(0.0))

    def _is_stormy(self) -> bool:
        trouble = self._now < self._weather.trouble_until + _WITHIN + _SETTLED
        return self._is_waiting or trouble or self._down_since is not None

    def _quiet_until(self) -> float:
        return self._strikes[0].at if self._strikes else self._plan.lasts

    def _run(self, end: float) -> None:
        life, network, heap = self._life, self._network, self._heap
        deadline, wakeup = network.exchange.next_deadline, life.next_timer_at
        while self._shell.failed is None:
            at = heap[0][0] if heap else end
            wake, due = wakeup(), deadline()
            following = at if wake is None or at <= wake else wake
            exchange = end if due is None else (due - EPOCH) / 1000
            if min(following, exchange) >= end:
                break
            if exchange < following:
                network.now = max(network.now, exchange)
                network.advance()
            elif at <= following:
                network.now = max(network.now, at)
                heapq.heappop(heap)[2]()
            else:
                network.now = max(network.now, following)
                life.on_timer(network.now)
            self._after_step()
        network.now = max(network.now, end) if self._shell.failed is None else network.now

    def _after_step(self) -> None:
        if self._life.actions:
            self._shell.obey()
        if self._now >= self._striker.stalled_until:
            self._consume()
        self.outcome.steps += 1
        if self.outcome.steps % _MEMORY_EVERY == 0:
            check_memory(self._life, len(self._plan.feeds))
        if self._life.state is State.LIVE:
            if self._down_since is not None:
                self._recovered(self._down_since)
        elif self._down_since is None:
            self._down_since = self._now
        elif self._is_calm() and self._shell.failed is None and self._striker.revoked_at is None:
            raise Violation(
                4, f"{self._life.state.value} {self._now - self._weather.trouble_until:.0f} s after trouble"
            )

    def _is_calm(self) -> bool:
        return self._now > self._weather.trouble_until + _WITHIN and not self._is_waiting

    def _recovered(self, since: float) -> None:
        took = self._now - max(since, min(self._weather.trouble_until, self._now))
        self.outcome.longest_recovery = max(self.outcome.longest_recovery, took)
        self._down_since = None

    # the consumer

    def _consume(self) -> None:
        take = self._life.next_item
        while (item := take()) is not None:
            if isinstance(item, BalanceUpdate):
                self._ledger.arrive(item.account, "order", int(item.delta))
            elif isinstance(item, UserLiabilityChange):
                self._ledger.arrive(item.account, "notice", int(item.principal))
            elif isinstance(item, StreamGap):
                self._gap(item)

    def _gap(self, gap: StreamGap) -> None:
        self._note(f"gap {gap.account} {gap.since - EPOCH} to {gap.until - EPOCH} ms: {gap.reason}")
        if gap.reason == GapReason.SLOW_CONSUMER:
            self._ledger.hurt(gap.account, gap.until)
        self._ledger.gap(gap)

    # what is sent

    def _emit(self, emission: Emission, *, probe: bool = False) -> None:
        serial, wall = next(self._serial), self._network.milliseconds
        if emission.kind == "notice":
            upper = self._plan.exchange.margin_event_name_style == "upper"
            event: dict[str, object] = {"e": "USER_LIABILITY_CHANGE" if upper else "userLiabilityChange", "E": wall}
            event |= {"a": "USDT", "t": "BORROW", "p": str(serial), "i": "0"}
        else:
            event = {"e": "balanceUpdate", "E": wall, "a": "USDT", "d": str(serial), "T": wall}
        copies = 1
        if self._striker.duplicates:
            self._striker.duplicates -= 1
            copies = 2
            self._network.exchange.inject_fault(faults.DuplicateEvent(), wall)
        required = self._life.state is not State.CONNECTING
        sent = Sent(serial, self._wall(self._now), copies, required)
        self._ledger.send(emission.account, emission.kind, sent)
        name = emission.account.symbol or "cross"
        self._network.exchange.send_event(event, self._network.user.uid, name, wall)
        self._network.exchange.clear_faults()
        self._network.pump()
        if probe:
            self._later(_SETTLED, lambda: self._probed(emission, serial, wall))

    def _probed(self, emission: Emission, serial: int, sent_at: int) -> None:
        calm = self._weather.trouble_until < (sent_at - EPOCH) / 1000 and not self._is_waiting
        if calm and self._ledger.waits(emission.account, emission.kind, serial):
            raise Violation(4, f"{emission.account} is quiet {_WITHIN:.0f} s after the last trouble")

    # what goes wrong

    def _arm(self, strike: Strike) -> None:
        self._strikes.remove(strike)
        if not strike.occasion:
            self._strike(strike)
        else:
            self._weather.pending.append(strike)
            self._later(_PATIENCE, partial(self._give_up, strike))
        self._calm.beat()

    def _give_up(self, strike: Strike) -> None:
        """The occasion has not come."""
        if strike in self._weather.pending:
            self._weather.pending.remove(strike)

    def _occasion(self, strike: Strike) -> None:
        self._coming += 1
        self._later(strike.after, lambda: self._come(strike))

    def _come(self, strike: Strike) -> None:
        self._coming -= 1
        self._strike(strike)
        for _ in range(_EVENTS_THEN):
            emission = Emission(self._now, self._dice.choice(self._ordering), "order")
            self._later(
                self._dice.choice((0.0, self._dice.uniform(0, 1), self._dice.uniform(0, 20))),
                partial(self._emit, emission),
            )

    @property
    def _is_waiting(self) -> bool:
        """Whether a strike may come at any time."""
        return bool(self._coming or self._weather.pending)

    def _strike(self, strike: Strike) -> None:
        self._note(f"strikes: {strike}")
        self._striker.strike(strike)
        self._shell.obey()
        self._calm.beat()
        self._look_later()

    def _look_later(self) -> None:
        until = self._weather.trouble_until
        self._at(until + _WITHIN, lambda: self._look_after_trouble(until))

    def _look_after_trouble(self, until: float) -> None:
        if self._weather.trouble_until > until:
            if self._weather.trouble_until > self._now:
                self._look_later()
            return
        if self._is_waiting or self._shell.failed is not None:
            return
        self._now_calm()

    def _now_calm(self) -> None:
        if self._striker.revoked_at is not None or self._weather.fatal_told_at is not None:
            raise Violation(6, f"what is fatal has not surfaced {_WITHIN:.0f} s after the last trouble")
        if self._life.state is not State.LIVE:
            raise Violation(4, f"{self._life.state.value} {_WITHIN:.0f} s after the last trouble")
        for account, chain in self._plan.feeds:
            kind = "notice" if chain[0].name == "risk" else "order"
            self._emit(Emission(self._now, account, kind), probe=True)

    # the end

    def _finish(self) -> None:
        self._consume()
        if self._shell.failed is not None:
            self._check_fatal()
            return
        if self._striker.revoked_at is not None or self._weather.fatal_told_at is not None:
            raise Violation(6, "the month ended, and what was fatal had not surfaced")
        self._ledger.settle()
        self._life.close(self._now)
        self._shell.obey()
        if self._network.pipes:
            raise Violation(5, f"{len(self._network.pipes)} connections are left open")

    def _check_fatal(self) -> None:
        failure = self._shell.failed
        reason = self._striker.revoked_at if self._striker.revoked_at is not None else self._weather.fatal_told_at
        if reason is None:
            raise Violation(6, f"it ended for no reason: {failure}")
        since = max(reason, min(self._weather.trouble_until, self._now))
        if self._now > since + _FATAL_WITHIN:
            raise Violation(6, f"what was fatal surfaced only after {self._now - reason:.0f} s")
        self._shell.obey()
        if self._life.next_timer_at() is not None or self._network.pipes:
            raise Violation(6, "something goes on after the fatal end")

    # the trace

    def _changed(self, change: StatusChange) -> None:
        self._note(f"{change.name} {change.account or ''} {change.detail}")

    def _note(self, text: str) -> None:
        if self._tracing:
            self._trace.append(f"{self._now:14.3f}  {text}")


def _line_of(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename.rpartition('/')[2]}, line {last.lineno}: {error}"
