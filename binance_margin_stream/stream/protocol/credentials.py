"""Obtaining and extending credentials over REST: in turn, at a pace, and never while told to wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from binance_margin_stream.stream.protocol.actions import Failure, Level, Request, Trouble
from binance_margin_stream.stream.protocol.context import Core, Told
from binance_margin_stream.stream.protocol.rate_limit import Pace
from binance_margin_stream.stream.protocol.records import Feed
from binance_margin_stream.stream.sources import Call, Credential, Lifetime, Renewal, Source

__all__ = ["Credentials"]

_MICROSECONDS = 10**14


@dataclass(slots=True)
class _Job:
    feed: Feed
    source: Source
    credential: Credential | None
    sent_at: float


class Credentials:
    """The queue of REST calls. A feed has at most one: waiting, under way, or waiting to be repeated."""

    def __init__(self, core: Core, told: Told) -> None:
        self._core = core
        self._told = told
        self._urgent: deque[Feed] = deque()
        self._routine: deque[Feed] = deque()
        self._under_way: dict[int, _Job] = {}
        self._number = 0
        self.keys = 0
        self._faltering = False
        self._not_found_since: dict[str, float] = {}
        self._pace = Pace(core.rules.rest_rate, burst=core.rules.rest_parallel)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._routine) + len(self._under_way)

    def ask(self, feed: Feed, now: float) -> None:
        """See to it that the feed gets a credential, or that its credential lives on."""
        if feed.waits_for_rest:
            return
        feed.waits_for_rest = True
        self._core.timers.cancel(("renew", feed))
        self._enqueue(feed, now)

    def repeat(self, feed: Feed, now: float) -> None:
        """Ask again, after a backoff."""
        self._enqueue(feed, now)

    def _enqueue(self, feed: Feed, now: float) -> None:
        (self._routine if feed.serving is not None else self._urgent).append(feed)
        self.pump(now)

    def pump(self, now: float) -> None:
        """Make the calls that may be made now."""
        while (self._urgent or self._routine) and len(self._under_way) < self._parallel():
            at = max(self._core.quiet_until, self._pace.ready_at(now))
            if at > now:
                self._core.timers.set(("rest", None), at)
                return
            self._send((self._urgent or self._routine).popleft(), now)

    def _parallel(self) -> int:
        """One call at a time while the exchange fails: the first that succeeds lets the others go."""
        return 1 if self._faltering else self._core.rules.rest_parallel

    def _send(self, feed: Feed, now: float) -> None:
        self._pace.take(now)
        self._number += 1
        self._core.tally.requests += 1
        self._under_way[self._number] = _Job(feed, feed.source, feed.credential, now)
        self._core.do(Request(self._number, feed.account, feed.source, self._call(feed)))

    def _call(self, feed: Feed) -> Call:
        if feed.credential is not None and feed.source.extend is not None:
            return feed.source.extend(feed.account, feed.credential.secret)
        return feed.source.obtain(feed.account, self._validity(feed.source) * self._core.rules.exchange_speed)

    def _validity(self, source: Source) -> float:
        rules = self._core.rules
        return rules.token_validity if source.lifetime is Lifetime.TOKEN else rules.key_validity

    def answered(self, number: int, secret: str | None, expires: int | None, now: float) -> None:
        """A call succeeded: `secret` is the credential, or None where one was extended.

        `expires` is when it ends, as the exchange says it: epoch time in milliseconds or microseconds.
        """
        job = self._settle(number)
        self._faltering = False
        if job is not None:
            self._not_found_since.pop(job.source.name, None)
            self._keep(job, secret, expires, now)
        self.pump(now)

    def _keep(self, job: _Job, secret: str | None, expires: int | None, now: float) -> None:
        feed, old = job.feed, job.credential
        if secret is None:
            secret = old.secret if old is not None else ""
        ends = now + self._remaining(job.source, expires, now)
        feed.credential = new = Credential(secret, job.sent_at, ends, job.sent_at)
        self._core.timers.set(("renew", feed), self._renew_at(feed, new))
        if feed.source.renewal is Renewal.KEPT_ALIVE:
            self._core.timers.set(("expiry", feed), ends + self._core.rules.expiry_grace)
            feed.backoff.reset()
        if old is not None:
            self._renewed(feed)
        self._told.credential_ready(feed, now)

    def _renewed(self, feed: Feed) -> None:
        if feed.source.renewal is Renewal.KEPT_ALIVE:
            self._core.tally.renewals += 1
            self._core.tell("renewed", Level.DEBUG, feed.account)

    def _remaining(self, source: Source, expires: int | None, now: float) -> float:
        """The life that is left, in seconds. A claim that this machine's clock makes absurd is not believed."""
        most = self._validity(source)
        if expires is None:
            return most
        milliseconds = expires // 1000 if expires > _MICROSECONDS else expires
        told = milliseconds - self._core.wall(now)  # of any size: a float only where it is believed
        return told / 1000 if 0 < told < most * 1000 else most

    def _renew_at(self, feed: Feed, credential: Credential) -> float:
        rules = self._core.rules
        life = credential.expires_at - credential.obtained_at
        part = rules.renew_at + self._core.jitter(-rules.renew_spread, rules.renew_spread)
        if feed.source.renewal is Renewal.KEPT_ALIVE:
            spacing = max(rules.verify_every, rules.verify_spacing * self.keys)
            return credential.obtained_at + min(life, 2 * spacing) * part
        return credential.obtained_at + life * part

    def refused(self, number: int, failure: Failure, now: float) -> None:
        """A call failed."""
        job = self._settle(number)
        self._core.tally.failures += 1
        self._faltering = failure.trouble in (Trouble.SERVER, Trouble.TRANSPORT)
        if job is not None:
            self._judge(job, failure, now)
        elif failure.trouble.demands_silence:
            self._core.hold(failure, now)
        self.pump(now)

    def _judge(self, job: _Job, failure: Failure, now: float) -> None:
        if failure.trouble.is_fatal:
            self._told.fatal(failure)
        elif failure.trouble is Trouble.RETIRED or self._stays_away(job.source, failure, now):
            self._told.source_retired(job.source, failure, now)
        elif failure.trouble is Trouble.UNKNOWN_CREDENTIAL and job.credential is not None:
            self._told.credential_gone(job.feed, job.credential, now)
        else:
            self._put_off(job.feed, failure, now)

    def _stays_away(self, source: Source, failure: Failure, now: float) -> bool:
        """Whether the calls of a way in were not found for so long that it is retired."""
        if failure.trouble is not Trouble.NOT_FOUND:
            return False
        since = self._not_found_since.setdefault(source.name, now)
        return now - since >= self._core.rules.not_found_patience

    def _put_off(self, feed: Feed, failure: Failure, now: float) -> None:
        name = "credential not obtained" if feed.credential is None else "renewal failed"
        self._core.tell(name, Level.WARNING, feed.account, failure.detail)
        feed.waits_for_rest = True
        if failure.trouble.demands_silence:
            self._core.hold(failure, now)
            (self._routine if feed.serving is not None else self._urgent).appendleft(feed)
        else:
            self._core.timers.set(("repeat", feed), now + feed.backoff.next())

    def _settle(self, number: int) -> _Job | None:
        """The call that was answered; None if its feed no longer waits for it."""
        job = self._under_way.pop(number, None)
        if job is None or job.feed.source is not job.source:
            return None
        job.feed.waits_for_rest = False
        return job

    def forget(self, feed: Feed) -> None:
        """Let a feed that changes its source ask anew; what is under way for it counts no more."""
        for queue in (self._urgent, self._routine):
            if feed in queue:
                queue.remove(feed)
        for kind in ("renew", "repeat", "expiry"):
            self._core.timers.cancel((kind, feed))
        feed.credential = None
        feed.waits_for_rest = False

    def clear(self) -> None:
        """Forget everything."""
        self._urgent.clear()
        self._routine.clear()
        self._under_way.clear()
