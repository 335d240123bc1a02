"""Events that wait for the broker: in order, first in memory, then on disk, both bounded.

What is on disk survives the process. It is not flushed to the device for every event: after a power failure the
frontier reports the time as a gap.
"""

from __future__ import annotations

import json
import logging
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

__all__ = ["Spool", "SpooledMessage"]

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<IIII")
_SEGMENT_BYTES = 8 << 20
_FIRST_NUMBER = 10**9


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """A message for the broker."""

    subject: str
    headers: dict[str, str] = field(repr=False)
    payload: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The form on disk: lengths, a checksum, and the parts."""
        subject, headers = self.subject.encode(), json.dumps(self.headers).encode()
        body = subject + headers + self.payload
        return _HEADER.pack(len(subject), len(headers), len(self.payload), zlib.crc32(body)) + body


class Spool:
    """A queue that goes on to disk when it grows. `directory` belongs to one process; None keeps all in memory."""

    def __init__(self, directory: Path | None, *, memory_items: int, disk_bytes: int) -> None:
        self._directory = directory
        self._memory_items = memory_items
        self._disk_bytes = disk_bytes
        self._memory: deque[SpooledMessage] = deque()
        self._segments: deque[tuple[int, int]] = deque()
        """Number and count of messages of each file."""
        self._next_number = _FIRST_NUMBER
        self._writer: BinaryIO | None = None
        self.bytes_on_disk = 0
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._find_segments(directory)

    def __len__(self) -> int:
        return len(self._memory) + sum(count for _, count in self._segments)

    def put(self, message: SpooledMessage) -> bool:
        """Add a message; False when there is no room for it, neither in memory nor on disk."""
        if not self._segments and len(self._memory) < self._memory_items:
            self._memory.append(message)
            return True
        data = message.encode()
        if self._directory is None or self.bytes_on_disk + len(data) > self._disk_bytes:
            return False
        try:
            _write_whole(self._open_segment(self._directory), data)
        except OSError as error:
            log.error("events cannot wait on disk: %s", error.strerror)
            return False
        number, count = self._segments.pop()
        self._segments.append((number, count + 1))
        self.bytes_on_disk += len(data)
        return True

    def pop(self) -> SpooledMessage | None:
        """The oldest message, None when there is none."""
        while not self._memory and self._segments:
            self._read_segment()
        return self._memory.popleft() if self._memory else None

    def save(self, earlier: Iterable[SpooledMessage] = ()) -> int:
        """Write everything to disk for the next process, `earlier` first; the number of messages that wait there.

        Raises `OSError` when the disk takes it not.
        """
        if self._directory is None:
            return 0
        kept = [*earlier, *self._memory]
        self._memory.clear()
        self.close()
        if kept:
            number = (self._segments[0][0] if self._segments else self._next_number) - 1
            data = b"".join(message.encode() for message in kept)
            self._path(self._directory, number).write_bytes(data)
            self._segments.appendleft((number, len(kept)))
        return len(self)

    def close(self) -> None:
        """Close the files; what is on disk stays there."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open_segment(self, directory: Path) -> BinaryIO:
        if self._writer is None or self._writer.tell() > _SEGMENT_BYTES:
            self.close()
            self._writer = self._path(directory, self._next_number).open("wb", buffering=0)
            self._segments.append((self._next_number, 0))
            self._next_number += 1
        return self._writer

    def _read_segment(self) -> None:
        number, _ = self._segments.popleft()
        if not self._segments:
            self.close()
        if self._directory is None:
            return
        path = self._path(self._directory, number)
        data = path.read_bytes()
        self._memory.extend(_decode(data, path.name))
        path.unlink()
        self.bytes_on_disk -= len(data)

    def _find_segments(self, directory: Path) -> None:
        for path in sorted(directory.glob("*.spool")):
            data = path.read_bytes()
            self._segments.append((int(path.stem), sum(1 for _ in _decode(data, path.name))))
            self.bytes_on_disk += len(data)
            self._next_number = int(path.stem) + 1

    @staticmethod
    def _path(directory: Path, number: int) -> Path:
        return directory / f"{number:012}.spool"


def _write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all or nothing. Raises `OSError` when the disk is full."""
    start = file.tell()
    try:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    except OSError:
        file.seek(start)
        file.truncate()
        raise


def _decode(data: bytes, name: str) -> Iterator[SpooledMessage]:
    """The messages of a file, up to the first that a crash cut off."""
    at = 0
    while at + _HEADER.size <= len(data):
        subject_size, headers_size, payload_size, checksum = _HEADER.unpack_from(data, at)
        start, at = at + _HEADER.size, at + _HEADER.size + subject_size + headers_size + payload_size
        body = data[start:at]
        if zlib.crc32(body) != checksum or len(body) != at - start:
            break
        subject, headers = body[:subject_size], body[subject_size : subject_size + headers_size]
        yield SpooledMessage(subject.decode(), json.loads(headers), body[subject_size + headers_size :])
    else:
        if at == len(data):
            return
    log.warning("the end of %s cannot be read: the frontier reports it as a gap", name)
