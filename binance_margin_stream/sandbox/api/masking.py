"""Masking of what might be a credential in a path that the sandbox does not know."""

from __future__ import annotations

import re

__all__ = ["mask_path"]

_WORDS = re.compile(r"\w{1,8}|(?=.{1,40}$)[a-z]+(?:[A-Z][a-z]+)*(?:-[a-z]+)*")
"""Words in camel case or with hyphens, such as ``allOrders`` and ``small-liability-history``."""
_MAX_SEGMENTS = 8


def mask_path(path: str) -> str:
    """A path for logs and messages; segments that are not words are replaced by ``…``."""
    segments = path.split("/")[1 : _MAX_SEGMENTS + 1]
    return "/" + "/".join(each if not each or _WORDS.fullmatch(each) else "…" for each in segments)
