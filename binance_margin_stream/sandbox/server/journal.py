"""A journal of everything that has changed an exchange, in a SQLite file, from which it is rebuilt after a restart."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from binance_margin_stream.sandbox.messages import Request

__all__ = ["Journal", "JournalEntry"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, data TEXT NOT NULL);
"""
_IGNORED_OPERATIONS = frozenset(
    {"advance_time", "inject_fault", "start_random_faults", "stop_random_faults", "clear_faults", "send_event"}
)
"""Operations that leave nothing behind which a restart keeps."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A request or an operation that took effect, and its time in milliseconds."""

    time: int
    kind: Literal["request", "operation"]
    name: str
    """The method of a request, or the name of an operation."""
    arguments: Mapping[str, object]

    def to_request(self) -> Request:
        """The request of this entry. Raises `ValueError` if it has none."""
        headers = self.arguments["headers"]
        if not isinstance(headers, list):
            raise ValueError("the file to persist in has an entry without headers")
        body = str(self.arguments["body"]).encode("utf-8", "surrogateescape")
        return Request(
            self.name,
            str(self.arguments["target"]),
            tuple((str(name), str(value)) for name, value in headers),
            body,
            str(self.arguments["ip"]),
        )

    def to_call(self) -> tuple[list[object], dict[str, object]]:
        """The positional and the named arguments of this entry's operation. Raises `ValueError` if it has none."""
        positional, named = self.arguments["positional"], self.arguments["named"]
        if not isinstance(positional, list) or not isinstance(named, dict):
            raise ValueError("the file to persist in has an entry without arguments")
        return positional, named


class Journal:
    """Entries in a file of its own; each is committed before the call that made it returns.

    The file contains API keys and signatures; it is readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal, or create it.

        Raises:
            ValueError: the file is not a journal.
            OSError: it cannot be opened.

        """
        path.touch(mode=0o600)
        # The thread that rebuilds the exchange ends its work before the sandbox's own thread starts.
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            self._database.close()
            raise ValueError(f"{path} is not a file of a sandbox") from None

    def get_setting(self, name: str, value: str) -> str:
        """A setting; `value` if the journal has none, which is then kept."""
        self._database.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, value))
        (kept,) = self._database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return str(kept)

    def get_last_time(self) -> int:
        """The exchange time (ms) of the last request or operation; 0 for a new journal."""
        row = self._database.execute("SELECT value FROM settings WHERE name = 'time'").fetchone()
        return 0 if row is None else int(row[0])

    def read_entries(self) -> Iterator[JournalEntry]:
        """All entries, oldest first."""
        for time, data in self._database.execute("SELECT time, data FROM entries ORDER BY number"):
            content = json.loads(data)
            yield JournalEntry(time, content["kind"], content["name"], content["arguments"])

    def record_time(self, now: int) -> None:
        """Record that the exchange has reached a time."""
        self._database.execute("INSERT OR REPLACE INTO settings VALUES ('time', ?)", (str(now),))

    def add_request(self, request: Request, now: int) -> None:
        """Add a request that took effect."""
        arguments = {
            "target": request.target,
            "headers": request.headers,
            "body": request.body.decode("utf-8", "surrogateescape"),
            "ip": request.ip,
        }
        self._add(now, {"kind": "request", "name": request.method, "arguments": arguments})

    def add_operation(self, name: str, positional: Sequence[object], named: Mapping[str, object], now: int) -> None:
        """Add an operation that took effect."""
        if name not in _IGNORED_OPERATIONS:
            arguments = {"positional": positional, "named": named}
            self._add(now, {"kind": "operation", "name": name, "arguments": arguments})

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._database.close()

    def _add(self, now: int, content: Mapping[str, object]) -> None:
        data = json.dumps(content, default=_encode, separators=(",", ":"))
        self._database.execute("BEGIN")
        self._database.execute("INSERT INTO entries (time, data) VALUES (?, ?)", (now, data))
        self.record_time(now)
        self._database.execute("COMMIT")


def _encode(value: object) -> str:
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be kept")
