"""When accounts are read without a gap: at the start, after gaps until everything is confirmed, and for audits."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final, TypeAlias

from binance_margin_stream.account.audit import OrderAudit
from binance_margin_stream.account.reads.queries import Queries
from binance_margin_stream.account.reads.queue import ReadQueue
from binance_margin_stream.account.reads.requests import Outcome, Read, ReadFailure, ReadKind, ReadResponse
from binance_margin_stream.account.reads.rows import AccountRow, OrderRow
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.account_state import AccountState
from binance_margin_stream.account.state.orders import OrderKey
from binance_margin_stream.account.state.snapshot import Interval
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.timing import Jitter, Timers

__all__ = ["Polls", "WatchedAccount"]

_PRIORITY: Final = 2
"""Below recovery."""
_SYMBOLS_IN_ONE_READ: Final = 5


class _Poll(Enum):
    ORDERS = "open orders"
    BALANCES = "balances"


_Key: TypeAlias = tuple[_Poll, Account | None]
"""What is due, for which account; balances of all isolated accounts together under None."""


@dataclass(slots=True)
class WatchedAccount:
    """An account that is compared with the exchange."""

    state: AccountState
    audit: OrderAudit
    unproven_orders: Callable[[], Set[OrderKey]]
    """Orders that a gap names as unproven: a difference is no news."""
    is_recovering: Callable[[], bool]
    """Whether a gap is not closed yet."""
    live_at: float | None = None
    """Since when events arrive, None while they may be missing."""
    balances_checked_at: float | None = None
    """When the last read of balances was sent that showed nothing that contradicts the events."""

    @property
    def checked_at(self) -> float | None:
        """The moment until which nothing can be missing."""
        times = self.audit.checked_at, self.balances_checked_at
        return None if None in times else min(time for time in times if time is not None)

    @property
    def is_exact(self) -> bool:
        """Whether balances and open orders are confirmed."""
        return self.audit.is_exact and self.state.balances.is_settled


@dataclass(slots=True)
class Polls:
    """The reads that no gap asks for. `on_difference` hears of accounts that differ for certain."""

    settings: Recovery
    queue: ReadQueue
    jitter: Jitter
    to_epoch_ms: Callable[[float], int]
    on_difference: Callable[[Account, float], None]
    on_failed: Callable[[ReadFailure], None]
    is_behind: Callable[[float], bool]
    """Whether an event that came before a moment has not been seen yet: a read cannot be compared with the others."""
    accounts: dict[Account, WatchedAccount] = field(default_factory=dict)
    _timers: Timers[_Key] = field(default_factory=Timers)

    def on_live(self, account: Account, now: float) -> None:
        """Events of the account arrive from now on."""
        self.accounts[account].live_at = now
        self._schedule(account, now + self.settings.lag_guard)

    def on_gap(self, account: Account, now: float) -> None:
        """Events of the account may have been missed."""
        watched = self.accounts[account]
        watched.audit.on_gap()
        watched.balances_checked_at = watched.audit.checked_at = None
        if watched.live_at is not None:
            self.on_live(account, now)

    def on_down(self, account: Account) -> None:
        """Events of the account may be missing from now on."""
        self.accounts[account].live_at = None

    def remove(self, account: Account) -> None:
        """Watch the account no longer."""
        self.accounts.pop(account, None)
        self._timers.cancel((_Poll.ORDERS, account))

    def stop(self) -> None:
        """Read nothing more."""
        self._timers.clear()

    def next_timer_at(self) -> float | None:
        """When `on_timer` is to be called, None if no time matters."""
        due = self._timers.peek()
        return None if due is None else due[0]

    def on_timer(self, now: float) -> None:
        """Read what is due."""
        while (key := self._timers.pop_due(now)) is not None:
            poll, account = key
            if poll is _Poll.BALANCES:
                self._read_balances(account, now)
            elif account is not None:
                self._read_orders(account, now)

    def _schedule(self, account: Account, at: float) -> None:
        self._timers.set_earlier((_Poll.ORDERS, account), at)
        self._timers.set_earlier((_Poll.BALANCES, _group_of(account)), at)

    def _read_orders(self, account: Account, now: float) -> None:
        if not self._is_live(account):
            return
        if self.accounts[account].is_recovering():  # which lists them, too
            self._timers.set((_Poll.ORDERS, account), now + self.settings.repeat_after)
        else:
            read = next(Queries(account, self.settings.page_rows).open_orders(account.symbol))
            self.queue.submit([read], _PRIORITY, partial(self._on_orders, account), now)

    def _on_orders(self, account: Account, result: tuple[Outcome, ...] | ReadFailure, now: float) -> None:
        watched = self.accounts.get(account)
        if watched is None or watched.live_at is None:
            return
        delay = self._audit_delay()
        if isinstance(result, ReadFailure):
            delay = self.settings.unproven_after
            self.on_failed(result)
        elif isinstance(response := result[0], ReadResponse):
            self.on_open_orders(watched, response.of(OrderRow), response.sent_at, now)
            delay = delay if watched.audit.is_exact else self.settings.repeat_after
        self._timers.set((_Poll.ORDERS, account), now + delay)

    def on_open_orders(self, watched: WatchedAccount, rows: list[OrderRow], sent_at: float, now: float) -> None:
        """All open orders of an account were read, for whatever reason."""
        if watched.live_at is None or sent_at < watched.live_at + self.settings.lag_guard or self.is_behind(now):
            return
        watched.state.fold(now)
        if watched.audit.on_open_orders(rows, sent_at, watched.live_at, watched.unproven_orders()):
            self.on_difference(watched.state.account, now)

    def _read_balances(self, account: Account | None, now: float) -> None:
        if account is not None:
            if self._is_live(account):
                self._submit_balances((account,), now)
            return
        live = [each for each in self.accounts if each.symbol is not None and self._is_live(each)]
        for start in range(0, len(live), _SYMBOLS_IN_ONE_READ):
            self._submit_balances(tuple(live[start : start + _SYMBOLS_IN_ONE_READ]), now)

    def _submit_balances(self, accounts: tuple[Account, ...], now: float) -> None:
        symbols = ",".join(account.symbol for account in accounts if account.symbol is not None)
        read = (
            Read(ReadKind.ISOLATED_ACCOUNT, accounts[0], {"symbols": symbols})
            if symbols
            else Read(ReadKind.ACCOUNT, accounts[0])
        )
        self.queue.submit([read], _PRIORITY, partial(self._on_balances, accounts), now)

    def _on_balances(
        self, accounts: tuple[Account, ...], result: tuple[Outcome, ...] | ReadFailure, now: float
    ) -> None:
        if isinstance(result, ReadFailure):
            self.on_failed(result)
        elif isinstance(response := result[0], ReadResponse):
            for row in response.of(AccountRow):
                for account in accounts:
                    if account.symbol == row.symbol:
                        self._on_account(account, row, response, now)
        elif len(accounts) > 1:
            # One that is refused must not keep the others from being read.
            for account in accounts:
                self._submit_balances((account,), now)
        delay = self._balances_delay(accounts, is_failed=isinstance(result, ReadFailure))
        self._timers.set_earlier((_Poll.BALANCES, _group_of(accounts[0])), now + delay)

    def _balances_delay(self, accounts: tuple[Account, ...], *, is_failed: bool) -> float:
        if is_failed:
            return self.settings.unproven_after
        if any(self._is_live(account) and self.accounts[account].state.balances.needs_read for account in accounts):
            return self.settings.repeat_after
        return self.settings.debt_interval if accounts[0].symbol is not None else self._audit_delay()

    def _on_account(self, account: Account, row: AccountRow, response: ReadResponse, now: float) -> None:
        watched = self.accounts.get(account)
        if watched is None or watched.live_at is None or self.is_behind(now):
            return
        if response.sent_at < watched.live_at + self.settings.lag_guard:
            return
        watched.state.fold(now)
        as_of = Interval(self.to_epoch_ms(response.sent_at), self.to_epoch_ms(response.received_at))
        if watched.state.on_account(row, response.sent_at, as_of):
            self.on_difference(account, now)
        elif not watched.state.balances.needs_read:
            watched.balances_checked_at = response.sent_at

    def _is_live(self, account: Account) -> bool:
        watched = self.accounts.get(account)
        return watched is not None and watched.live_at is not None

    def _audit_delay(self) -> float:
        return self.jitter(0.8, 1.2) * self.settings.audit_interval


def _group_of(account: Account) -> Account | None:
    return account if account.symbol is None else None
