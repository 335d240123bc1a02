"""The jobs that one host owns: taken from the queue, kept alive, and given back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.broker.tasks import cancel_tasks
from binance_margin_stream.relay.errors import BrokerError
from binance_margin_stream.relay.jobs.job import Job
from binance_margin_stream.relay.jobs.queue import ACK_WAIT, JobDelivery, JobQueue

__all__ = ["JobHost", "JobRunner"]

log = logging.getLogger(__name__)

_KEEP_INTERVAL = ACK_WAIT / 4
_OWNER_INTERVAL = 15.0
_BATCH = 16
_FETCH_TIMEOUT = 2.0
_LONGEST_CONFLICT_DELAY = 3
_RETRY = 1.0
_UNOWNED_TIME = 60.0
_WRONG_HOST_DELAY = 30.0
_ADOPT_TIME = 3 * ACK_WAIT


class JobRunner(Protocol):
    """Follows one key until it is stopped."""

    async def start(self) -> None:
        """Begin; what goes wrong later is retried by the runner. Raises `ApiValueError` where it cannot run here."""
        ...

    async def stop(self) -> None:
        """End, and store what was received."""
        ...


@dataclass(slots=True, eq=False)
class _OwnedJob:
    delivery: JobDelivery
    runner: JobRunner
    lost_at: float | None = None
    """Since when it is not known whether this host still owns it."""


class JobHost:
    """Owns up to `capacity` jobs, never two replicas of one key for one `host_id`.

    While the broker cannot be reached, the jobs go on: a second reader of a key does no harm, a missing one does. A
    job that was lost is taken up again when its message comes back, and ends when another host has it.
    """

    def __init__(
        self, queue: JobQueue, make_runner: Callable[[Job], JobRunner], *, host_id: str, capacity: int
    ) -> None:
        self._queue = queue
        self._make_runner = make_runner
        self._host_id = host_id
        self._capacity = capacity
        self._owned: dict[str, _OwnedJob] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._unowned_since: dict[str, float] = {}
        self.unowned = 0
        """How many replicas in the queue nobody has owned for a minute."""

    @property
    def owned(self) -> frozenset[tuple[str, int]]:
        """Name and replica of the jobs that run here."""
        return frozenset(each.delivery.key for each in self._owned.values())

    def start(self) -> None:
        """Take jobs from now on."""
        self._tasks = [
            asyncio.create_task(self._repeat(self._take_jobs, 0.05), name="relay jobs: take"),
            asyncio.create_task(self._repeat(self._keep_jobs, _KEEP_INTERVAL), name="relay jobs: keep"),
            asyncio.create_task(self._repeat(self._check_jobs, _OWNER_INTERVAL), name="relay jobs: check"),
        ]

    async def close(self) -> None:
        """Stop every job and give it back, so that other hosts take it at once."""
        with contextlib.suppress(Exception):  # a task that failed does not keep jobs from being given back
            await cancel_tasks(self._tasks)
        self._tasks = []
        await asyncio.gather(*(self._stop(each, give_back=True) for each in list(self._owned.values())))

    async def _repeat(self, step: Callable[[], object], interval: float) -> None:
        while True:
            try:
                await step()  # type: ignore[misc]  # each step is a coroutine function
                await asyncio.sleep(interval)
            except BrokerError as error:
                log.warning("jobs: %s", error)
                await asyncio.sleep(_RETRY)

    async def _take_jobs(self) -> None:
        free = self._capacity - len(self._owned)
        lost = sum(each.lost_at is not None for each in self._owned.values())
        if free + lost <= 0:
            await asyncio.sleep(_FETCH_TIMEOUT)
            return
        deliveries = await self._queue.fetch(min(free + lost, _BATCH), _FETCH_TIMEOUT)
        taken = [await self._take(delivery) for delivery in deliveries]
        if deliveries and not any(taken):
            await asyncio.sleep(2 * _LONGEST_CONFLICT_DELAY * random.random())  # let another host be the first

    async def _take(self, delivery: JobDelivery) -> bool:
        """Follow it here, or give it on; whether it is followed here."""
        present = self._owned.get(delivery.job.name)
        if present is not None and present.delivery.key == delivery.key and present.delivery.job == delivery.job:
            present.delivery, present.lost_at = delivery, None  # the message came back to the job that runs
            return True
        if present is not None and present.delivery.key == delivery.key:
            await self._stop(present, give_back=False)
            present = None
        if present is not None or len(self._owned) >= self._capacity or await self._is_elsewhere_on_host(delivery):
            await delivery.release(min(delivery.deliveries, _LONGEST_CONFLICT_DELAY))
            return False
        owned = _OwnedJob(delivery, self._make_runner(delivery.job))
        try:
            await owned.runner.start()
        except ApiValueError as error:
            log.error("job %s, replica %d: %s", *delivery.key, error)
            await delivery.release(_WRONG_HOST_DELAY)
            return False
        self._owned[delivery.job.name] = owned
        log.info("job %s, replica %d: taken", *delivery.key)
        return True

    async def _is_elsewhere_on_host(self, delivery: JobDelivery) -> bool:
        """Whether another process with this host's name follows another replica. The lower replica stays."""
        await self._queue.write_owner(delivery, self._host_id)
        for replica in range(delivery.job.replicas):
            if replica != delivery.replica and (
                await self._queue.read_owner(delivery.job.name, replica) == self._host_id
            ):
                await self._queue.clear_owner(delivery)
                return True
        return False

    async def _keep_jobs(self) -> None:
        now = time.monotonic()
        for owned in list(self._owned.values()):
            if owned.lost_at is None and now - owned.delivery.kept_at > ACK_WAIT:
                owned.lost_at = now  # this process was stopped, or the broker away: the server may have given it on
                log.warning("job %s, replica %d: not kept alive in time", *owned.delivery.key)
            if owned.lost_at is None:
                if self._queue.is_connected:
                    await owned.delivery.keep()
            elif now - owned.lost_at > _ADOPT_TIME and await self._has_other_owner(owned):
                log.warning("job %s, replica %d: another host has it", *owned.delivery.key)
                await self._stop(owned, give_back=False)

    async def _has_other_owner(self, owned: _OwnedJob) -> bool:
        owner = await self._queue.read_owner(*owned.delivery.key)
        return owner is not None and owner != self._host_id

    async def _check_jobs(self) -> None:
        for owned in list(self._owned.values()):
            if owned.lost_at is not None:
                continue
            if not await self._queue.is_current(owned.delivery):
                log.warning("job %s, replica %d: changed or removed", *owned.delivery.key)
                await self._stop(owned, give_back=False)
            else:
                await self._queue.write_owner(owned.delivery, self._host_id)
        await self._count_unowned()

    async def _count_unowned(self) -> None:
        now = time.monotonic()
        unowned = await self._queue.list_unowned()
        self._unowned_since = {key: self._unowned_since.get(key, now) for key in unowned}
        self.unowned = sum(now - since >= _UNOWNED_TIME for since in self._unowned_since.values())

    async def _stop(self, owned: _OwnedJob, *, give_back: bool) -> None:
        self._owned.pop(owned.delivery.job.name, None)
        await owned.runner.stop()
        with contextlib.suppress(BrokerError):
            if owned.lost_at is None:
                await self._queue.clear_owner(owned.delivery)
            if give_back:
                await owned.delivery.release()
