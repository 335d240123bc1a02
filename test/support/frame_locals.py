"""Show the local variables of a traceback as error collectors do: containers by their items, the rest by `repr`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

TEST_FOLDER = Path(__file__).resolve().parents[1]
_MAX_DEPTH = 4


def iterate_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error, its causes and its contexts, suppressed ones included."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [one.__cause__, one.__context__]


def iterate_frames(error: BaseException) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """Iterate over the frames of an error and its chain: file, function, local variables."""
    for one in iterate_chain(error):
        trace: TracebackType | None = one.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            yield code.co_filename, code.co_name, trace.tb_frame.f_locals
            trace = trace.tb_next


def show_frame_locals(error: BaseException) -> Iterator[tuple[str, str]]:
    """Iterate over the frames outside the tests: the function, and its local variables as text."""
    for file, function, variables in iterate_frames(error):
        path = Path(file)
        if not (path.name.startswith("test_") or TEST_FOLDER in path.parents or "_pytest" in path.parts):
            yield function, _show(dict(variables))


def _show(value: object, depth: int = 0) -> str:
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return " ".join(_show(one, depth + 1) for pair in value.items() for one in pair)
    if depth < _MAX_DEPTH and isinstance(value, tuple | list | set | frozenset):
        return " ".join(_show(one, depth + 1) for one in value)
    try:
        return repr(value)
    except ValueError:
        return ""  # an integer that is too long to be written out holds no secret
