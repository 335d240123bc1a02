"""Tries one subscription on one WebSocket, and leaves."""

from __future__ import annotations

import logging
import socket
import ssl
import time

from websockets.exceptions import InvalidProxy, InvalidStatus, ProxyError, WebSocketException
from websockets.sync.client import ClientConnection, connect

from binance_margin_stream.cli.doctor.results import Answer, Cause
from binance_margin_stream.endpoints import is_loopback
from binance_margin_stream.stream.events.decoder import AnswerFrame, decode
from binance_margin_stream.stream.events.errors import MalformedFrame
from binance_margin_stream.stream.protocol.actions import Failure, Trouble
from binance_margin_stream.stream.protocol.error_mapping import failure_of_answer, failure_of_status
from binance_margin_stream.stream.sources import Source

__all__ = ["subscribed"]

_GOODBYE = 1.0
_REQUEST = 1
_CAUSES = {
    Trouble.RETIRED: Cause.RETIRED,
    Trouble.NOT_FOUND: Cause.NOT_FOUND,
    Trouble.REJECTED: Cause.KEY_UNKNOWN,
    Trouble.FORBIDDEN: Cause.COUNTRY,
    Trouble.BLOCKED: Cause.BLOCKED,
    Trouble.LIMITED: Cause.LIMITED,
    Trouble.BANNED: Cause.BANNED,
    Trouble.SERVER: Cause.FAILING,
    Trouble.TRANSPORT: Cause.STRANGE,
}
# The library would log every frame and header, secrets among them.
_SILENT = logging.Logger("silent", logging.CRITICAL)
_SILENT.addHandler(logging.NullHandler())


def subscribed(source: Source, address: str, secret: str, timeout: float) -> Answer:
    """Connect, subscribe with a credential, wait for the answer, close. Takes three times `timeout` at most."""
    began = time.monotonic()
    try:
        with connect(
            address,
            compression=None,
            open_timeout=timeout,
            close_timeout=_GOODBYE,
            ping_interval=None,
            logger=_SILENT,
            proxy=None if is_loopback(address) else True,
        ) as wire:
            cause, detail, wait = _attached(wire, source, secret, timeout)
    except (WebSocketException, OSError, EOFError, ValueError) as error:
        cause, detail, wait = _why(error)
    return Answer(source.name, cause, detail, time.monotonic() - began, wait)


def _attached(wire: ClientConnection, source: Source, secret: str, timeout: float) -> tuple[Cause, str, float | None]:
    wire.send(source.dialect.attach(_REQUEST, [secret]))
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            answer = decode(wire.recv(left))
        except TimeoutError:
            break
        except MalformedFrame as error:
            return Cause.STRANGE, str(error), None
        if isinstance(answer, AnswerFrame):
            return _meaning(answer)
    return Cause.SILENT, "the subscription was not answered", None


def _meaning(answer: AnswerFrame) -> tuple[Cause, str, float | None]:
    if answer.ok:
        return Cause.FINE, "", None
    return _of(failure_of_answer(answer, time.time_ns() // 1_000_000))


def _of(failure: Failure) -> tuple[Cause, str, float | None]:
    return _CAUSES.get(failure.trouble, Cause.REJECTED), failure.detail, failure.wait


def _why(error: Exception) -> tuple[Cause, str, float | None]:
    match error:
        case InvalidStatus():
            wait = error.response.headers.get("Retry-After", "")
            failure = failure_of_status(error.response.status_code, float(wait) if wait.isdecimal() else None)
            return _of(failure)
        case ProxyError() | InvalidProxy():
            return Cause.PROXY, "", None
        case TimeoutError():
            return Cause.TIMED_OUT, "the handshake took too long", None
        case socket.gaierror():
            return Cause.NO_NAME, "", None
        case ssl.SSLError():
            return Cause.NO_TLS, error.reason or "", None
        case ConnectionRefusedError():
            return Cause.REFUSED, "", None
        case OSError() | EOFError():
            return Cause.CUT_OFF, "during the handshake", None
    return Cause.STRANGE, type(error).__name__, None
