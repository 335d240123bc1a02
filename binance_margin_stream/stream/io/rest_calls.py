"""REST calls outside the event loop, each in a thread of its own, and the clock that a stream uses.

Calls are rare, a few per account and day, so there is no pool of threads. The client does not retry: the state
machine alone decides when to retry. Rate limits and bans hold for an IP address, so a pause that one stream gets
applies to the other streams of the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.http.retry import NO_RETRIES
from binance_margin_stream.http.transport import Timeout
from binance_margin_stream.stream.failures import Failure, FailureKind, classify_error
from binance_margin_stream.stream.protocol.actions import RestRequest

if TYPE_CHECKING:
    from binance_margin_stream.configuration import Configuration
    from binance_margin_stream.http.client import ApiClient

__all__ = [
    "DEFAULT_TIMEOUT",
    "CredentialGranted",
    "RestCaller",
    "RestResult",
    "monotonic",
    "parse_credential",
    "to_epoch_ms",
]

DEFAULT_TIMEOUT = Timeout(connect=2.0, read=2.5)
"""The timeout of a call. Together shorter than the time that a stream may take to close."""

if hasattr(time, "CLOCK_BOOTTIME"):
    monotonic: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    """Seconds that never go back, and that continue while the machine sleeps."""
else:  # pragma: no cover  # other systems
    monotonic = time.monotonic


def to_epoch_ms(at: float) -> int:
    """Epoch milliseconds of a moment of `monotonic`, by the current time of the machine."""
    return round((time.time() - (monotonic() - at)) * 1000)


@dataclass(frozen=True, slots=True)
class CredentialGranted:
    """A new credential and its expiry in epoch milliseconds; both are None if a credential was extended.

    A class of its own instead of a tuple, because an event loop in debug mode logs the arguments of slow callbacks.
    """

    secret: str | None = field(default=None, repr=False)
    expiration_time: int | None = None


RestResult = CredentialGranted | Failure

_paused_until: dict[str, float] = {}
"""For each host, until when nothing may be sent to it, by `monotonic`."""


class RestCaller:
    """Makes REST calls. A result is passed to the given callback, in the thread of the call.

    The first call loads the REST client with its generated models and pydantic: half of the time and a third of the
    memory that a stream takes to start.
    """

    def __init__(self, auth: ApiKeyAuth, configuration: Configuration | Endpoints, timeout: Timeout) -> None:
        self._client_options: Any = {
            "auth": auth,
            "timeout": timeout,
            "retry": NO_RETRIES,
            "endpoints" if isinstance(configuration, Endpoints) else "configuration": configuration,
        }
        self._client: ApiClient | None = None
        self._is_closed = False
        self._client_lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def submit(self, request: RestRequest, on_result: Callable[[int, RestResult], None]) -> None:
        """Start a call."""
        thread = threading.Thread(target=self._run, args=(request, on_result), name="margin stream call", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except (RuntimeError, MemoryError, OSError) as error:  # the process may start no further thread
            self._threads.discard(thread)
            detail = f"no thread could be started for a call ({type(error).__name__})"
            on_result(request.id, Failure(FailureKind.TRANSPORT_ERROR, detail, cause=error))

    def _run(self, request: RestRequest, on_result: Callable[[int, RestResult], None]) -> None:
        try:
            on_result(request.id, self._call(request))
        finally:
            self._threads.discard(threading.current_thread())

    def _call(self, request: RestRequest) -> RestResult:
        call = request.call
        try:
            client = self._load_client()
        except Exception as error:  # every error must reach the stream, or it would wait for the result for ever
            return classify_error(error)
        host = client.configuration.host
        wait = _paused_until.get(host, 0.0) - monotonic()
        if wait > 0:
            return Failure(FailureKind.RATE_LIMITED, "this process must wait before it sends again", wait)
        try:
            return parse_credential(getattr(call.make_api(client), call.operation)(**call.arguments))
        except Exception as error:
            failure = classify_error(error)
        if failure.kind.requires_backoff and failure.retry_after is not None:
            _paused_until[host] = max(_paused_until.get(host, 0.0), monotonic() + failure.retry_after)
        return failure

    def _load_client(self) -> ApiClient:
        with self._client_lock:
            if self._client is None:
                from binance_margin_stream.http.client import ApiClient

                self._client = ApiClient(**self._client_options)
                if self._is_closed:
                    self._client.close()
            return self._client

    def close(self) -> None:
        """Close all connections, including those of calls in flight."""
        self._is_closed = True
        client = self._client
        if client is not None:
            client.close()

    @property
    def pending_count(self) -> int:
        """The number of calls in flight."""
        return len(self._threads)


def parse_credential(response: Any) -> CredentialGranted:
    """The credential in the deserialized body of a successful call."""
    if response is None or isinstance(response, dict):
        return CredentialGranted()
    token = getattr(response, "token", None)
    if token is not None:
        return CredentialGranted(token, response.expiration_time)
    return CredentialGranted(response.listen_key)
