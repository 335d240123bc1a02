"""Run a stream in a thread of its own, so that the main thread can handle signals and the screen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from binance_margin_stream.stream.events.models import StreamItem
from binance_margin_stream.stream.sync_stream import MarginStream

__all__ = ["Interrupted", "StreamWorker", "handle_signals"]

_JOIN_TIMEOUT = 0.2


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Raised in the main thread."""


@contextmanager
def handle_signals() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM raise `Interrupted`, once. Later signals do not disturb the end."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in previous_handlers:
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    previous_handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


class StreamWorker:
    """Enters a stream and passes each item to `on_item`, until the stream ends, fails, or `on_item` raises."""

    def __init__(self, stream: MarginStream, on_item: Callable[[StreamItem], None]) -> None:
        self._stream = stream
        self._on_item = on_item
        self._done = threading.Event()
        self._error: BaseException | None = None
        # A daemon: it may be blocked in writing to a pipe that nobody reads.
        self._thread = threading.Thread(target=self._run, name="stream-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most so many seconds. Returns whether it has ended; raises the error that ended it."""
        over = self._done.wait(seconds)
        if over and self._error is not None:
            raise self._error
        return over

    def close(self) -> None:
        """Close the stream, within five seconds."""
        self._stream.close()
        self._thread.join(_JOIN_TIMEOUT)

    def _run(self) -> None:
        try:
            with self._stream:
                for item in self._stream:
                    if isinstance(item, StreamItem):
                        self._on_item(item)
        except BaseException as error:  # the main thread raises it again
            self._error = error
        finally:
            self._done.set()
