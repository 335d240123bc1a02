"""Help pages: examples, and flags that read ``--flag/--no-flag``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

__all__ = ["PROGRAM_NAME", "Command", "Group", "format_examples"]

PROGRAM_NAME = "binance-margin-stream"


def format_examples(examples: Iterable[tuple[str, str]], prefix: str = "") -> str:
    """Return examples for a help page: pairs of purpose and command line, without the name of the program.

    `prefix` precedes each command line. A line that contains the name of the program is shown as it is.
    """
    lines = ["[bold]Examples[/bold]"]
    for purpose, line in examples:
        whole = line if PROGRAM_NAME in line else f"{PROGRAM_NAME} {prefix}{line}"
        lines.append(f"  [dim]# {purpose}[/dim]")
        lines.append(f"  {whole}")
    return "\n".join(lines)


@contextmanager
def _flags_in_one_column(parameters: Sequence[object]) -> Iterator[None]:
    """Join both names of each flag while a page is written: Typer puts them into columns far apart."""
    flags = [option for option in parameters if isinstance(option, TyperOption) and option.is_flag]
    before = [(option.opts, option.secondary_opts, option.metavar) for option in flags]
    for option in flags:
        if option.secondary_opts:
            option.opts = ["/".join((*option.opts, *option.secondary_opts))]
            option.secondary_opts = []
        option.metavar = ""
    try:
        yield
    finally:
        for option, names in zip(flags, before, strict=True):
            option.opts, option.secondary_opts, option.metavar = names


class Command(TyperCommand):
    """A command whose help page shows flags plainly."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        with _flags_in_one_column(self.get_params(ctx)):
            super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help page shows flags plainly."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        with _flags_in_one_column(self.get_params(ctx)):
            super().format_help(ctx, formatter)
