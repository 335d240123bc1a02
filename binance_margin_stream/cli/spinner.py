"""A spinner for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["show_spinner"]


@contextmanager
def show_spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on standard error if that is a terminal. Yields a function that changes its text."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update
