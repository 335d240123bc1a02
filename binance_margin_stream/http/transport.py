"""One HTTP exchange that ends in time: a deadline for the whole answer, a limit on its size, one error.

A socket timeout alone bounds the wait for the next byte, so that a peer that sends a byte now and then holds
its caller for ever. Here the time allowed for reading covers status line, headers and body together.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from binance_margin_stream.exceptions import ApiValueError, TransportError

__all__ = ["MAX_RESPONSE_BYTES", "RawResponse", "Timeout", "Transport", "create_ssl_context"]

MAX_RESPONSE_BYTES = 1 << 20
"""Bytes. The exchange's answers to these calls have some hundred."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long one attempt may take, in seconds: to connect, and from then on until the answer is whole."""

    connect: float = 5.0
    read: float = 10.0

    def __post_init__(self) -> None:
        """Raise `ApiValueError` for what is no duration: nothing may wait for ever."""
        durations = (self.connect, self.read)
        if not all(type(value) in (int, float) and 0 < value <= 86_400 for value in durations):
            raise ApiValueError("a timeout has to be a number of seconds above 0, and at most a day")

    def with_override(self, override: float | tuple[float, float] | None) -> Timeout:
        """This timeout, or the one of a single call: seconds for both, or a pair for (connect, read)."""
        if override is None:
            return self
        return Timeout(*override) if isinstance(override, tuple) else Timeout(override, override)


def create_ssl_context(ca_file: str | None) -> ssl.SSLContext | None:
    """TLS that trusts the certificates in a PEM file; None where none is named. Raises `ApiValueError`."""
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        problem = "not a PEM file" if isinstance(error, ssl.SSLError) else error.strerror
    raise ApiValueError(f"the endpoints' ca_file holds no certificates: {problem}")


_NO_RETRY = urllib3.Retry(total=False, redirect=False)


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One whole answer, out of the network's hands."""

    status: int
    reason: str | None
    headers: urllib3.HTTPHeaderDict
    body: bytes = field(repr=False)

    def to_urllib3(self) -> urllib3.HTTPResponse:
        """The answer as urllib3 would hand it over, its body unread."""
        return urllib3.HTTPResponse(
            body=io.BytesIO(self.body),
            headers=self.headers,
            status=self.status,
            reason=self.reason,
            preload_content=False,
            decode_content=False,
        )


class Transport:
    """The connections of one client, over which each request is sent once; safe to share between threads."""

    def __init__(self, pool_manager: urllib3.PoolManager) -> None:
        """Give the connections that `manager` opens from now on a deadline for the whole answer."""
        pool_manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        self._pool_manager = pool_manager
        self._last_pool: tuple[str, Any] = ("", None)

    def send(
        self, method: str, url: str, *, headers: dict[str, str], body: str | None, timeout: Timeout
    ) -> RawResponse:
        """Send one request and read the whole answer.

        Nothing is repeated and no redirect is followed. Raises `TransportError`, without any part of the request
        in it, and `ApiValueError` for an address or a header that cannot be sent.
        """
        failure: ApiValueError | TransportError
        try:
            pool, target = self._find_pool(url)
            response = pool.urlopen(
                method,
                target,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=timeout.connect, read=timeout.read),
                redirect=False,
                retries=_NO_RETRY,
                preload_content=False,
                decode_content=False,
            )
            return _read_response(response)
        except LocationValueError:
            failure = ApiValueError("the address of the exchange is not a URL; see Endpoints")
        except (HTTPError, http.client.HTTPException, OSError) as error:
            failure = TransportError(_format_message(kind := _classify_error(error), method, url), kind=kind)
        except (ValueError, TypeError):
            failure = ApiValueError("a header, the address or a socket option is none that HTTP can carry")
        raise failure  # out here, so that it drags along no exception that holds the request

    def reset_pools(self) -> None:
        """Open new connections from now on."""
        self._last_pool = ("", None)
        self._pool_manager.clear()

    def close(self) -> None:
        """End all connections: idle ones, and those on which a call waits, which fails at once."""
        for key in self._pool_manager.pools.keys():  # noqa: SIM118  # this mapping refuses to be iterated
            pool = self._pool_manager.pools.get(key)
            for connection in list(pool.checked_out) if isinstance(pool, _TrackingPool) else ():
                with contextlib.suppress(OSError, TypeError):
                    # Past a TLS socket's own shutdown, which is not made for two threads.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        self._pool_manager.clear()

    def _find_pool(self, url: str) -> tuple[Any, str]:
        """What sends to `url`, and what to ask it for: the pool of the host, which is looked for once.

        Looking for it takes urllib3 a fifth of a call. A proxy may need the whole address, which its manager knows.
        """
        if self._pool_manager.proxy is not None:
            return self._pool_manager, url
        scheme, host, path, query, _ = urlsplit(url)
        origin, pool = self._last_pool
        if origin != f"{scheme}://{host}":
            origin = f"{scheme}://{host}"
            pool = self._pool_manager.connection_from_url(origin)
            self._last_pool = (origin, pool)
        return pool, f"{path or '/'}?{query}" if query else path or "/"


def _read_response(response: Any) -> RawResponse:
    """`response` with its body in memory, and its connection back in the pool."""
    try:
        body = response.read(MAX_RESPONSE_BYTES + 1)
        # The second read finds a body that was cut off; the first has it all when nothing of its length is left.
        if len(body) > MAX_RESPONSE_BYTES or (response.length_remaining != 0 and response.read(1)):
            raise http.client.HTTPException("the answer does not end")
        response.release_conn()
    except ValueError:
        response.close()
        raise http.client.HTTPException("the answer's length is none") from None
    except BaseException:
        response.close()
        raise
    return RawResponse(response.status, response.reason, response.headers, body)


_KIND_BY_ERROR: tuple[tuple[type[BaseException], str], ...] = (
    (ProxyError, "proxy"),
    (ConnectionRefusedError, "refused"),
    (ssl.SSLEOFError, "cut off"),
    (ssl.SSLZeroReturnError, "cut off"),
    (NameResolutionError, "dns"),
    (NewConnectionError, "connect"),
    (ConnectTimeoutError, "timeout"),
    (UrllibTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (SSLError, "tls"),
    (ssl.SSLError, "tls"),
    (OSError, "cut off"),
    (http.client.IncompleteRead, "cut off"),
    (http.client.RemoteDisconnected, "cut off"),
)
_MESSAGES = {
    "refused": "nothing listens there: check the address, and that the exchange or sandbox is up",
    "dns": "its name was not found: check the address and this machine's DNS",
    "tls": "no trusted TLS connection: check the certificate, the clock, and what stands in between",
    "connect": "no connection: check the network",
    "timeout": "no whole answer in time; the call may have taken effect",
    "cut off": "the connection was cut before the answer was whole; the call may have taken effect",
    "protocol": "what came back is not HTTP, or is larger than an answer can be",
    "proxy": "the proxy gave no connection: check its address and the proxy variables",
}


def _classify_error(error: BaseException) -> str:
    """The kind of a failure, looked for in the error and in what caused it, the most telling first."""
    causes = list(_iterate_causes(error))
    for kind, name in _KIND_BY_ERROR:
        if any(isinstance(cause, kind) for cause in causes):
            return name
    return "protocol"


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        reason = error.args[-1] if error.args and isinstance(error.args[-1], BaseException) else None
        error = error.__cause__ or reason or error.__context__
        seen += 1


def _format_message(kind: str, method: str, url: str) -> str:
    parts = urlsplit(url)
    return f"{method} {parts.path or '/'} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}: {_MESSAGES[kind]}"


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a point in time that it was given, however the bytes trickle."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        allowed = sock.gettimeout()
        self._deadline = None if allowed is None else time.monotonic() + allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time for the whole answer is over")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _BoundedReader(io.BufferedReader):
    """Reads only as much as is asked for: the length of a chunk may be negative, which would mean everything."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= sys.maxsize:
            raise http.client.HTTPException("a length that is none")
        return super().read(size)


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = _BoundedReader(_DeadlineReader(self.fp.detach(), sock))

    def begin(self) -> None:
        """Read the headers.

        Interim answers are passed over: taken for the real one, they would leave that to the next call. Lines
        that are no headers are forgotten, as urllib3 would log them, whatever they quote. Lengths that
        contradict each other are refused here, as urllib3 does so too late to close the connection.
        """
        super().begin()
        while 101 < self.status < 200:
            self.headers = None  # type: ignore[assignment]  # begin reads on only when there are none
            super().begin()
        length = ",".join(self.msg.get_all("Content-Length", []))
        if "," in length and len({one.strip() for one in length.split(",")}) > 1:
            raise http.client.HTTPException("contradicting lengths")
        self.msg.defects.clear()
        self.msg.set_payload("")


class _HTTPConnection(HTTPConnection):
    response_class = _DeadlineResponse
    debuglevel = 0  # whatever the process-wide switch says: it prints every request with its key


class _HTTPSConnection(HTTPSConnection):
    response_class = _DeadlineResponse
    debuglevel = 0


class _TrackingPool(urllib3.HTTPConnectionPool):
    """A pool that knows which of its connections are out, so that they can be ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.checked_out: set[Any] = set()

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        self.checked_out.add(connection)
        return connection

    def _put_conn(self, conn: Any) -> None:
        self.checked_out.discard(conn)
        super()._put_conn(conn)


class _HTTPPool(_TrackingPool):
    ConnectionCls = _HTTPConnection  # pyright: ignore[reportAssignmentType]  # urllib3's own misfit


class _HTTPSPool(_TrackingPool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection  # pyright: ignore[reportAssignmentType]  # urllib3's own misfit
