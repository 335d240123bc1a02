"""The standard streams of a program: any encoding, and streams that are closed or full."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from datetime import UTC, datetime

__all__ = [
    "configure_streams",
    "discard_output",
    "encodes_unicode",
    "flush_output",
    "print_error",
    "print_line",
    "print_status",
]

_REPLACE_HANDLER = "binance-margin-stream-replace"
_SUBSTITUTES = {"→": ">", "…": ".", "─": "-"}
"""Replacements of one column each, so that tables keep their width."""


def _replace_characters(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding cannot represent; a handler for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SUBSTITUTES.get(each, "?") for each in error.object[error.start : error.end]), error.end


codecs.register_error(_REPLACE_HANDLER, _replace_characters)


def configure_streams() -> bool:
    """Prepare the standard streams. Returns whether standard output is open.

    Characters that an encoding cannot represent are replaced. The descriptors of closed streams lead to the null
    device, so that neither a message nor a connection takes their place.
    """
    output_is_open = sys.stdout is not None
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, _open_null(descriptor, mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_REPLACE_HANDLER)
    return output_is_open


def _open_null(descriptor: int, mode: str) -> io.TextIOWrapper:
    null = os.open(os.devnull, os.O_RDWR)
    with contextlib.suppress(OSError):
        os.fstat(descriptor)  # the number is in use, usually by `null` itself
        descriptor = null
    if descriptor != null:
        os.dup2(null, descriptor)
        os.close(null)
    return open(descriptor, mode, encoding="utf-8", closefd=False)  # type: ignore[return-value]


def encodes_unicode(stream: object) -> bool:
    """Whether a stream can represent every character."""
    return str(getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def print_line(text: str) -> None:
    """Write one line to standard output without buffering, so that an interrupted program leaves no partial line.

    The line is always UTF-8, as other programs read it. Raises `BrokenPipeError` if the reader is gone, and `OSError`
    if the line cannot be written.
    """
    sys.stdout.flush()
    rest = f"{text}\n".encode()
    descriptor = sys.stdout.fileno()
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def print_status(text: str) -> None:
    """Print one line with the time in UTC to standard error."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    with contextlib.suppress(OSError):
        print(f"{now}Z {text}", file=sys.stderr, flush=True)


def print_error(message: str, code: int) -> int:
    """Print an error on one line to standard error, and return the exit code."""
    with contextlib.suppress(OSError):
        print("error:", " ".join(message.split()), file=sys.stderr, flush=True)
    return code


def flush_output() -> OSError | None:
    """Write what is buffered for standard output. Returns the error if that fails and the reader did not leave."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_output()
        return None if isinstance(error, BrokenPipeError) else error
    return None


def discard_output() -> None:
    """Prevent the interpreter from flushing to a closed or full output at its end, which would print an error."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
