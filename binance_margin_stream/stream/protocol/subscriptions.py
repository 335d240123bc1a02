"""Subscribing on open connections: what is asked, what was answered, and whose an event is.

An event must never be given to the wrong account. So a subscription counts only once the exchange has said its
id. Where an answer is lost or lacks the id, the connection becomes careful: it asks one thing at a time, and has
the exchange list the active ids. What then cannot belong to anyone but one account is that account's; what is
still ambiguous is ended and asked for again.
"""

from __future__ import annotations

from binance_margin_stream.stream.events.responses import ResponseFrame
from binance_margin_stream.stream.protocol.actions import Failure, Trouble
from binance_margin_stream.stream.protocol.context import Core, Told
from binance_margin_stream.stream.protocol.error_mapping import failure_of_answer
from binance_margin_stream.stream.protocol.records import Asked, Link, Purpose, Route, Subscription, Task
from binance_margin_stream.stream.protocol.request_queue import Outbox

__all__ = ["Attachments"]

_ANSWERS_KEPT = 100


class Attachments:
    """The requests on all connections."""

    def __init__(self, core: Core, told: Told) -> None:
        self._core = core
        self._told = told
        self.outbox = Outbox(core, told)

    def attach(self, subscription: Subscription, now: float) -> None:
        """Ask for a subscription, with the credential that its feed has."""
        self.outbox.put(subscription.link, Task(Purpose.ATTACH, subscription), now)

    def renew(self, subscription: Subscription, now: float) -> None:
        """Ask for a subscription again, with the new credential, to extend it."""
        self.outbox.put(subscription.link, Task(Purpose.RENEW, subscription), now)

    def detach(self, link: Link, route: Route, now: float) -> None:
        """End a subscription; what still comes of it is ignored."""
        link.routes[route] = None
        link.accounts.pop(route, None)
        link.early_count -= len(link.early.pop(route, ()))
        self.outbox.put(link, Task(Purpose.DETACH, route=route), now)

    def forget(self, subscription: Subscription) -> None:
        """A subscription is over: its routes lead nowhere any more."""
        link = subscription.link
        link.subscriptions.pop(subscription, None)

    def answer(self, link: Link, answer: ResponseFrame, now: float) -> None:
        """An answer came."""
        asked = link.asked.pop(answer.id, None) if isinstance(answer.id, int) else None
        if asked is None:
            self._unasked(answer, now)
            return
        link.silences = 0
        if not asked.late:
            link.under_way -= 1
        if asked.purpose is Purpose.LIST:
            self._listed(link, asked, answer, now)
        elif answer.ok:
            self._granted(link, asked, answer, now)
        else:
            self._denied(link, asked, answer, now)
        if link.early and not self._awaits_names(link):
            self._drop_early(link, now)
        self.outbox.pump(link, now)

    def _unasked(self, answer: ResponseFrame, now: float) -> None:
        """A refusal of no request in particular, such as for a revoked key."""
        failure = failure_of_answer(answer, self._core.wall(now))
        if not answer.ok and failure.trouble is Trouble.REJECTED:
            self._told.fatal(failure)

    def _granted(self, link: Link, asked: Asked, answer: ResponseFrame, now: float) -> None:
        link.refusals = 0
        for subscription, credential in asked.subscriptions:
            if not link.source.dialect.names_subscriptions:
                self._settle(subscription, asked.at, now)
            elif not self._is_current(subscription):
                self._adopt(link, subscription, answer.subscription_id, asked.at, now)
            else:
                subscription.credential = credential
                self._name(link, subscription, answer.subscription_id, asked.at, now)

    def _name(self, link: Link, subscription: Subscription, route: Route | None, at: float, now: float) -> None:
        """Whether the id stays or changes makes no difference; that it is missing does."""
        if route is None:
            link.careful = True
            self.outbox.nameless.add(link.source.name)
            link.suspects[subscription] = None
        else:
            subscription.name(route)
            self._settle(subscription, at, now)

    def _is_current(self, subscription: Subscription) -> bool:
        return subscription in (subscription.feed.serving, subscription.feed.joining)

    def _adopt(self, link: Link, stale: Subscription, route: Route | None, at: float, now: float) -> None:
        """A subscription that was given up took effect after all: use it where one is wanted, else end it."""
        joining = stale.feed.joining
        if route is None:
            link.doubted = True
        elif link.routes.get(route, stale) is None:
            return  # it was ended here meanwhile
        elif joining is not None and joining.link is link and joining.live_at is None:
            if joining.asked_at is None:
                link.early_count -= len(link.early.pop(route, ()))
                self.outbox.mark(joining, Purpose.ATTACH, now)
            joining.name(route)
            self._settle(joining, at, now)
        elif route not in link.routes:
            self.detach(link, route, now)

    def _settle(self, subscription: Subscription, at: float, now: float) -> None:
        """The exchange confirmed a subscription, as of a moment: replay what came of it before."""
        link = subscription.link
        link.suspects.pop(subscription, None)
        if not self._is_current(subscription):
            return
        subscription.unclaimed_at = None
        subscription.confirm(at)
        if subscription.live_at is None:
            self._told.attached(subscription, now)
        elif subscription.doubted_at is not None:
            self._told.missing(subscription, now)  # it may have ended while it was renewed, and begun anew
            return
        else:
            self._after_renewal(subscription, now)
        if subscription.route is not None:
            early = link.early.pop(subscription.route, ())
            link.early_count -= len(early)
            for at, event in early:
                self._told.replay(subscription, at, event)
            if subscription.route in link.ended:
                self._told.missing(subscription, now)

    def _after_renewal(self, subscription: Subscription, now: float) -> None:
        if subscription.credential is subscription.feed.credential:
            self._told.renewed(subscription, now)
        else:
            self._told.not_renewed(subscription, Failure(Trouble.TRANSPORT, "no answer"), now)

    def _denied(self, link: Link, asked: Asked, answer: ResponseFrame, now: float) -> None:
        failure = failure_of_answer(answer, self._core.wall(now))
        self._core.tally.failures += 1
        if asked.purpose is Purpose.DETACH:
            return
        if failure.trouble is Trouble.ACTIVE and asked.purpose is Purpose.ATTACH:
            link.suspects.update(dict.fromkeys(each for each, _ in asked.subscriptions if self._is_current(each)))
            return
        link.refusals += 1
        report = self._told.not_attached if asked.purpose is Purpose.ATTACH else self._told.not_renewed
        for subscription, _ in asked.subscriptions:
            if self._is_current(subscription):
                report(subscription, failure, now)

    def _listed(self, link: Link, asked: Asked, answer: ResponseFrame, now: float) -> None:
        if asked.late:
            return
        link.listing = False
        ids = _ids(answer)
        if ids is None:
            link.doubted = True
            self.outbox.silent(link, now)
            return
        lost = self._confirm(link, ids, asked.at)
        self._attribute(link, [each for each in ids if each not in link.routes], ids, asked.at, now)
        for subscription in lost:
            if self._is_current(subscription) and subscription.route not in ids:
                self._told.missing(subscription, now)
        for subscription in link.subscriptions:  # all ids are told apart now
            subscription.unclaimed_at = None

    def _confirm(self, link: Link, ids: set[int], at: float) -> list[Subscription]:
        """Notes which subscriptions are still active, and returns those that are not."""
        lost: list[Subscription] = []
        for subscription in link.subscriptions:
            if subscription.live_at is None or subscription.live_at > at:
                continue
            if subscription.route in ids:
                subscription.confirm(at)
            else:
                lost.append(subscription)
        return lost

    def _attribute(self, link: Link, unknown: list[int], ids: set[int], at: float, now: float) -> None:
        """Gives an id to the one subscription that it can belong to; what is ambiguous is ended."""
        suspects = list(link.suspects)
        link.suspects.clear()
        nameless = [each for each in suspects if each.live_at is None or each.route not in ids]
        if len(nameless) == 1 and len(unknown) == 1:
            self._found(link, nameless[0], unknown[0], at, now)
            suspects.remove(nameless[0])
        elif len(link.routes) + len(unknown) > self._core.rules.subscriptions_per_connection:
            self._told.retire(link, "it lists more subscriptions than it can have", now)
        else:
            for route in unknown:
                self.detach(link, route, now)
        for subscription in suspects:
            self._unresolved(link, subscription, ids, at, now)

    def _found(self, link: Link, subscription: Subscription, route: Route, at: float, now: float) -> None:
        if self._is_current(subscription):
            subscription.name(route)
            self._settle(subscription, at, now)
        else:
            self._adopt(link, subscription, route, at, now)

    def _unresolved(self, link: Link, subscription: Subscription, ids: set[int], at: float, now: float) -> None:
        if not self._is_current(subscription):
            return
        if subscription.live_at is not None:
            self._after_renewal(subscription, now)
            return
        own = [route for route in ids if _owner(link, route) is subscription.feed]
        if len(own) == 1:
            subscription.name(own[0])
            self._settle(subscription, at, now)
        else:
            link.careful = True
            failure = Failure(Trouble.TRANSPORT, "the subscription's id is not known")
            self._told.not_attached(subscription, failure, now)

    def unrouted(self, link: Link, route: Route, at: float, event: object) -> bool:
        """Keep an event until it is known whose it is; False if that can never be known, or there is no room."""
        if route in link.routes:
            return True
        if not self._awaits_names(link) or link.early_count >= self._core.rules.early:
            return False
        if route not in link.early:
            self._doubt_pending(link, at - self._core.rules.latency_allowance)
        link.early.setdefault(route, []).append((at, event))
        link.early_count += 1
        return True

    def ended_early(self, link: Link, route: Route, now: float) -> None:
        """The end of a subscription came before the answer that says whose it is."""
        if len(link.ended) < self._core.rules.early:
            link.ended.add(route)
        self.outbox.verify(link, now)

    def _doubt_pending(self, link: Link, since: float) -> None:
        """An early event may be of any subscription whose answer is awaited, also of one that is renewed."""
        pending = list(link.suspects)
        for asked in link.asked.values():
            if asked.late:
                continue  # looked for since: a suspect, or found
            pending += [subscription for subscription, _ in asked.subscriptions]
        for subscription in pending:
            earlier = subscription.unclaimed_at
            subscription.unclaimed_at = since if earlier is None else min(earlier, since)

    def _awaits_names(self, link: Link) -> bool:
        return bool(link.suspects) or link.doubted or link.under_way > 0

    def _drop_early(self, link: Link, now: float) -> None:
        """Events whose subscription nobody knows: unless it was ended here, they are lost."""
        lost = [route for route in link.early if route not in link.routes]
        link.early.clear()
        link.early_count = 0
        if lost:
            self._told.unattributed(link, now)


def _owner(link: Link, route: Route) -> object:
    subscription = link.routes.get(route)
    return subscription.feed if subscription is not None else None


def _ids(answer: ResponseFrame) -> set[int] | None:
    """The ids in a list of subscriptions: bare, or each in an object. None if it is no list."""
    if not answer.ok or not isinstance(answer.result, list):
        return None
    named = (each.get("subscriptionId") if isinstance(each, dict) else each for each in answer.result)
    return {each for each in named if isinstance(each, int)}
