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
from binance_margin_stream.cli.exit_codes import ExitCode, exit_code_of

__all__ = ["NAME", "run"]

NAME = "binance-margin-stream"
_INTERRUPTED = 130


@dataclass
class Manner:
    """How the program speaks; the options of a command set it."""

    verbose: bool = False


def run(arguments: list[str]) -> int:
    """Run a command; answers its exit code."""
    manner = Manner()
    code = _ran(arguments, manner)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        if code != ExitCode.OUTPUT:
            code = _fail(f"the output cannot be written: {error.strerror}", ExitCode.OUTPUT)
    _leave_nobody_waiting(code)
    return code


def _ran(arguments: list[str], manner: Manner) -> int:
    try:
        code = get_command(app).main(arguments, prog_name=NAME, standalone_mode=False, obj=manner)
        return code if isinstance(code, int) else ExitCode.ENDED
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except typer.TyperException as error:
        return _fail(_words_of(error), ExitCode.USAGE)
    except CommandError as error:
        trace, message, ended = error.__cause__, str(error), error.code
    except BrokenPipeError:
        return ExitCode.ENDED
    except Exception as error:
        trace, message, ended = error, _message(error), exit_code_of(error)
    if manner.verbose and trace is not None:
        traceback.print_exception(trace)
    return _fail(message, ended)


def _message(error: Exception) -> str:
    code = exit_code_of(error)
    if code is ExitCode.INTERNAL:
        return f"{type(error).__name__}: {error}; please report it, with what --verbose shows"
    if isinstance(error, OSError):
        return f"the output cannot be written: {error.strerror}"
    return str(error)


def _words_of(error: typer.TyperException) -> str:
    """A usage error on one line, with the command whose help explains more."""
    format_message = getattr(error, "format_message", None)
    said = str(format_message() if callable(format_message) else error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else NAME
    return f"{said if said.endswith(('.', '?')) else f'{said}.'} See: {command} --help"


def _fail(message: str, code: ExitCode) -> int:
    with contextlib.suppress(OSError):
        print("error:", " ".join(message.split()), file=sys.stderr, flush=True)
    return code


def _forget_stdout() -> None:
    """Nobody takes the output: let the interpreter not try again, and complain, at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_nobody_waiting(code: int) -> None:
    """End at once where a thread that cannot be stopped, such as a name resolution, would hold up the end."""
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if threading.current_thread() is threading.main_thread() and any(not thread.daemon for thread in others):
        sys.stderr.flush()
        os._exit(code)
