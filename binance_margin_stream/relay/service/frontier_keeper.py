"""Reads and writes the frontier entry of one account, as `AccountFrontier` decides."""

from __future__ import annotations

import asyncio
import logging
import time

from binance_margin_stream.relay.account_frontier import (
    AccountDecision,
    AccountFrontier,
    CheckStoredEvents,
    PublishAccountGap,
    WaitForCoverage,
    WriteAccountEntry,
)
from binance_margin_stream.relay.broker.store import EntryState
from binance_margin_stream.relay.coverage import CoverageTracker
from binance_margin_stream.relay.errors import BrokerError, StoredFormError
from binance_margin_stream.relay.frontier import AccountEntry
from binance_margin_stream.relay.service.context import RelayContext
from binance_margin_stream.relay.stored_item import encode_gap
from binance_margin_stream.stream.accounts import Account

__all__ = ["FrontierKeeper"]

log = logging.getLogger(__name__)

_READ_INTERVAL = 15.0
_RETRY = 1.0


class FrontierKeeper:
    """Keeps one account's entry for one reader, until it is cancelled."""

    def __init__(self, name: str, account: Account, tracker: CoverageTracker, context: RelayContext) -> None:
        self._name = name
        self._account = account
        self._context = context
        self._decisions = AccountFrontier(account, tracker, context.settings.hole_wait)
        self._state: EntryState | None = None
        self._read_at = 0.0
        self._problem = ""
        self._wake = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether events of the account may be published."""
        return self._decisions.is_ready

    @property
    def entry(self) -> AccountEntry | None:
        """The entry as it was last read or written."""
        return self._state.entry if self._state is not None else None

    def wake(self) -> None:
        """Something new may be claimed."""
        self._wake.set()

    async def run(self) -> None:
        """Claim, fill and report, again and again."""
        while True:
            try:
                wait = await self.step()
                self._problem = ""
            except (BrokerError, StoredFormError) as error:
                self._state = None
                self._report(str(error))
                wait = _RETRY
            self._wake.clear()
            try:
                async with asyncio.timeout(max(wait, 0.0)):
                    await self._wake.wait()
                await asyncio.sleep(min(self._context.settings.claim_interval, wait))
            except TimeoutError:
                pass

    async def step(self) -> float:
        """Do everything that is to do now; the seconds until there may be more. Raises `BrokerError`."""
        while True:
            now = time.monotonic()
            state = await self._read(now)
            decision = self._decisions.decide(state.entry, now)
            if isinstance(decision, CheckStoredEvents):
                has_events = state.was_deleted or await self._context.store.has_events(self._name, self._account)
                decision = self._decisions.decide(state.entry, now, has_stored_events=has_events)
            if isinstance(decision, WaitForCoverage):
                return self._next_step_in(decision, now)
            await self._execute(decision, state)

    def _next_step_in(self, decision: WaitForCoverage, now: float) -> float:
        next_read = self._read_at + min(_READ_INTERVAL, self._context.settings.hole_wait / 4) - now
        return next_read if decision.until is None else min(next_read, decision.until - now)

    async def _read(self, now: float) -> EntryState:
        """The entry as it was last seen, or a new look at it: what others wrote must be seen in time."""
        interval = min(_READ_INTERVAL, self._context.settings.hole_wait / 4)
        if self._state is None or self._state.entry is None or now - self._read_at >= interval:
            self._state = await self._context.store.read_entry(self._name, self._account)
            self._read_at = now
        return self._state

    async def _execute(self, decision: AccountDecision, state: EntryState) -> None:
        match decision:
            case WriteAccountEntry(entry=entry, new_gaps=new_gaps):
                if await self._write(entry, state):
                    for gap in new_gaps:
                        self._context.counters.gaps += 1
                        log.warning(
                            "%s %s: no reader covered %d ms up to %d",
                            self._name,
                            self._account,
                            gap.end - gap.start + 1,
                            gap.end,
                        )
            case PublishAccountGap(content=content, gap=gap, entry=entry):
                subjects = self._context.store.options.subjects
                stored = encode_gap(subjects, self._name, self._account, content, gap)
                await self._context.store.publish(stored.subject, stored.payload, stored.headers)
                await self._write(entry, state)
            case _:
                pass

    async def _write(self, entry: AccountEntry, state: EntryState) -> bool:
        """Compare and set. Whatever the outcome, what stands in the store is read before the next decision."""
        self._state = None
        if await self._context.store.write_entry(self._name, self._account, entry, state.revision):
            return True
        self._context.counters.frontier_conflicts += 1
        return False

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("%s %s: %s", self._name, self._account, problem)
