"""REST calls beside the event loop: each in a thread of its own, which ends with its call.

The calls are rare, a few for each account and day, so no thread waits for the next one. The client repeats
nothing: when to try again is decided in one place, by the life cycle. Limits and bans hold for an address, so
what one stream was told to wait, the others of the process wait, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import binance_margin_stream as package
from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.configuration import Configuration
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.http.client import ApiClient
from binance_margin_stream.http.retry import NO_RETRIES
from binance_margin_stream.http.transport import Timeout
from binance_margin_stream.stream.io.clock import monotonic
from binance_margin_stream.stream.protocol.actions import Failure, FailureKind, RestRequest
from binance_margin_stream.stream.protocol.error_mapping import classify_error

__all__ = ["DEFAULT_TIMEOUT", "CredentialGranted", "RestCaller", "RestResult"]

DEFAULT_TIMEOUT = Timeout(connect=2.0, read=2.5)
"""How long a call may take. Together less than a stream may take to close."""


@dataclass(frozen=True, slots=True)
class CredentialGranted:
    """A credential and when it ends, in epoch milliseconds; both None where one was extended.

    Not a tuple, because the event loop shows what it is given when it is slow and in debug mode.
    """

    secret: str | None = field(default=None, repr=False)
    expiration_time: int | None = None


RestResult = CredentialGranted | Failure

_paused_until: dict[str, float] = {}
"""Until when nothing may be sent to a host, by the streams' clock."""


class RestCaller:
    """Makes REST calls; answers come to the function that was given, in the thread of the call."""

    def __init__(self, auth: ApiKeyAuth, configuration: Configuration | Endpoints, timeout: Timeout) -> None:
        client_options: Any = (
            {"endpoints": configuration} if isinstance(configuration, Endpoints) else {"configuration": configuration}
        )
        self._client = ApiClient(auth=auth, timeout=timeout, retry=NO_RETRIES, **client_options)
        self._get_api = cache(lambda name: getattr(package, name)(self._client))
        self._threads: set[threading.Thread] = set()

    def submit(self, request: RestRequest, on_result: Callable[[int, RestResult], None]) -> None:
        """Begin a call."""
        thread = threading.Thread(target=self._run, args=(request, on_result), name="margin stream call", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self, request: RestRequest, on_result: Callable[[int, RestResult], None]) -> None:
        try:
            on_result(request.id, self._call(request))
        finally:
            self._threads.discard(threading.current_thread())

    def _call(self, request: RestRequest) -> RestResult:
        host = self._client.configuration.host
        wait = _paused_until.get(host, 0.0) - monotonic()
        if wait > 0:
            return Failure(FailureKind.RATE_LIMITED, "this process was told to wait", wait)
        try:
            operation = getattr(self._get_api(request.call.api), request.call.operation)
            return _parse_credential(operation(**request.call.arguments))
        except Exception as error:  # whatever it is, it must not end the stream in silence
            failure = classify_error(error)
        if failure.kind.requires_backoff and failure.retry_after is not None:
            _paused_until[host] = max(_paused_until.get(host, 0.0), monotonic() + failure.retry_after)
        return failure

    def close(self) -> None:
        """End all connections, those of calls under way, too."""
        self._client.close()

    @property
    def pending_count(self) -> int:
        """How many calls have no answer yet."""
        return len(self._threads)


def _parse_credential(response: Any) -> CredentialGranted:
    if response is None or isinstance(response, dict):
        return CredentialGranted()
    token = getattr(response, "token", None)
    if token is not None:
        return CredentialGranted(token, response.expiration_time)
    return CredentialGranted(response.listen_key)
