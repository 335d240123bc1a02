"""Send one HTTP request, with a deadline for the complete response, a limit on its size, and one kind of error.

A socket timeout only limits the wait for the next byte: a peer that sends one byte now and then could block the
caller forever. Here the read timeout covers status line, headers and body together.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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

from binance_margin_stream.exceptions import ApiValueError, TransportError, TransportErrorKind
from binance_margin_stream.redaction import MASK

__all__ = ["MAX_RESPONSE_BYTES", "RawResponse", "Timeout", "Transport", "create_ssl_context"]

MAX_RESPONSE_BYTES = 1 << 20
"""Size limit of a response body, in bytes. The exchange's responses to these calls have some hundred."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long one attempt may take, in seconds: `connect` to connect, `read` from then to the complete response."""

    connect: float = 5.0
    read: float = 10.0

    def __post_init__(self) -> None:
        """Raise `ApiValueError` for a value that is not a duration, or longer than a day."""
        durations = (self.connect, self.read)
        if not all(type(value) in (int, float) and 0 < value <= 86_400 for value in durations):
            raise ApiValueError("a timeout must be a number of seconds above 0 and at most 86400")

    def with_override(self, override: float | tuple[float, float] | None) -> Timeout:
        """Return this timeout, or that of a single call: one number for both, or the pair (connect, read)."""
        if override is None:
            return self
        return Timeout(*override) if isinstance(override, tuple) else Timeout(override, override)


def create_ssl_context(ca_file: str | None) -> ssl.SSLContext | None:
    """Create a TLS context that trusts the certificates in a PEM file; None if there is no file.

    Raises `ApiValueError` if the file cannot be read or contains no certificates.
    """
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        problem = "not a PEM file" if isinstance(error, ssl.SSLError) else error.strerror
    raise ApiValueError(f"the ca_file of the endpoints contains no certificates: {problem}")


_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_NO_RETRY = urllib3.Retry(total=False, redirect=False)


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A complete response, read from the network."""

    status: int
    reason: str | None
    headers: urllib3.HTTPHeaderDict
    body: bytes = field(repr=False)

    def decompress(self) -> RawResponse:
        """Return the response with a gzip or deflate body decompressed, although the client requested none.

        Any other body is returned unchanged, as is one that is too large when decompressed.
        """
        if self.headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
            return self
        decompressor = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        try:
            body = decompressor.decompress(self.body, MAX_RESPONSE_BYTES)
        except zlib.error:
            return self
        if not decompressor.eof:
            return self
        headers = urllib3.HTTPHeaderDict(self.headers)
        del headers["Content-Encoding"]
        return replace(self, headers=headers, body=body)

    def to_urllib3(self) -> urllib3.HTTPResponse:
        """Return the response as urllib3 would, its body unread."""
        return urllib3.HTTPResponse(
            body=io.BytesIO(self.body),
            headers=self.headers,
            status=self.status,
            reason=self.reason,
            preload_content=False,
            decode_content=False,
        )


class _QueryFilter(logging.Filter):
    """Masks the query in urllib3's log records about our own requests. It may contain a listen key."""

    def __init__(self) -> None:
        super().__init__()
        self._state = threading.local()

    @contextlib.contextmanager
    def mask_query(self, url: str) -> Iterator[None]:
        """Mask the query of `url` in records of this thread."""
        self._state.query = urlsplit(url).query
        try:
            yield
        finally:
            self._state.query = ""

    def filter(self, record: logging.LogRecord) -> bool:
        query = getattr(self._state, "query", "")
        if query:
            record.msg = record.getMessage().replace(query, MASK)
            record.args = ()
        return True


_QUERY_FILTER = _QueryFilter()
for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_QUERY_FILTER)


class Transport:
    """The connections of one client. Sends each request once. Safe to share between threads."""

    def __init__(self, pool_manager: urllib3.PoolManager) -> None:
        """Make `pool_manager` open connections with a deadline for the complete response."""
        pool_manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        self._pool_manager = pool_manager

    def send(
        self, method: str, url: str, *, headers: dict[str, str], body: str | None, timeout: Timeout
    ) -> RawResponse:
        """Send one request and read the complete response. Does not retry and follows no redirect.

        Raises `TransportError`, whose message names method, host and path only, and `ApiValueError` for an address
        or a header that cannot be sent.
        """
        failure: ApiValueError | TransportError
        try:
            with _QUERY_FILTER.mask_query(url):
                response: Any = self._pool_manager.urlopen(
                    method,
                    url,
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
            failure = ApiValueError("the address of the exchange is not a URL: see Endpoints")
        except (HTTPError, http.client.HTTPException, OSError) as error:
            failure = TransportError(_format_message(kind := _classify_error(error), method, url), kind=kind)
        except (ValueError, TypeError):
            failure = ApiValueError("a header, the address or a socket option is not valid in HTTP")
        raise failure  # outside the handler: the context would hold the request

    def reset_pools(self) -> None:
        """Discard all connections. The next request opens a new one."""
        self._pool_manager.clear()

    def close(self) -> None:
        """Close all connections. A call that waits on one of them fails at once."""
        for key in self._pool_manager.pools.keys():  # noqa: SIM118  # this mapping refuses to be iterated
            pool = self._pool_manager.pools.get(key)
            for connection in list(pool.checked_out) if isinstance(pool, _TrackingPool) else ():
                with contextlib.suppress(OSError, TypeError):
                    # Not SSLSocket.shutdown, which is not safe while another thread reads.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        self._pool_manager.clear()


def _read_response(response: Any) -> RawResponse:
    """Read the body into memory and return the connection to the pool."""
    try:
        body = response.read(MAX_RESPONSE_BYTES + 1)
        # The first read does not notice a truncated body; the second does. It is not needed at the known end.
        if len(body) > MAX_RESPONSE_BYTES or (response.length_remaining != 0 and response.read(1)):
            raise http.client.HTTPException("the response is too large")
        response.release_conn()
    except ValueError:
        response.close()
        raise http.client.HTTPException("the length of the response is invalid") from None
    except BaseException:
        response.close()
        raise
    return RawResponse(response.status, response.reason, response.headers, body)


_KIND_BY_ERROR: tuple[tuple[type[BaseException], TransportErrorKind], ...] = (
    (ProxyError, "proxy"),
    (ConnectionRefusedError, "refused"),
    (ssl.SSLEOFError, "disconnected"),
    (ssl.SSLZeroReturnError, "disconnected"),
    (NameResolutionError, "dns"),
    (NewConnectionError, "connect"),
    (ConnectTimeoutError, "timeout"),
    (UrllibTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (SSLError, "tls"),
    (ssl.SSLError, "tls"),
    (OSError, "disconnected"),
    (http.client.IncompleteRead, "disconnected"),
    (http.client.RemoteDisconnected, "disconnected"),
)
_MESSAGES: dict[TransportErrorKind, str] = {
    "refused": "connection refused: check the address, and that the exchange or sandbox is running",
    "dns": "the host name was not found: check the address and the DNS settings of this machine",
    "tls": "TLS failed: check the certificate, the clock of this machine, and any proxy in between",
    "connect": "no connection: check the network",
    "timeout": "no complete response in time; the call may have taken effect",
    "disconnected": "disconnected before the response was complete; the call may have taken effect",
    "protocol": "invalid HTTP response, or one that is too large",
    "proxy": "the proxy refused the connection: check its address and the proxy variables",
}


def _classify_error(error: BaseException) -> TransportErrorKind:
    """Find the kind of a failure from the error and its causes, the most specific first."""
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


def _format_message(kind: TransportErrorKind, method: str, url: str) -> str:
    parts = urlsplit(url)
    return f"{method} {parts.path or '/'} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}: {_MESSAGES[kind]}"


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline: now plus the timeout of the socket."""

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
                raise TimeoutError("no complete response in time")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _BoundedReader(io.BufferedReader):
    """Refuses to read without a size. A negative chunk length would read everything."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= sys.maxsize:
            raise http.client.HTTPException("invalid length")
        return super().read(size)


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = _BoundedReader(_DeadlineReader(self.fp.detach(), sock))

    def begin(self) -> None:
        """Read the headers.

        Skips interim responses (1xx): otherwise the real response would be left for the next call. Forgets lines
        that are not headers: urllib3 would log them with their content. Refuses contradicting lengths, which
        urllib3 notices too late to close the connection.
        """
        super().begin()
        while 101 < self.status < 200:
            self.headers = None  # type: ignore[assignment]  # begin continues only if there are none
            super().begin()
        length = ",".join(self.msg.get_all("Content-Length", []))
        if "," in length and len({one.strip() for one in length.split(",")}) > 1:
            raise http.client.HTTPException("contradicting lengths")
        self.msg.defects.clear()
        self.msg.set_payload("")


class _HTTPConnection(HTTPConnection):
    response_class = _DeadlineResponse
    debuglevel = 0  # the process-wide switch would print every request with its API key


class _HTTPSConnection(HTTPSConnection):
    response_class = _DeadlineResponse
    debuglevel = 0


class _TrackingPool(urllib3.HTTPConnectionPool):
    """A pool that knows which of its connections are in use, so that `Transport.close` can end them."""

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
    ConnectionCls = _HTTPConnection  # pyright: ignore[reportAssignmentType]  # urllib3's own annotation


class _HTTPSPool(_TrackingPool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection  # pyright: ignore[reportAssignmentType]  # urllib3's own annotation
