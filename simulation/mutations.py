"""Rules of the life cycle, broken on purpose one at a time: the adversary has to notice each."""

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
from binance_margin_stream.stream.protocol.records import ConnectionState, Feed
from binance_margin_stream.stream.protocol.subscriptions import SubscriptionManager
from binance_margin_stream.stream.protocol.timing import Backoff, SlidingWindowLimit
from binance_margin_stream.stream.state import GapReason
from simulation.plan import make_plan
from simulation.scenario import SimulatedMonth
from simulation.violation import Violation

__all__ = ["MUTATIONS", "Mutation", "MutationResult", "find_violation", "mutated"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule that is broken: what is put in the place of what, and the properties that may notice it."""

    name: str
    target: type
    method: str
    replacement: Callable[..., object]
    expected_properties: frozenset[int]
    extra_patches: tuple[tuple[type, str, Callable[..., object]], ...] = ()


@dataclass(frozen=True, slots=True)
class MutationResult:
    """The first seed that noticed a break, how many were played, and what it saw."""

    mutation: Mutation
    seeds_run: int
    violation: Violation | None

    @property
    def is_caught(self) -> bool:
        """Whether a property that is about this rule noticed it."""
        return self.violation is not None and self.violation.number in self.mutation.expected_properties


def _do_nothing(*_: object, **__: object) -> None:
    """Do not do it."""


def _return_now(self: object, now: float) -> float:
    return now


def _skip_backoff(self: Backoff) -> float:
    self.failures += 1
    return 0.0


def _ignore_fatal_failure(self: Coordinator[Event], failure: Failure) -> None:
    """Go on as if it could be mended."""
    self.context.counters.failures += 1


_original_handle_failure = CredentialManager._handle_failure


def _treat_unknown_key_as_transient(self: CredentialManager, job: object, failure: Failure, now: float) -> None:
    """Take -1125 for a fault that passes."""
    if failure.kind is FailureKind.UNKNOWN_CREDENTIAL:
        failure = Failure(FailureKind.SERVER_ERROR, failure.detail)
    _original_handle_failure(self, job, failure, now)  # type: ignore[arg-type]


def _close_before_replacement_is_live(self: Coordinator[Event], link: ConnectionState, why: str, now: float) -> None:
    """Treat a rotation like a loss."""
    self.context.emit(CloseConnection(link.id))
    self.connections.on_lost(link, Failure(FailureKind.TRANSPORT_ERROR, why), GapReason.DISCONNECTED, now)


def _put_without_deduplication(self: Deduplicator[Event], feed: Feed, at: float, event: Event) -> None:
    """Do not ask what the old connection delivered already."""
    self._put_filtered(feed, at, event)


def _discard_open_gap(self: Deduplicator[Event], feed: Feed, live_at: float) -> None:
    """Report nothing."""
    feed.open_gap = None


MUTATIONS = (
    Mutation(
        "no renewal",
        CredentialManager, "_next_renewal_at", lambda self, feed, credential: 1e12, frozenset({1, 2, 4}),
    ),
    Mutation("no gap after a loss", Deduplicator, "_emit_open_gap", _discard_open_gap, frozenset({1})),
    Mutation("no gap for a malformed frame", Deduplicator, "report_gap", _do_nothing, frozenset({1})),
    Mutation("no waiting during a ban", Context, "pause_sending", _do_nothing, frozenset({3})),
    Mutation(
        "duplicates are delivered in a rotation",
        Deduplicator, "_put_if_new", _put_without_deduplication, frozenset({1}),
    ),
    Mutation("a frozen connection is not noticed", ConnectionManager, "check_liveness", _do_nothing, frozenset({1, 4})),
    Mutation(
        "an unknown listen key (-1125) is not replaced",
        CredentialManager, "_handle_failure", _treat_unknown_key_as_transient, frozenset({4}),
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
    Mutation("early events are dropped", SubscriptionManager, "buffer_unrouted", lambda *_: True, frozenset({1})),
)  # fmt: skip
"""The table of `docs/reliability.md`."""


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """Break a rule for a while, in every life cycle that is made meanwhile."""
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
    """Play seeds until one notices."""
    with mutated(mutation):
        for seed in range(max_seeds):
            violation = SimulatedMonth(make_plan(seed)).run().violation
            if violation is not None:
                return MutationResult(mutation, seed + 1, violation)
    return MutationResult(mutation, max_seeds, None)
