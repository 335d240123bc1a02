"""Connections: when to open one, when one is frozen, when one is replaced."""

from __future__ import annotations

from collections.abc import Callable

from binance_margin_stream.stream.protocol.actions import (
    CloseConnection,
    Failure,
    Level,
    OpenConnection,
    Reason,
    SendPing,
    Trouble,
)
from binance_margin_stream.stream.protocol.context import Core, Told
from binance_margin_stream.stream.protocol.rate_limit import AttemptWindow, Backoff, Pace
from binance_margin_stream.stream.protocol.records import Feed, Link, Phase
from binance_margin_stream.stream.sources import Source

__all__ = ["Links"]


class Links:
    """All connections, by number."""

    def __init__(self, core: Core, told: Told, pace_of: Callable[[Source], Pace]) -> None:
        self._core = core
        self._told = told
        self._pace_of = pace_of
        self._by_number: dict[int, Link] = {}
        self._number = 0
        self._backoffs: dict[str, Backoff] = {}
        self._not_before: dict[str, float] = {}
        self._window = AttemptWindow(core.rules.connects, core.rules.connects_period)
        self.get = self._by_number.get

    def all(self) -> list[Link]:
        """Every connection: planned, opening or open."""
        return list(self._by_number.values())

    def place(self, source: Source, now: float) -> Link:
        """A connection of the source that can take one more subscription."""
        rules = self._core.rules
        for link in self._by_number.values():
            if link.source is not source or link.retiring or link.full:
                continue
            if len(link.subscriptions) < rules.accounts_per_connection:
                return link
        return self._plan(source, now)

    def _plan(self, source: Source, now: float) -> Link:
        self._number += 1
        link = self._by_number[self._number] = Link(self._number, source, self._pace_of(source), now)
        self._core.timers.set(("open", link), max(now, self._not_before.get(source.name, now)))
        return link

    def open(self, link: Link, now: float) -> None:
        """Open a planned connection, as soon as the limits allow."""
        at = max(self._core.quiet_until, self._window.ready_at(now))
        if at > now:
            self._core.timers.set(("open", link), at)
            return
        self._window.take(now)
        link.phase = Phase.OPENING
        self._core.do(OpenConnection(link.number, link.source))
        self._core.timers.set(("watch", link), now + 2 * self._core.rules.open_timeout)

    def opened(self, link: Link, now: float) -> None:
        """A connection is open."""
        rules = self._core.rules
        link.phase = Phase.OPEN
        link.opened_at = link.last_seen = now
        self._core.timers.set(("watch", link), now + rules.ping_deadline)
        spread = self._core.jitter(0.0, rules.connection_spread)
        self._core.timers.set_earlier(("retire", link), now + rules.connection_life - spread)
        self._core.tell("connected", Level.INFO, detail=f"connection {link.number} ({link.source.name})")
        self._told.link_opened(link, now)

    def lost(self, link: Link, failure: Failure, reason: str, now: float) -> None:
        """A connection broke, or could not be opened."""
        if not link.retiring:
            self._back_off(link, now)
        self._remove(link)
        self._core.tally.failures += 1
        detail = f"connection {link.number} ({link.source.name}): {failure.detail or reason}"
        self._core.tell("connection lost", Level.WARNING, detail=detail)
        if failure.trouble.demands_silence:
            self._core.hold(failure, now)
        if failure.trouble is Trouble.FORBIDDEN:
            self._told.fatal(failure)
        elif failure.trouble is Trouble.RETIRED:
            self._told.source_retired(link.source, failure, now)
        if not self._core.stopped:
            self._told.link_lost(link, reason, now)

    def _back_off(self, link: Link, now: float) -> None:
        """A connection that lived for a while was a success; one that did not makes the next wait longer."""
        backoff = self._backoffs.setdefault(link.source.name, self._core.new_backoff())
        if link.phase is Phase.OPEN and now - link.opened_at >= self._core.rules.stable_after:
            backoff.reset()
        self._not_before[link.source.name] = now + backoff.next()

    def watch(self, link: Link, now: float) -> None:
        """Look whether a connection still gives signs of life."""
        deadline = link.last_seen + self._core.rules.ping_deadline
        if link.phase is Phase.OPEN and deadline > now:
            self._core.timers.set(("watch", link), deadline)
            return
        self._core.do(CloseConnection(link.number))
        detail = "no sign of life" if link.phase is Phase.OPEN else "no handshake in time"
        self.lost(link, Failure(Trouble.TRANSPORT, detail), Reason.FROZEN, now)

    def retire(self, link: Link, why: str, now: float) -> bool:
        """Let a connection take no more subscriptions; False if it already was told."""
        if link.retiring:
            return False
        link.retiring = True
        self._core.timers.cancel(("retire", link))
        if now - link.opened_at < self._core.rules.stable_after:
            self._back_off(link, now)
        self._core.tell("replacing", Level.INFO, detail=f"connection {link.number}: {why}")
        return True

    def drop_if_idle(self, link: Link) -> None:
        """Close a connection that nobody uses any more and that takes nobody new."""
        if (link.retiring or link.full) and not link.subscriptions and link.number in self._by_number:
            self._close(link)
            self._core.tally.rotations += 1
            self._core.tell("replaced", Level.INFO, detail=f"connection {link.number} is closed")

    def close_all(self) -> None:
        """Close every connection."""
        for link in self.all():
            self._close(link)

    def _close(self, link: Link) -> None:
        if link.phase is not Phase.PLANNED:
            self._core.do(CloseConnection(link.number))
        self._remove(link)

    def _remove(self, link: Link) -> None:
        link.phase = Phase.GONE  # so that nothing more is asked on it by who still holds it
        del self._by_number[link.number]
        for kind in ("open", "watch", "retire", "send", "answer", "prove", "probe"):
            self._core.timers.cancel((kind, link))

    def proved(self, link: Link, now: float) -> float:
        """The latest moment up to which everything that the exchange sent on a connection has arrived."""
        return max(link.probed, min(now, link.last_seen) - self._core.rules.latency_allowance)

    def prove(self, link: Link, feed: Feed, now: float) -> None:
        """Find out when a connection has delivered all that was sent before now, for the sake of a feed."""
        link.awaited[feed] = None
        if ("prove", link) not in self._core.timers and link.probe_sent is None:
            spacing = 1 / (link.source.dialect.rate * self._core.rules.message_speed)
            self._core.timers.set(("prove", link), max(now, link.probed + spacing))

    def probe(self, link: Link, now: float) -> None:
        """Send a ping: its pong comes after everything that was sent before."""
        link.probe_sent = now
        self._core.do(SendPing(link.number))
        self._core.timers.set(("probe", link), now + self._core.rules.request_timeout)

    def pong(self, link: Link, now: float) -> list[Feed]:
        """The pong came: the feeds that waited for it."""
        if link.probe_sent is None:
            return []
        link.probed, link.probe_sent = link.probe_sent, None
        self._core.timers.cancel(("probe", link))
        feeds, link.awaited = list(link.awaited), {}
        return feeds

    def unproven(self, link: Link) -> list[Feed]:
        """No pong came in time: the feeds that waited for it."""
        link.probe_sent = None
        feeds, link.awaited = list(link.awaited), {}
        return feeds
