"""Rules of the life cycle, broken on purpose one at a time: the adversary has to notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.protocol.actions import CloseConnection, Failure, FailureKind, GapReason
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.coordinator import Coordinator
from binance_margin_stream.stream.protocol.credentials import CredentialManager
from binance_margin_stream.stream.protocol.deduplication import Deduplicator
from binance_margin_stream.stream.protocol.rate_limit import Backoff, SlidingWindowLimit
from binance_margin_stream.stream.protocol.records import ConnectionState, Feed
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from simulation.plan import plan_of
from simulation.scenario import Month
from simulation.violation import Violation

__all__ = ["BREAKS", "Break", "Catch", "broken", "catch"]


@dataclass(frozen=True, slots=True)
class Break:
    """A rule that is broken: what is put in the place of what, and the properties that may notice it."""

    name: str
    place: type
    method: str
    instead: Callable[..., object]
    noticed_by: frozenset[int]
    more: tuple[tuple[type, str, Callable[..., object]], ...] = ()


@dataclass(frozen=True, slots=True)
class Catch:
    """The first seed that noticed a break, how many were played, and what it saw."""

    rule: Break
    seeds: int
    violation: Violation | None

    @property
    def is_right(self) -> bool:
        """Whether a property that is about this rule noticed it."""
        return self.violation is not None and self.violation.number in self.rule.noticed_by


def _nothing(*_: object, **__: object) -> None:
    """Do not do it."""


def _at_once(self: object, now: float) -> float:
    return now


def _no_wait(self: Backoff) -> float:
    self.failures += 1
    return 0.0


def _always_repeatable(self: Coordinator[Event], failure: Failure) -> None:
    """Go on as if it could be mended."""
    self.context.counters.failures += 1


_without_judging = CredentialManager._handle_failure


def _forget_unknown_key(self: CredentialManager, job: object, failure: Failure, now: float) -> None:
    """Take -1125 for a fault that passes."""
    if failure.kind is FailureKind.UNKNOWN_CREDENTIAL:
        failure = Failure(FailureKind.SERVER_ERROR, failure.detail)
    _without_judging(self, job, failure, now)  # type: ignore[arg-type]


def _close_before_the_new_one_lives(self: Coordinator[Event], link: ConnectionState, why: str, now: float) -> None:
    """Treat a rotation like a loss."""
    self.context.emit(CloseConnection(link.id))
    self.connections.on_lost(link, Failure(FailureKind.TRANSPORT_ERROR, why), GapReason.DISCONNECTED, now)


def _hand_over_all(self: Deduplicator[Event], feed: Feed, at: float, event: Event) -> None:
    """Do not ask what the old connection delivered already."""
    self._put_filtered(feed, at, event)


def _forget_the_loss(self: Deduplicator[Event], feed: Feed, live_at: float) -> None:
    """Report nothing."""
    feed.open_gap = None


BREAKS = (
    Break("no renewal", CredentialManager, "_next_renewal_at", lambda self, feed, credential: 1e12, frozenset({1, 2, 4})),
    Break("no gap after a loss", Deduplicator, "_emit_open_gap", _forget_the_loss, frozenset({1})),
    Break("no gap for a malformed frame", Deduplicator, "report_gap", _nothing, frozenset({1})),
    Break("no waiting during a ban", Context, "pause_sending", _nothing, frozenset({3})),
    Break("repeats are handed over in a rotation", Deduplicator, "_put_if_new", _hand_over_all, frozenset({1})),
    Break("a frozen connection is not noticed", ConnectionManager, "check_liveness", _nothing, frozenset({1, 4})),
    Break("a key that is gone (-1125) is not replaced", CredentialManager, "_handle_failure", _forget_unknown_key, frozenset({4})),
    Break(
        "connection attempts without backoff or limit", Backoff, "next_delay", _no_wait, frozenset({3}),
        ((SlidingWindowLimit, "next_allowed_at", _at_once),),
    ),
    Break("the old connection is closed before the new one lives", Coordinator, "replace_connection",
          _close_before_the_new_one_lives, frozenset({2, 4})),
    Break("a fatal refusal is ignored", Coordinator, "fail", _always_repeatable, frozenset({6})),
    Break("the end of a subscription is ignored", Coordinator, "on_terminated", _nothing, frozenset({1, 4})),
    Break("a way in that is retired is asked again", Coordinator, "on_source_retired", _nothing, frozenset({4})),
    Break("early events are dropped", SubscriptionManager, "buffer_unrouted", lambda *_: True, frozenset({1})),
)  # fmt: skip
"""The table of `docs/reliability.md`."""


@contextmanager
def broken(rule: Break) -> Iterator[None]:
    """Break a rule for a while, in every life cycle that is made meanwhile."""
    replaced = [(rule.place, rule.method, rule.instead), *rule.more]
    patches = [patch.object(place, name, instead) for place, name, instead in replaced]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in reversed(patches):
            each.stop()


def catch(rule: Break, most_seeds: int = 100) -> Catch:
    """Play seeds until one notices."""
    with broken(rule):
        for seed in range(most_seeds):
            violation = Month(plan_of(seed)).play().violation
            if violation is not None:
                return Catch(rule, seed + 1, violation)
    return Catch(rule, most_seeds, None)
