"""Mutations of the state machine, one rule at a time: the simulation has to detect each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import CloseConnection
from binance_margin_stream.stream.protocol.connection_manager import ConnectionManager
from binance_margin_stream.stream.protocol.context import Context
from binance_margin_stream.stream.protocol.coordinator import Coordinator
from binance_margin_stream.stream.protocol.credentials import CredentialManager
from binance_margin_stream.stream.protocol.deduplication import Deduplicator
from binance_margin_stream.stream.protocol.membership import Membership
from binance_margin_stream.stream.protocol.records import ConnectionState, Feed, Subscription, SubscriptionId
from binance_margin_stream.stream.protocol.request_queue import RequestQueue
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from binance_margin_stream.stream.protocol.timing import Backoff, SlidingWindowLimit, Timers
from binance_margin_stream.stream.state import GapReason, ScheduledAction
from simulation.checks import Violation
from simulation.plan import make_plan
from simulation.scenario import SimulatedMonth

__all__ = ["MUTATIONS", "Mutation", "MutationResult", "find_violation", "mutated"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule, the replacement of the method that implements it, and the properties that may detect it."""

    name: str
    target: type
    method: str
    replacement: Callable[..., object]
    expected_properties: frozenset[int]
    extra_patches: tuple[tuple[type, str, Callable[..., object]], ...] = ()


@dataclass(frozen=True, slots=True)
class MutationResult:
    """How many seeds were run until a violation occurred, and the violation."""

    mutation: Mutation
    seeds_run: int
    violation: Violation | None

    @property
    def is_detected(self) -> bool:
        """Whether a property that covers the rule was violated."""
        return self.violation is not None and self.violation.number in self.mutation.expected_properties


_set_timer = Timers.set
_on_failure = CredentialManager.on_failure
_switch = Deduplicator.switch


def _do_nothing(*_: object, **__: object) -> None:
    """Skip the rule."""


def _return_now(self: object, now: float) -> float:
    return now


def _skip_renewal(self: Timers[tuple[ScheduledAction, object]], key: tuple[ScheduledAction, object], at: float) -> None:
    if key[0] is not ScheduledAction.RENEW:
        _set_timer(self, key, at)


def _skip_backoff(self: Backoff) -> float:
    self.failures += 1
    return 0.0


def _ignore_fatal_failure(self: Coordinator[Event], failure: Failure, now: float) -> None:
    self.context.counters.failures += 1


def _treat_unknown_key_as_transient(self: CredentialManager, request_id: int, failure: Failure, now: float) -> None:
    if failure.kind is FailureKind.UNKNOWN_CREDENTIAL:
        failure = Failure(FailureKind.SERVER_ERROR, failure.detail)
    _on_failure(self, request_id, failure, now)


def _close_before_replacement_is_live(
    self: Coordinator[Event], connection: ConnectionState, reason: str, now: float
) -> None:
    self.context.emit(CloseConnection(connection.id))
    failure = Failure(FailureKind.TRANSPORT_ERROR, reason)
    self.connections.on_lost(connection, failure, GapReason.DISCONNECTED, now)


def _switch_without_gap(self: Deduplicator[Event], feed: Feed) -> bool:
    feed.open_gap = None
    return _switch(self, feed)


def _assign_second_id(
    self: SubscriptionManager, subscription: Subscription, subscription_id: SubscriptionId, at: float, now: float
) -> None:
    subscription.assign_id(subscription_id)
    self._confirm_subscription(subscription, at, now)


def _fail_on_loss(self: Membership[Event], feed: Feed, since: float, failure: Failure, now: float) -> None:
    self._fail(failure, now)


MUTATIONS = (
    Mutation("no renewal", Timers, "set", _skip_renewal, frozenset({1, 2, 4})),
    Mutation("no gap after a loss", Deduplicator, "switch", _switch_without_gap, frozenset({1})),
    Mutation("no gap for a malformed frame", Deduplicator, "report_gap", _do_nothing, frozenset({1})),
    Mutation("no waiting during a ban", Context, "pause_sending", _do_nothing, frozenset({3})),
    Mutation(
        "duplicates are delivered in a rotation",
        Deduplicator, "start_overlap", _do_nothing, frozenset({1}),
    ),
    Mutation("a frozen connection is not noticed", ConnectionManager, "check_liveness", _do_nothing, frozenset({1, 4})),
    Mutation(
        "an unknown listen key (-1125) is not replaced",
        CredentialManager, "on_failure", _treat_unknown_key_as_transient, frozenset({4}),
    ),
    Mutation(
        "connection attempts without backoff or limit", Backoff, "next_delay", _skip_backoff, frozenset({3}),
        ((SlidingWindowLimit, "next_allowed_at", _return_now),),
    ),
    Mutation("the old connection is closed before the new one is live", Coordinator, "replace_connection",
          _close_before_replacement_is_live, frozenset({2, 4})),
    Mutation("a fatal refusal is ignored", Coordinator, "fail", _ignore_fatal_failure, frozenset({6})),
    Mutation("the end of a subscription is ignored", Coordinator, "on_terminated", _do_nothing, frozenset({1, 4})),
    Mutation("a retired source is tried again", Coordinator, "on_source_retired", _do_nothing, frozenset({4})),
    Mutation("no ping is sent", ConnectionManager, "send_ping", _do_nothing, frozenset({1, 2, 4})),
    Mutation("what a second id delivers is not compared", SubscriptionManager, "_move_to_second_id",
          _assign_second_id, frozenset({1})),
    Mutation("a bare response is dropped", RequestQueue, "take_only_subscribe", lambda *_: None, frozenset({4, 1, 2})),
    Mutation("a lost account leaves no gap", Membership, "_report_loss", _do_nothing, frozenset({1})),
    Mutation("an account that ended is asked for again", Coordinator, "lose_feed", _do_nothing, frozenset({4, 8})),
    Mutation("one lost account ends the stream", Membership, "lose", _fail_on_loss, frozenset({6})),
    Mutation("a lost connection is not replaced", ConnectionManager, "on_lost", _do_nothing, frozenset({3, 4})),
    Mutation("early events are dropped", SubscriptionManager, "buffer_unrouted", lambda *_: True, frozenset({1})),
)  # fmt: skip
"""The table of `docs/reliability.md`."""


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """Apply a mutation to every state machine within the block."""
    replaced = [(mutation.target, mutation.method, mutation.replacement), *mutation.extra_patches]
    patches = [patch.object(target, name, replacement) for target, name, replacement in replaced]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in reversed(patches):
            each.stop()


def find_violation(mutation: Mutation, max_seeds: int = 100) -> MutationResult:
    """Run seeds until a violation occurs."""
    with mutated(mutation):
        for seed in range(max_seeds):
            violation = SimulatedMonth(make_plan(seed)).run().violation
            if violation is not None:
                return MutationResult(mutation, seed + 1, violation)
    return MutationResult(mutation, max_seeds, None)
