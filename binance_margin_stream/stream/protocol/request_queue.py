"""Messages to the exchange on open connections: queued, paced, and missed when they stay unanswered."""

from __future__ import annotations

from binance_margin_stream.stream.protocol.actions import Level, SendText
from binance_margin_stream.stream.protocol.context import Core, Told
from binance_margin_stream.stream.protocol.rate_limit import Pace
from binance_margin_stream.stream.protocol.records import Asked, Link, Phase, Purpose, Subscription, Task
from binance_margin_stream.stream.sources import Source

__all__ = ["Outbox"]

_ANSWERS_KEPT = 100


class Outbox:
    """What is to be asked on each connection, and what was asked and has no answer yet."""

    def __init__(self, core: Core, told: Told) -> None:
        self._core = core
        self._told = told
        self._request = 0
        self._shared: dict[str, Pace] = {}
        self.nameless: set[str] = set()
        """The sources whose answers do not name subscriptions: there, one thing is asked at a time."""

    def pace_of(self, source: Source) -> Pace:
        """The pace for a new connection: its own, or one for all connections to such a host."""
        dialect = source.dialect
        if dialect.shared_pace:
            return self._shared.setdefault(dialect.name, Pace(dialect.rate * self._core.rules.message_speed))
        return Pace(dialect.rate * self._core.rules.message_speed)

    def put(self, link: Link, task: Task, now: float) -> None:
        """Let a message be sent as soon as it may."""
        link.outbox.append(task)
        self.pump(link, now)

    def verify(self, link: Link, now: float) -> None:
        """Have the exchange list what is active on a connection."""
        link.doubted = True
        self.pump(link, now)

    def pump(self, link: Link, now: float) -> None:
        """Send what may be sent now."""
        while link.phase is Phase.OPEN and self._may_ask(link):
            at = max(self._core.quiet_until, link.pace.ready_at(now), self._list_at(link))
            if at > now:
                self._core.timers.set(("send", link), at)
                return
            self._send_next(link, now)

    def _may_ask(self, link: Link) -> bool:
        """A list is only asked for alone: an id in it must not belong to a request that is under way."""
        if link.doubted or link.suspects:
            return not link.under_way
        if not link.outbox:
            return False
        one_by_one = link.careful or link.listing or link.source.name in self.nameless
        return not (one_by_one and link.under_way)

    def _list_at(self, link: Link) -> float:
        return link.list_at if link.doubted or link.suspects else 0.0

    def _send_next(self, link: Link, now: float) -> None:
        if link.doubted or link.suspects:
            self._list(link, now)
            return
        task = link.outbox.popleft()
        if task.purpose is Purpose.DETACH and task.route is not None:
            self._send(link, Asked(Purpose.DETACH, now), link.source.dialect.detach(self._request + 1, task.route))
        elif self._is_wanted(task):
            self._subscribe(link, task, now)

    def _is_wanted(self, task: Task) -> bool:
        subscription = task.subscription
        if subscription is None or subscription.feed.credential is None:
            return False
        feed = subscription.feed
        if task.purpose is Purpose.RENEW:
            return feed.serving is subscription
        asked = subscription.asked_at is not None and not task.again
        return feed.joining is subscription and subscription.live_at is None and not asked

    def _subscribe(self, link: Link, first: Task, now: float) -> None:
        tasks = [first]
        while len(tasks) < link.source.dialect.batch and link.outbox:
            if link.outbox[0].purpose is not first.purpose:
                break
            task = link.outbox.popleft()
            tasks += [task] if self._is_wanted(task) else []
        subscriptions = [task.subscription for task in tasks if task.subscription is not None]
        asked = Asked(first.purpose, now, tuple((each, each.feed.credential) for each in subscriptions))
        for subscription in subscriptions:
            self.mark(subscription, first.purpose, now)
        link.subscribed += len(subscriptions)
        secrets = [credential.secret for _, credential in asked.subscriptions if credential is not None]
        self._send(link, asked, link.source.dialect.attach(self._request + 1, secrets))
        if link.subscribed >= self._core.rules.subscriptions_per_connection:
            self._told.retire(link, "its subscriptions are used up", now)

    def mark(self, subscription: Subscription, purpose: Purpose, now: float) -> None:
        """Note that a subscription was asked for: from now on its events may come."""
        if purpose is not Purpose.ATTACH or subscription.asked_at is not None:
            return
        credential = subscription.feed.credential
        subscription.asked_at = now
        subscription.credential = credential
        if not subscription.link.source.dialect.names_subscriptions and credential is not None:
            subscription.name(credential.secret)
        self._told.asking(subscription, now)

    def _list(self, link: Link, now: float) -> None:
        link.doubted = False
        link.listing = True
        self._send(link, Asked(Purpose.LIST, now), link.source.dialect.list_subscriptions(self._request + 1))

    def _send(self, link: Link, asked: Asked, text: str) -> None:
        link.pace.take(asked.at)
        self._request += 1
        link.asked[self._request] = asked
        link.under_way += 1
        self._core.do(SendText(link.number, text))
        self._core.timers.set_earlier(("answer", link), asked.at + self._core.rules.request_timeout)

    def overdue(self, link: Link, now: float) -> None:
        """See which requests have waited too long for their answer."""
        timeout = self._core.rules.request_timeout
        for number, asked in list(link.asked.items()):
            if asked.late:
                continue
            if asked.at + timeout > now:
                self._core.timers.set_earlier(("answer", link), asked.at + timeout)
                break
            self._give_up(link, number, asked, now)
        self.pump(link, now)

    def _give_up(self, link: Link, number: int, asked: Asked, now: float) -> None:
        asked.late = True
        link.under_way -= 1
        late = [each for each, other in link.asked.items() if other.late]
        for old in late[: max(0, len(late) - _ANSWERS_KEPT)]:
            del link.asked[old]
        self._core.tell("request unanswered", Level.WARNING, detail=asked.purpose.value)
        if asked.purpose is Purpose.LIST:
            link.listing = False
            link.doubted = True
        elif link.source.dialect.names_subscriptions:
            link.suspects.update(dict.fromkeys(each for each, _ in asked.subscriptions))
        else:
            for subscription, _ in asked.subscriptions:
                link.outbox.append(Task(asked.purpose, subscription, again=True))
        self.silent(link, now)

    def silent(self, link: Link, now: float) -> None:
        """Note that something stayed unanswered; too often in a row, and the connection is replaced."""
        link.silences += 1
        link.list_at = now + self._core.rules.backoff_first * 2**link.silences
        if link.silences == self._core.rules.retries_on_connection:
            self._told.retire(link, "requests stay unanswered", now)
