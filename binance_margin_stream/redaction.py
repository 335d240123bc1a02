"""Text that may be shown: without keys, secrets, listen keys or tokens, and short.

An answer that is not what it should be is worth showing, but a proxy may have put the request into it, and a
listen key may stand where nobody expects it. So known secrets go, fields that hold secrets go, and every long
opaque run goes: listen keys, tokens and API keys have 60 characters and more.
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
    """`text` with `secrets`, in plain and percent-encoded spelling, and all that looks like one masked."""
    encoded_secrets = {encode(secret) for secret in secrets if secret for encode in (str, quote_plus, _quote_fully)}
    for encoded in sorted(encoded_secrets, key=len, reverse=True):
        text = text.replace(encoded, MASK)
    text = _SECRET_FIELD.sub(rf"\g<1>{MASK}", text)
    return _OPAQUE_RUN.sub(MASK, text)


def truncate(text: str, length: int = 200) -> str:
    """`text` on one line of at most `length` characters, without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * length]).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def extract_html_title(html: str) -> str:
    """The title of an HTML page; empty when it has none."""
    match = _TITLE.search(html)
    return truncate(match[1], 100) if match else ""


def _quote_fully(secret: str) -> str:
    return quote(secret, safe="")
