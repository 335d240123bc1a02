"""Try one subscription on one WebSocket connection."""

from __future__ import annotations

import logging
import socket
import ssl
import time

from websockets.exceptions import InvalidProxy, InvalidStatus, ProxyError, WebSocketException
from websockets.sync.client import ClientConnection, connect

from binance_margin_stream.cli.doctor.results import STATUS_BY_KIND, ProbeResult, ProbeStatus
from binance_margin_stream.endpoints import is_loopback
from binance_margin_stream.error_codes import classify
from binance_margin_stream.redaction import redact, truncate
from binance_margin_stream.stream.events.decoder import ResponseFrame, decode
from binance_margin_stream.stream.events.errors import MalformedFrameError
from binance_margin_stream.stream.sources import Source

__all__ = ["probe_subscription"]

_CLOSE_TIMEOUT = 1.0
_REQUEST_ID = 1
# The library would log every frame and header, with the secrets in them.
_SILENT_LOGGER = logging.Logger("silent", logging.CRITICAL)
_SILENT_LOGGER.addHandler(logging.NullHandler())


def probe_subscription(source: Source, address: str, credential: str, timeout: float) -> ProbeResult:
    """Connect, subscribe with a credential, wait for the response, close. Takes at most three times `timeout`."""
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
    return ProbeStatus.NO_RESPONSE, "no response to the subscription", None


def _interpret_response(response: ResponseFrame) -> tuple[ProbeStatus, str, float | None]:
    if response.ok:
        return ProbeStatus.OK, "", None
    status = STATUS_BY_KIND.get(classify(response.status, response.error_code), ProbeStatus.REQUEST_REJECTED)
    wait = None if response.retry_after is None else max(0.0, response.retry_after / 1000 - time.time())
    message = truncate(redact(response.error_message or "no reason given"))
    return status, f"code {response.error_code}: {message}", wait


def _interpret_handshake(status_code: int, retry_after: str) -> tuple[ProbeStatus, str, float | None]:
    status = STATUS_BY_KIND.get(classify(status_code, None), ProbeStatus.REQUEST_REJECTED)
    wait = float(retry_after) if retry_after.isdecimal() else None
    return status, f"handshake refused with HTTP {status_code}", wait


def _classify_error(error: Exception) -> tuple[ProbeStatus, str, float | None]:
    match error:
        case InvalidStatus():
            return _interpret_handshake(error.response.status_code, error.response.headers.get("Retry-After", ""))
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
