"""Publishes in order, for as long as it takes, and knows up to where everything is stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from binance_margin_stream.relay.broker.connection import BrokerConnection
from binance_margin_stream.relay.broker.spool import Spool, SpooledMessage
from binance_margin_stream.relay.broker.tasks import cancel_tasks
from binance_margin_stream.relay.counters import RelayCounters
from binance_margin_stream.relay.errors import BrokerError

__all__ = ["NO_DUPLICATE", "PublishResult", "Publisher", "read_publish_response"]

log = logging.getLogger(__name__)

NO_DUPLICATE: Mapping[str, str] = {"Nats-Expected-Last-Subject-Sequence": "0"}
"""Refuses a message whose subject is stored already: the de-duplication has no time window but the retention."""

_WRONG_LAST_SEQUENCE = (10071, 10164)
_STORE_FAILED = 10077
_FIRST_RETRY = 0.1
_LONGEST_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What became of a publish: stored now, or stored before."""

    is_duplicate: bool


def read_publish_response(response: Mapping[str, object]) -> PublishResult:
    """What JetStream said. Raises `BrokerError` when the message is not stored."""
    error = response.get("error")
    if not isinstance(error, dict):
        return PublishResult(is_duplicate=False)
    code, description = error.get("err_code"), str(error.get("description", ""))
    if code in _WRONG_LAST_SEQUENCE:
        return PublishResult(is_duplicate=True)
    if code == _STORE_FAILED and description.startswith("maximum messages per subject"):
        return PublishResult(is_duplicate=True)
    if code == _STORE_FAILED and description.startswith("maximum "):
        raise BrokerError(
            f"the stream is full ({description}): raise its limits, or give it a maximum age; events wait"
        )
    raise BrokerError(f"JetStream does not store events: {description} ({code}); events wait")


@dataclass(slots=True, eq=False)
class _Sent:
    position: int
    message: SpooledMessage
    response: asyncio.Future[Mapping[str, object]] | None = None
    is_stored: bool = False


@dataclass(slots=True)
class Publisher:
    """Takes messages from a spool to the broker. Every message has a position; positions count from 1.

    After a failure everything from the first message on that is not acknowledged is sent again, in order. A message
    that was stored all the same is refused as a duplicate.
    """

    connection: BrokerConnection
    spool: Spool
    counters: RelayCounters
    on_duplicate: Callable[[SpooledMessage], None]
    timeout: float = 5.0
    window: int = 500
    position: int = 0
    """The position of the last message that was taken."""
    acknowledged: int = 0
    """The position up to which everything is stored."""
    _unacknowledged: deque[_Sent] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _failures: int = 0
    _last_problem: str = ""

    def __post_init__(self) -> None:
        self.position = len(self.spool)  # what an earlier process left goes out first

    def start(self) -> None:
        """Publish from now on, until `close`."""
        self._task = asyncio.create_task(self._run(), name="relay publisher")

    def submit(self, message: SpooledMessage) -> int | None:
        """Take a message; its position, or None when there is no room and it is discarded."""
        if not self.spool.put(message):
            self.counters.discarded += 1
            return None
        self.position += 1
        self._wake.set()
        return self.position

    @property
    def waiting(self) -> int:
        """How many messages are not acknowledged."""
        return len(self.spool) + len(self._unacknowledged)

    async def drain(self, timeout: float) -> bool:
        """Wait until everything is stored, at most so long; whether it is."""
        deadline = time.monotonic() + timeout
        while self.waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return not self.waiting

    async def close(self) -> int:
        """Stop, and keep what is not stored for the next process; the number of messages that are kept."""
        if self._task is not None:
            await cancel_tasks([self._task])
            self._task = None
        kept = self.spool.save([sent.message for sent in self._unacknowledged if not sent.is_stored])
        self._unacknowledged.clear()
        return kept

    async def _run(self) -> None:
        while True:
            try:
                await self.connection.wait_connected()
                await self._send()
                await self._settle()
                self._failures = 0
            except BrokerError as error:
                await self._on_failure(str(error))
            except TimeoutError:
                await self._on_failure(f"NATS did not acknowledge an event within {self.timeout:g} s; it is sent again")

    async def _send(self) -> None:
        """Fill the window, or wait until there is something to send."""
        limit = 1 if self._failures else self.window
        for sent in self._unacknowledged:
            if sent.response is None and not sent.is_stored:
                await self._publish(sent)
                if limit == 1:
                    return  # see whether the broker is well before more goes out of order
        while len(self._unacknowledged) < limit and (message := self.spool.pop()) is not None:
            position = self._unacknowledged[-1].position + 1 if self._unacknowledged else self.acknowledged + 1
            self._unacknowledged.append(sent := _Sent(position, message))
            await self._publish(sent)
        if not self._unacknowledged:
            self._wake.clear()
            if not len(self.spool):
                await self._wake.wait()

    async def _publish(self, sent: _Sent) -> None:
        headers = {**sent.message.headers, **NO_DUPLICATE}
        sent.response = await self.connection.publish(sent.message.subject, sent.message.payload, headers)

    async def _settle(self) -> None:
        """Take the responses that are there; wait for the first one."""
        if self._unacknowledged and (response := self._unacknowledged[0].response) is not None:
            await asyncio.wait([response], timeout=self.timeout)
            if not response.done():
                raise TimeoutError
        while self._unacknowledged:
            sent = self._unacknowledged[0]
            if not sent.is_stored:
                if sent.response is None or not sent.response.done():
                    break
                self._take_response(sent, sent.response)
            self._unacknowledged.popleft()
            self.acknowledged = sent.position

    def _take_response(self, sent: _Sent, response: asyncio.Future[Mapping[str, object]]) -> None:
        result = read_publish_response(response.result())
        sent.is_stored = True
        if result.is_duplicate:
            self.counters.duplicates += 1
            self.on_duplicate(sent.message)
        else:
            self.counters.stored += 1

    async def _on_failure(self, problem: str) -> None:
        self._failures += 1
        self.counters.publish_failures += 1
        if problem != self._last_problem or self._failures == 1:
            self._last_problem = problem
            log.error("%s", problem)
        for sent in self._unacknowledged:
            if sent.response is not None and not sent.is_stored:
                self._keep_success(sent, sent.response)
        await asyncio.sleep(min(_FIRST_RETRY * 2 ** min(self._failures, 10), _LONGEST_RETRY))

    def _keep_success(self, sent: _Sent, response: asyncio.Future[Mapping[str, object]]) -> None:
        """What was stored although an earlier message failed is not sent again."""
        sent.response = None
        if response.done() and not response.cancelled() and response.exception() is None:
            with contextlib.suppress(BrokerError):
                self._take_response(sent, response)
        else:
            response.cancel()
