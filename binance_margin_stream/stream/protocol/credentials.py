"""Obtaining and extending credentials over REST: in turn, at a pace, and never while told to wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, RestRequest, Severity
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.rate_limit import RateLimiter
from binance_margin_stream.stream.protocol.records import Feed
from binance_margin_stream.stream.sources import ApiCall, Credential, CredentialKind, RenewalMode, Source

__all__ = ["CredentialManager"]

_MIN_MICROSECONDS = 10**14


@dataclass(slots=True)
class _PendingCall:
    feed: Feed
    source: Source
    credential: Credential | None
    sent_at: float


class CredentialManager:
    """The queue of REST calls. A feed has at most one: waiting, under way, or waiting to be repeated."""

    def __init__(self, context: Context, listener: LifecycleListener) -> None:
        self._context = context
        self._listener = listener
        self._urgent: deque[Feed] = deque()
        self._routine: deque[Feed] = deque()
        self._pending: dict[int, _PendingCall] = {}
        self._last_request_id = 0
        self.listen_key_count = 0
        self._is_failing = False
        self._not_found_since: dict[str, float] = {}
        self._rate_limiter = RateLimiter(context.settings.rest_rate, burst=context.settings.rest_concurrency)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._routine) + len(self._pending)

    def request(self, feed: Feed, now: float) -> None:
        """See to it that the feed gets a credential, or that its credential lives on."""
        if feed.has_pending_call:
            return
        feed.has_pending_call = True
        self._context.timers.cancel(("renew", feed))
        self._enqueue(feed, now)

    def retry(self, feed: Feed, now: float) -> None:
        """Ask again, after a backoff."""
        self._enqueue(feed, now)

    def _enqueue(self, feed: Feed, now: float) -> None:
        (self._routine if feed.active is not None else self._urgent).append(feed)
        self.drain_queue(now)

    def drain_queue(self, now: float) -> None:
        """Make the calls that may be made now."""
        while (self._urgent or self._routine) and len(self._pending) < self._max_in_flight():
            at = max(self._context.paused_until, self._rate_limiter.next_allowed_at(now))
            if at > now:
                self._context.timers.set(("rest", None), at)
                return
            self._send((self._urgent or self._routine).popleft(), now)

    def _max_in_flight(self) -> int:
        """One call at a time while the exchange fails: the first that succeeds lets the others go."""
        return 1 if self._is_failing else self._context.settings.rest_concurrency

    def _send(self, feed: Feed, now: float) -> None:
        self._rate_limiter.acquire(now)
        self._last_request_id += 1
        self._context.counters.rest_calls += 1
        self._pending[self._last_request_id] = _PendingCall(feed, feed.source, feed.credential, now)
        self._context.emit(RestRequest(self._last_request_id, feed.account, feed.source, self._build_call(feed)))

    def _build_call(self, feed: Feed) -> ApiCall:
        if feed.credential is not None and feed.source.build_keepalive_call is not None:
            return feed.source.build_keepalive_call(feed.account, feed.credential.secret)
        return feed.source.build_create_call(
            feed.account, self._get_validity(feed.source) * self._context.settings.exchange_speed
        )

    def _get_validity(self, source: Source) -> float:
        settings = self._context.settings
        return (
            settings.token_validity if source.credential_kind is CredentialKind.LISTEN_TOKEN else settings.key_validity
        )

    def on_success(self, request_id: int, secret: str | None, expiration_time: int | None, now: float) -> None:
        """A call succeeded: `secret` is the credential, or None where one was extended.

        `expires` is when it ends, as the exchange says it: epoch time in milliseconds or microseconds.
        """
        call = self._complete(request_id)
        self._is_failing = False
        if call is not None:
            self._not_found_since.pop(call.source.name, None)
            self._store(call, secret, expiration_time, now)
        self.drain_queue(now)

    def _store(self, call: _PendingCall, secret: str | None, expiration_time: int | None, now: float) -> None:
        feed, old = call.feed, call.credential
        if secret is None:
            secret = old.secret if old is not None else ""
        expires_at = now + self._remaining_lifetime(call.source, expiration_time, now)
        feed.credential = new = Credential(secret, call.sent_at, expires_at, call.sent_at)
        self._context.timers.set(("renew", feed), self._next_renewal_at(feed, new))
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE:
            self._context.timers.set(("expiry", feed), expires_at + self._context.settings.expiry_grace)
            feed.backoff.reset()
        if old is not None:
            self._report_renewal(feed)
        self._listener.on_credential(feed, now)

    def _report_renewal(self, feed: Feed) -> None:
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE:
            self._context.counters.renewals += 1
            self._context.notify("renewed", Severity.DEBUG, feed.account)

    def _remaining_lifetime(self, source: Source, expiration_time: int | None, now: float) -> float:
        """The life that is left, in seconds. A claim that this machine's clock makes absurd is not believed."""
        maximum = self._get_validity(source)
        if expiration_time is None:
            return maximum
        milliseconds = expiration_time // 1000 if expiration_time > _MIN_MICROSECONDS else expiration_time
        remaining_ms = milliseconds - self._context.to_epoch_ms(now)  # of any size: a float only where it is believed
        return remaining_ms / 1000 if 0 < remaining_ms < maximum * 1000 else maximum

    def _next_renewal_at(self, feed: Feed, credential: Credential) -> float:
        settings = self._context.settings
        lifetime = credential.expires_at - credential.obtained_at
        fraction = settings.renewal_fraction + self._context.jitter(-settings.renewal_jitter, settings.renewal_jitter)
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE:
            spacing = max(settings.health_check_interval, settings.health_check_spacing * self.listen_key_count)
            return credential.obtained_at + min(lifetime, 2 * spacing) * fraction
        return credential.obtained_at + lifetime * fraction

    def on_failure(self, request_id: int, failure: Failure, now: float) -> None:
        """A call failed."""
        call = self._complete(request_id)
        self._context.counters.failures += 1
        self._is_failing = failure.kind in (FailureKind.SERVER_ERROR, FailureKind.TRANSPORT_ERROR)
        if call is not None:
            self._handle_failure(call, failure, now)
        elif failure.kind.requires_backoff:
            self._context.pause_sending(failure, now)
        self.drain_queue(now)

    def _handle_failure(self, call: _PendingCall, failure: Failure, now: float) -> None:
        if failure.kind.is_fatal:
            self._listener.fail(failure)
        elif failure.kind is FailureKind.RETIRED or self._is_retired(call.source, failure, now):
            self._listener.on_source_retired(call.source, failure, now)
        elif failure.kind is FailureKind.UNKNOWN_CREDENTIAL and call.credential is not None:
            self._listener.on_credential_gone(call.feed, call.credential, now)
        else:
            self._schedule_retry(call.feed, failure, now)

    def _is_retired(self, source: Source, failure: Failure, now: float) -> bool:
        """Whether the calls of a way in were not found for so long that it is retired."""
        if failure.kind is not FailureKind.NOT_FOUND:
            return False
        since = self._not_found_since.setdefault(source.name, now)
        return now - since >= self._context.settings.not_found_timeout

    def _schedule_retry(self, feed: Feed, failure: Failure, now: float) -> None:
        name = "credential not obtained" if feed.credential is None else "renewal failed"
        self._context.notify(name, Severity.WARNING, feed.account, failure.detail)
        feed.has_pending_call = True
        if failure.kind.requires_backoff:
            self._context.pause_sending(failure, now)
            (self._routine if feed.active is not None else self._urgent).appendleft(feed)
        else:
            self._context.timers.set(("repeat", feed), now + feed.backoff.next_delay())

    def _complete(self, request_id: int) -> _PendingCall | None:
        """The call that was answered; None if its feed no longer waits for it."""
        call = self._pending.pop(request_id, None)
        if call is None or call.feed.source is not call.source:
            return None
        call.feed.has_pending_call = False
        return call

    def discard(self, feed: Feed) -> None:
        """Let a feed that changes its source ask anew; what is under way for it counts no more."""
        for queue in (self._urgent, self._routine):
            if feed in queue:
                queue.remove(feed)
        for kind in ("renew", "repeat", "expiry"):
            self._context.timers.cancel((kind, feed))
        feed.credential = None
        feed.has_pending_call = False

    def clear(self) -> None:
        """Forget everything."""
        self._urgent.clear()
        self._routine.clear()
        self._pending.clear()
