"""The REST calls that need no key: clients of other houses ask whether the exchange is there, and for its time."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PUBLIC_ENDPOINTS"]

PUBLIC_ENDPOINTS: dict[tuple[str, str], Callable[[int], object]] = {
    ("GET", "/api/v3/ping"): lambda now: {},
    ("GET", "/api/v3/time"): lambda now: {"serverTime": now},
}
"""The calls by method and path; each makes its answer from the time in milliseconds. Weight 1."""
