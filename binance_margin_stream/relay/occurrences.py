"""Counts equal events, so that two equal deposits of one millisecond are stored as two. No I/O."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable

__all__ = ["OccurrenceCounter"]

_MAX_IDENTITIES = 10_000


class OccurrenceCounter:
    """Numbers the events of one identity as each subscription received them.

    The number of an event has to be the same in every reader whose coverage includes it. So each subscription counts
    for itself. But while two subscriptions of a stream overlap, the stream hands over each event once: what the other
    subscription delivered was received by this one as well, if this one's coverage includes the time of the event.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[Hashable, Counter[int | None]] = OrderedDict()

    def count(self, identity: Hashable, subscription: int | None, *, is_covered: bool) -> int:
        """The number of an event that was handed over, from 1.

        `is_covered` says whether the subscription's coverage includes the event's time. If not, a number that is too
        small does no harm: another reader covers the time, or it is reported as a gap.
        """
        counts = self._counts.setdefault(identity, Counter())
        counts[subscription] += 1
        if len(self._counts) > _MAX_IDENTITIES:
            self._counts.popitem(last=False)
        return counts.total() if is_covered else counts[subscription]

    def clear(self) -> None:
        """Forget everything: the numbers of subscriptions begin anew."""
        self._counts.clear()
