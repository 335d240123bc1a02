"""`AccountManager` and `AccountExchange`, joined by a network with delays under a virtual clock.

It plays the stream: events arrive in order while an account is live, gaps are emitted when it is live again, and what
is handed over is kept. The checks at the end compare that with what the exchange did.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from account_exchange import EPOCH_MS, AccountExchange, Fill, Lag, Order, RefusedError

from binance_margin_stream.account.actions import ChangeSource, DisableRecovery, EmitGap, SendRead
from binance_margin_stream.account.checkpoint import Checkpoint
from binance_margin_stream.account.manager import AccountManager
from binance_margin_stream.account.progress import HandledGap, ProgressTracker
from binance_margin_stream.account.reads.budget import ReadBudget, compute_charge
from binance_margin_stream.account.reads.requests import MINUTE_LIMIT, Read, ReadFailure, ReadKind
from binance_margin_stream.account.recovery import Gap
from binance_margin_stream.account.settings import Recovery
from binance_margin_stream.account.state.snapshot import AccountSnapshot
from binance_margin_stream.error_codes import ErrorKind, classify
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.base import Event
from binance_margin_stream.stream.events.execution_report import ExecutionReport
from binance_margin_stream.stream.events.recovered import GapClosed, RecoveredOrder, RecoveredTrade, UnprovenKind


@dataclass
class Channel:
    """How one account is followed."""

    is_live: bool = False
    connection: int = 0
    last_arrival: float = 0.0
    lost_since: float | None = None
    was_live: bool = False
    is_new: bool = True
    """Whether nothing of an earlier run is known."""
    covered_from: float = 0.0
    handled: int = 0
    """How many of the items the user has handled."""
    runs: list[int] = field(default_factory=lambda: [0])
    """Which items are the first of each run."""
    gaps: list[Gap] = field(default_factory=list)
    items: list[object] = field(default_factory=list)
    lost_events: int = 0


class AccountWorld:
    """One stream of several accounts, and the exchange behind it."""

    def __init__(
        self,
        *accounts: Account,
        seed: int = 0,
        lag: Lag | None = None,
        settings: Recovery | None = None,
        budget: ReadBudget | None = None,
        clock_offset: int = 0,
        shows_changes: bool = False,
    ) -> None:
        self.random = Random(seed)
        self.settings = settings or Recovery()
        self.exchange = AccountExchange(seed, lag)
        self.now = 1_000.0
        self.clock_offset = clock_offset
        self.channels = {account: Channel() for account in accounts}
        self.actions: list[object] = []
        self.reads: list[tuple[float, Read]] = []
        self.fail_read: Callable[[Read, float], ReadFailure | None] = lambda read, now: None
        self.max_latency = 0.2
        self.silent: list[tuple[float, float]] = []
        """When events are not sent although the connection is healthy."""
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = count()
        self._gap_ids = count(1)
        self.budget = budget or ReadBudget(self.settings.weight_share)
        self.shows_changes = shows_changes
        self.tracker = ProgressTracker(self.settings)
        self.manager = self._make_manager(None)

    def _make_manager(self, checkpoint: Checkpoint | None) -> AccountManager:
        manager = AccountManager(
            self.settings,
            self.budget,
            self.random.uniform,
            to_epoch_ms=lambda at: EPOCH_MS + round(at * 1000),
            emit=self._on_item,
            shows_changes=self.shows_changes,
        )
        for account in self.channels:
            manager.add(account, None if checkpoint is None else checkpoint.accounts.get(account))
        return manager

    # Time

    @property
    def exchange_now(self) -> int:
        return EPOCH_MS + self.clock_offset + round(self.now * 1000)

    def at(self, when: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._heap, (when, next(self._serial), do))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self._obey()
            timer = self.manager.next_timer_at(self.now)
            at_heap = self._heap[0][0] if self._heap else float("inf")
            at = min(at_heap, end if timer is None else max(timer, self.now))
            if at > end:
                break
            if at == end and at_heap > end and (timer is None or timer > end):
                break
            self.now = at
            if at_heap <= at:
                heapq.heappop(self._heap)[2]()
            else:
                self.manager.on_timer(self.now)
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit: float = 3_600.0) -> float:
        """How long it took."""
        start = self.now
        while not condition():
            assert self.now < start + limit, "it did not happen in time"
            self.run(0.5)
        return self.now - start

    # The stream

    def go_live(self, account: Account, *, proven_before: float = 5.0) -> None:
        channel = self.channels[account]
        channel.is_live = True
        channel.connection += 1
        self.manager.on_live(account, self.now)
        self._obey()
        if not channel.was_live:
            channel.was_live = True
            if channel.is_new:
                channel.is_new, channel.covered_from = False, self.now
        else:
            assert channel.lost_since is not None
            self.emit_gap(account, max(channel.covered_from, channel.lost_since - proven_before), "disconnected")
        channel.lost_since = None

    def go_down(self, account: Account) -> None:
        channel = self.channels[account]
        channel.is_live, channel.lost_since = False, self.now
        self.manager.on_down(account)

    def emit_gap(self, account: Account, since: float, reason: str) -> Gap:
        gap = Gap(
            next(self._gap_ids),
            since,
            self.now,
            EPOCH_MS + round(since * 1000),
            EPOCH_MS + round(self.now * 1000),
            reason,
        )
        channel = self.channels[account]
        channel.gaps.append(gap)
        channel.items.append(gap)
        self.manager.on_gap(account, gap, self.now)
        return gap

    def send(self, events: list[Event], *, lose: bool = False) -> None:
        """Events leave the exchange now."""
        channel = self.channels[events[0].account]
        if not channel.is_live or lose or any(start <= self.now <= stop for start, stop in self.silent):
            channel.lost_events += len(events)
            return
        connection = channel.connection
        channel.last_arrival = max(channel.last_arrival, self.now + self.random.uniform(0.005, self.max_latency))
        for event in events:
            self.at(channel.last_arrival, lambda event=event: self._arrive(channel, connection, event))

    def _arrive(self, channel: Channel, connection: int, event: Event) -> None:
        if not channel.is_live or channel.connection != connection:
            channel.lost_events += 1
        elif not self.manager.is_duplicate(event.account, event):
            channel.items.append(event)
            self.manager.on_event(event.account, event, self.now)

    def _on_item(self, item: RecoveredTrade | RecoveredOrder | GapClosed) -> None:
        self.channels[item.account].items.append(item)

    # The user

    def commit(self) -> None:
        """The user has handled all that was delivered so far."""
        for account, channel in self.channels.items():
            since = self.manager.followed_since(account)
            if since is None:
                continue
            self.tracker.begin(account, since)
            for item in channel.items[channel.handled :]:
                self.tracker.on_handled(HandledGap(account, item.id) if isinstance(item, Gap) else item)
            channel.handled = len(channel.items)

    def restart(self) -> None:
        """The process is killed and starts anew; what was not committed is forgotten."""
        text = self.tracker.to_checkpoint("world").to_bytes()
        checkpoint = Checkpoint.from_bytes(text, "world")
        self.manager.close()  # its reads leave the budget, which outlives it here
        self.tracker = ProgressTracker(self.settings)
        self.tracker.restore(checkpoint)
        self.manager = self._make_manager(checkpoint)
        for account, channel in self.channels.items():
            del channel.items[channel.handled :]
            channel.runs.append(len(channel.items))
            channel.gaps = []
            channel.is_live = channel.was_live = False
            channel.lost_since = None
            channel.is_new = account not in checkpoint.accounts

    # The network

    def _obey(self) -> None:
        for action in self.manager.pop_actions():
            self.actions.append(action)
            if isinstance(action, SendRead):
                self._send_read(action)
            elif isinstance(action, EmitGap):
                self.emit_gap(action.account, action.since, action.reason)

    def _send_read(self, action: SendRead) -> None:
        read, sent_at, manager = action.read, self.now, self.manager
        self.reads.append((sent_at, read))
        there, back = self.random.uniform(0.01, 0.2), self.random.uniform(0.01, 0.2)

        def serve() -> None:
            failure = self.fail_read(read, self.now)
            if failure is None:
                try:
                    rows = self.exchange.serve(read, self.exchange_now)
                except RefusedError as error:
                    failure = ReadFailure(classify(400, error.code), str(error.code))
            if failure is not None:
                self.at(self.now + back, lambda: manager.on_read_failed(action.id, failure, self.now))
            else:
                self.at(self.now + back, lambda: manager.on_read(action.id, rows, sent_at, self.now, self.now))

        self.at(self.now + there, serve)

    # Trading, by one name each

    def place(self, account: Account, symbol: str, side: str = "BUY", quantity: int = 10, **how: bool) -> Order:
        order, events = self.exchange.place(account, symbol, side, quantity, self.exchange_now)
        self.send(events, **how)
        return order

    def fill(self, order: Order, quantity: int = 1, **how: bool) -> Fill:
        fill, events = self.exchange.fill(order, quantity, self.exchange_now)
        self.send(events, **how)
        return fill

    def cancel(self, order: Order, **how: bool) -> None:
        self.send(self.exchange.cancel(order, self.exchange_now), **how)

    def transfer(self, account: Account, asset: str, amount: int, **how: bool) -> None:
        self.send(self.exchange.transfer(account, asset, amount, self.exchange_now), **how)

    def snapshot(self, account: Account) -> AccountSnapshot:
        return self.manager.snapshot(account, self.now)

    def is_quiet(self, account: Account, seconds: float = 2.0) -> bool:
        """Whether nothing of the account is under way."""
        moved = [time for time, _ in self.exchange.history(account)]
        moved += [order.versions[-1][0] for (owner, _, _), order in self.exchange.orders.items() if owner == account]
        return max(moved, default=0) < self.exchange_now - seconds * 1000

    def check_snapshot(self, account: Account) -> bool:
        """A snapshot that says exact is so; to be called when nothing is under way. Whether it said so."""
        snapshot = self.snapshot(account)
        if not snapshot.is_exact:
            return False
        truth = self.exchange.truth_at(account, self.exchange_now)
        theirs = {asset: holding for asset, holding in truth.items() if any(holding)}
        held = {asset: (each.free, each.locked) for asset, each in snapshot.balances.items()}
        assert {asset: holding for asset, holding in held.items() if any(holding)} == theirs
        orders = {
            (order.symbol, order.order_id): (order.status, order.executed)
            for (owner, _, _), order in self.exchange.orders.items()
            if owner == account and order.is_open
        }
        ours = {
            (order.symbol, order.order_id): (order.order_status, order.cumulative_filled_quantity)
            for order in snapshot.open_orders
        }
        differing = {key: (orders.get(key), ours.get(key)) for key in orders.keys() | ours.keys()}
        assert orders == ours, {key: each for key, each in differing.items() if each[0] != each[1]}
        return True

    # What was handed over

    def items(self, account: Account, kind: type) -> list:
        return [item for item in self.channels[account].items if isinstance(item, kind)]

    def closed(self, account: Account) -> list[GapClosed]:
        return self.items(account, GapClosed)

    def runs(self, account: Account) -> list[Counter[tuple[str, int, int]]]:
        """The fills of each run, from one start of the process to the next."""
        items, starts = self.channels[account].items, self.channels[account].runs
        return [_count_fills(items[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]

    def delivered_fills(self, account: Account) -> Counter[tuple[str, int, int]]:
        return _count_fills(self.channels[account].items)

    def covered_fills(self, account: Account, tolerance: int = 0) -> list[Fill]:
        since = EPOCH_MS + self.clock_offset + round(self.channels[account].covered_from * 1000)
        return [fill for fill in self.exchange.fills if fill.account == account and fill.time >= since - tolerance]

    def user_orders(self, account: Account) -> dict[tuple[str, int], str]:
        """The orders as the user knows them: end states stay."""
        known: dict[tuple[str, int], str] = {}
        for item in self.channels[account].items:
            if isinstance(item, ExecutionReport | RecoveredOrder):
                key = item.symbol, item.order_id
                if known.get(key, "NEW") in ("NEW", "PARTIALLY_FILLED"):
                    known[key] = item.order_status
        return known

    # Checks

    def check(self) -> None:
        for account in self.channels:
            self.check_fills(account)
            self.check_orders(account)
            self.check_recovered_fields(account)
            self.check_gaps(account)
        self.check_budget()

    def unproven_orders(self, account: Account) -> set[tuple[str | None, int | None]]:
        return {(each.symbol, each.order_id) for closed in self.closed(account) for each in closed.unproven}

    def check_fills(self, account: Account) -> None:
        delivered = self.delivered_fills(account)
        for run in self.runs(account):
            twice = [key for key, number in run.items() if number > 1]
            assert not twice, f"{twice} were delivered twice"
        covered = {fill.key for fill in self.covered_fills(account, tolerance=1000)}
        assert set(delivered) <= covered, "delivered what never happened, or happened before"
        unproven, known = self.unproven_orders(account), self.user_orders(account)
        for fill in self.covered_fills(account):
            if fill.key not in delivered:
                order = fill.symbol, fill.order_id
                if order not in known and self.was_silent(fill.time):
                    continue  # made and ended without a frame: nothing but the balances may tell of it
                assert fill.is_hidden, f"{fill.key} of {fill.time} was lost"
                if fill.status is None:
                    continue  # a late fill of an ended order whose row never shows: nothing tells of it
                if order in known or self.settings.orders == "all":
                    assert order in unproven, f"{fill.key} was lost and not named"

    def was_silent(self, time: int) -> bool:
        """Whether events were not sent at a time of the exchange although the connection was healthy."""
        at = (time - EPOCH_MS - self.clock_offset) / 1000
        return any(start <= at <= stop for start, stop in self.silent)

    def check_orders(self, account: Account) -> None:
        known, unproven = self.user_orders(account), self.unproven_orders(account)
        for (owner, symbol, order_id), order in self.exchange.orders.items():
            key = symbol, order_id
            if owner == account and key not in unproven:
                if key in known and known[key] in ("NEW", "PARTIALLY_FILLED"):
                    assert order.is_open, f"{key} is {order.status}, which nobody said"
                elif key in known:
                    assert known[key] == order.status, key

    def check_recovered_fields(self, account: Account) -> None:
        fills = {fill.key: fill for fill in self.exchange.fills if fill.account == account}
        for trade in self.items(account, RecoveredTrade):
            fill = fills[trade.symbol, trade.trade_id, trade.order_id]
            assert trade.transaction_time == fill.time
            assert trade.cumulative_filled_quantity in (None, fill.cumulative), (trade, fill)
            assert trade.order_status in (None, fill.status), (trade, fill)

    def check_gaps(self, account: Account) -> None:
        closings: dict[int, list[GapClosed]] = defaultdict(list)
        for closed in self.closed(account):
            for gap_id in closed.gap_ids:
                closings[gap_id].append(closed)
        for gap in self.channels[account].gaps:
            last = closings[gap.id][-1] if closings[gap.id] else None
            assert last is not None, f"gap {gap.id} was never closed"
            assert last.since <= gap.since_ms
            assert last.until >= gap.until_ms
            assert last.is_final or not last.unproven, last

    def check_budget(self) -> None:
        limit = MINUTE_LIMIT * self.settings.weight_share
        by_kind: dict[ReadKind, list[tuple[float, int]]] = defaultdict(list)
        for sent_at, read in self.reads:
            by_kind[read.kind].append((sent_at, compute_charge(read, int(limit))))
        for kind, charges in by_kind.items():
            for index, (start, _) in enumerate(charges):
                used = 0
                for sent_at, weight in charges[index:]:
                    if sent_at >= start + 60:
                        break
                    used += weight
                assert used <= limit, f"{kind} used {used} in a minute"


def _count_fills(items: list[object]) -> Counter[tuple[str, int, int]]:
    return Counter(
        (item.symbol, item.trade_id, item.order_id)
        for item in items
        if isinstance(item, RecoveredTrade | ExecutionReport) and item.execution_type == "TRADE"
    )


__all__ = [
    "AccountWorld",
    "ChangeSource",
    "DisableRecovery",
    "ErrorKind",
    "Fill",
    "GapClosed",
    "Lag",
    "Order",
    "ReadFailure",
    "RecoveredOrder",
    "RecoveredTrade",
    "Recovery",
    "UnprovenKind",
]
