"""When something happened from which on events of an account may be missed: without that, no gap has a reason."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.sandbox.messages import Text
from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from simulation.delivery_checker import DeliveryChecker
from simulation.network import Network, SimulatedConnection

__all__ = ["ExpectedGaps"]


class ExpectedGaps:
    """Notes them in the ledger; `wall` turns a moment of the month into the time by which gaps are told."""

    def __init__(
        self,
        lifecycle: Lifecycle[Event],
        network: Network,
        delivery_checker: DeliveryChecker,
        to_epoch_ms: Callable[[float], int],
    ) -> None:
        self._lifecycle = lifecycle
        self._network = network
        self._delivery_checker = delivery_checker
        self._to_epoch_ms = to_epoch_ms

    def mark_account(self, account: Account, at: float | None = None) -> None:
        """An account may miss something from now on, or from another moment."""
        self._delivery_checker.mark_possible_loss(account, self._to_epoch_ms(self._network.now if at is None else at))

    def mark_connection(self, connection: SimulatedConnection, at: float | None = None) -> None:
        """Whoever listens on a connection may miss something."""
        if not connection.is_open or connection.exchange_number is None:
            return
        link = self._lifecycle.connections.get(connection.number)
        for account in {each.feed.account: None for each in link.subscriptions} if link is not None else ():
            self.mark_account(account, at)

    def observe(self, connection: SimulatedConnection, frame: Text) -> None:
        """A text is sent: the end of a subscription, or one of which only half arrives."""
        ending = "eventStreamTerminated" in frame.text or "listenKeyExpired" in frame.text
        if ending or (self._network.now < connection.truncate_until and '"E":' in frame.text):
            self.mark_connection(connection)
