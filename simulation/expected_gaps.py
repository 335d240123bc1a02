"""When something happened from which on events of an account may be missed: without that, no gap has a reason."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from simulation.delivery_checker import Ledger
from simulation.network import Network, Pipe

__all__ = ["Hurts"]


class Hurts:
    """Notes them in the ledger; `wall` turns a moment of the month into the time by which gaps are told."""

    def __init__(self, life: Lifecycle[Event], network: Network, ledger: Ledger, wall: Callable[[float], int]) -> None:
        self._life = life
        self._network = network
        self._ledger = ledger
        self._wall = wall

    def of(self, account: Account, at: float | None = None) -> None:
        """An account may miss something from now on, or from another moment."""
        self._ledger.hurt(account, self._wall(self._network.now if at is None else at))

    def all_on(self, pipe: Pipe, at: float | None = None) -> None:
        """Whoever listens on a connection may miss something."""
        if not pipe.is_open or pipe.at_exchange is None:
            return
        link = self._life._connections.get(pipe.number)
        for account in {each.feed.account: None for each in link.subscriptions} if link is not None else ():
            self.of(account, at)

    def told(self, pipe: Pipe, frame: Text) -> None:
        """A text is sent: the end of a subscription, or one of which only half arrives."""
        ending = "eventStreamTerminated" in frame.text or "listenKeyExpired" in frame.text
        if ending or (self._network.now < pipe.truncate_until and '"E":' in frame.text):
            self.all_on(pipe)
