"""Output of the commands: lines for other programs, and a spinner for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["print_line", "show_spinner"]


def print_line(text: str) -> None:
    """Write one line to standard output without buffering, so that an interrupted program leaves no partial line.

    Raises `BrokenPipeError` if the reader is gone, and `OSError` if the line cannot be written.
    """
    rest = f"{text}\n".encode()
    descriptor = sys.stdout.fileno()
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def show_spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on standard error if that is a terminal. Yields a function that changes its text."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update
