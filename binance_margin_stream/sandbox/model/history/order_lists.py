"""Order lists: OCO, OTO and OTOCO."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["ContingencyType", "OrderList", "OrderLists"]

ContingencyType = Literal["OCO", "OTO", "OTOCO"]


@dataclass(frozen=True, slots=True)
class OrderList:
    """An order list and its orders, in the order of the response."""

    list_id: int
    client_id: str
    contingency: ContingencyType
    uid: int
    account: str
    symbol: str
    time: int
    order_ids: tuple[int, ...] = ()
    is_done: bool = False

    @property
    def shown_contingency(self) -> str:
        """The contingency type in responses and events: an OTOCO is shown as an OTO."""
        return "OCO" if self.contingency == "OCO" else "OTO"


class OrderLists:
    """The order lists by id, and by user and account."""

    def __init__(self) -> None:
        self._lists: dict[int, OrderList] = {}
        self._ids: dict[tuple[int, str], list[int]] = {}
        self._ids_by_client_id: dict[tuple[int, str, str], int] = {}
        self._open_ids: dict[int, None] = {}
        self._last_id = 0

    def create(
        self, contingency: ContingencyType, uid: int, account: str, symbol: str, client_id: str, now: int
    ) -> OrderList:
        """A new list without orders."""
        self._last_id += 1
        created = OrderList(
            self._last_id, client_id or f"sandbox-list-{self._last_id}", contingency, uid, account, symbol, now
        )
        self._ids.setdefault((uid, account), []).append(created.list_id)
        self._ids_by_client_id[uid, account, created.client_id] = created.list_id
        self._open_ids[created.list_id] = None
        return self.update(created)

    def update(self, changed: OrderList) -> OrderList:
        """Store a list that has changed."""
        self._lists[changed.list_id] = changed
        return changed

    def finish(self, order_list: OrderList, now: int) -> OrderList:
        """Record that all orders of a list have ended."""
        self._open_ids.pop(order_list.list_id, None)
        return self.update(replace(order_list, is_done=True, time=now))

    def get(self, list_id: int) -> OrderList:
        """The list with this id, which exists."""
        return self._lists[list_id]

    def find(self, uid: int, account: str, list_id: int) -> OrderList | None:
        """An account's list with this id."""
        found = self._lists.get(list_id)
        return found if found is not None and (found.uid, found.account) == (uid, account) else None

    def find_by_client_id(self, uid: int, account: str, client_id: str) -> OrderList | None:
        """The last list of an account with this client id."""
        number = self._ids_by_client_id.get((uid, account, client_id))
        return None if number is None else self._lists[number]

    def select(self, uid: int, account: str, from_id: int = 0) -> Iterator[OrderList]:
        """An account's lists from an id on, oldest first."""
        ids = self._ids.get((uid, account), [])
        for index in range(bisect_left(ids, from_id), len(ids)):
            yield self._lists[ids[index]]

    def open_lists(self, uid: int, account: str) -> list[OrderList]:
        """The lists of an account that have not ended, oldest first."""
        lists = (self._lists[number] for number in self._open_ids)
        return [each for each in lists if (each.uid, each.account) == (uid, account)]
