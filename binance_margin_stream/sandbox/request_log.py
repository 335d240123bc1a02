"""The request log in a terminal."""

from __future__ import annotations

import datetime as dt
import queue
import threading
from types import TracebackType
from typing import Self, TextIO

from binance_margin_stream.sandbox.messages import LoggedRequest

__all__ = ["RequestPrinter", "format_request"]

_MAX_QUEUED = 1000
_CLOSE_TIMEOUT_SECONDS = 1.0


def format_request(request: LoggedRequest) -> str:
    """A request in one line: exchange time in UTC, address, method, path or WebSocket method, status and error code."""
    time = dt.datetime.fromtimestamp(request.time / 1000, dt.UTC).strftime("%H:%M:%S.%f")[:-3]
    code = "" if request.code is None else f" {request.code}"
    return f"{time} {request.ip} {request.method} {request.target} {request.status}{code}"


class RequestPrinter:
    """Prints requests in a thread of its own, so that a terminal that does not read blocks no request.

    Requests that cannot be printed in time are left out; their number is printed instead.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._requests: queue.Queue[LoggedRequest | None] = queue.Queue(_MAX_QUEUED)
        self._omitted = 0
        self._thread = threading.Thread(target=self._print_requests, name="sandbox-request-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._requests.put(None, timeout=_CLOSE_TIMEOUT_SECONDS)
        except queue.Full:
            return
        self._thread.join(_CLOSE_TIMEOUT_SECONDS)

    def add(self, request: LoggedRequest) -> None:
        """Print a request soon; never blocks."""
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            self._omitted += 1

    def _print_requests(self) -> None:
        try:
            while (request := self._requests.get()) is not None:
                print(format_request(request), file=self._output, flush=True)
                omitted, self._omitted = self._omitted, 0
                if omitted:
                    print(f"({omitted} requests are not shown)", file=self._output, flush=True)
        except (OSError, ValueError):
            return  # nobody reads any more, such as `head`
