"""Checks of the recovery after faults, and of the end after a fatal one."""

from __future__ import annotations

from collections.abc import Callable, Container

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import AccountEvent
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.state import State
from simulation.checks import DeliveryChecker, Violation
from simulation.driver import Driver
from simulation.faults import ActiveFaults
from simulation.network import Network, VirtualClock
from simulation.plan import PlannedEvent, ScenarioPlan

__all__ = ["RecoveryChecker"]

_RECOVERY_DEADLINE = 120.0
_PROBE_DEADLINE = 30.0
_FATAL_DEADLINE = 60.0


class RecoveryChecker:
    """Checks that every account is live, and delivers an event, two minutes after the last fault.

    `send_event` sends an event of an account, and returns its serial number.
    """

    def __init__(
        self,
        plan: ScenarioPlan,
        lifecycle: Lifecycle[AccountEvent],
        driver: Driver,
        network: Network,
        clock: VirtualClock,
        active_faults: ActiveFaults,
        delivery_checker: DeliveryChecker,
        send_event: Callable[[PlannedEvent], int],
        ended_accounts: Container[Account],
    ) -> None:
        self.longest_recovery = 0.0
        """The longest time from the last fault until every account was live, in seconds."""
        self._plan = plan
        self._lifecycle = lifecycle
        self._driver = driver
        self._network = network
        self._clock = clock
        self._active_faults = active_faults
        self._delivery_checker = delivery_checker
        self._send_event = send_event
        self._ended_accounts = ended_accounts
        self._down_since: float | None = 0.0

    @property
    def faults_possible(self) -> bool:
        """Whether a fault has an effect, may be injected at any time, or is not recovered from."""
        until = self._active_faults.fault_window_end + _RECOVERY_DEADLINE + _PROBE_DEADLINE
        return self._active_faults.has_pending or self._clock.now < until or self._down_since is not None

    def on_step(self) -> None:
        """Check the state of the stream after a step."""
        if self._lifecycle.state is State.LIVE:
            if self._down_since is not None:
                self._on_recovered(self._down_since)
        elif self._down_since is None:
            self._down_since = self._clock.now
        elif self._is_overdue() and self._driver.failure is None and self._active_faults.fatal_at is None:
            elapsed = self._clock.now - self._active_faults.fault_window_end
            raise Violation(4, f"{self._lifecycle.state.value} {elapsed:.0f} s after the last fault")

    def _is_overdue(self) -> bool:
        deadline = self._active_faults.fault_window_end + _RECOVERY_DEADLINE
        return self._clock.now > deadline and not self._active_faults.has_pending

    def _on_recovered(self, since: float) -> None:
        last_fault = min(self._active_faults.fault_window_end, self._clock.now)
        self.longest_recovery = max(self.longest_recovery, self._clock.now - max(since, last_fault))
        self._down_since = None

    def schedule_check(self) -> None:
        """Check every account two minutes after the faults that are known now."""
        until = self._active_faults.fault_window_end
        self._clock.call_at(until + _RECOVERY_DEADLINE, lambda: self._check(until))

    def _check(self, until: float) -> None:
        if self._active_faults.fault_window_end > until:
            if self._active_faults.fault_window_end > self._clock.now:
                self.schedule_check()
            return
        if self._active_faults.has_pending or self._driver.failure is not None:
            return
        self._check_accounts()

    def _check_accounts(self) -> None:
        since = f"{_RECOVERY_DEADLINE:.0f} s after the last fault"
        if self._active_faults.fatal_at is not None:
            raise Violation(6, f"the fatal error has not been raised {since}")
        if self._lifecycle.state is not State.LIVE:
            raise Violation(4, f"{self._lifecycle.state.value} {since}")
        for account, sources in self._plan.feeds:
            if account in self._ended_accounts:
                continue
            kind = "notice" if sources[0].name == "risk" else "order"
            self._send_probe(PlannedEvent(self._clock.now, account, kind))

    def _send_probe(self, event: PlannedEvent) -> None:
        serial, sent_at = self._send_event(event), self._clock.now
        self._clock.call_later(_PROBE_DEADLINE, lambda: self._check_probe(event, serial, sent_at))

    def _check_probe(self, event: PlannedEvent, serial: int, sent_at: float) -> None:
        if event.account in self._ended_accounts:
            return
        if self._active_faults.fault_window_end >= sent_at or self._active_faults.has_pending:
            return
        if self._delivery_checker.is_outstanding(event.account, event.kind, serial):
            raise Violation(4, f"{event.account} received no event {_RECOVERY_DEADLINE:.0f} s after the last fault")

    def check_end(self) -> None:
        """Check how the month ended: with the error of a fatal fault, or without one."""
        failure, fatal_at = self._driver.failure, self._active_faults.fatal_at
        if failure is None:
            if fatal_at is not None:
                raise Violation(6, "the month ended and the fatal error was not raised")
            return
        if fatal_at is None:
            raise Violation(6, f"the stream failed without a fatal fault: {failure}")
        since = max(fatal_at, min(self._active_faults.fault_window_end, self._clock.now))
        if self._clock.now > since + _FATAL_DEADLINE:
            raise Violation(6, f"the fatal error was raised only after {self._clock.now - fatal_at:.0f} s")
        self._driver.run_actions()
        if self._lifecycle.next_timer_at() is not None or self._network.connections:
            raise Violation(6, "timers or connections remain after the fatal error")
