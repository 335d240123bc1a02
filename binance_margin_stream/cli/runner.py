"""Run one command, and end with one line and an exit code whatever happens.

The exit codes tell a service manager whether to restart. Numbers below 80 are those of BSD's ``sysexits.h`` that fit.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from binance_margin_stream.error_codes import ErrorKind, classify
from binance_margin_stream.exceptions import (
    ApiException,
    ApiTypeError,
    ApiValueError,
    BadRequestException,
    OpenApiException,
    StreamError,
)
from binance_margin_stream.terminal.help_pages import PROGRAM_NAME
from binance_margin_stream.terminal.program import CommandError, run_program

if TYPE_CHECKING:
    import typer

__all__ = ["PROGRAM_NAME", "CommandError", "ExitCode", "get_exit_code", "run"]


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
    OUTPUT_ERROR = 74, "the output cannot be written: closed, or the disk is full", "in a minute"
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


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    return run_program(app, arguments, PROGRAM_NAME, get_exit_code)
