"""A directory that belongs to one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from binance_margin_stream.relay.errors import RelayError

__all__ = ["lock_directory"]


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Create a directory and hold it. Raises `RelayError` when that fails, or when another process holds it.

    The lock ends with the process, however it ends. On a platform without file locks nothing is held.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RelayError(f"cannot use the directory {directory}: {error.strerror}") from None
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RelayError(f"another relay uses the directory {directory}: give each one its own") from None
