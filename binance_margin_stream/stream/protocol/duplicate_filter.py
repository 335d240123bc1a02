"""Two feeds of one account that may bring the same notices: each notice is handed over once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

__all__ = ["NOTICES", "Twins"]

NOTICES: Final = frozenset(
    {
        "MARGIN_LEVEL_STATUS_CHANGE",
        "marginLevelStatusChange",
        "USER_LIABILITY_CHANGE",
        "userLiabilityChange",
    }
)
"""What comes through the risk listen key, and, as one client reports, through the listen key V2 as well."""

_REMEMBERED = 1000


class Twins:
    """Pairs the first of one feed with the first of the other, the second with the second, and so on.

    So a notice that one of them never brings is not missed, and two equal ones of one feed stay two.
    """

    __slots__ = ("_ahead",)

    def __init__(self) -> None:
        self._ahead: dict[Hashable, int] = {}

    def is_repeat(self, side: int, identity: Hashable) -> bool:
        """Whether the other feed brought this already; `side` is 1 for one of the two and -1 for the other."""
        ahead = self._ahead.pop(identity, 0)
        if ahead + side:
            self._ahead[identity] = ahead + side
            if len(self._ahead) > _REMEMBERED:
                del self._ahead[next(iter(self._ahead))]
        return ahead * side < 0
