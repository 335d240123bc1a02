"""Two feeds of one account that may bring the same notices: each notice is handed over once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

__all__ = ["RISK_EVENT_TYPES", "DuplicateFilter"]

RISK_EVENT_TYPES: Final = frozenset(
    {
        "MARGIN_LEVEL_STATUS_CHANGE",
        "marginLevelStatusChange",
        "USER_LIABILITY_CHANGE",
        "userLiabilityChange",
    }
)
"""What comes through the risk listen key, and, as one client reports, through the listen key V2 as well."""

_MAX_REMEMBERED = 1000


class DuplicateFilter:
    """Pairs the first of one feed with the first of the other, the second with the second, and so on.

    So a notice that one of them never brings is not missed, and two equal ones of one feed stay two.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    def is_duplicate(self, sign: int, identity: Hashable) -> bool:
        """Whether the other feed brought this already; `side` is 1 for one of the two and -1 for the other."""
        balance = self._counts.pop(identity, 0)
        if balance + sign:
            self._counts[identity] = balance + sign
            if len(self._counts) > _MAX_REMEMBERED:
                del self._counts[next(iter(self._counts))]
        return balance * sign < 0
