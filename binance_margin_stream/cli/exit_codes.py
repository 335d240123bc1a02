"""Exit codes: what a service manager can act on, each with its meaning and whether to start again.

The numbers below 80 are those of BSD's ``sysexits.h`` where it has one that fits.
"""

from __future__ import annotations

from enum import IntEnum

from binance_margin_stream import exceptions as errors

__all__ = ["ExitCode", "get_exit_code"]


class ExitCode(IntEnum):
    """Why the program ended."""

    meaning: str
    restart: str
    """Whether a service manager should start it again, in words."""

    def __new__(cls, number: int, meaning: str, restart: str) -> ExitCode:
        """A code with what there is to say about it."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        code.restart = restart
        return code

    SUCCESS = 0, "done, or ended by Ctrl-C, SIGTERM or a closed pipe", "no"
    FAILURE = 1, "doctor found something to do; an extra is missing", "no"
    USAGE = 2, "a wrong option or argument", "no"
    BAD_PARAMETER = 65, "a parameter is refused, such as an unknown symbol", "no"
    UNREACHABLE = 69, "no useful answer: network, TLS, or the exchange fails", "in a minute"
    INTERNAL_ERROR = 70, "a mistake of this program; please report it", "in a minute"
    OUTPUT_ERROR = 74, "the output cannot be written: the disk is full", "in a minute"
    KEY_REJECTED = 77, "the API key, its permissions or signature rejected", "no"
    NO_KEY = 78, "no API key or listen key, or it cannot be one", "no"
    GAP = 80, "events may be missing (--exit-on-gap): reconcile", "at once"
    RATE_LIMITED = 81, "too many requests", "in a minute"
    BANNED = 82, "this IP address is banned for 2 minutes to 3 days", "in an hour"
    BLOCKED = 83, "a firewall or a country rule refuses", "no"
    RETIRED = 84, "the exchange has retired this call, or every way in", "no"
    CREDENTIAL_EXPIRED = 85, "the listen key or token has ended", "no"


_EXIT_CODE_BY_ERROR: tuple[tuple[type[errors.OpenApiException], ExitCode], ...] = (
    (errors.BadParameterError, ExitCode.BAD_PARAMETER),
    (errors.ListenKeyUnknownError, ExitCode.CREDENTIAL_EXPIRED),
    (errors.ListenTokenInvalidError, ExitCode.CREDENTIAL_EXPIRED),
    (errors.KeyRejectedError, ExitCode.KEY_REJECTED),
    (errors.TimestampError, ExitCode.KEY_REJECTED),
    (errors.BlockedError, ExitCode.BLOCKED),
    (errors.EndpointRetiredError, ExitCode.RETIRED),
    (errors.RateLimitError, ExitCode.RATE_LIMITED),
    (errors.BannedError, ExitCode.BANNED),
    (errors.BadRequestException, ExitCode.BAD_PARAMETER),
    (errors.ApiTypeError, ExitCode.USAGE),
    (errors.ApiValueError, ExitCode.USAGE),
    (errors.OpenApiException, ExitCode.UNREACHABLE),
)


def get_exit_code(error: BaseException) -> ExitCode:
    """The code for an error; that of its cause where a stream could not go on."""
    if isinstance(error, errors.StreamError) and error.__cause__ is not None:
        return get_exit_code(error.__cause__)
    if isinstance(error, OSError):
        return ExitCode.OUTPUT_ERROR
    return next((code for kind, code in _EXIT_CODE_BY_ERROR if isinstance(error, kind)), ExitCode.INTERNAL_ERROR)
