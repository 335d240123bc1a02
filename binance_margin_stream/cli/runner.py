"""Run one command, and end with one line and an exit code whatever happens.

The exit codes tell a service manager whether to restart. Numbers below 80 are those of BSD's ``sysexits.h`` that fit.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

import typer
from typer.main import get_command

from binance_margin_stream.error_codes import ErrorKind, classify
from binance_margin_stream.exceptions import (
    ApiException,
    ApiTypeError,
    ApiValueError,
    BadRequestException,
    OpenApiException,
    StreamError,
)

__all__ = ["PROGRAM_NAME", "CommandError", "ExitCode", "Verbosity", "get_exit_code", "require_extra", "run"]

PROGRAM_NAME = "binance-margin-stream"
_INTERRUPTED_EXIT_CODE = 130


class ExitCode(IntEnum):
    """Why the program ended."""

    meaning: str
    restart: str
    """When a service manager should start the program again."""

    def __new__(cls, number: int, meaning: str, restart: str) -> ExitCode:
        """Create a code with its texts."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        code.restart = restart
        return code

    SUCCESS = 0, "done, or ended by Ctrl-C, SIGTERM or a closed pipe", "no"
    FAILURE = 1, "doctor found a problem, or an extra is missing", "no"
    USAGE = 2, "a wrong option or argument", "no"
    BAD_PARAMETER = 65, "a parameter is refused, such as an unknown symbol", "no"
    UNREACHABLE = 69, "no usable response: network, TLS, or a server error", "in a minute"
    INTERNAL_ERROR = 70, "a bug in this program; please report it", "in a minute"
    OUTPUT_ERROR = 74, "the output cannot be written: the disk is full", "in a minute"
    KEY_REJECTED = 77, "the API key, its permissions or signature rejected", "no"
    NO_KEY = 78, "no API key or listen key, or an invalid one", "no"
    GAP = 80, "events may be missing (--exit-on-gap): reconcile", "at once"
    RATE_LIMITED = 81, "too many requests", "in a minute"
    BANNED = 82, "this IP address is banned for 2 minutes to 3 days", "in an hour"
    BLOCKED = 83, "a firewall or a country rule refuses", "no"
    RETIRED = 84, "the exchange has retired this call, or every stream source", "no"
    CREDENTIAL_EXPIRED = 85, "the listen key or token has expired", "no"
    RELAY_REFUSED = 86, "NATS, a port or a directory refuses the relay", "no"


_EXIT_CODE_BY_KIND = {
    ErrorKind.LISTEN_KEY_UNKNOWN: ExitCode.CREDENTIAL_EXPIRED,
    ErrorKind.LISTEN_TOKEN_INVALID: ExitCode.CREDENTIAL_EXPIRED,
    ErrorKind.KEY_REJECTED: ExitCode.KEY_REJECTED,
    ErrorKind.TIMESTAMP: ExitCode.KEY_REJECTED,
    ErrorKind.BLOCKED: ExitCode.BLOCKED,
    ErrorKind.COUNTRY_REFUSED: ExitCode.BLOCKED,
    ErrorKind.RETIRED: ExitCode.RETIRED,
    ErrorKind.NOT_FOUND: ExitCode.RETIRED,
    ErrorKind.RATE_LIMITED: ExitCode.RATE_LIMITED,
    ErrorKind.BANNED: ExitCode.BANNED,
    ErrorKind.SERVER_FAULT: ExitCode.UNREACHABLE,
}


class CommandError(Exception):
    """A command cannot do what was asked. The text is one line that says what to do."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Verbosity:
    """How much the program reports; set by the options of a command."""

    verbose: bool = False


def get_exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error. That of a `StreamError` follows from its cause."""
    match error:
        case StreamError(__cause__=BaseException() as cause):
            return get_exit_code(cause)
        case ApiException():
            other_code = ExitCode.BAD_PARAMETER if isinstance(error, BadRequestException) else ExitCode.UNREACHABLE
            return _EXIT_CODE_BY_KIND.get(classify(error.status, error.code), other_code)
        case ApiTypeError() | ApiValueError():
            return ExitCode.USAGE
        case OpenApiException():
            return ExitCode.UNREACHABLE
        case OSError():
            return ExitCode.OUTPUT_ERROR
    return ExitCode.INTERNAL_ERROR


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn a missing module of an extra into a `CommandError` with the pip command."""
    try:
        yield
    except ModuleNotFoundError as missing:
        message = f"{missing.name} is missing: pip install 'binance-margin-stream[cli,{extra}]'"
        raise CommandError(message, ExitCode.FAILURE) from missing


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    verbosity = Verbosity()
    code = _run_command(app, arguments, verbosity)
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


def _run_command(app: typer.Typer, arguments: list[str], verbosity: Verbosity) -> int:
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
        return f"{type(error).__name__}: {error}; please report it, with the output of --verbose"
    if isinstance(error, OSError):
        return f"the output cannot be written: {error.strerror}"
    return str(error)


def _format_usage_error(error: typer.TyperException) -> str:
    """Format a usage error on one line, with the command whose help explains more."""
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
    """Prevent the interpreter from flushing to a closed or full output at its end, which would print an error."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_without_waiting(code: int) -> None:
    """Exit at once if a thread that cannot be stopped, such as a name resolution, would delay the end."""
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if threading.current_thread() is threading.main_thread() and any(not thread.daemon for thread in others):
        sys.stderr.flush()
        os._exit(code)
