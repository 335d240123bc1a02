"""Where a secret is, in place of the secret."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from binance_margin_stream.exceptions import ApiValueError

__all__ = ["SecretReference"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """``env:NAME`` for an environment variable of the host, ``file:/PATH`` for a file on it that holds it alone."""

    kind: str
    location: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.location}"

    @classmethod
    def parse(cls, text: object) -> SecretReference:
        """Read a reference. Raises `ApiValueError`, which does not repeat the text: it may be a secret."""
        if isinstance(text, str):
            kind, _, location = text.partition(":")
            if kind == "env" and _VARIABLE.fullmatch(location):
                return cls(kind, location)
            if kind == "file" and location.startswith("/"):
                return cls(kind, location)
        raise ApiValueError("a secret is given as env:NAME or file:/PATH, never by itself")

    def load(self, environ: Mapping[str, str] = os.environ) -> str:
        """The secret. Raises `ApiValueError` when it is not there."""
        if self.kind == "env":
            if self.location not in environ:
                raise ApiValueError(f"the environment variable {self.location} is not set on this host")
            return environ[self.location]
        try:
            return Path(self.location).read_text("ascii").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            problem = error.strerror
        except UnicodeDecodeError:
            problem = "it holds a character that is not ASCII"
        raise ApiValueError(f"cannot read {self.location}: {problem}")
