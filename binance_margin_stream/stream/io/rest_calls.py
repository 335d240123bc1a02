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
from binance_margin_stream.stream.io.clock import clock
from binance_margin_stream.stream.protocol.actions import Failure, Request, Trouble
from binance_margin_stream.stream.protocol.error_mapping import failure_of

__all__ = ["PATIENCE", "Calls", "Granted", "Outcome"]

PATIENCE = Timeout(connect=2.0, read=2.5)
"""How long a call may take. Together less than a stream may take to close."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A credential and when it ends, in epoch milliseconds; both None where one was extended.

    Not a tuple, because the event loop shows what it is given when it is slow and in debug mode.
    """

    secret: str | None = field(default=None, repr=False)
    expires: int | None = None


Outcome = Granted | Failure

_quiet_until: dict[str, float] = {}
"""Until when nothing may be sent to a host, by the streams' clock."""


class Calls:
    """Makes REST calls; answers come to the function that was given, in the thread of the call."""

    def __init__(self, auth: ApiKeyAuth, configuration: Configuration | Endpoints, timeout: Timeout) -> None:
        given: Any = (
            {"endpoints": configuration} if isinstance(configuration, Endpoints) else {"configuration": configuration}
        )
        self._client = ApiClient(auth=auth, timeout=timeout, retry=NO_RETRIES, **given)
        self._api = cache(lambda name: getattr(package, name)(self._client))
        self._threads: set[threading.Thread] = set()

    def make(self, request: Request, answered: Callable[[int, Outcome], None]) -> None:
        """Begin a call."""
        thread = threading.Thread(target=self._run, args=(request, answered), name="margin stream call", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self, request: Request, answered: Callable[[int, Outcome], None]) -> None:
        try:
            answered(request.number, self._outcome(request))
        finally:
            self._threads.discard(threading.current_thread())

    def _outcome(self, request: Request) -> Outcome:
        host = self._client.configuration.host
        wait = _quiet_until.get(host, 0.0) - clock()
        if wait > 0:
            return Failure(Trouble.LIMITED, "this process was told to wait", wait)
        try:
            operation = getattr(self._api(request.call.api), request.call.operation)
            return _granted(operation(**request.call.arguments))
        except Exception as error:  # whatever it is, it must not end the stream in silence
            failure = failure_of(error)
        if failure.trouble.demands_silence and failure.wait is not None:
            _quiet_until[host] = max(_quiet_until.get(host, 0.0), clock() + failure.wait)
        return failure

    def close(self) -> None:
        """End all connections, those of calls under way, too."""
        self._client.close()

    @property
    def under_way(self) -> int:
        """How many calls have no answer yet."""
        return len(self._threads)


def _granted(answer: Any) -> Granted:
    if answer is None or isinstance(answer, dict):
        return Granted()
    token = getattr(answer, "token", None)
    if token is not None:
        return Granted(token, answer.expiration_time)
    return Granted(answer.listen_key)
