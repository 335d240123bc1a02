"""Read keys from the environment or from files, never from an argument, which `ps` would show."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from binance_margin_stream.auth import ApiKeyAuth, read_credential_file, validate_credential
from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.exceptions import ApiValueError

__all__ = ["LISTEN_KEY_VARIABLE", "load_api_key", "load_listen_key"]

LISTEN_KEY_VARIABLE = "BINANCE_LISTEN_KEY"
_STDIN = "-"


def load_api_key(key_file: Path | None, secret_file: Path | None) -> ApiKeyAuth:
    """Read the API key from a file or the environment. Raises `CommandError` if there is no valid one."""
    try:
        if key_file is not None:
            return ApiKeyAuth.from_file(key_file, secret_file)
        if secret_file is not None:
            raise ApiValueError("--api-secret-file needs --api-key-file: the two belong together")
        return ApiKeyAuth.from_env()
    except ApiValueError as error:
        raise CommandError(str(error), ExitCode.NO_KEY) from error


def load_listen_key(file: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """Read the listen key from a file, standard input or the environment. Raises `CommandError` if there is none."""
    if file is None and LISTEN_KEY_VARIABLE not in environment:
        raise CommandError(
            f"no listen key: set {LISTEN_KEY_VARIABLE}, or pass --listen-key-file with a file, or - for standard input",
            ExitCode.NO_KEY,
        )
    try:
        text = environment[LISTEN_KEY_VARIABLE] if file is None else _read_text(file)
        return validate_credential(text.strip(), "the listen key")
    except ApiValueError as error:
        problem = str(error).partition(";")[0]
        raise CommandError(f"{problem}; create one with: key create --show", ExitCode.NO_KEY) from None


def _read_text(file: Path) -> str:
    return sys.stdin.read(4096) if str(file) == _STDIN else read_credential_file(file, "the listen key file")
