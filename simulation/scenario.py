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
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.state import GapReason, State, StatusChange
from simulation.active_faults import ActiveFaults
from simulation.delivery_checker import DeliveryChecker, PlayedEvent
from simulation.driver import Driver, make_endpoints
from simulation.expected_gaps import ExpectedGaps
from simulation.fault_injector import SimulatedFaultInjector
from simulation.idle_speedup import FAULT_LEAD_SECONDS, IdleSpeedup
from simulation.limit_checker import LimitChecker, check_memory
from simulation.network import EPOCH_MS, Network
from simulation.plan import PlannedEvent, PlannedFault, ScenarioPlan
from simulation.result import SimulationResult
from simulation.violation import Violation

__all__ = ["SimulatedMonth"]

_RECOVERY_DEADLINE = 120.0
_PROBE_DEADLINE = 30.0
_FATAL_DEADLINE = 60.0
_TRIGGER_TIMEOUT = 14_400.0
_MEMORY_CHECK_STEPS = 32
_EVENTS_AFTER_FAULT = 8


class SimulatedMonth:
    """Plays a plan. The first violation ends it."""

    def __init__(self, plan: ScenarioPlan, *, trace: bool = False) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed + 1)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._serial = count(1)
        self._is_tracing = trace
        self._trace: list[str] = []
        exchange_rules = replace(
            plan.exchange_rules,
            ping_interval_ms=plan.exchange_rules.ping_interval_ms if plan.exchange_pings else 10**12,
        )
        self._network = Network(exchange_rules, random.Random(plan.seed + 2), self._call_at)
        self._active_faults = ActiveFaults(self._rng, lambda: self._network.now)
        self._limit_checker = LimitChecker(plan.settings, exchange_rules)
        self._delivery_checker = DeliveryChecker(
            frozenset({"notice"}) if plan.source_name == "V2 and risk" else frozenset(),
            tolerance_ms=round(plan.settings.latency_allowance * 1000),
        )
        self._lifecycle: Lifecycle[Event] = Lifecycle(
            plan.feeds,
            settings=plan.settings,
            jitter=random.Random(plan.seed + 3).uniform,
            to_epoch_ms=self._to_epoch_ms,
        )
        self._driver = Driver(
            self._lifecycle,
            self._network,
            endpoints=make_endpoints(exchange_rules),
            active_faults=self._active_faults,
            limit_checker=self._limit_checker,
            call_later=self._call_later,
            open_timeout=plan.settings.open_timeout,
            sign_requests=exchange_rules.signature_policy == "required",
        )
        expected_gaps = ExpectedGaps(self._lifecycle, self._network, self._delivery_checker, self._to_epoch_ms)
        self._fault_injector = SimulatedFaultInjector(plan, self._network, self._active_faults, expected_gaps)
        self._network.on_connection_ending = expected_gaps.mark_connection
        self._network.on_text = expected_gaps.observe
        self._active_faults.on_due = self._on_trigger
        self._driver.on_change = self._on_change
        self._remaining_faults = list(plan.faults)
        self._idle_speedup = IdleSpeedup(
            self._lifecycle,
            self._network,
            plan.settings,
            faults_possible=self._faults_possible,
            next_fault_at=self._next_fault_at,
            call_later=self._call_later,
            exchange_pings=plan.exchange_pings,
        )
        self._active_faults.on_open = self._idle_speedup.on_open
        self._order_accounts = [account for account, chain in plan.feeds if chain[0].name != "risk"]
        self._delayed_faults = 0
        self._down_since: float | None = 0.0
        self.result = SimulationResult(
            plan.seed, self._delivery_checker.totals, self._active_faults.fault_counts, trace=self._trace
        )

    # the clock

    @property
    def _now(self) -> float:
        return self._network.now

    def _to_epoch_ms(self, at: float) -> int:
        return EPOCH_MS + round((at + self._plan.clock_skew) * 1000)

    def _call_at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action))

    def _call_later(self, seconds: float, action: Callable[[], None]) -> None:
        self._call_at(self._network.now + seconds, action)

    def run(self) -> SimulationResult:
        """Play the month to its end, or to the first violation."""
        try:
            self._schedule_plan()
            self._run_until(self._plan.duration)
            self._finish()
        except Violation as violation:
            self.result.violation = violation
        except Exception as error:
            self.result.violation = Violation(7, _format_error(error))
        self.result.peak_calls_per_minute = self._limit_checker.peak_calls_per_minute
        return self.result

    def _schedule_plan(self) -> None:
        for planned in self._remaining_faults:
            self._call_at(max(0.0, planned.at - FAULT_LEAD_SECONDS), self._idle_speedup.on_faults_near)
            self._call_at(planned.at, partial(self._start_fault, planned))
        for planned_event in self._plan.events:
            self._call_at(planned_event.at, partial(self._send_event, planned_event))
        self._lifecycle.start(0.0)
        self._driver.run_actions()
        self._active_faults.extend_fault_window(0.0)
        self._call_at(_RECOVERY_DEADLINE, lambda: self._check_recovery(0.0))

    def _faults_possible(self) -> bool:
        in_fault_window = self._now < self._active_faults.fault_window_end + _RECOVERY_DEADLINE + _PROBE_DEADLINE
        return self._has_pending_faults or in_fault_window or self._down_since is not None

    def _next_fault_at(self) -> float:
        return self._remaining_faults[0].at if self._remaining_faults else self._plan.duration

    def _run_until(self, end: float) -> None:
        lifecycle, network, heap = self._lifecycle, self._network, self._heap
        deadline, wakeup = network.exchange.next_deadline, lifecycle.next_timer_at
        while self._driver.failure is None:
            at = heap[0][0] if heap else end
            wake, due = wakeup(), deadline()
            following = at if wake is None or at <= wake else wake
            exchange = end if due is None else (due - EPOCH_MS) / 1000
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
                lifecycle.on_timer(network.now)
            self._after_step()
        network.now = max(network.now, end) if self._driver.failure is None else network.now

    def _after_step(self) -> None:
        if self._lifecycle.actions:
            self._driver.run_actions()
        if self._now >= self._fault_injector.stalled_until:
            self._consume()
        self.result.steps += 1
        if self.result.steps % _MEMORY_CHECK_STEPS == 0:
            check_memory(self._lifecycle, len(self._plan.feeds))
        if self._lifecycle.state is State.LIVE:
            if self._down_since is not None:
                self._on_recovered(self._down_since)
        elif self._down_since is None:
            self._down_since = self._now
        elif self._is_recovery_due() and self._driver.failure is None and self._fault_injector.revoked_at is None:
            raise Violation(
                4,
                f"{self._lifecycle.state.value} {self._now - self._active_faults.fault_window_end:.0f} s after trouble",
            )

    def _is_recovery_due(self) -> bool:
        return self._now > self._active_faults.fault_window_end + _RECOVERY_DEADLINE and not self._has_pending_faults

    def _on_recovered(self, since: float) -> None:
        elapsed = self._now - max(since, min(self._active_faults.fault_window_end, self._now))
        self.result.longest_recovery = max(self.result.longest_recovery, elapsed)
        self._down_since = None

    # the consumer

    def _consume(self) -> None:
        take = self._lifecycle.next_item
        while (item := take()) is not None:
            if isinstance(item, BalanceUpdate):
                self._delivery_checker.record_received(item.account, "order", int(item.delta))
            elif isinstance(item, UserLiabilityChange):
                self._delivery_checker.record_received(item.account, "notice", int(item.principal))
            elif isinstance(item, StreamGap):
                self._on_gap(item)

    def _on_gap(self, gap: StreamGap) -> None:
        self._add_to_trace(f"gap {gap.account} {gap.since - EPOCH_MS} to {gap.until - EPOCH_MS} ms: {gap.reason}")
        if gap.reason == GapReason.SLOW_CONSUMER:
            self._delivery_checker.mark_possible_loss(gap.account, gap.until)
        self._delivery_checker.record_gap(gap)

    # what is sent

    def _send_event(self, planned_event: PlannedEvent, *, probe: bool = False) -> None:
        serial, wall = next(self._serial), self._network.epoch_ms
        if planned_event.kind == "notice":
            upper = self._plan.exchange_rules.margin_event_name_style == "upper"
            event: dict[str, object] = {"e": "USER_LIABILITY_CHANGE" if upper else "userLiabilityChange", "E": wall}
            event |= {"a": "USDT", "t": "BORROW", "p": str(serial), "i": "0"}
        else:
            event = {"e": "balanceUpdate", "E": wall, "a": "USDT", "d": str(serial), "T": wall}
        copies = 1
        if self._fault_injector.duplicates_left:
            self._fault_injector.duplicates_left -= 1
            copies = 2
            self._network.exchange.inject_fault(faults.DuplicateEvent(), wall)
        required = self._lifecycle.state is not State.CONNECTING
        sent = PlayedEvent(serial, self._to_epoch_ms(self._now), copies, required)
        self._delivery_checker.record_sent(planned_event.account, planned_event.kind, sent)
        name = planned_event.account.symbol or "cross"
        self._network.exchange.send_event(event, self._network.user.uid, name, wall)
        self._network.exchange.clear_faults()
        self._network.flush_outputs()
        if probe:
            self._call_later(_PROBE_DEADLINE, lambda: self._check_probe(planned_event, serial, wall))

    def _check_probe(self, planned_event: PlannedEvent, serial: int, sent_at: int) -> None:
        is_recovered = (
            self._active_faults.fault_window_end < (sent_at - EPOCH_MS) / 1000 and not self._has_pending_faults
        )
        if is_recovered and self._delivery_checker.is_outstanding(planned_event.account, planned_event.kind, serial):
            raise Violation(4, f"{planned_event.account} is quiet {_RECOVERY_DEADLINE:.0f} s after the last trouble")

    # what goes wrong

    def _start_fault(self, planned: PlannedFault) -> None:
        self._remaining_faults.remove(planned)
        if not planned.trigger:
            self._inject(planned)
        else:
            self._active_faults.pending.append(planned)
            self._call_later(_TRIGGER_TIMEOUT, partial(self._cancel_fault, planned))
        self._idle_speedup.resume_pings()

    def _cancel_fault(self, planned: PlannedFault) -> None:
        """The occasion has not come."""
        if planned in self._active_faults.pending:
            self._active_faults.pending.remove(planned)

    def _on_trigger(self, planned: PlannedFault) -> None:
        self._delayed_faults += 1
        self._call_later(planned.delay, lambda: self._inject_triggered(planned))

    def _inject_triggered(self, planned: PlannedFault) -> None:
        self._delayed_faults -= 1
        self._inject(planned)
        for _ in range(_EVENTS_AFTER_FAULT):
            planned_event = PlannedEvent(self._now, self._rng.choice(self._order_accounts), "order")
            self._call_later(
                self._rng.choice((0.0, self._rng.uniform(0, 1), self._rng.uniform(0, 20))),
                partial(self._send_event, planned_event),
            )

    @property
    def _has_pending_faults(self) -> bool:
        """Whether a strike may come at any time."""
        return bool(self._delayed_faults or self._active_faults.pending)

    def _inject(self, planned: PlannedFault) -> None:
        self._add_to_trace(f"strikes: {planned}")
        self._fault_injector.apply(planned)
        self._driver.run_actions()
        self._idle_speedup.resume_pings()
        self._schedule_recovery_check()

    def _schedule_recovery_check(self) -> None:
        until = self._active_faults.fault_window_end
        self._call_at(until + _RECOVERY_DEADLINE, lambda: self._check_recovery(until))

    def _check_recovery(self, until: float) -> None:
        if self._active_faults.fault_window_end > until:
            if self._active_faults.fault_window_end > self._now:
                self._schedule_recovery_check()
            return
        if self._has_pending_faults or self._driver.failure is not None:
            return
        self._check_live()

    def _check_live(self) -> None:
        if self._fault_injector.revoked_at is not None or self._active_faults.fatal_sent_at is not None:
            raise Violation(6, f"what is fatal has not surfaced {_RECOVERY_DEADLINE:.0f} s after the last trouble")
        if self._lifecycle.state is not State.LIVE:
            raise Violation(4, f"{self._lifecycle.state.value} {_RECOVERY_DEADLINE:.0f} s after the last trouble")
        for account, chain in self._plan.feeds:
            kind = "notice" if chain[0].name == "risk" else "order"
            self._send_event(PlannedEvent(self._now, account, kind), probe=True)

    # the end

    def _finish(self) -> None:
        self._consume()
        if self._driver.failure is not None:
            self._check_fatal_end()
            return
        if self._fault_injector.revoked_at is not None or self._active_faults.fatal_sent_at is not None:
            raise Violation(6, "the month ended, and what was fatal had not surfaced")
        self._delivery_checker.check_outstanding()
        self._lifecycle.close(self._now)
        self._driver.run_actions()
        if self._network.connections:
            raise Violation(5, f"{len(self._network.connections)} connections are left open")

    def _check_fatal_end(self) -> None:
        failure = self._driver.failure
        reason = (
            self._fault_injector.revoked_at
            if self._fault_injector.revoked_at is not None
            else self._active_faults.fatal_sent_at
        )
        if reason is None:
            raise Violation(6, f"it ended for no reason: {failure}")
        since = max(reason, min(self._active_faults.fault_window_end, self._now))
        if self._now > since + _FATAL_DEADLINE:
            raise Violation(6, f"what was fatal surfaced only after {self._now - reason:.0f} s")
        self._driver.run_actions()
        if self._lifecycle.next_timer_at() is not None or self._network.connections:
            raise Violation(6, "something goes on after the fatal end")

    # the trace

    def _on_change(self, change: StatusChange) -> None:
        self._add_to_trace(f"{change.kind} {change.account or ''} {change.detail}")

    def _add_to_trace(self, text: str) -> None:
        if self._is_tracing:
            self._trace.append(f"{self._now:14.3f}  {text}")


def _format_error(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename.rpartition('/')[2]}, line {last.lineno}: {error}"
