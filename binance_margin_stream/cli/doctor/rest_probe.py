"""Make the REST calls and subscriptions of `doctor`. Every wait is bounded. Nothing is deleted.

It leaves a listen token that is valid for a minute, and the account's listen keys: a POST creates one, or returns the
existing one and extends it by an hour. They are not closed, because that would close them for other clients, too.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.doctor.network_probe import probe_hosts
from binance_margin_stream.cli.doctor.results import STATUS_BY_KIND, KeyCheck, ProbeReport, ProbeResult, ProbeStatus
from binance_margin_stream.cli.doctor.websocket_probe import probe_subscription
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.error_codes import classify
from binance_margin_stream.exceptions import (
    ApiException,
    KeyRejectedError,
    OpenApiException,
    ResponseError,
    TransportError,
    TransportErrorKind,
)
from binance_margin_stream.http.client import ApiClient
from binance_margin_stream.http.responses import parse_http_date
from binance_margin_stream.http.retry import NO_RETRIES
from binance_margin_stream.http.transport import Timeout
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.stream.accounts import CROSS
from binance_margin_stream.stream.sources import LISTEN_KEY, LISTEN_KEY_V2, LISTEN_TOKEN, RISK_LISTEN_KEY, Source

__all__ = ["run_probes"]

_SOURCES = (LISTEN_TOKEN, LISTEN_KEY_V2, RISK_LISTEN_KEY, LISTEN_KEY)
_TOKEN_SECONDS = 60.0
_WEIGHT_LIMITS = {"IP": 12_000, "UID": 180_000}
_MAX_TIMEOUTS = 2

_STATUS_BY_CODE = {-2014: ProbeStatus.KEY_MALFORMED, -1022: ProbeStatus.SIGNATURE_REJECTED}
_STATUS_BY_TRANSPORT_KIND: dict[TransportErrorKind, ProbeStatus] = {
    "refused": ProbeStatus.CONNECTION_REFUSED,
    "dns": ProbeStatus.DNS_FAILED,
    "tls": ProbeStatus.TLS_FAILED,
    "connect": ProbeStatus.CONNECT_FAILED,
    "timeout": ProbeStatus.TIMED_OUT,
    "disconnected": ProbeStatus.DISCONNECTED,
    "proxy": ProbeStatus.PROXY_FAILED,
}


@dataclass
class _Measurements:
    """What the headers of the responses say."""

    clock_offsets: list[tuple[float, float]] = field(default_factory=list)
    """Seconds that a response took, and the clock offset that follows from it."""
    used_weights: dict[str, tuple[int, int]] = field(default_factory=dict)
    credentials: list[tuple[Source, str]] = field(default_factory=list, repr=False)

    def record_headers(self, headers: Mapping[str, str], started_at: float, elapsed: float) -> None:
        """Record clock offset and weights of a response; `started_at` is in seconds since 1970."""
        exchange_time = parse_http_date(headers.get("Date", ""))
        if exchange_time is not None:
            # The header has truncated seconds. The response was created about half way.
            self.clock_offsets.append((elapsed, exchange_time.timestamp() + 0.5 - (started_at + elapsed / 2)))
        for scope, limit in _WEIGHT_LIMITS.items():
            used = headers.get(f"X-SAPI-USED-{scope}-WEIGHT-1M", "")
            if used.isdecimal():
                self.used_weights[scope] = (max(int(used), self.used_weights.get(scope, (0, 0))[0]), limit)


class CallResult(NamedTuple):
    """The result of a call, its headers and its credential."""

    result: ProbeResult
    headers: Mapping[str, str]
    credential: str | None


def run_probes(
    target: str,
    endpoints: Endpoints,
    auth: ApiKeyAuth | None,
    key: KeyCheck,
    timeout: float,
    on_progress: Callable[[str], None],
) -> ProbeReport:
    """Run all probes. Each wait takes at most `timeout` seconds. `on_progress` receives the current step."""
    on_progress("Checking hosts")
    hosts = probe_hosts(endpoints, timeout)
    measurements = _Measurements()
    rest_results: list[ProbeResult] = []
    websocket_results: list[ProbeResult] = []
    if auth is not None and hosts[0].status is ProbeStatus.OK:
        rest_results = _probe_rest(endpoints, auth, timeout, measurements, on_progress)
    for source, secret in [] if _requires_backoff(rest_results) else measurements.credentials:
        on_progress(f"Subscribing: {source.name}")
        websocket_results.append(probe_subscription(source, source.build_url(endpoints), secret, timeout))
        if _requires_backoff(websocket_results):
            break
    return ProbeReport(
        target=target,
        key=key,
        hosts=hosts,
        rest_results=tuple(rest_results),
        websocket_results=tuple(websocket_results),
        clock_offset=min(measurements.clock_offsets)[1] if measurements.clock_offsets else None,
        used_weights=measurements.used_weights,
    )


def _probe_rest(
    endpoints: Endpoints,
    auth: ApiKeyAuth,
    timeout: float,
    measurements: _Measurements,
    on_progress: Callable[[str], None],
) -> list[ProbeResult]:
    results: list[ProbeResult] = []
    request_timeout = Timeout(connect=timeout, read=timeout)
    with ApiClient(auth=auth, endpoints=endpoints, timeout=request_timeout, retry=NO_RETRIES) as client:
        for source in _SOURCES:
            on_progress(f"Requesting a credential: {source.name}")
            began, clock = time.time(), time.monotonic()
            call_result = _request_credential(client, source, clock)
            results.append(call_result.result)
            measurements.record_headers(call_result.headers, began, call_result.result.elapsed)
            if call_result.credential is not None:
                measurements.credentials.append((source, call_result.credential))
            if _requires_backoff(results) or _has_timed_out(results):
                break
    return results


def _requires_backoff(results: list[ProbeResult]) -> bool:
    return any(result.status.requires_backoff for result in results)


def _has_timed_out(results: list[ProbeResult]) -> bool:
    return sum(result.status is ProbeStatus.TIMED_OUT for result in results) >= _MAX_TIMEOUTS


def _request_credential(client: Any, source: Source, clock: float) -> CallResult:
    call = source.build_create_call(CROSS, _TOKEN_SECONDS)
    operation = getattr(call.make_api(client), f"{call.operation}_with_http_info")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            response = operation(**call.arguments)
    except OpenApiException as error:
        result = _make_result(error, source, time.monotonic() - clock)
        return CallResult(result, getattr(error, "headers", {}), None)
    credential = response.data.token if source is LISTEN_TOKEN else response.data.listen_key
    result = ProbeResult(source.name, ProbeStatus.OK, elapsed=time.monotonic() - clock)
    return CallResult(result, response.headers or {}, credential)


def _make_result(error: OpenApiException, source: Source, elapsed: float) -> ProbeResult:
    return ProbeResult(
        source.name, _classify_error(error), _format_detail(error), elapsed, getattr(error, "retry_after", None)
    )


def _classify_error(error: OpenApiException) -> ProbeStatus:
    match error:
        case TransportError():
            return _STATUS_BY_TRANSPORT_KIND.get(error.kind, ProbeStatus.INVALID_RESPONSE)
        case ResponseError():
            return ProbeStatus.INVALID_RESPONSE
        case ApiException(status=404, code=int()):
            return ProbeStatus.RETIRED  # the exchange itself says so, not a server in front of it
        case KeyRejectedError() if error.code in _STATUS_BY_CODE:
            return _STATUS_BY_CODE[error.code]
        case ApiException():
            kind = classify(error.status, error.code)
            return STATUS_BY_KIND.get(kind, ProbeStatus.REQUEST_REJECTED)
    return ProbeStatus.REQUEST_REJECTED


def _format_detail(error: OpenApiException) -> str:
    """Return status, code and message of the exchange, or our own message if it sent none."""
    if not isinstance(error, ApiException):
        return truncate(redact(str(error)), 160)
    parts = [f"HTTP {error.status}", f"code {error.code}" if error.code is not None else "", error.msg or error.reason]
    return truncate(redact(", ".join(part for part in parts if part)), 160)
