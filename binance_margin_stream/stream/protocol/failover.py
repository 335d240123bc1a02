"""From one subscription of a feed to the next: joining, taking over, losing, and being whole again."""

from __future__ import annotations

from typing import Generic, TypeVar

from binance_margin_stream.stream.protocol.actions import Level, Reason, State
from binance_margin_stream.stream.protocol.buffer import EventBuffer
from binance_margin_stream.stream.protocol.connection_manager import Links
from binance_margin_stream.stream.protocol.context import Core
from binance_margin_stream.stream.protocol.credentials import Credentials
from binance_margin_stream.stream.protocol.deduplication import Handover, Routable
from binance_margin_stream.stream.protocol.records import Feed, Loss, Phase, Subscription
from binance_margin_stream.stream.protocol.subscriptions import Attachments
from binance_margin_stream.stream.sources import Renewal

__all__ = ["Succession"]

E = TypeVar("E", bound=Routable)


class Succession(Generic[E]):
    """Moves feeds between subscriptions, and knows whether all of them are served."""

    def __init__(
        self,
        core: Core,
        buffer: EventBuffer[E],
        *,
        credentials: Credentials,
        attachments: Attachments,
        links: Links,
    ) -> None:
        self.core = core
        self.credentials = credentials
        self.attachments = attachments
        self.links = links
        self.handover: Handover[E] = Handover(core, buffer, self.overflowed)
        self.state = State.CONNECTING
        self.down = 0

    def tend(self, feed: Feed, now: float) -> None:
        """See to it that a feed has a subscription, or a successor where its connection is being replaced."""
        if feed.joining is not None and feed.credential is None:
            self.credentials.ask(feed, now)
        if feed.joining is not None or not self._needs_one(feed) or ("tend", feed) in self.core.timers:
            return
        if feed.serving is not None and feed.repeats is not None:
            self.core.timers.set(("after drain", feed), now + self.core.rules.drain)
            return
        link = self.links.place(feed.source, now)
        feed.joining = subscription = Subscription(feed, link)
        link.subscriptions[subscription] = None
        self.advance(subscription, now)

    def _needs_one(self, feed: Feed) -> bool:
        serving = feed.serving
        return serving is None or serving.link.retiring or serving.link.source is not feed.source

    def advance(self, subscription: Subscription, now: float) -> None:
        """Ask for a subscription, or for the credential that it needs."""
        feed = subscription.feed
        if subscription.asked_at is not None:
            return
        if feed.credential is None or not feed.credential.is_fresh(now):
            self.credentials.ask(feed, now)
        elif subscription.link.phase is Phase.OPEN:
            self.attachments.attach(subscription, now)

    def tend_later(self, feed: Feed, now: float) -> None:
        """Try again after a backoff."""
        self.core.timers.set(("tend", feed), now + feed.backoff.next())

    def take_over(self, feed: Feed, now: float) -> None:
        """Let the successor serve, once it is live."""
        old = feed.serving
        if feed.joining is None or feed.joining.live_at is None:
            return
        if self.handover.take_over(feed):
            self.core.timers.set(("drain", feed), now + self.core.rules.drain)
        if old is None:
            self._revived(feed)
        else:
            self.leave(old)
        self._catch_up(feed, now)
        self.tend(feed, now)

    def _catch_up(self, feed: Feed, now: float) -> None:
        """A credential that was renewed while the successor joined is its credential, too."""
        serving = feed.serving
        if serving is None or feed.credential is None or serving.credential is feed.credential:
            return
        if serving.link.source is feed.source and feed.source.renewal is Renewal.REPLACED:
            self.attachments.renew(serving, now)

    def proven(self, feeds: list[Feed], now: float) -> None:
        """The old connection of these feeds delivered all that it was sent before the last ping."""
        for feed in feeds:
            old, new = feed.serving, feed.joining
            if old is None or new is None or new.live_at is None:
                continue
            proved = self.links.proved(old.link, now)
            if proved >= new.live_at and old.uncertain_since is not None:
                self.lose(old, self.since(old, proved), Reason.TERMINATED, now)
            elif proved >= new.live_at:
                self.take_over(feed, now)
            else:
                self.links.prove(old.link, feed, now)

    def unproven(self, feeds: list[Feed], now: float) -> None:
        """The old connection of these feeds does not answer: go on without it."""
        for feed in feeds:
            if feed.serving is not None and feed.joining is not None and feed.joining.live_at is not None:
                since = self.since(feed.serving, self.links.proved(feed.serving.link, now))
                self.lose(feed.serving, since, Reason.DISCONNECTED, now)

    def overflowed(self, subscription: Subscription, now: float) -> None:
        """Too much is held: go on with the successor, if it is live, else without it."""
        feed = subscription.feed
        if subscription.live_at is not None:
            self.unproven([feed], now)
        else:
            self.give_up(subscription)
            self.tend_later(feed, now)

    def lose(self, subscription: Subscription, since: float, reason: str, now: float) -> None:
        """A subscription in use is over: its successor takes over, or a new one is made."""
        feed, new = subscription.feed, subscription.feed.joining
        feed.heard = max(feed.heard, subscription.last_event)
        if feed.loss is None:
            feed.loss = Loss(since, reason)
        feed.serving = None
        self.leave(subscription)
        self.down += 1
        if new is None:
            feed.repeats = None
        if new is not None and new.live_at is not None:
            self.take_over(feed, now)
        else:
            self.core.tell("lost", Level.WARNING, feed.account, f"{subscription.link.source.name}: {reason}")
            self._change_state()
            self.tend(feed, now)

    def since(self, subscription: Subscription, since: float) -> float:
        """Since when events of a subscription may be missing, if those of its connection are since `since`."""
        if subscription.asked_at is not None:
            since = max(since, subscription.asked_at)
        uncertain = subscription.uncertain_since
        if uncertain is None:
            return since
        heard = subscription.last_event - self.core.rules.latency_allowance
        return min(since, max(uncertain, heard))

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription, and close its connection if it was the last on one that is being replaced."""
        subscription.plain = False
        self.attachments.forget(subscription)
        subscription.link.awaited.pop(subscription.feed, None)
        self.links.drop_if_idle(subscription.link)

    def give_up(self, subscription: Subscription) -> None:
        """A subscription that was being made will not be."""
        feed = subscription.feed
        feed.joining = None
        self.handover.abandon(feed)
        self.leave(subscription)
        if feed.serving is not None:
            feed.serving.link.awaited.pop(feed, None)

    def _revived(self, feed: Feed) -> None:
        self.down -= 1
        self.core.tell("recovered" if feed.ever_live else "subscribed", Level.INFO, feed.account, feed.source.name)
        feed.ever_live = True
        self._change_state()

    def _change_state(self) -> None:
        if self.down == 0:
            self.enter(State.LIVE)
        elif self.state is State.LIVE:
            self.enter(State.RECOVERING)

    def enter(self, state: State) -> None:
        """Be in another state, unless all is over."""
        if state is not self.state and self.state not in (State.CLOSED, State.FAILED):
            self.state = state
            level = Level.ERROR if state is State.FAILED else Level.INFO
            self.core.tell(state.value, level)
