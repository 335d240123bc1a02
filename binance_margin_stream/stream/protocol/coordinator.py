"""What happens to each feed: when it attaches, moves, is lost, and lives again.

This is the middle of the life cycle. REST calls, requests on connections and the connections themselves are
looked after by parts that report here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar, cast

from binance_margin_stream.stream.accounts import Account
from binance_margin_stream.stream.protocol.actions import Fail, Failure, Level, Reason, State, Trouble
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.connection_manager import Links
from binance_margin_stream.stream.protocol.context import Core
from binance_margin_stream.stream.protocol.credentials import Credentials
from binance_margin_stream.stream.protocol.deduplication import Routable
from binance_margin_stream.stream.protocol.duplicate_filter import Twins
from binance_margin_stream.stream.protocol.failover import Succession
from binance_margin_stream.stream.protocol.records import Feed, Link, Route, Subscription
from binance_margin_stream.stream.protocol.subscriptions import Attachments
from binance_margin_stream.stream.sources import Credential, Renewal, Source

__all__ = ["Continuity"]

E = TypeVar("E", bound=Routable)

_REFUSALS_BEFORE_FULL = 3


class Continuity(Generic[E]):
    """The feeds, and what is done so that none falls silent."""

    def __init__(self, core: Core, buffer: EventBuffer[E]) -> None:
        self.core = core
        self.feeds: list[Feed] = []
        self.credentials = Credentials(core, self)
        self.attachments = Attachments(core, self)
        self.links = Links(core, self, self.attachments.outbox.pace_of)
        self._succession: Succession[E] = Succession(
            core, buffer, credentials=self.credentials, attachments=self.attachments, links=self.links
        )
        self.handover = self._succession.handover
        self.tend = self._succession.tend
        self.proven = self._succession.proven
        self.unproven = self._succession.unproven

    @property
    def state(self) -> State:
        """Where the stream is in its life."""
        return self._succession.state

    def add(self, account: Account, sources: tuple[Source, ...]) -> None:
        """Follow the events of an account through the first of the sources that carries it."""
        fitting = tuple(source for source in sources if source.carries(account))
        if not fitting:
            raise ValueError(f"no way in has the events of {account!r} through {sources[0].name!r}")
        feed = Feed(account, fitting, self.core.new_backoff())
        twin = next((other for other in self.feeds if other.account == account), None)
        if twin is not None:
            feed.twins = twin.twins = Twins()
            feed.side = -1
        self.feeds.append(feed)

    def start(self, now: float) -> None:
        """Bring every feed to life."""
        self._succession.down = len(self.feeds)
        keyed = [feed for feed in self.feeds if feed.source.renewal is Renewal.KEPT_ALIVE]
        self.credentials.keys = len(keyed)
        for feed in self.feeds:
            self._succession.tend(feed, now)

    def credential_ready(self, feed: Feed, now: float) -> None:
        """Use a new credential where it is waited for, and to extend what is active."""
        serving = feed.serving
        if feed.joining is not None:
            self._succession.advance(feed.joining, now)
        else:
            self._succession.tend(feed, now)
        if serving is None or feed.credential is None or serving.link.source is not feed.source:
            return
        if feed.source.renewal is Renewal.REPLACED:
            self.attachments.renew(serving, now)
        elif serving.credential is not None and serving.credential.secret != feed.credential.secret:
            self._succession.lose(serving, serving.credential.proved_at, Reason.GONE, now)
        else:
            serving.credential = feed.credential

    def credential_gone(self, feed: Feed, credential: Credential, now: float) -> None:
        """Get a new one; what was attached with the old one has gone quiet since it was last proved."""
        if feed.credential is credential:
            feed.credential = None
        joining, serving = feed.joining, feed.serving
        if joining is not None and _holds(joining, credential):
            self._succession.give_up(joining)
        since = self._last_proof(feed, credential)
        if feed.loss is not None:
            feed.loss.since = min(feed.loss.since, since)
        if serving is not None and _holds(serving, credential):
            self._succession.lose(serving, min(since, self.links.proved(serving.link, now)), Reason.GONE, now)
        elif feed.joining is not None:
            self._succession.advance(feed.joining, now)
        self._succession.tend(feed, now)

    def _last_proof(self, feed: Feed, credential: Credential) -> float:
        """When a credential that is gone was last known to be good: by a call, or by an event."""
        heard = feed.heard if feed.serving is None else max(feed.heard, feed.serving.last_event)
        return max(credential.proved_at, heard - self.core.rules.latency_allowance)

    def source_retired(self, source: Source, failure: Failure, now: float) -> None:
        """Let the next way in take over, for every account that came through this one."""
        self.core.retired.setdefault(source.name, failure)
        for feed in self.feeds:
            if feed.source is not source:
                continue
            follower = self._next_source(feed)
            if follower is None:
                self.fatal(failure)
                return
            self._switch(feed, follower, now)
        for link in self.links.all():
            if link.source is source:
                self.retire(link, "its way in is retired", now)

    def _next_source(self, feed: Feed) -> Source | None:
        return next((source for source in feed.sources if source.name not in self.core.retired), None)

    def _switch(self, feed: Feed, follower: Source, now: float) -> None:
        detail = f"{feed.source.name} is retired, {follower.name} takes over"
        self.core.tell("source retired", Level.WARNING, feed.account, detail)
        self.credentials.forget(feed)
        self.core.timers.cancel(("tend", feed))
        feed.source = follower
        feed.backoff.reset()
        if feed.joining is not None:
            self._succession.give_up(feed.joining)
        self._succession.tend(feed, now)

    def link_opened(self, link: Link, now: float) -> None:
        """Attach everything that waits for this connection."""
        for subscription in list(link.subscriptions):
            self._succession.advance(subscription, now)

    def link_lost(self, link: Link, reason: str, now: float) -> None:
        """Move everything that was on a connection to another one."""
        proved = self.links.proved(link, now)
        if any(subscription.feed.serving is subscription for subscription in link.subscriptions):
            self.core.tally.reconnects += 1
        for subscription in list(link.subscriptions):
            if subscription.feed.serving is subscription:
                self._succession.lose(subscription, self._succession.since(subscription, proved), reason, now)
            else:
                self._succession.give_up(subscription)
                self._succession.tend(subscription.feed, now)

    def retire(self, link: Link, why: str, now: float) -> None:
        """Replace a connection: everything on it gets a successor elsewhere before it is closed."""
        if not self.links.retire(link, why, now):
            return
        for subscription in list(link.subscriptions):
            if subscription.feed.joining is subscription and subscription.live_at is None:
                self._succession.give_up(subscription)
            self._succession.tend(subscription.feed, now)
        self.links.drop_if_idle(link)

    def asking(self, subscription: Subscription, now: float) -> None:
        """From now on its events may come."""
        self.handover.begin(subscription.feed)

    def attached(self, subscription: Subscription, now: float) -> None:
        """Let it take over, or prove first that the old connection delivered all before it."""
        subscription.live_at = now
        feed = subscription.feed
        feed.backoff.reset()
        self._watch_expiry(subscription)
        if feed.serving is None:
            self._succession.take_over(feed, now)
        else:
            self.links.prove(feed.serving.link, feed, now)

    def not_attached(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """Try again later; with a new credential where the old one is refused, elsewhere where there is no room."""
        if self._is_final(subscription, failure, now):
            return
        feed, link = subscription.feed, subscription.link
        if failure.trouble is Trouble.UNKNOWN_CREDENTIAL and feed.credential is subscription.credential:
            feed.credential = None
        self._succession.give_up(subscription)
        if failure.trouble is Trouble.FULL or link.refusals >= _REFUSALS_BEFORE_FULL:
            link.full = True
            self.links.drop_if_idle(link)
        self.core.tell("not subscribed", Level.WARNING, feed.account, failure.detail)
        self._succession.tend_later(feed, now)

    def renewed(self, subscription: Subscription, now: float) -> None:
        """It lives on with the new credential."""
        self.core.tally.renewals += 1
        self.core.tell("renewed", Level.DEBUG, subscription.feed.account)
        subscription.feed.backoff.reset()
        self._watch_expiry(subscription)

    def not_renewed(self, subscription: Subscription, failure: Failure, now: float) -> None:
        """Try again while time remains; where it cannot be extended, move on in time."""
        feed = subscription.feed
        if failure.trouble is Trouble.ACTIVE:
            self._move_before_expiry(subscription, now)
            return
        if self._is_final(subscription, failure, now):
            return
        if failure.trouble is Trouble.FULL:
            self.retire(subscription.link, "its subscriptions are used up", now)
        self.core.tell("renewal failed", Level.WARNING, feed.account, failure.detail)
        self.core.timers.set_earlier(("renew", feed), now + feed.backoff.next())

    def _is_final(self, subscription: Subscription, failure: Failure, now: float) -> bool:
        if failure.trouble.is_fatal:
            self.fatal(failure)
        elif failure.trouble is Trouble.RETIRED:
            self.source_retired(subscription.link.source, failure, now)
        elif failure.trouble.demands_silence:
            self.core.hold(failure, now)
        return failure.trouble.is_fatal or failure.trouble is Trouble.RETIRED

    def _move_before_expiry(self, subscription: Subscription, now: float) -> None:
        """The exchange does not extend what is active: replace the connection while the old token still lives."""
        credential = subscription.credential
        if credential is None:
            return
        life = credential.expires_at - credential.obtained_at
        at = credential.expires_at - life * self.core.rules.replace_before
        self.core.tell("not extended", Level.INFO, subscription.feed.account, "moves on before it expires")
        self.core.timers.set_earlier(("retire", subscription.link), max(now, at))

    def missing(self, subscription: Subscription, now: float) -> None:
        """Events of it may be missing since it last gave a sign of life."""
        seen = subscription.last_event - self.core.rules.latency_allowance
        since = self._succession.since(subscription, max(seen, subscription.confirmed_at))
        self.ended(subscription, since, Reason.TERMINATED, now)

    def unattributed(self, link: Link, now: float) -> None:
        """Nobody knows whose events these were: they may be missing anywhere on the connection."""
        self.malformed(link, None, now)

    def replay(self, subscription: Subscription, at: float, event: object) -> None:
        """Treat an early event as if it came now."""
        subscription.last_event = at
        self.handover.event(subscription, at, cast(E, event).with_account(subscription.feed.account))

    def ended(self, subscription: Subscription, since: float, reason: str, now: float) -> None:
        """The exchange ended a subscription: its credential is spent, too, unless there is a newer one."""
        feed = subscription.feed
        if feed.credential is subscription.credential:
            feed.credential = None
        if subscription is feed.serving:
            self._succession.lose(subscription, since, reason, now)
        elif subscription is feed.joining:
            self._succession.give_up(subscription)
            self._succession.tend(feed, now)

    def malformed(self, link: Link, route: Route | None, now: float) -> None:
        """A frame that cannot be read may have been an event, or the end of a subscription."""
        self.core.tally.malformed += 1
        since = self.links.proved(link, now)
        for subscription in self._affected(link, route):
            self.handover.lossy(subscription, self._succession.since(subscription, since), now, Reason.MALFORMED)
            if link.source.dialect.names_subscriptions:
                subscription.doubt(since, now)
        self.verify(link, now)

    def _affected(self, link: Link, route: Route | None) -> Iterable[Subscription]:
        known = link.routes.get(route) if route is not None else None
        return list(link.subscriptions) if known is None else [known]

    def verify(self, link: Link, now: float) -> None:
        """Find out which subscriptions of a connection are still active."""
        if link.source.dialect.names_subscriptions:
            self.attachments.outbox.verify(link, now)
            return
        for subscription in list(link.subscriptions):
            if subscription.feed.credential is not None:
                self.credentials.ask(subscription.feed, now)

    def _watch_expiry(self, subscription: Subscription) -> None:
        credential = subscription.credential
        if credential is not None and subscription.link.source.renewal is Renewal.REPLACED:
            at = credential.expires_at + self.core.rules.expiry_grace
            self.core.timers.set(("expiry", subscription.feed), at)

    def expired(self, feed: Feed, now: float) -> None:
        """A credential's time is over, and the exchange has not said so yet."""
        serving = feed.serving
        if feed.source.renewal is Renewal.KEPT_ALIVE and feed.credential is not None:
            self.credential_gone(feed, feed.credential, now)
        elif serving is not None and serving.link.source.dialect.names_subscriptions:
            self.attachments.outbox.verify(serving.link, now)
            self.core.timers.set(("expiry", feed), now + self.core.rules.verify_every)

    def fatal(self, failure: Failure) -> None:
        """Stop everything: no repeat can mend this."""
        if self.state in (State.FAILED, State.CLOSED):
            return
        self.stop(State.FAILED, failure.detail)
        self.core.do(Fail(failure))

    def stop(self, state: State, detail: str = "") -> None:
        """End in one of the two last states."""
        self.core.stopped = True
        self.links.close_all()
        self._succession.enter(state)
        self.credentials.clear()
        self.core.timers.clear()
        if detail:
            self.core.tell("stopped", Level.ERROR, detail=detail)


def _holds(subscription: Subscription, credential: Credential) -> bool:
    held = subscription.credential
    return held is None or held.secret == credential.secret
