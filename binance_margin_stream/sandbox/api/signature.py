"""Signed requests: HMAC-SHA256 over query and body, valid for a limited time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from binance_margin_stream.sandbox.api.request_parameters import (
    MILLISECONDS_PATTERN,
    SIGNATURE_PATTERN,
    RequestParameter,
    invalid_parameter,
    missing_parameter,
)
from binance_margin_stream.sandbox.error_responses import RefusedError

__all__ = ["SIGNING_PARAMETERS", "check_recv_window", "check_signature"]

SIGNING_PARAMETERS = (
    RequestParameter("timestamp", MILLISECONDS_PATTERN),
    RequestParameter("recvWindow", MILLISECONDS_PATTERN),
    RequestParameter("signature", SIGNATURE_PATTERN),
)

_DEFAULT_RECV_WINDOW_MS = 5_000
_MAX_RECV_WINDOW_MS = 60_000
_MAX_CLOCK_AHEAD_MS = 1_000
_CLOCK_AHEAD_MESSAGE = "Timestamp for this request was 1000ms ahead of the server's time."


def check_recv_window(parameters: Mapping[str, str]) -> int:
    """The request's ``recvWindow`` in milliseconds, whether signed or not.

    Raises:
        RefusedError: -1130, outside 1 to 60,000.

    """
    window = int(parameters.get("recvWindow", _DEFAULT_RECV_WINDOW_MS))
    if not 1 <= window <= _MAX_RECV_WINDOW_MS:
        raise invalid_parameter("recvWindow")
    return window


def check_signature(parameters: Mapping[str, str], query: str, body: str, secret: str, now: int) -> None:
    """Check the timestamp and signature of a signed request.

    Raises:
        RefusedError: -1102 missing timestamp or signature, -1130 window, -1021 timestamp, -1022 signature.

    """
    for name in ("timestamp", "signature"):
        if name not in parameters:
            raise missing_parameter(name)
    _check_time(int(parameters["timestamp"]), check_recv_window(parameters), now)
    expected = hmac.new(secret.encode(), _strip_signature(query) + _strip_signature(body), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, parameters["signature"].lower()):
        raise RefusedError(-1022)


def _check_time(timestamp: int, window: int, now: int) -> None:
    if timestamp >= now + _MAX_CLOCK_AHEAD_MS:
        raise RefusedError(-1021, _CLOCK_AHEAD_MESSAGE)
    if now - timestamp > window:
        raise RefusedError(-1021)


def _strip_signature(encoded: str) -> bytes:
    """The signed part: everything but the signature, byte for byte as sent."""
    pairs = [pair for pair in encoded.split("&") if pair.partition("=")[0] != "signature"]
    return "&".join(pairs).encode("utf-8", "surrogateescape")
