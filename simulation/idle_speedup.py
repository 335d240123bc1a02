"""What is spared while nothing is wrong: single pings, and frequent proofs of listen keys."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.stream.events.models import Event
from binance_margin_stream.stream.protocol.lifecycle import Lifecycle
from binance_margin_stream.stream.settings import StreamSettings
from simulation.network import Network, Pipe

__all__ = ["SEASON", "Calm"]

SEASON = 2220.0
"""How long before a strike the stream's own rule for proofs holds again, in seconds."""

_PING = 20.0
_CALM_PROOFS = 1800.0


class Calm:
    """Tells pings ahead until something may go wrong, and one by one from then on.

    `stormy` says whether something is wrong or may be at any moment, `quiet_until` until when nothing is planned.
    """

    def __init__(
        self,
        life: Lifecycle[Event],
        network: Network,
        rules: StreamSettings,
        *,
        stormy: Callable[[], bool],
        quiet_until: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        told_by_exchange: bool,
    ) -> None:
        self._life = life
        self._network = network
        self._rules = rules
        self._stormy = stormy
        self._quiet_until = quiet_until
        self._later = later
        self._told_by_exchange = told_by_exchange
        self._beating = False
        self._proofs = rules.health_check_interval
        self._prove_every(_CALM_PROOFS)

    def opened(self, pipe: Pipe) -> None:
        """A connection is open."""
        if not self._beating and not self._told_by_exchange:
            self._life.on_ping(pipe.number, self._until())

    def season(self) -> None:
        """Strikes come near: prove listen keys as often as the stream does by itself."""
        self._prove_every(self._proofs)

    def beat(self) -> None:
        """Something is wrong: from now on ping by ping."""
        if not self._beating and not self._told_by_exchange:
            self._beating = True
            self._pulse()

    def _pulse(self) -> None:
        self._beating = self._stormy()
        until = self._network.now if self._beating else self._until()
        for pipe in list(self._network.pipes.values()):
            if pipe.ready and not pipe.dead and not self._is_frozen(pipe):
                self._life.on_ping(pipe.number, until)
        if self._beating:
            self._later(_PING, self._pulse)
        elif self._quiet_until() > self._network.now + SEASON:
            self._prove_every(_CALM_PROOFS)

    def _until(self) -> float:
        return max(self._network.now, self._quiet_until())

    def _prove_every(self, seconds: float) -> None:
        object.__setattr__(
            self._rules, "health_check_interval", seconds
        )  # frozen, so that nobody does it but for sparing

    def _is_frozen(self, pipe: Pipe) -> bool:
        return pipe.at_exchange is None or self._network.exchange.is_silent(pipe.at_exchange)
