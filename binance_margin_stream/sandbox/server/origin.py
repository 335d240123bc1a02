"""Refusal of requests by web pages of other origins, and by names that DNS points to this host.

A web page that is open in the user's browser must not be able to use the sandbox, nor to get its clients banned. A
request therefore has to address the sandbox as ``localhost``, by an IP address or by an allowed name, and must not come
from a page of another origin. It is refused before anything counts it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from binance_margin_stream.sandbox.messages import Request

__all__ = ["find_refusal_reason", "parse_host_name"]

_FOREIGN_SITES = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site; a page of another port is of the same site."""


def find_refusal_reason(request: Request, allowed_names: Collection[str]) -> str | None:
    """Why a request is refused, or None; `allowed_names` are host names beside ``localhost`` and IP addresses."""
    authority = request.get_header_values("Host")
    if len(authority) != 1 or not _is_own_host(authority[0], allowed_names):
        return "address the sandbox as localhost, by its IP address, or by a name that --allow-host allows"
    own = (f"http://{authority[0]}", f"https://{authority[0]}")
    if any(origin not in own for origin in request.get_header_values("Origin")):
        return "pages of another origin may not use the sandbox"
    # A request that needs no CORS, such as that of an image, has no Origin.
    is_foreign = not _FOREIGN_SITES.isdisjoint(request.get_header_values("Sec-Fetch-Site"))
    if is_foreign and not _opens_page(request):
        return "pages of another origin may not use the sandbox"
    return None


def parse_host_name(name: str) -> str:
    """A host name in lower case.

    Raises:
        ValueError: it is no host name; a port or a scheme is not part of one.

    """
    parsed = _parse_name(name)
    if not parsed or parsed != name.lower():
        raise ValueError("an allowed host takes a name such as sandbox, without scheme and port")
    return parsed


def _opens_page(request: Request) -> bool:
    """Whether a browser follows a link to the sandbox's page, which no other page can read or frame."""
    return request.target == "/" and request.get_header_values("Sec-Fetch-Mode") == ["navigate"]


def _is_own_host(authority: str, allowed_names: Collection[str]) -> bool:
    name = _parse_name(authority)
    return name in ("localhost", *allowed_names) or _is_address(name)


def _parse_name(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
