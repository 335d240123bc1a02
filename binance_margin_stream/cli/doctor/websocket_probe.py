"""Tries one subscription on one WebSocket, and leaves."""

from __future__ import annotations

import logging
import socket
import ssl
import time

from websockets.exceptions import InvalidProxy, InvalidStatus, ProxyError, WebSocketException
from websockets.sync.client import ClientConnection, connect

from binance_margin_stream.cli.doctor.results import ProbeResult, ProbeStatus
from binance_margin_stream.endpoints import is_loopback
from binance_margin_stream.stream.events.decoder import ResponseFrame, decode
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.failures import Failure, FailureKind, classify_response, classify_status
from binance_margin_stream.stream.sources import Source

__all__ = ["probe_subscription"]

_CLOSE_TIMEOUT = 1.0
_REQUEST_ID = 1
_STATUS_BY_FAILURE = {
    FailureKind.RETIRED: ProbeStatus.RETIRED,
    FailureKind.NOT_FOUND: ProbeStatus.NOT_FOUND,
    FailureKind.KEY_REJECTED: ProbeStatus.KEY_REJECTED,
    FailureKind.COUNTRY_BLOCKED: ProbeStatus.COUNTRY_BLOCKED,
    FailureKind.FIREWALL_BLOCKED: ProbeStatus.BLOCKED,
    FailureKind.RATE_LIMITED: ProbeStatus.RATE_LIMITED,
    FailureKind.BANNED: ProbeStatus.BANNED,
    FailureKind.SERVER_ERROR: ProbeStatus.SERVER_ERROR,
    FailureKind.TRANSPORT_ERROR: ProbeStatus.INVALID_RESPONSE,
}
# The library would log every frame and header, secrets among them.
_SILENT_LOGGER = logging.Logger("silent", logging.CRITICAL)
_SILENT_LOGGER.addHandler(logging.NullHandler())


def probe_subscription(source: Source, address: str, credential: str, timeout: float) -> ProbeResult:
    """Connect, subscribe with a credential, wait for the answer, close. Takes three times `timeout` at most."""
    started_at = time.monotonic()
    try:
        with connect(
            address,
            compression=None,
            open_timeout=timeout,
            close_timeout=_CLOSE_TIMEOUT,
            ping_interval=None,
            logger=_SILENT_LOGGER,
            proxy=None if is_loopback(address) else True,
        ) as websocket:
            status, detail, wait = _subscribe(websocket, source, credential, timeout)
    except (WebSocketException, OSError, EOFError, ValueError) as error:
        status, detail, wait = _classify_error(error)
    return ProbeResult(source.name, status, detail, time.monotonic() - started_at, wait)


def _subscribe(
    websocket: ClientConnection, source: Source, credential: str, timeout: float
) -> tuple[ProbeStatus, str, float | None]:
    websocket.send(source.protocol.build_subscribe_message(_REQUEST_ID, [credential]))
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            response = decode(websocket.recv(left))
        except TimeoutError:
            break
        except MalformedFrameError as error:
            return ProbeStatus.INVALID_RESPONSE, str(error), None
        if isinstance(response, ResponseFrame):
            return _interpret_response(response)
    return ProbeStatus.NO_RESPONSE, "the subscription was not answered", None


def _interpret_response(response: ResponseFrame) -> tuple[ProbeStatus, str, float | None]:
    if response.ok:
        return ProbeStatus.OK, "", None
    return _map_failure(classify_response(response, time.time_ns() // 1_000_000))


def _map_failure(failure: Failure) -> tuple[ProbeStatus, str, float | None]:
    return _STATUS_BY_FAILURE.get(failure.kind, ProbeStatus.REQUEST_REJECTED), failure.detail, failure.retry_after


def _classify_error(error: Exception) -> tuple[ProbeStatus, str, float | None]:
    match error:
        case InvalidStatus():
            wait = error.response.headers.get("Retry-After", "")
            failure = classify_status(error.response.status_code, float(wait) if wait.isdecimal() else None)
            return _map_failure(failure)
        case ProxyError() | InvalidProxy():
            return ProbeStatus.PROXY_FAILED, "", None
        case TimeoutError():
            return ProbeStatus.TIMED_OUT, "the handshake took too long", None
        case socket.gaierror():
            return ProbeStatus.DNS_FAILED, "", None
        case ssl.SSLError():
            return ProbeStatus.TLS_FAILED, error.reason or "", None
        case ConnectionRefusedError():
            return ProbeStatus.CONNECTION_REFUSED, "", None
        case OSError() | EOFError():
            return ProbeStatus.DISCONNECTED, "during the handshake", None
    return ProbeStatus.INVALID_RESPONSE, type(error).__name__, None
