"""The life of a stream, as decisions: no I/O, no clock, no threads.

A shell opens connections, makes calls and tells what happened; here it is decided what to do about it. Each input
takes `now`, in seconds of one clock that never goes back, and that should go on while the machine sleeps. `wall`
turns such a moment into epoch milliseconds; it is asked when a gap is reported, so that a correction of the
machine's clock does not move the gap's other end.

After every input the shell does what stands in `actions`, in order, and calls `wake` when `next_wakeup` says so.
Events do not come out as actions: they wait in a bounded buffer, from which `take` hands them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.health import PLANS, Health
from binance_margin_stream.stream.protocol.actions import Action, Failure, Reason, Request, State
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.context import Core
from binance_margin_stream.stream.protocol.coordinator import Continuity
from binance_margin_stream.stream.protocol.deduplication import Routable
from binance_margin_stream.stream.protocol.rate_limit import Jitter
from binance_margin_stream.stream.protocol.records import Feed, Link, Phase, Route, Subscription
from binance_margin_stream.stream.settings import StreamRules
from binance_margin_stream.stream.sources import Source

__all__ = ["Lifecycle"]

E = TypeVar("E", bound=Routable)


class Lifecycle(Generic[E]):
    """The decisions of one stream. `E` is the type of its events.

    `feeds` says which accounts to follow, and for each the ways in to try in turn; an account may stand there
    twice, as with the risk stream beside its own events. Raises `ValueError` for an account that no way in has.
    """

    def __init__(
        self,
        feeds: Iterable[tuple[Account, tuple[Source, ...]]],
        *,
        rules: StreamRules,
        jitter: Jitter,
        wall: Callable[[float], int],
    ) -> None:
        self._core = Core(rules, jitter, wall)
        self._buffer: EventBuffer[E] = EventBuffer(rules.buffered, wall, rules.latency_allowance)
        self._middle: Continuity[E] = Continuity(self._core, self._buffer)
        for account, sources in feeds:
            self._middle.add(account, sources)
        self._links = self._middle.links
        self._attachments = self._middle.attachments
        self._events: dict[type, int] = {}
        self._due = self._timers()
        self.actions = self._core.actions
        """What is to be done and was not taken yet: always the same list, empty after most events."""
        self.take = self._buffer.take
        """The next event or gap for the consumer, None if there is none."""
        self._link = self._links.get
        self._put = self._buffer.put

    @property
    def state(self) -> State:
        """Where the stream is in its life."""
        return self._middle.state

    def take_actions(self) -> list[Action]:
        """What is to be done, in this order; each is returned once."""
        taken = self.actions.copy()
        self.actions.clear()
        return taken

    def next_wakeup(self) -> float | None:
        """When `wake` is to be called, None if no time matters."""
        due = self._core.timers.next()
        return None if due is None else due[0]

    def accounts_on(self, connection: int) -> Mapping[Route | None, Account]:
        """Whose events come by which route on a connection: the decoder's view, always up to date."""
        link = self._link(connection)
        return link.accounts if link is not None else {}

    def opened(self, connection: int, now: float) -> None:
        """The WebSocket is open."""
        link = self._link(connection)
        if link is not None:
            self._links.opened(link, now)

    def closed(self, connection: int, failure: Failure, now: float) -> None:
        """The WebSocket could not be opened, or is gone."""
        link = self._link(connection)
        if link is not None:
            self._links.lost(link, failure, Reason.DISCONNECTED, now)

    def pinged(self, connection: int, now: float) -> None:
        """A ping came. A shell that knows a connection to be well until some moment may say so ahead."""
        link = self._link(connection)
        if link is not None:
            link.last_ping = link.last_seen = max(now, link.last_seen)

    def ponged(self, connection: int, now: float) -> None:
        """The pong for the last `SendPing` came."""
        link = self._link(connection)
        if link is not None:
            link.last_ping = link.last_seen = max(now, link.last_seen)
            self._middle.proven(self._links.pong(link, now), now)

    def event(self, connection: int, route: Route | None, event: E, now: float) -> None:
        """An event came, with the route that its frame named."""
        link = self._link(connection)
        if link is None:
            return
        link.last_frame = now
        if now > link.last_seen:
            link.last_seen = now
        kind = type(event)
        self._events[kind] = self._events.get(kind, 0) + 1
        subscription = link.routes.get(route)  # type: ignore[arg-type]  # None is no key, and finds nothing
        if subscription is None:
            self._unrouted(link, route, event, now)
            return
        subscription.last_event = now
        if subscription.plain:
            self._put(now, event)
        else:
            self._middle.handover.event(subscription, now, event)

    def _unrouted(self, link: Link, route: Route | None, event: E, now: float) -> None:
        """An event before the answer that says whose it is, or one that names nobody."""
        only = self._only(link, route)
        if only is not None:
            only.last_event = now
            self._middle.handover.event(only, now, event.with_account(only.feed.account))
        elif route is None or not self._attachments.unrouted(link, route, now, event):
            self._middle.malformed(link, None, now)

    def _only(self, link: Link, route: Route | None) -> Subscription | None:
        """On a connection with one subscription, an event without a route can only be its own."""
        if route is not None or len(link.subscriptions) != 1:
            return None
        return next(iter(link.subscriptions))

    def answer(self, connection: int, answer: ResponseFrame, now: float) -> None:
        """An answer to a request came, or a refusal of none in particular."""
        link = self._seen(connection, now)
        if link is not None:
            self._attachments.answer(link, answer, now)

    def malformed(self, connection: int, now: float, route: Route | None = None) -> None:
        """A frame came that cannot be read; `route` is whose it was, where that much is known."""
        link = self._seen(connection, now)
        if link is not None:
            self._middle.malformed(link, route, now)

    def shutdown(self, connection: int, now: float) -> None:
        """The exchange announces that it will close the connection."""
        link = self._seen(connection, now)
        if link is not None:
            self._middle.retire(link, "the exchange is shutting it down", now)

    def terminated(self, connection: int, route: Route | None, now: float) -> None:
        """The exchange ended a subscription; one that was ended on request is not affected."""
        self._ended(connection, route, Reason.TERMINATED, now)

    def key_expired(self, connection: int, route: Route | None, now: float) -> None:
        """The exchange says that a listen key has expired."""
        self._ended(connection, route, Reason.EXPIRED, now)

    def _ended(self, connection: int, route: Route | None, reason: str, now: float) -> None:
        link = self._seen(connection, now)
        if link is None:
            return
        subscription = link.routes.get(route) if route is not None else self._only(link, route)
        if subscription is not None:
            if route is None or subscription.route == route:
                since = max(self._links.proved(link, now), subscription.asked_at or 0.0)
                self._middle.ended(subscription, since, reason, now)
        elif route is not None and route not in link.routes and link.source.dialect.names_subscriptions:
            self._attachments.ended_early(link, route, now)
        elif route not in link.routes:
            self._middle.verify(link, now)

    def _seen(self, connection: int, now: float) -> Link | None:
        link = self._link(connection)
        if link is not None:
            link.last_frame = now
            link.last_seen = max(now, link.last_seen)
        return link

    def obtained(self, request: int, secret: str, expires: int | None, now: float) -> None:
        """A credential was obtained. `expires` is when it ends, in epoch milliseconds (or microseconds)."""
        self._middle.credentials.answered(request, secret, expires, now)

    def extended(self, request: int, now: float) -> None:
        """A listen key was extended."""
        self._middle.credentials.answered(request, None, None, now)

    def refused(self, request: int, failure: Failure, now: float) -> None:
        """A call failed."""
        self._middle.credentials.refused(request, failure, now)

    def start(self, now: float) -> None:
        """Bring every account to life."""
        self._middle.start(now)

    def wake(self, now: float) -> None:
        """Do what is due."""
        timers = self._core.timers
        while (due := timers.pop(now)) is not None:
            kind, subject = due
            self._due[kind](subject, now)

    def fail(self, failure: Failure) -> None:
        """End in failure, for a reason of the shell's own."""
        self._middle.fatal(failure)

    def close(self, now: float, *, give_up: bool = False) -> None:
        """Stop. Credentials live on, unless `give_up` asks to end them, for every client of the account."""
        if self.state in (State.CLOSED, State.FAILED):
            return
        self._middle.stop(State.CLOSED)
        if give_up:
            self._core.actions.extend(_farewells(self._middle.feeds))

    def _timers(self) -> Mapping[str, Callable[..., object]]:
        middle, links, outbox = self._middle, self._links, self._attachments.outbox
        return {
            "after drain": middle.tend,
            "answer": outbox.overdue,
            "drain": lambda feed, now: middle.handover.settle(feed),
            "expiry": middle.expired,
            "open": links.open,
            "probe": lambda link, now: middle.unproven(links.unproven(link), now),
            "prove": links.probe,
            "renew": middle.credentials.ask,
            "repeat": middle.credentials.repeat,
            "rest": lambda _, now: middle.credentials.pump(now),
            "retire": lambda link, now: middle.retire(link, "its time has come", now),
            "send": outbox.pump,
            "tend": middle.tend,
            "watch": links.watch,
        }

    def health(self, now: float) -> Health:
        """How the stream is doing. Costs nothing while nobody asks."""
        links = [link for link in self._links.all() if link.phase is Phase.OPEN]
        due, tally = self._core.timers.next(), self._core.tally
        down = {feed.account for feed in self._middle.feeds if feed.serving is None}
        return Health(
            state=self.state,
            accounts={feed.account: feed.account not in down for feed in self._middle.feeds},
            sources={feed.account: feed.source.name for feed in reversed(self._middle.feeds)},
            connections=len(links),
            connection_age=max((now - link.opened_at for link in links), default=None),
            frame_age=_age(now, (link.last_frame for link in links)),
            ping_age=_age(now, (link.last_ping for link in links)),
            events={kind.__name__: count for kind, count in self._events.items()},
            gaps=tally.gaps,
            reconnects=tally.reconnects,
            rotations=tally.rotations,
            renewals=tally.renewals,
            failures=tally.failures,
            malformed=tally.malformed,
            requests=tally.requests,
            dropped=self._buffer.dropped,
            buffered=len(self._buffer),
            next_action=None if due is None else PLANS[due[1][0]],
            next_action_in=None if due is None else max(0.0, due[0] - now),
        )


def _age(now: float, moments: Iterable[float | None]) -> float | None:
    latest = max((moment for moment in moments if moment is not None), default=None)
    return None if latest is None else max(0.0, now - latest)


def _farewells(feeds: Iterable[Feed]) -> Iterable[Request]:
    """The calls that end the listen keys; their answers do not matter."""
    for feed in feeds:
        if feed.credential is not None and feed.source.give_up is not None:
            yield Request(0, feed.account, feed.source, feed.source.give_up(feed.account, feed.credential.secret))
