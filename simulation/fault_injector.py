"""Lets a fault strike: what it does to connections, credentials and calls at its moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from binance_margin_stream.sandbox import faults
from binance_margin_stream.sandbox.faults import ImmediateFault
from simulation.active_faults import Weather
from simulation.expected_gaps import Hurts
from simulation.network import Network, Pipe
from simulation.plan import Plan, Strike

__all__ = ["PROMPT", "Striker"]

Which = Literal["all", "listen_tokens", "listen_keys"]
_WHICH: tuple[Which, ...] = get_args(Which)

PROMPT: Mapping[str, Callable[[random.Random], ImmediateFault]] = {
    "drop": lambda dice: faults.DropConnections(dice.choice(("close", "close", "eof", "reset"))),
    "freeze": lambda dice: faults.FreezeConnections(),
    "malformed": lambda dice: faults.MalformedFrame(dice.choice(('{"subscriptionId":0,"event":{"e":', "}{", "[]"))),
    "binary": lambda dice: faults.BinaryFrame(b"\x00\xff"),
    "shutdown notice": lambda dice: faults.ShutdownNotice(dice.choice((None, 0.5, 5.0, 60.0, 120.0))),
}
"""Faults that the sandbox has for open connections."""


class Striker:
    """The hand of the adversary. What is wrong for a while is left to the weather."""

    def __init__(self, plan: Plan, network: Network, weather: Weather, hurts: Hurts) -> None:
        self.duplicates = 0
        """How many of the next events are sent twice."""
        self.stalled_until = float("-inf")
        """Until when the consumer takes nothing."""
        self.revoked_at: float | None = None
        self._plan = plan
        self._network = network
        self._weather = weather
        self._hurts = hurts
        self._moments: Mapping[str, Callable[[Strike], None]] = {
            "reset": self._reset,
            "half-open": self._half_open,
            "truncate": self._truncate,
            "delay": self._delay,
            "slow handshake": self._slow_handshake,
            "duplicate": self._duplicate,
            "expire": self._expire,
            "delete the key": self._delete_the_key,
            "retire": self._retire,
            "slow consumer": self._slow_consumer,
            "revoke the API key": self._revoke,
        } | dict.fromkeys(PROMPT, self._prompt)

    @property
    def _now(self) -> float:
        return self._network.now

    def strike(self, strike: Strike) -> None:
        """Let it strike now."""
        self._weather.struck[strike.name] += 1
        self._weather.troubled(self._now + strike.lasts)
        self._moments.get(strike.name, self._weather.begin)(strike)

    def _prompt(self, strike: Strike) -> None:
        fault = PROMPT[strike.name](random.Random(strike.dice))
        for pipe in self._targets(strike):
            self._network.exchange.inject_fault(fault, self._network.milliseconds, connection=pipe.at_exchange)
            if isinstance(fault, faults.ShutdownNotice):
                self._weather.troubled(self._now + (fault.close_after_seconds or 0.0))
            else:
                self._hurts.all_on(pipe)
            self._network.pump()
            if isinstance(fault, faults.MalformedFrame | faults.BinaryFrame):
                self._hurts.all_on(pipe, pipe.down_at)

    def _targets(self, strike: Strike) -> list[Pipe]:
        """One open connection, or all of them."""
        pipes = [pipe for pipe in self._network.pipes.values() if pipe.at_exchange is not None and not pipe.dead]
        if not pipes or strike.dice % 3 == 0:
            return pipes
        return [pipes[strike.dice // 3 % len(pipes)]]

    def _reset(self, strike: Strike) -> None:
        if strike.dice % 2:
            self._weather.begin(Strike(self._now, "reset", lasts=10.0, share=strike.share))
            self._weather.troubled(self._now + 10.0)
        for pipe in self._targets(strike):
            self._network.cut(pipe)

    def _half_open(self, strike: Strike) -> None:
        for pipe in self._targets(strike):
            self._network.half_open(pipe)

    def _truncate(self, strike: Strike) -> None:
        self._weather.begin(strike)
        for pipe in self._targets(strike):
            pipe.truncate_until = self._now + strike.lasts

    def _delay(self, strike: Strike) -> None:
        self._weather.begin(strike)
        self._network.slow_until = max(self._network.slow_until, self._now + strike.lasts)
        self._weather.troubled(self._now + strike.lasts + 10.0)

    def _slow_handshake(self, strike: Strike) -> None:
        self._weather.begin(strike)
        self._weather.troubled(self._now + strike.lasts + self._plan.rules.open_timeout)

    def _duplicate(self, strike: Strike) -> None:
        self.duplicates += 1 + strike.dice % 5

    def _expire(self, strike: Strike) -> None:
        which: Which = _WHICH[strike.dice % 3]
        for account in self._plan.accounts:
            self._hurts.of(account)
        self._network.exchange.inject_fault(faults.ExpireCredentials(which), self._network.milliseconds)
        self._network.pump()

    def _delete_the_key(self, strike: Strike) -> None:
        account = self._plan.accounts[strike.dice % len(self._plan.accounts)]
        exchange, now = self._network.exchange, self._network.milliseconds
        if exchange.delete_listen_key(self._network.user.uid, account.symbol or "cross", None, now):
            self._hurts.of(account)

    def _retire(self, strike: Strike) -> None:
        self._network.exchange.retire_endpoint("/sapi/v1/userListenToken")

    def _slow_consumer(self, strike: Strike) -> None:
        self.stalled_until = self._now + strike.lasts

    def _revoke(self, strike: Strike) -> None:
        self.revoked_at = self._now
        for account in self._plan.accounts:
            self._hurts.of(account)
        self._network.exchange.revoke_api_key(self._network.user.api_key, self._network.milliseconds)
        self._network.pump()
