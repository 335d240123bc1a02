"""Asks hosts and the exchange what `doctor` wants to know. Every wait has an end; nothing is deleted.

What it leaves behind: a listen token that lives a minute, and the account's listen keys, which a POST makes or,
where another client has made one, hands out and extends by an hour. Closing one would end it for that client.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import binance_margin_stream as package
from binance_margin_stream import exceptions as errors
from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.doctor.network_probe import hosts_of
from binance_margin_stream.cli.doctor.results import Answer, Cause, Facts, Key
from binance_margin_stream.cli.doctor.websocket_probe import subscribed
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.http.responses import time_of
from binance_margin_stream.http.retry import NO_RETRIES
from binance_margin_stream.http.transport import Timeout
from binance_margin_stream.redaction import redacted, shortened
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.sources import LISTEN_KEY, LISTEN_KEY_V2, LISTEN_TOKEN, RISK_LISTEN_KEY, Source

__all__ = ["facts_of"]

_WAYS = (LISTEN_TOKEN, LISTEN_KEY_V2, RISK_LISTEN_KEY, LISTEN_KEY)
_TOKEN_SECONDS = 60.0
_LIMITS = {"IP": 12_000, "UID": 180_000}
_TIMEOUTS_ENOUGH = 2

_CAUSE_OF_CODE = {-2014: Cause.KEY_FORMAT, -1022: Cause.SIGNATURE}
_CAUSE_OF_KIND = {
    "refused": Cause.REFUSED,
    "dns": Cause.NO_NAME,
    "tls": Cause.NO_TLS,
    "connect": Cause.NO_ROUTE,
    "timeout": Cause.TIMED_OUT,
    "cut off": Cause.CUT_OFF,
    "proxy": Cause.PROXY,
}
_CAUSE_OF_ERROR: tuple[tuple[type[errors.OpenApiException], Cause], ...] = (
    (errors.KeyRejectedError, Cause.KEY_UNKNOWN),
    (errors.TimestampError, Cause.CLOCK),
    (errors.BlockedError, Cause.BLOCKED),
    (errors.EndpointRetiredError, Cause.RETIRED),
    (errors.RateLimitError, Cause.LIMITED),
    (errors.BannedError, Cause.BANNED),
    (errors.ServerError, Cause.FAILING),
    (errors.ResponseError, Cause.STRANGE),
    (errors.TransportError, Cause.STRANGE),
)


@dataclass
class _Gathered:
    """What the answers told beside their meaning."""

    offsets: list[tuple[float, float]] = field(default_factory=list)
    """How long an answer took, and how far ahead the exchange's clock was by it."""
    used: dict[str, tuple[int, int]] = field(default_factory=dict)
    credentials: list[tuple[Source, str]] = field(default_factory=list, repr=False)

    def take(self, headers: Mapping[str, str], began: float, took: float) -> None:
        """Note the clock and the weights of an answer; `began` is in seconds since 1970."""
        there = time_of(headers.get("Date", ""))
        if there is not None:
            # The header has whole seconds, cut off; the answer was made about half way.
            self.offsets.append((took, there.timestamp() + 0.5 - (began + took / 2)))
        for scope, limit in _LIMITS.items():
            used = headers.get(f"X-SAPI-USED-{scope}-WEIGHT-1M", "")
            if used.isdecimal():
                self.used[scope] = (max(int(used), self.used.get(scope, (0, 0))[0]), limit)


class Outcome(NamedTuple):
    """How one call ended: the answer, and what the headers and the credential were."""

    answer: Answer
    headers: Mapping[str, str]
    secret: str | None


def facts_of(
    exchange: str, endpoints: Endpoints, auth: ApiKeyAuth | None, key: Key, timeout: float, tell: Callable[[str], None]
) -> Facts:
    """Find out everything; each wait takes `timeout` seconds at most. `tell` hears what is under way."""
    tell("Looking for the hosts")
    hosts = hosts_of(endpoints, timeout)
    gathered = _Gathered()
    calls: list[Answer] = []
    sockets: list[Answer] = []
    if auth is not None and hosts[0].cause is Cause.FINE:
        calls = _calls(endpoints, auth, timeout, gathered, tell)
    for source, secret in [] if _must_be_silent(calls) else gathered.credentials:
        tell(f"Subscribing through {source.name}")
        sockets.append(subscribed(source, source.address(endpoints), secret, timeout))
        if _must_be_silent(sockets):
            break
    return Facts(
        exchange=exchange,
        key=key,
        hosts=hosts,
        calls=tuple(calls),
        sockets=tuple(sockets),
        clock_offset=min(gathered.offsets)[1] if gathered.offsets else None,
        used=gathered.used,
    )


def _calls(
    endpoints: Endpoints, auth: ApiKeyAuth, timeout: float, gathered: _Gathered, tell: Callable[[str], None]
) -> list[Answer]:
    answers: list[Answer] = []
    patience = Timeout(connect=timeout, read=timeout)
    with package.ApiClient(auth=auth, endpoints=endpoints, timeout=patience, retry=NO_RETRIES) as client:
        for source in _WAYS:
            tell(f"Asking for a credential of the way in {source.name}")
            began, clock = time.time(), time.monotonic()
            outcome = _asked(client, source, clock)
            answers.append(outcome.answer)
            gathered.take(outcome.headers, began, outcome.answer.seconds)
            if outcome.secret is not None:
                gathered.credentials.append((source, outcome.secret))
            if _must_be_silent(answers) or _is_hopeless(answers):
                break
    return answers


def _must_be_silent(answers: list[Answer]) -> bool:
    return any(answer.cause.demands_silence for answer in answers)


def _is_hopeless(answers: list[Answer]) -> bool:
    return sum(answer.cause is Cause.TIMED_OUT for answer in answers) >= _TIMEOUTS_ENOUGH


def _asked(client: Any, source: Source, clock: float) -> Outcome:
    call = source.obtain(CROSS, _TOKEN_SECONDS)
    operation = getattr(getattr(package, call.api)(client), f"{call.operation}_with_http_info")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            response = operation(**call.arguments)
    except errors.OpenApiException as error:
        answer = _answer_of(error, source, time.monotonic() - clock)
        return Outcome(answer, getattr(error, "headers", {}), None)
    secret = response.data.token if source is LISTEN_TOKEN else response.data.listen_key
    answer = Answer(source.name, Cause.FINE, seconds=time.monotonic() - clock)
    return Outcome(answer, response.headers or {}, secret)


def _answer_of(error: errors.OpenApiException, source: Source, took: float) -> Answer:
    return Answer(source.name, _cause_of(error), _detail_of(error), took, getattr(error, "retry_after", None))


def _cause_of(error: errors.OpenApiException) -> Cause:
    if isinstance(error, errors.TransportError):
        return _CAUSE_OF_KIND.get(error.kind, Cause.STRANGE)
    if isinstance(error, errors.BlockedError) and error.status == 451:
        return Cause.COUNTRY
    if isinstance(error, errors.EndpointRetiredError) and error.status == 404 and error.code is None:
        return Cause.NOT_FOUND
    if isinstance(error, errors.KeyRejectedError) and error.code in _CAUSE_OF_CODE:
        return _CAUSE_OF_CODE[error.code]
    return next((cause for kind, cause in _CAUSE_OF_ERROR if isinstance(error, kind)), Cause.REJECTED)


def _detail_of(error: errors.OpenApiException) -> str:
    """The exchange's own words and numbers, or ours where it said nothing."""
    if not isinstance(error, errors.ApiException):
        return shortened(redacted(str(error)), 160)
    said = [f"HTTP {error.status}", f"code {error.code}" if error.code is not None else "", error.msg or error.reason]
    return shortened(redacted(", ".join(part for part in said if part)), 160)
