"""Random trading and random trouble for an `AccountWorld`."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from account_world import AccountWorld, ErrorKind, Lag, Order, ReadFailure, Recovery

from binance_margin_stream.account.reads.requests import Read
from binance_margin_stream.stream.accounts import CROSS, Account, isolated

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT")


@dataclass(frozen=True)
class Trouble:
    """What may go wrong."""

    downs: int = 4
    """Disconnections of each account."""
    trades_a_minute: float = 6.0
    read_failures: float = 0.0
    """The part of the reads that fail in a bad spell."""
    silent_spells: int = 0
    """Times in which events are not sent while the connection stays healthy."""
    restarts: int = 0
    """Times in which the process is killed; the user commits now and then."""
    late_fills: bool = True
    lag: Lag = field(default_factory=Lag)
    minutes: int = 30
    accounts: tuple[Account, ...] = (CROSS, isolated("BTCUSDT"))
    orders: str = "known"
    page_rows: int = 1000


class Trader:
    """Places, fills and cancels orders of one account at random."""

    def __init__(self, world: AccountWorld, account: Account, random: Random, trouble: Trouble) -> None:
        self.world = world
        self.account = account
        self.random = random
        self.trouble = trouble
        self.open: list[Order] = []
        self.ended: list[Order] = []

    def act(self) -> None:
        kinds = ["place", "fill", "fill", "fill", "cancel", "transfer", "market", "late"]
        getattr(self, f"_{self.random.choice(kinds)}")()

    def _place(self) -> None:
        symbol = self.account.symbol or self.random.choice(SYMBOLS)
        side, quantity = self.random.choice(("BUY", "SELL")), self.random.randint(1, 6)
        self.open.append(self.world.place(self.account, symbol, side, quantity))

    def _fill(self) -> None:
        if self.open:
            order = self.random.choice(self.open)
            self.world.fill(order, self.random.randint(1, int(order.quantity - order.executed)))
            self._sort(order)

    def _market(self) -> None:
        """Made, filled in several parts and gone within a moment."""
        self._place()
        order = self.open[-1]
        while order.is_open:
            self.world.fill(order, self.random.randint(1, int(order.quantity - order.executed)))
        self._sort(order)

    def _cancel(self) -> None:
        if self.open:
            order = self.random.choice(self.open)
            self.world.cancel(order)
            self._sort(order)

    def _late(self) -> None:
        """A fill that is told after the order's end."""
        left = [order for order in self.ended[-3:] if order.executed < order.quantity]
        if left and self.trouble.late_fills:
            self.world.fill(self.random.choice(left), 1)

    def _transfer(self) -> None:
        self.world.transfer(self.account, "USDT", self.random.randint(-50, 50))

    def _sort(self, order: Order) -> None:
        if not order.is_open:
            self.open.remove(order)
            self.ended.append(order)


def play(seed: int, trouble: Trouble) -> AccountWorld:
    """A stretch of trading with trouble, then twenty quiet minutes; the world is ready to be checked."""
    random = Random(seed)
    settings = Recovery(orders=trouble.orders, page_rows=trouble.page_rows)  # type: ignore[arg-type]
    world = AccountWorld(
        *trouble.accounts, seed=seed, lag=trouble.lag, settings=settings, clock_offset=random.randint(-3000, 3000)
    )
    end = world.now + 60 * trouble.minutes
    for account in trouble.accounts:
        trader = Trader(world, account, Random(random.random()), trouble)
        for _ in range(random.randint(0, 3)):
            trader._place()
        world.go_live(account)
        at = world.now
        while (at := at + random.expovariate(trouble.trades_a_minute / 60)) < end:
            world.at(at, trader.act)
        _plan_downs(world, account, random, trouble, end)
        _plan_losses(world, random, trouble, end)
    _plan_failures(world, random, trouble, end)
    if trouble.restarts:
        _plan_restarts(world, random, trouble, end)
    world.run(60 * trouble.minutes)
    if world.silent:
        world.run(60 * 20)  # audits find what was not sent; until then nothing speaks against the events
    _watch_snapshots(world)
    world.run(60 * 30)
    return world


def _plan_losses(world: AccountWorld, random: Random, trouble: Trouble, end: float) -> None:
    """Spells in which frames are never sent although the connection is healthy."""
    for _ in range(trouble.silent_spells):
        start = random.uniform(world.now + 120, end)
        world.silent.append((start, start + random.choice((0.1, 5.0, 90.0))))


def _plan_restarts(world: AccountWorld, random: Random, trouble: Trouble, end: float) -> None:
    at = world.now
    while (at := at + random.expovariate(1 / 20)) < end:
        world.at(at, world.commit)
    for _ in range(trouble.restarts):
        start = random.uniform(world.now + 5, end - 1)
        world.at(start, world.restart)
        for account in world.channels:
            up = start + random.choice((0.1, 10.0, 90.0, 600.0)) * random.random()
            world.at(up, lambda account=account: world.channels[account].is_live or world.go_live(account))


def _watch_snapshots(world: AccountWorld) -> None:
    """Look at a snapshot now and then; it counts when nothing is under way."""
    for offset in range(0, 60 * 30, 7):
        world.at(
            world.now + offset, lambda: [world.check_snapshot(each) for each in world.channels if world.is_quiet(each)]
        )


def _plan_downs(world: AccountWorld, account: Account, random: Random, trouble: Trouble, end: float) -> None:
    moments = sorted(random.uniform(world.now + 1, end - 1) for _ in range(2 * trouble.downs))
    for down, up in zip(moments[::2], moments[1::2], strict=True):
        if random.random() < 0.7:
            up = min(up, down + random.choice((0.5, 5, 30)))
        before = random.choice((0.0, 1.0, 20.0, 45.0))
        world.at(down, lambda: world.channels[account].is_live and world.go_down(account))
        world.at(
            up, lambda before=before: world.channels[account].is_live or world.go_live(account, proven_before=before)
        )


def _plan_failures(world: AccountWorld, random: Random, trouble: Trouble, end: float) -> None:
    spells = [(start, start + random.uniform(10, 120)) for start in (random.uniform(world.now, end) for _ in range(3))]
    failures = (
        ReadFailure(ErrorKind.SERVER_FAULT, "503"),
        ReadFailure(None, "timed out"),
        ReadFailure(ErrorKind.RATE_LIMITED, "429", 5.0),
        ReadFailure(ErrorKind.BANNED, "418", 20.0),
        ReadFailure(ErrorKind.TIMESTAMP, "-1021"),
    )

    def fail(read: Read, now: float) -> ReadFailure | None:
        is_bad = any(start <= now <= stop for start, stop in spells)
        return random.choice(failures) if is_bad and random.random() < trouble.read_failures else None

    world.fail_read = fail
