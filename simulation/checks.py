"""The properties that a simulation verifies, the result of a month, and the checks of what the stream delivers."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import StreamGap
from binance_margin_stream.stream.events.models import AccountEvent
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from simulation.network import SimulatedConnection, VirtualClock

__all__ = ["PROPERTIES", "DeliveryChecker", "ExpectedGaps", "SentEvent", "SimulationResult", "Totals", "Violation"]

_RECENT_GAPS = 40


PROPERTIES = {
    1: "each event is delivered exactly once, or lies in a gap that was reported before any later event",
    2: "no gap is reported where nothing could have been missed",
    3: "nothing is sent that the limits forbid, nor during a ban",
    4: "two minutes after the last fault every account is live",
    5: "every table stays within its bounds",
    6: "a fatal error is raised within a minute and stops all requests; no other error does",
    7: "no input makes the state machine raise",
    8: "an account is lost only when the exchange refuses it for good, by name, and within a day",
}


class Violation(Exception):  # noqa: N818  # a result, not an error of this code
    """A property does not hold. `detail` says what was observed."""

    def __init__(self, number: int, detail: str) -> None:
        super().__init__(number, detail)
        self.number = number
        self.detail = detail

    def __str__(self) -> str:
        return f"property {self.number} ({PROPERTIES[self.number]}): {self.detail}"


@dataclass
class Totals:
    """What became of the events."""

    events: int = 0
    delivered_once: int = 0
    covered_by_gap: int = 0
    lost: int = 0
    delivered_twice: int = 0
    gaps: int = 0

    def add(self, other: Totals) -> None:
        """Add the totals of another month."""
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class SimulationResult:
    """The result of one month. Times are in seconds."""

    seed: int
    totals: Totals = field(default_factory=Totals)
    fault_counts: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    cpu_seconds: float = 0.0
    longest_recovery: float = 0.0
    peak_calls_per_minute: int = 0
    violation: Violation | None = None
    trace: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SentEvent:
    """An event that was sent: when, in epoch milliseconds of the stream's clock, and how many times."""

    serial: int
    sent_at: int
    copies: int
    required: bool
    received: int = 0


class DeliveryChecker:
    """Compares what a stream delivers with what the exchange sent.

    The events of one account and kind are delivered in order. Two feeds deliver the kinds in `shared_kinds`: there the
    slower feed may deliver late what the other one lost.
    """

    def __init__(self, shared_kinds: frozenset[str] = frozenset(), tolerance_ms: int = 0) -> None:
        self.totals = Totals()
        self._shared_kinds = shared_kinds
        self._tolerance_ms = tolerance_ms
        self._outstanding: dict[tuple[Account, str], deque[SentEvent]] = defaultdict(deque)
        self._may_arrive_late: dict[int, SentEvent] = {}
        self._gaps: dict[Account, deque[StreamGap]] = defaultdict(lambda: deque(maxlen=_RECENT_GAPS))
        self._possible_losses: dict[Account, list[int]] = defaultdict(list)

    def record_sent(self, account: Account, kind: str, event: SentEvent) -> None:
        """An event is sent."""
        self.totals.events += event.required
        self._outstanding[account, kind].append(event)

    def mark_possible_loss(self, account: Account, at: int) -> None:
        """Events of an account may be missed from this time on, in epoch milliseconds."""
        insort(self._possible_losses[account], at)

    def record_gap(self, gap: StreamGap) -> None:
        """The stream reported a gap."""
        self.totals.gaps += 1
        self._gaps[gap.account].append(gap)
        possible_losses = self._possible_losses[gap.account]
        first = bisect_left(possible_losses, gap.since - self._tolerance_ms)
        if first == len(possible_losses) or possible_losses[first] > gap.until + self._tolerance_ms:
            raise Violation(2, f"{gap!r}, and no fault affected that account in that time")

    def record_received(self, account: Account, kind: str, serial: int) -> None:
        """The stream delivered an event."""
        outstanding = self._outstanding[account, kind]
        while outstanding and outstanding[0].serial < serial:
            self._require_gap(account, kind, outstanding.popleft())
        if outstanding and outstanding[0].serial == serial:
            self._count_received(outstanding[0])
        elif serial in self._may_arrive_late and kind in self._shared_kinds:
            self._count_received(self._may_arrive_late[serial])
        else:
            self.totals.delivered_twice += 1
            raise Violation(
                1, f"event {serial} of {account} ({kind}) was delivered twice, too late, or to the wrong account"
            )

    def check_outstanding(self) -> None:
        """Check the events that were not delivered. Call this when no further event can arrive."""
        for (account, kind), outstanding in self._outstanding.items():
            while outstanding:
                self._require_gap(account, kind, outstanding.popleft())

    def is_outstanding(self, account: Account, kind: str, serial: int) -> bool:
        """Whether an event was sent and not delivered."""
        return any(each.serial == serial and not each.received for each in self._outstanding[account, kind])

    def _count_received(self, event: SentEvent) -> None:
        event.received += 1
        if event.received > event.copies:
            self.totals.delivered_twice += 1
            raise Violation(
                1, f"event {event.serial} was delivered {event.received} times and sent {event.copies} times"
            )
        self.totals.delivered_once += event.required and event.received == 1

    def _require_gap(self, account: Account, kind: str, event: SentEvent) -> None:
        """Require a gap for an event that was not delivered, now that a later event or the end has arrived."""
        if event.received >= event.copies or not event.required:
            return
        if kind in self._shared_kinds:
            self._may_arrive_late[event.serial] = event
        if not any(gap.since <= event.sent_at <= gap.until for gap in self._gaps[account]):
            self.totals.lost += 1
            raise Violation(
                1, f"event {event.serial} of {account} ({kind}), sent at {event.sent_at}, was lost without a gap"
            )
        self.totals.covered_by_gap += not event.received


class ExpectedGaps:
    """Records in a `DeliveryChecker` when a fault may have made an account miss events.

    `to_epoch_ms` converts a time of the month to the epoch milliseconds in which the stream reports gaps.
    """

    def __init__(
        self,
        lifecycle: Lifecycle[AccountEvent],
        clock: VirtualClock,
        delivery_checker: DeliveryChecker,
        to_epoch_ms: Callable[[float], int],
    ) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        self._delivery_checker = delivery_checker
        self._to_epoch_ms = to_epoch_ms

    def mark_account(self, account: Account, at: float | None = None) -> None:
        """An account may miss events from now on, or from another time."""
        self._delivery_checker.mark_possible_loss(account, self._to_epoch_ms(self._clock.now if at is None else at))

    def mark_connection(self, connection: SimulatedConnection, at: float | None = None) -> None:
        """All accounts with a subscription on a connection may miss events."""
        if not connection.is_open or connection.exchange_number is None:
            return
        state = self._lifecycle.connections.get(connection.number)
        for account in {each.feed.account: None for each in state.subscriptions} if state is not None else ():
            self.mark_account(account, at)

    def on_text(self, connection: SimulatedConnection, frame: Text) -> None:
        """The exchange sends a text: it may end a subscription, or arrive truncated."""
        ends_subscription = "eventStreamTerminated" in frame.text or "listenKeyExpired" in frame.text
        if ends_subscription or (self._clock.now < connection.truncate_until and '"E":' in frame.text):
            self.mark_connection(connection)
