"""Run the command of a Typer application, and end with one line and an exit code whatever happens."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from typer.main import get_command

from binance_margin_stream.terminal.streams import configure_streams, flush_output, print_error

__all__ = [
    "INTERNAL_ERROR",
    "INTERRUPTED",
    "OUTPUT_ERROR",
    "USAGE",
    "CommandError",
    "Verbosity",
    "describe_error",
    "require_extra",
    "run_program",
    "show_help",
]

FAILURE = 1
USAGE = 2
INTERNAL_ERROR = 70
OUTPUT_ERROR = 74
INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what was asked. The text is one line that says what to do."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Verbosity:
    """How much the program reports; set by the options of a command."""

    verbose: bool = False


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn a missing module of an extra into a `CommandError` with the pip command."""
    try:
        yield
    except ModuleNotFoundError as missing:
        message = f"{missing.name} is missing: pip install 'binance-margin-stream[{extra}]'"
        raise CommandError(message, FAILURE) from missing


def show_help(context: typer.Context) -> None:
    """Show the help page of a group that is called without a command; a callback of the group."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run_program(
    app: typer.Typer, arguments: list[str], name: str, get_exit_code: Callable[[BaseException], int]
) -> int:
    """Run a command and return its exit code. `get_exit_code` selects it for an unexpected error."""
    if not configure_streams():
        return print_error("the output cannot be written: standard output is closed", OUTPUT_ERROR)
    code = _run_command(app, arguments, name, get_exit_code)
    error = flush_output()
    if error is not None and code != OUTPUT_ERROR:
        code = print_error(f"the output cannot be written: {error.strerror}", OUTPUT_ERROR)
    _exit_without_waiting(code)
    return code


def describe_error(error: Exception, code: int) -> str:
    """Return the message for an error that has that exit code."""
    if code == INTERNAL_ERROR:
        return f"{type(error).__name__}: {error}; please report it, with the output of --verbose"
    if isinstance(error, OSError):
        return f"the output cannot be written: {error.strerror}"
    return str(error)


def _run_command(
    app: typer.Typer, arguments: list[str], name: str, get_exit_code: Callable[[BaseException], int]
) -> int:
    verbosity = Verbosity()
    try:
        code = get_command(app).main(arguments, prog_name=name, standalone_mode=False, obj=verbosity)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.TyperException as error:
        return print_error(_format_usage_error(error, name), USAGE)
    except CommandError as error:
        cause, message, exit_code = error.__cause__, str(error), error.code
    except BrokenPipeError:
        return 0
    except SystemExit as end:  # rich ends the program when the reader of its output leaves
        return 0 if isinstance(end.__context__, BrokenPipeError) else INTERNAL_ERROR
    except Exception as error:
        exit_code = get_exit_code(error)
        cause, message = error, describe_error(error, exit_code)
    if verbosity.verbose and cause is not None:
        with contextlib.suppress(OSError):
            traceback.print_exception(cause)
    return print_error(message, exit_code)


def _format_usage_error(error: typer.TyperException, name: str) -> str:
    """Format a usage error on one line, with the command whose help explains more."""
    format_message = getattr(error, "format_message", None)
    message = str(format_message() if callable(format_message) else error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else name
    return f"{message if message.endswith(('.', '?')) else f'{message}.'} See: {command} --help"


def _exit_without_waiting(code: int) -> None:
    """Exit at once if a thread that cannot be stopped, such as a name resolution, would delay the end."""
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if threading.current_thread() is threading.main_thread() and any(not thread.daemon for thread in others):
        sys.stderr.flush()
        os._exit(code)
