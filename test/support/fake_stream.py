"""A stream that a test drives by hand, in the place of `AsyncMarginStream`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Self

from binance_margin_stream import CROSS, BalanceUpdate, StreamError, StreamGap
from binance_margin_stream.relay.stream_view import TakenItem
from binance_margin_stream.stream.accounts import Account


def now_ms() -> int:
    return round(time.time() * 1000)


@dataclass
class FakeSubscription:
    subscription: int
    account: Account
    source: str
    live_at: int
    ping_sent_at: int | None = None
    is_open: bool = True


class FakeStream:
    """One account by one source, subscribed when it is entered."""

    def __init__(self, clock_offset: int = 0, account: Account = CROSS, source: str = "token") -> None:
        """`clock_offset`: how many milliseconds the exchange's clock is ahead of this machine's."""
        self.clock_offset = clock_offset
        self.account = account
        self.source = source
        self.views: list[FakeSubscription] = []
        self.items: deque[TakenItem] = deque()
        self.is_live = False
        self.reconnects = 0
        self.error: StreamError | None = None
        self._covered: dict[Account, int] = {}
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.subscribe()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_live = False

    def exchange_now(self) -> int:
        """The exchange's clock."""
        return now_ms() + self.clock_offset

    @property
    def number(self) -> int:
        return self.views[-1].subscription

    def subscribe(self) -> None:
        """A new subscription, live now."""
        self.views.append(FakeSubscription(len(self.views) + 1, self.account, self.source, now_ms()))
        self.is_live = True

    def lose(self) -> None:
        """The connection is gone."""
        self.views[-1].is_open = False
        self.is_live = False
        self.reconnects += 1

    def ping(self) -> None:
        """A pong came for a ping that was sent now."""
        self.views[-1].ping_sent_at = now_ms()
        self._covered[self.account] = now_ms()

    def send_pings(self) -> None:
        """Nothing: the test decides about pongs."""

    def deposit(self, amount: str, at: int | None = None) -> BalanceUpdate:
        """An event arrives; its time is now unless it is given, by the exchange's clock."""
        time_ms = self.exchange_now() if at is None else at
        event = BalanceUpdate(
            account=self.account, event_time=time_ms, asset="USDT", delta=Decimal(amount), clear_time=time_ms
        )
        self.put(TakenItem(event, self.number))
        return event

    def gap(self, reason: str) -> None:
        """The stream reports a gap."""
        self.put(TakenItem(StreamGap(account=self.account, since=now_ms() - 10, until=now_ms(), reason=reason)))

    def put(self, item: TakenItem) -> None:
        self.items.append(item)
        self._arrived.set()

    async def take(self, timeout: float) -> TakenItem | None:
        if not self.items:
            self._arrived.clear()
            try:
                async with asyncio.timeout(min(timeout, 0.02)):
                    await self._arrived.wait()
            except TimeoutError:
                pass
        if self.error is not None:
            raise self.error
        return self.items.popleft() if self.items else None

    @property
    def is_drained(self) -> bool:
        return not self.items

    def coverage(self) -> Sequence[FakeSubscription]:
        return self.views

    @property
    def covered_until(self) -> Mapping[Account, int]:
        return self._covered

    async def close(self) -> None:
        self.is_live = False
