"""Runs one command and turns whatever happens into one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from dataclasses import dataclass

import typer
from typer.main import get_command

from binance_margin_stream.cli.app import app
from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.exit_codes import ExitCode, get_exit_code

__all__ = ["PROGRAM_NAME", "run"]

PROGRAM_NAME = "binance-margin-stream"
_INTERRUPTED_EXIT_CODE = 130


@dataclass
class Verbosity:
    """How the program speaks; the options of a command set it."""

    verbose: bool = False


def run(arguments: list[str]) -> int:
    """Run a command; answers its exit code."""
    verbosity = Verbosity()
    code = _run_command(arguments, verbosity)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _redirect_stdout_to_devnull()
    except OSError as error:
        _redirect_stdout_to_devnull()
        if code != ExitCode.OUTPUT_ERROR:
            code = _print_error(f"the output cannot be written: {error.strerror}", ExitCode.OUTPUT_ERROR)
    _exit_without_waiting(code)
    return code


def _run_command(arguments: list[str], verbosity: Verbosity) -> int:
    try:
        code = get_command(app).main(arguments, prog_name=PROGRAM_NAME, standalone_mode=False, obj=verbosity)
        return code if isinstance(code, int) else ExitCode.SUCCESS
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED_EXIT_CODE
    except typer.TyperException as error:
        return _print_error(_format_usage_error(error), ExitCode.USAGE)
    except CommandError as error:
        cause, message, exit_code = error.__cause__, str(error), error.code
    except BrokenPipeError:
        return ExitCode.SUCCESS
    except Exception as error:
        cause, message, exit_code = error, _format_error(error), get_exit_code(error)
    if verbosity.verbose and cause is not None:
        traceback.print_exception(cause)
    return _print_error(message, exit_code)


def _format_error(error: Exception) -> str:
    code = get_exit_code(error)
    if code is ExitCode.INTERNAL_ERROR:
        return f"{type(error).__name__}: {error}; please report it, with what --verbose shows"
    if isinstance(error, OSError):
        return f"the output cannot be written: {error.strerror}"
    return str(error)


def _format_usage_error(error: typer.TyperException) -> str:
    """A usage error on one line, with the command whose help explains more."""
    format_message = getattr(error, "format_message", None)
    message = str(format_message() if callable(format_message) else error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else PROGRAM_NAME
    return f"{message if message.endswith(('.', '?')) else f'{message}.'} See: {command} --help"


def _print_error(message: str, code: ExitCode) -> int:
    with contextlib.suppress(OSError):
        print("error:", " ".join(message.split()), file=sys.stderr, flush=True)
    return code


def _redirect_stdout_to_devnull() -> None:
    """Nobody takes the output: let the interpreter not try again, and complain, at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_without_waiting(code: int) -> None:
    """End at once where a thread that cannot be stopped, such as a name resolution, would hold up the end."""
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if threading.current_thread() is threading.main_thread() and any(not thread.daemon for thread in others):
        sys.stderr.flush()
        os._exit(code)
