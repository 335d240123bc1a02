"""Keep secrets out of the local variables that a traceback shows.

Error collectors and ``rich.traceback.install(show_locals=True)`` show the local variables of every frame of a
traceback. The frames inside a call hold headers, parameters and URLs, so errors of this package leave without them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from binance_margin_stream.exceptions import OpenApiException

__all__ = ["hide_frames"]

P = ParamSpec("P")
R = TypeVar("R")


def hide_frames(function: Callable[P, R]) -> Callable[P, R]:
    """Make errors of this package leave `function` without the frames inside it, and without its arguments.

    Likewise for an interrupt of the program, and for a warning that the program makes an error. An explicit
    ``__cause__`` is kept. Any other exception is a bug, and keeps its frames.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (OpenApiException, Warning, KeyboardInterrupt, SystemExit) as error:
            failure = error.with_traceback(None)
        del args, kwargs
        failure.__context__ = None
        try:
            raise failure
        finally:
            del failure  # a frame that refers to its own error is a reference cycle

    return wrapper
