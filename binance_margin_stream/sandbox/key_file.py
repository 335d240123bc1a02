"""A file with a fixed API key and secret for the first user."""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_key_file"]

_MAX_LENGTH = 10_000


def read_key_file(path: Path) -> tuple[str, str | None]:
    """The API key on the first line, and the API secret on the second one, or None.

    Raises:
        ValueError: the file cannot be read, or has other lines; the message shows neither the path nor its content,
            since somebody might pass the key itself.

    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = file.read(_MAX_LENGTH).split("\n")
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else "it is no text"
        raise ValueError(f"the API key file cannot be read: {reason}") from None
    values = [line.strip() for line in lines]
    while values and not values[-1]:
        values.pop()
    if not 1 <= len(values) <= 2 or not all(values):
        raise ValueError("the API key file takes the API key on its first line and the API secret on its second one")
    return values[0], values[1] if len(values) == 2 else None
