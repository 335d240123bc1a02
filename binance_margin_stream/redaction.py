"""Prepare text to be shown: remove API keys, secrets, listen keys and tokens, and truncate it.

An unexpected response is worth showing, but a proxy may have copied the request into it, and a listen key may be
anywhere. So known secrets, the values of fields that hold secrets, and all long opaque strings are masked. Listen keys,
tokens and API keys have 60 characters and more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "extract_html_title", "redact", "truncate"]

MASK = "***"

_SECRET_FIELD = re.compile(
    r"""(["']?(?:listen_?key|listen_?token|token|api_?key|x-mbx-apikey|secret|signature)["']?\s*[:=]\s*)"""
    r"""("[^"]*"?|'[^']*'?|[^\s"'&,;<>}\]]+)""",
    re.IGNORECASE,
)
_OPAQUE_RUN = re.compile(r"[A-Za-z0-9+/=_%~-]{32,}")
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask `secrets` in `text`, plain and percent-encoded, and everything that looks like a secret."""
    encoded_secrets = {encode(secret) for secret in secrets if secret for encode in (str, quote_plus, _quote_fully)}
    for encoded in sorted(encoded_secrets, key=len, reverse=True):
        text = text.replace(encoded, MASK)
    text = _SECRET_FIELD.sub(rf"\g<1>{MASK}", text)
    return _OPAQUE_RUN.sub(MASK, text)


def truncate(text: str, length: int = 200) -> str:
    """Shorten `text` to one line of at most `length` characters, without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * length]).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def extract_html_title(html: str) -> str:
    """Return the title of an HTML page; empty if it has none."""
    match = _TITLE.search(html)
    return truncate(match[1], 100) if match else ""


def _quote_fully(secret: str) -> str:
    return quote(secret, safe="")
