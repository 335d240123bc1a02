"""End background tasks that talk to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["cancel_tasks"]

_REPEAT = 1.0


async def cancel_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended. Raises the first error with which one ends.

    `asyncio.wait_for`, which nats-py uses for every request, drops a cancellation on Python 3.11 if its result arrives
    at the same moment. So the cancellation is repeated every second: for tasks that need less than that to end.
    """
    pending = set(tasks)
    errors: list[BaseException] = []
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_REPEAT)
        errors += [error for task in done if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]
