"""Lines on standard output that are there at once, whole, for the next program."""

from __future__ import annotations

import os
import sys

__all__ = ["print_line"]


def print_line(text: str) -> None:
    """Write one line past all buffers, so that an interrupted program leaves none behind.

    Raises `BrokenPipeError` when nobody reads any more, and `OSError` when there is no room.
    """
    rest = f"{text}\n".encode()
    descriptor = sys.stdout.fileno()
    while rest:
        rest = rest[os.write(descriptor, rest) :]
