"""Reads a checkpoint, and writes it so that a crash leaves either the old file or the new one."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from binance_margin_stream.account.checkpoint import Checkpoint
from binance_margin_stream.exceptions import CheckpointError

__all__ = ["read_checkpoint", "write_checkpoint"]


def read_checkpoint(path: Path, name: str) -> Checkpoint | None:
    """The checkpoint at `path`, None if there is no file. Raises `CheckpointError` if it cannot be used."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    try:
        return Checkpoint.from_bytes(data, name)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`. Raises `CheckpointError` if that fails; the old file is then unchanged."""
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(checkpoint.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror}") from None


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
