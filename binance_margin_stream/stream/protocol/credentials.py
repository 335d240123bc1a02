"""Creates and renews credentials over REST, one call per feed at a time, within the rate limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from binance_margin_stream.stream.failures import Failure, FailureKind
from binance_margin_stream.stream.protocol.actions import RestRequest
from binance_margin_stream.stream.protocol.context import Context, LifecycleListener
from binance_margin_stream.stream.protocol.records import Feed, Subscription
from binance_margin_stream.stream.protocol.timing import RateLimiter
from binance_margin_stream.stream.sources import ApiCall, Credential, CredentialKind, RenewalMode, Source
from binance_margin_stream.stream.state import ScheduledAction, Severity, StatusChangeKind

__all__ = ["CredentialManager"]

_MIN_MICROSECONDS = 10**14

_CREDENTIAL_TIMERS = (ScheduledAction.RENEW, ScheduledAction.RETRY_CALL, ScheduledAction.CHECK_EXPIRY)
"""The timers that belong to the credential of a feed."""


@dataclass(slots=True)
class _PendingCall:
    feed: Feed
    source: Source
    credential: Credential | None
    sent_at: float


class CredentialManager:
    """The queue of REST calls. A feed has at most one call: queued, in flight, or waiting for a retry."""

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
        self._rate_limiter = RateLimiter(context.settings.rest_rate, burst=context.limits.rest_concurrency)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._routine) + len(self._pending)

    def request(self, feed: Feed, now: float) -> None:
        """Create a credential for the feed, or renew the one that it has."""
        if feed.has_pending_call:
            return
        feed.has_pending_call = True
        self._context.timers.cancel((ScheduledAction.RENEW, feed))
        self._enqueue(feed, now)

    def retry(self, feed: Feed, now: float) -> None:
        """Make a call again, after a backoff."""
        self._enqueue(feed, now)

    def _enqueue(self, feed: Feed, now: float) -> None:
        (self._routine if feed.active is not None else self._urgent).append(feed)
        self.drain_queue(now)

    def drain_queue(self, now: float) -> None:
        """Send the calls that may be sent now."""
        while (self._urgent or self._routine) and len(self._pending) < self._max_in_flight():
            at = max(self._context.paused_until, self._rate_limiter.next_allowed_at(now))
            if at > now:
                self._context.timers.set((ScheduledAction.SEND_CALL, None), at)
                return
            self._send((self._urgent or self._routine).popleft(), now)

    def _max_in_flight(self) -> int:
        """One call at a time while the exchange fails, until one succeeds."""
        return 1 if self._is_failing else self._context.limits.rest_concurrency

    def _send(self, feed: Feed, now: float) -> None:
        self._rate_limiter.acquire(now)
        self._last_request_id += 1
        self._context.counters.rest_calls += 1
        self._pending[self._last_request_id] = _PendingCall(feed, feed.source, feed.credential, now)
        self._context.emit(RestRequest(self._last_request_id, feed.account, feed.source, self._build_call(feed)))

    def _build_call(self, feed: Feed) -> ApiCall:
        if feed.credential is not None and feed.source.build_keepalive_call is not None:
            return feed.source.build_keepalive_call(feed.account, feed.credential.secret)
        validity = self._get_validity(feed.source) * self._context.limits.exchange_speed
        return feed.source.build_create_call(feed.account, validity)

    def _get_validity(self, source: Source) -> float:
        if source.credential_kind is CredentialKind.LISTEN_TOKEN:
            return self._context.settings.token_validity
        return self._context.limits.key_validity

    def on_success(self, request_id: int, secret: str | None, expiration_time: int | None, now: float) -> None:
        """A call succeeded. `secret` is the new credential, or None if one was extended.

        `expiration_time` is the expiry that the exchange stated: epoch time in milliseconds or microseconds.
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
        self._context.timers.set((ScheduledAction.RENEW, feed), self._next_renewal_at(feed, new))
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE:
            self._context.timers.set(
                (ScheduledAction.CHECK_EXPIRY, feed), expires_at + self._context.limits.expiry_grace
            )
            feed.backoff.reset()
        if old is not None:
            self._report_renewal(feed)
        self._listener.on_credential(feed, now)

    def _report_renewal(self, feed: Feed) -> None:
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE:
            self._context.counters.renewals += 1
            self._context.notify(StatusChangeKind.RENEWED, Severity.DEBUG, feed.account)

    def _remaining_lifetime(self, source: Source, expiration_time: int | None, now: float) -> float:
        """The remaining lifetime in seconds. An expiry that is impossible by this machine's clock is ignored."""
        maximum = self._get_validity(source)
        if expiration_time is None:
            return maximum
        milliseconds = expiration_time // 1000 if expiration_time > _MIN_MICROSECONDS else expiration_time
        remaining_ms = milliseconds - self._context.to_epoch_ms(now)  # an integer, since any size is possible
        return remaining_ms / 1000 if 0 < remaining_ms < maximum * 1000 else maximum

    def _next_renewal_at(self, feed: Feed, credential: Credential) -> float:
        limits = self._context.limits
        lifetime = credential.expires_at - credential.obtained_at
        fraction = limits.renewal_fraction + self._context.jitter(-limits.renewal_jitter, limits.renewal_jitter)
        if feed.source.renewal_mode is RenewalMode.KEEP_ALIVE:
            interval = self._context.settings.health_check_interval
            spacing = max(interval, limits.health_check_spacing * self.listen_key_count)
            return credential.obtained_at + min(lifetime, 2 * spacing) * fraction
        return credential.obtained_at + lifetime * fraction

    def schedule_expiry_check(self, subscription: Subscription) -> None:
        """Check a subscription after its token should have expired."""
        credential = subscription.credential
        if credential is not None and subscription.connection.source.renewal_mode is RenewalMode.REPLACE:
            at = credential.expires_at + self._context.limits.expiry_grace
            self._context.timers.set((ScheduledAction.CHECK_EXPIRY, subscription.feed), at)

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
        call.feed.last_failure = failure
        if failure.kind.is_fatal:
            self._listener.fail(failure, now)
        elif failure.kind.is_final_for_account:
            self._listener.lose_feed(call.feed, failure, now)
        elif failure.kind is FailureKind.RETIRED or self._is_retired(call.source, failure, now):
            self._listener.on_source_retired(call.source, failure, now)
        elif failure.kind is FailureKind.UNKNOWN_CREDENTIAL and call.credential is not None:
            self._listener.on_credential_gone(call.feed, call.credential, now)
        else:
            self._schedule_retry(call.feed, failure, now)

    def _is_retired(self, source: Source, failure: Failure, now: float) -> bool:
        """Whether the calls of a source were not found for so long that it counts as retired."""
        if failure.kind is not FailureKind.NOT_FOUND:
            return False
        since = self._not_found_since.setdefault(source.name, now)
        return now - since >= self._context.limits.not_found_timeout

    def _schedule_retry(self, feed: Feed, failure: Failure, now: float) -> None:
        is_new = feed.credential is None
        kind = StatusChangeKind.CREDENTIAL_REQUEST_FAILED if is_new else StatusChangeKind.RENEWAL_FAILED
        self._context.notify(kind, Severity.WARNING, feed.account, failure.detail)
        feed.has_pending_call = True
        if failure.kind.requires_backoff:
            self._context.pause_sending(failure, now)
            (self._routine if feed.active is not None else self._urgent).appendleft(feed)
        else:
            self._context.timers.set((ScheduledAction.RETRY_CALL, feed), now + feed.backoff.next_delay())

    def _complete(self, request_id: int) -> _PendingCall | None:
        """Remove a call that has ended. Returns None if its feed no longer waits for it."""
        call = self._pending.pop(request_id, None)
        if call is None or call.feed.source is not call.source:
            return None
        call.feed.has_pending_call = False
        return call

    def discard(self, feed: Feed) -> None:
        """Discard the credential and the call of a feed that changes its source. A result in flight is ignored."""
        for queue in (self._urgent, self._routine):
            if feed in queue:
                queue.remove(feed)
        for action in _CREDENTIAL_TIMERS:
            self._context.timers.cancel((action, feed))
        feed.credential = None
        feed.has_pending_call = False

    def build_delete_requests(self, feeds: Iterable[Feed]) -> Iterable[RestRequest]:
        """The calls that delete the listen keys of these feeds. Their results are ignored."""
        for feed in feeds:
            if feed.credential is not None and feed.source.build_delete_call is not None:
                call = feed.source.build_delete_call(feed.account, feed.credential.secret)
                yield RestRequest(0, feed.account, feed.source, call)

    def clear(self) -> None:
        """Discard all calls."""
        self._urgent.clear()
        self._routine.clear()
        self._pending.clear()
