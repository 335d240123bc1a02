"""Signed requests: HMAC, RSA or Ed25519 over the parameters as sent, valid for a limited time."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from binance_margin_stream.sandbox.api.request_parameters import (
    MILLISECONDS_PATTERN,
    SIGNATURE_PATTERN,
    RequestParameter,
    invalid_parameter,
    missing_parameter,
)
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.users import ApiKey

__all__ = [
    "SIGNING_PARAMETERS",
    "Times",
    "check_recv_window",
    "check_signature",
    "check_signed_payload",
    "check_timestamp",
]

Times = tuple[int, int]
"""The earliest and the latest time (ms) that a correct client may believe it is; both are the exchange's time, unless
that runs faster or slower than a client's clock."""

_RECV_WINDOW_PATTERN = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,3})?")

SIGNING_PARAMETERS = (
    RequestParameter("timestamp", MILLISECONDS_PATTERN),
    RequestParameter("recvWindow", _RECV_WINDOW_PATTERN),
    RequestParameter("signature", SIGNATURE_PATTERN),
)

_DEFAULT_RECV_WINDOW = "5000"
_MAX_RECV_WINDOW_US = 60_000_000
_MAX_CLOCK_AHEAD_US = 1_000_000
_FIRST_MICROSECONDS = 10**14
"""A timestamp from here on is in microseconds."""
_CLOCK_AHEAD_MESSAGE = "Timestamp for this request was 1000ms ahead of the server's time."


def check_recv_window(parameters: Mapping[str, str]) -> int:
    """The request's ``recvWindow`` in microseconds, whether signed or not; it is sent in milliseconds.

    Raises:
        RefusedError: -1130, outside 1 to 60,000 milliseconds.

    """
    whole, _, decimals = parameters.get("recvWindow", _DEFAULT_RECV_WINDOW).partition(".")
    window = int(whole + decimals.ljust(3, "0"))
    if not 1_000 <= window <= _MAX_RECV_WINDOW_US:
        raise invalid_parameter("recvWindow")
    return window


def check_signature(parameters: Mapping[str, str], query: str, body: str, key: ApiKey, times: Times) -> None:
    """Check the timestamp and signature of a signed REST call.

    Raises:
        RefusedError: -1102 missing timestamp or signature, -1130 window, -1021 timestamp, -1022 signature.

    """
    check_signed_payload(parameters, _strip_signature(query) + _strip_signature(body), key, times)


def check_signed_payload(parameters: Mapping[str, str], payload: bytes, key: ApiKey, times: Times) -> None:
    """Check the timestamp and signature of a request whose signed part is `payload`.

    Raises:
        RefusedError: as `check_signature`.

    """
    if "signature" not in parameters:
        raise missing_parameter("signature")
    check_timestamp(parameters, times)
    if not _is_valid(key, payload, parameters["signature"]):
        raise RefusedError(-1022)


def _is_valid(key: ApiKey, payload: bytes, signature: str) -> bool:
    if key.public_key is not None:
        return key.public_key.verify(payload, signature)
    expected = hmac.new(key.user.api_secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.lower())


def check_timestamp(parameters: Mapping[str, str], times: Times) -> None:
    """Check the timestamp of a request, in milliseconds or microseconds, against its window.

    Raises:
        RefusedError: -1102 missing timestamp, -1130 window, -1021 timestamp.

    """
    if "timestamp" not in parameters:
        raise missing_parameter("timestamp")
    timestamp, window_us = int(parameters["timestamp"]), check_recv_window(parameters)
    sent_us = timestamp if timestamp >= _FIRST_MICROSECONDS else timestamp * 1000
    earliest, latest = times
    if sent_us >= latest * 1000 + _MAX_CLOCK_AHEAD_US:
        raise RefusedError(-1021, _CLOCK_AHEAD_MESSAGE)
    if earliest * 1000 - sent_us > window_us:
        raise RefusedError(-1021)


def _strip_signature(encoded: str) -> bytes:
    """The signed part: everything but the signature, byte for byte as sent."""
    pairs = [pair for pair in encoded.split("&") if pair.partition("=")[0] != "signature"]
    return "&".join(pairs).encode("utf-8", "surrogateescape")
