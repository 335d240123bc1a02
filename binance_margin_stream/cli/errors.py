"""How a command ends early: with one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from binance_margin_stream.cli.exit_codes import ExitCode

__all__ = ["CommandError", "require_extra"]


class CommandError(Exception):
    """A command cannot do what it is asked; the text is one line that says what to do."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Within, import what an extra brings. Raises `CommandError` with the pip command when it is missing."""
    try:
        yield
    except ModuleNotFoundError as missing:
        message = f"{missing.name} is missing: pip install 'binance-margin-stream[cli,{extra}]'"
        raise CommandError(message, ExitCode.FAILURE) from missing
