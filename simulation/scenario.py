"""Runs one simulated month: faults, events, and the checks after every step."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count

from binance_margin_stream.sandbox import faults
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import AccountLost, StreamGap
from binance_margin_stream.stream.events.models import AccountEvent, BalanceUpdate, UserLiabilityChange
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import get_limits
from binance_margin_stream.stream.state import GapReason, State, StatusChange
from simulation.checks import DeliveryChecker, ExpectedGaps, SentEvent, SimulationResult, Violation
from simulation.driver import Driver, SimulatedClient, make_endpoints
from simulation.faults import ActiveFaults, SimulatedFaultInjector
from simulation.limit_checks import LimitChecker, check_memory
from simulation.network import EPOCH_MS, Network, SimulatedConnection, VirtualClock
from simulation.plan import PlannedEvent, PlannedFault, ScenarioPlan
from simulation.recovery import RecoveryChecker

__all__ = ["SimulatedMonth"]

_MEMORY_CHECK_STEPS = 32
_EVENTS_AFTER_FAULT = 8
_FAULT_LEAD_SECONDS = 2220.0
"""How long before a planned fault the stream's own health check interval applies again."""
_IDLE_CHECK_INTERVAL = 1800.0
_PING_INTERVAL = 20.0
_LOSS_DEADLINE = 86_400.0
"""A token of 24 hours is renewed after half of its lifetime."""


class SimulatedMonth:
    """Runs a plan until its end, or until the first violation."""

    def __init__(self, plan: ScenarioPlan, *, trace: bool = False) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed + 1)
        self._serials = count(1)
        self._is_tracing = trace
        self._trace: list[str] = []
        rules = plan.exchange_rules
        interval_ms = None if plan.ping_interval is None else round(plan.ping_interval * 1000)
        exchange_rules = replace(rules, ping_interval_ms=interval_ms if plan.exchange_pings else None)
        self._clock = VirtualClock()
        self._network = Network(exchange_rules, random.Random(plan.seed + 2), self._clock)
        self._active_faults = ActiveFaults(self._rng, self._clock)
        self._limit_checker = LimitChecker(plan.settings, exchange_rules, self._clock)
        self._delivery_checker = DeliveryChecker(
            frozenset({"notice"}) if plan.source_name == "V2 and risk" else frozenset(),
            tolerance_ms=round(plan.settings.latency_allowance * 1000),
        )
        self._lifecycle: Lifecycle[AccountEvent] = Lifecycle(
            plan.feeds,
            settings=plan.settings,
            jitter=random.Random(plan.seed + 3).uniform,
            to_epoch_ms=self._to_epoch_ms,
        )
        endpoints = make_endpoints(exchange_rules)
        is_signed = exchange_rules.signature_policy == "required"
        self._driver = Driver(
            self._lifecycle,
            self._network,
            self._clock,
            client=SimulatedClient(self._network, self._clock, endpoints, listen_tokens_are_signed=is_signed),
            endpoints=endpoints,
            active_faults=self._active_faults,
            limit_checker=self._limit_checker,
            open_timeout=plan.settings.open_timeout,
        )
        expected_gaps = ExpectedGaps(self._lifecycle, self._clock, self._delivery_checker, self._to_epoch_ms)
        self._fault_injector = SimulatedFaultInjector(
            plan, self._network, self._clock, self._active_faults, expected_gaps
        )
        self._recovery_checker = RecoveryChecker(
            plan, self._lifecycle, self._driver, self._network, self._clock, self._active_faults,
            self._delivery_checker, self._send_event, self._fault_injector.ended_accounts,
        )  # fmt: skip
        self._lost_accounts: set[tuple[Account, str]] = set()
        self._remaining_faults = list(plan.faults)
        self._idle_speedup = IdleSpeedup(
            self._lifecycle, self._network, self._clock, self._recovery_checker, plan, self._next_fault_at
        )
        self._network.on_connection_ending = expected_gaps.mark_connection
        self._network.on_text = expected_gaps.on_text
        self._active_faults.on_due = self._inject
        self._active_faults.on_open = self._idle_speedup.on_open
        self._driver.on_change = self._on_change
        self._order_accounts = [account for account, sources in plan.feeds if sources[0].name != "risk"]
        self.result = SimulationResult(
            plan.seed, self._delivery_checker.totals, self._active_faults.counts, trace=self._trace
        )

    def _to_epoch_ms(self, at: float) -> int:
        return EPOCH_MS + round((at + self._plan.clock_skew) * 1000)

    def run(self) -> SimulationResult:
        """Run the month to its end, or to the first violation."""
        try:
            self._schedule_plan()
            self._run_until(self._plan.duration)
            self._finish()
        except Violation as violation:
            self.result.violation = violation
        except Exception as error:
            self.result.violation = Violation(7, _format_error(error))
        self.result.longest_recovery = self._recovery_checker.longest_recovery
        self.result.peak_calls_per_minute = self._limit_checker.peak_calls_per_minute
        return self.result

    def _schedule_plan(self) -> None:
        for planned in self._plan.faults:
            self._clock.call_at(max(0.0, planned.at - _FAULT_LEAD_SECONDS), self._idle_speedup.on_fault_near)
            self._clock.call_at(planned.at, partial(self._start_fault, planned))
        for event in self._plan.events:
            self._clock.call_at(event.at, partial(self._send_event, event))
        self._lifecycle.start(0.0)
        self._driver.run_actions()
        self._active_faults.extend_fault_window(0.0)
        self._recovery_checker.schedule_check()

    def _next_fault_at(self) -> float:
        return self._remaining_faults[0].at if self._remaining_faults else self._plan.duration

    def _run_until(self, end: float) -> None:
        lifecycle, network, clock = self._lifecycle, self._network, self._clock
        exchange_deadline, next_timer_at = network.exchange.next_deadline, lifecycle.next_timer_at
        while self._driver.failure is None:
            callback_at, timer_at, deadline = min(clock.next_at(), end), next_timer_at(), exchange_deadline()
            client_at = callback_at if timer_at is None or callback_at <= timer_at else timer_at
            exchange_at = end if deadline is None else (deadline - EPOCH_MS) / 1000
            if min(client_at, exchange_at) >= end:
                clock.advance_to(end)
                return
            if exchange_at < client_at:
                clock.advance_to(exchange_at)
                network.advance()
            elif callback_at <= client_at:
                clock.run_next()
            else:
                clock.advance_to(client_at)
                lifecycle.on_timer(clock.now)
            self._after_step()

    def _after_step(self) -> None:
        if self._lifecycle.actions:
            self._driver.run_actions()
        if self._clock.now >= self._fault_injector.stalled_until:
            self._consume()
        self.result.steps += 1
        if self.result.steps % _MEMORY_CHECK_STEPS == 0:
            check_memory(self._lifecycle, len(self._plan.feeds))
        self._recovery_checker.on_step()

    def _consume(self) -> None:
        while (item := self._lifecycle.next_item()) is not None:
            if isinstance(item, BalanceUpdate) and item.delta is not None:
                self._delivery_checker.record_received(item.account, "order", int(item.delta))
            elif isinstance(item, UserLiabilityChange) and item.principal is not None:
                self._delivery_checker.record_received(item.account, "notice", int(item.principal))
            elif isinstance(item, StreamGap):
                self._on_gap(item)
            elif isinstance(item, AccountLost):
                self._on_account_lost(item)

    def _on_account_lost(self, lost: AccountLost) -> None:
        self._add_to_trace(f"lost {lost.account} {lost.source} {lost.code}")
        if lost.account not in self._fault_injector.ended_accounts or lost.code not in (-1121, -11001, -3003):
            raise Violation(8, f"{lost!r}")
        self._lost_accounts.add((lost.account, lost.source))

    def _check_lost_accounts(self) -> None:
        for account, ended_at in self._fault_injector.ended_accounts.items():
            is_overdue = self._clock.now - ended_at > _LOSS_DEADLINE
            if is_overdue and any(feed.account == account for feed in self._lifecycle.coordinator.feeds):
                raise Violation(8, f"{account} is followed although it ended at {ended_at:.0f} s")

    def _on_gap(self, gap: StreamGap) -> None:
        self._add_to_trace(f"gap {gap.account} {gap.since - EPOCH_MS} to {gap.until - EPOCH_MS} ms: {gap.reason}")
        if gap.reason == GapReason.SLOW_CONSUMER or gap.account in self._fault_injector.ended_accounts:
            self._delivery_checker.mark_possible_loss(gap.account, gap.until)
        self._delivery_checker.record_gap(gap)

    def _send_event(self, planned: PlannedEvent) -> int:
        """Send an event, with its serial number as an amount, and return the number."""
        serial, now, exchange = next(self._serials), self._clock.epoch_ms, self._network.exchange
        if planned.kind == "notice":
            is_upper = self._plan.exchange_rules.margin_event_name_style == "upper"
            event: dict[str, object] = {"e": "USER_LIABILITY_CHANGE" if is_upper else "userLiabilityChange", "E": now}
            event |= {"a": "USDT", "t": "BORROW", "p": str(serial), "i": "0"}
        else:
            event = {"e": "balanceUpdate", "E": now, "a": "USDT", "d": str(serial), "T": now}
        copies = 1
        if self._fault_injector.duplicates_left:
            self._fault_injector.duplicates_left -= 1
            copies = 2
            exchange.inject_fault(faults.DuplicateEvent(), now)
        is_followed = planned.account in {feed.account for feed in self._lifecycle.coordinator.feeds}
        required = self._lifecycle.state is not State.CONNECTING and is_followed
        sent = SentEvent(serial, self._to_epoch_ms(self._clock.now), copies, required)
        self._delivery_checker.record_sent(planned.account, planned.kind, sent)
        exchange.send_event(event, self._network.user.uid, planned.account.symbol or "cross", now)
        exchange.clear_faults()
        self._network.flush_outputs()
        return serial

    def _start_fault(self, planned: PlannedFault) -> None:
        self._remaining_faults.remove(planned)
        self._active_faults.start(planned)
        self._idle_speedup.resume_pings()

    def _inject(self, planned: PlannedFault) -> None:
        self._add_to_trace(f"inject: {planned}")
        self._fault_injector.inject(planned)
        self._driver.run_actions()
        self._idle_speedup.resume_pings()
        self._recovery_checker.schedule_check()
        for _ in range(_EVENTS_AFTER_FAULT if planned.trigger else 0):
            event = PlannedEvent(self._clock.now, self._rng.choice(self._order_accounts), "order")
            seconds = self._rng.choice((0.0, self._rng.uniform(0, 1), self._rng.uniform(0, 20)))
            self._clock.call_later(seconds, partial(self._send_event, event))

    def _finish(self) -> None:
        self._consume()
        self._recovery_checker.check_end()
        if self._driver.failure is not None:
            return
        self._delivery_checker.check_outstanding()
        self._check_lost_accounts()
        self._lifecycle.close(self._clock.now)
        self._driver.run_actions()
        if self._network.connections:
            raise Violation(5, f"{len(self._network.connections)} connections are left open")

    def _on_change(self, change: StatusChange) -> None:
        self._add_to_trace(f"{change.kind} {change.account or ''} {change.detail}")

    def _add_to_trace(self, text: str) -> None:
        if self._is_tracing:
            self._trace.append(f"{self._clock.now:14.3f}  {text}")


class IdleSpeedup:
    """Saves steps while no fault can occur: reports pings of the exchange in advance, and pings and checks rarely."""

    def __init__(
        self,
        lifecycle: Lifecycle[AccountEvent],
        network: Network,
        clock: VirtualClock,
        recovery_checker: RecoveryChecker,
        plan: ScenarioPlan,
        next_fault_at: Callable[[], float],
    ) -> None:
        self._lifecycle = lifecycle
        self._network = network
        self._clock = clock
        self._recovery_checker = recovery_checker
        self._settings = plan.settings
        self._next_fault_at = next_fault_at
        self._ping_interval = plan.ping_interval
        # The pings of the exchange are simulated one by one in all cases if the sandbox sends them.
        self._is_pinging = plan.exchange_pings
        self._check_rarely()

    def on_open(self, connection: SimulatedConnection) -> None:
        """A connection is open."""
        if not self._is_pinging:
            self._lifecycle.on_ping(connection.number, self._idle_until())

    def on_fault_near(self) -> None:
        """A fault is near: use the stream's own intervals for pings and for health checks of listen keys."""
        self._lifecycle.context.settings = self._settings
        self._lifecycle.context.limits = get_limits(self._settings)

    def resume_pings(self) -> None:
        """A fault may have an effect: simulate every ping from now on."""
        if not self._is_pinging:
            self._is_pinging = True
            self._send_pings()

    def _send_pings(self) -> None:
        self._is_pinging = self._recovery_checker.faults_possible
        until = self._clock.now if self._is_pinging else self._idle_until()
        is_silent = self._is_pinging and self._ping_interval is None
        for connection in [] if is_silent else list(self._network.connections.values()):
            if connection.handshake_done and not connection.dead and not self._is_frozen(connection):
                self._lifecycle.on_ping(connection.number, until)
        if self._is_pinging:
            self._clock.call_later(self._ping_interval or _PING_INTERVAL, self._send_pings)
        elif self._next_fault_at() > self._clock.now + _FAULT_LEAD_SECONDS:
            self._check_rarely()

    def _check_rarely(self) -> None:
        rare = replace(self._settings, health_check_interval=_IDLE_CHECK_INTERVAL)
        self._lifecycle.context.settings = rare
        self._lifecycle.context.limits = replace(get_limits(rare), ping_interval=_IDLE_CHECK_INTERVAL)

    def _idle_until(self) -> float:
        return max(self._clock.now, self._next_fault_at())

    def _is_frozen(self, connection: SimulatedConnection) -> bool:
        return connection.exchange_number is None or self._network.exchange.is_silent(connection.exchange_number)


def _format_error(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename.rpartition('/')[2]}, line {last.lineno}: {error}"
