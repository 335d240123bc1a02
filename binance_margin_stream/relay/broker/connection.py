"""One connection to NATS that is kept for as long as a relay runs, and one vocabulary for its errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from binance_margin_stream.exceptions import ApiValueError
from binance_margin_stream.relay.broker.tasks import cancel_tasks
from binance_margin_stream.relay.errors import BrokerError, BrokerSettingsError, BrokerUnavailableError

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

__all__ = ["BrokerConnection", "BrokerOptions", "map_broker_errors"]

log = logging.getLogger(__name__)

_SCHEMES = ("nats", "tls")
_RECONNECT_WAIT = 0.25
_RECREATE_WAIT = 2.0
_PING_INTERVAL = 5
_NO_STREAM = "no stream takes this subject, or JetStream has no leader at the moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """Where the NATS servers are and how to log in. Raises `ApiValueError` for what cannot be.

    A URL may hold a user and a password, or a token; neither it nor anything that is shown repeats them.
    """

    servers: tuple[str, ...] = field(repr=False)
    """Addresses such as ``nats://127.0.0.1:4222``; ``tls://`` for TLS."""
    credentials_file: Path | None = None
    """A NATS ``.creds`` file."""
    ca_file: Path | None = None
    """Certificates to trust in place of the system's, with ``tls://``."""
    client_certificate: Path | None = None
    """A file with the client's certificate and key, where the server asks for one."""
    connect_timeout: float = 5.0
    """Seconds that the first connection may take."""

    def __post_init__(self) -> None:
        if not self.servers:
            raise ApiValueError("a relay needs the address of a NATS server, such as nats://127.0.0.1:4222")
        for url in self.servers:
            parts = _split(url)
            if parts is None:
                raise ApiValueError("a NATS address begins with nats:// or tls:// and names a host")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection must be encrypted."""
        return any(urlsplit(url).scheme == "tls" for url in self.servers)

    @property
    def shown(self) -> str:
        """The servers, without what logs in."""
        return ", ".join(f"{host}:{port}" for host, port in self.addresses)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports."""
        return tuple(parts for url in self.servers if (parts := _split(url)) is not None)


def _split(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        if parts.scheme in _SCHEMES and parts.hostname:
            return parts.hostname, parts.port or 4222
    except ValueError:
        pass
    return None


class BrokerConnection:
    """A connection that is made again whenever it is lost, until it is closed."""

    def __init__(self, options: BrokerOptions, name: str = "binance-margin-stream relay") -> None:
        self._options = options
        self._name = name
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._is_closing = False
        self._keeper: asyncio.Task[None] | None = None
        self._client_closed = asyncio.Event()
        self._last_error = ""
        self._inbox = ""
        self._acknowledgements: dict[str, asyncio.Future[Mapping[str, object]]] = {}
        self._next_token = 0
        self.reconnects = 0

    @property
    def is_connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._client is not None and self._client.is_connected

    @property
    def client(self) -> Client:
        """The client of nats-py. Raises `BrokerUnavailableError` before the first connection and after the last."""
        if self._client is None:
            raise BrokerUnavailableError(f"not connected to NATS at {self._options.shown}")
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream's calls over this connection."""
        return self.client.jetstream(timeout=5)

    async def connect(self) -> None:
        """Connect for the first time. Raises `BrokerUnavailableError` or `BrokerSettingsError` within seconds."""
        await self._connect_client()
        self._keeper = asyncio.create_task(self._keep_connected(), name="nats connection")

    async def wait_connected(self) -> None:
        """Wait until messages can be sent; for as long as it takes."""
        while not self.is_connected:
            self._connected.clear()
            await self._connected.wait()

    async def close(self) -> None:
        """Close, within two seconds; may be called again."""
        self._is_closing = True
        if self._keeper is not None:
            await cancel_tasks([self._keeper])
            self._keeper = None
        await self._close_client()
        self._fail_acknowledgements()

    async def publish(
        self, subject: str, payload: bytes, headers: Mapping[str, str]
    ) -> asyncio.Future[Mapping[str, object]]:
        """Send a message. The future is JetStream's response, or never ends when that is lost: wait with a timeout.

        nats-py 2.16's own `publish_async` leaves a future pending where the server responds with an error, since
        `APIError.from_error` raises instead of returning. So the responses come to an inbox of this class.
        """
        self._next_token += 1
        token = str(self._next_token)
        future: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: self._forget(token, done))
        self._acknowledgements[token] = future
        with map_broker_errors(self._options.shown):
            await self.client.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=dict(headers))
        return future

    def _forget(self, token: str, done: asyncio.Future[Mapping[str, object]]) -> None:
        del self._acknowledgements[token]
        if not done.cancelled():
            done.exception()  # asyncio would report an error that nobody asks for

    async def _on_acknowledgement(self, message: Msg) -> None:
        future = self._acknowledgements.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            future.set_exception(BrokerUnavailableError(_NO_STREAM))
            return
        try:
            response = json.loads(message.data)
        except ValueError:
            response = None
        if isinstance(response, dict):
            future.set_result(response)
        else:
            future.set_exception(BrokerError("the NATS server sent a response that is not JSON"))

    def _fail_acknowledgements(self) -> None:
        for future in list(self._acknowledgements.values()):
            if not future.done():
                future.set_exception(BrokerUnavailableError("the connection to NATS was lost"))

    async def _connect_client(self) -> None:
        with map_broker_errors(self._options.shown):
            await _check_server(self._options)
            client = await self._open_client()
            self._client = client
            self._client_closed.clear()
            self._inbox = client.new_inbox()
            await client.subscribe(f"{self._inbox}.*", cb=self._on_acknowledgement)
        self._last_error = ""
        self._connected.set()

    async def _open_client(self) -> Client:
        """The first login with few attempts, so that a wrong password is an error; then the client that stays."""
        options = self._make_nats_options()
        probe = await self._start_client(
            **options, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0, error_cb=_ignore_error
        )
        await probe.close()
        return await self._start_client(
            **options,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
        )

    async def _start_client(self, **options: Any) -> Client:
        client = Client()
        try:
            await asyncio.wait_for(client.connect(**options), self._options.connect_timeout)
        except BaseException:
            await client.close()
            if client._transport is not None:
                client._transport.close()  # type: ignore[no-untyped-call]  # nats-py leaves it open after a failed login
            raise
        return client

    def _make_nats_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "servers": list(self._options.servers),
            "name": self._name,
            "connect_timeout": 2,
            "ping_interval": _PING_INTERVAL,
            "max_outstanding_pings": 2,
            "pending_size": 0,
        }
        if self._options.uses_tls:
            context = ssl.create_default_context(cafile=self._options.ca_file)
            if self._options.client_certificate is not None:
                context.load_cert_chain(self._options.client_certificate)
            options["tls"] = context
        if self._options.credentials_file is not None:
            options["user_credentials"] = str(self._options.credentials_file)
        return options

    async def _keep_connected(self) -> None:
        """Make a new client where nats-py gives up, such as after revoked credentials."""
        while True:
            await self._client_closed.wait()
            try:
                await self._connect_client()
                self.reconnects += 1
                log.warning("connected to NATS again")
            except BrokerError as error:
                self._log_once(str(error))
                await asyncio.sleep(_RECREATE_WAIT)

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), 2)

    async def _on_error(self, error: Exception) -> None:
        self._log_once(f"NATS: {_describe(error)}")

    async def _on_disconnected(self) -> None:
        if self._client is not None:
            # nats-py would send what it has buffered before what was lost: publishes would overtake each other.
            self._client._pending, self._client._pending_data_size = [], 0
        self._fail_acknowledgements()
        if not self._is_closing:
            log.warning("the connection to NATS at %s is lost: events wait", self._options.shown)

    async def _on_reconnected(self) -> None:
        self.reconnects += 1
        self._last_error = ""
        log.warning("connected to NATS again")
        self._connected.set()

    async def _on_closed(self) -> None:
        self._client_closed.set()

    def _log_once(self, text: str) -> None:
        if text != self._last_error and not self._is_closing:
            self._last_error = text
            log.error("%s", text)


async def _ignore_error(_: Exception) -> None:
    """The first connection reports its error by raising."""


async def _check_server(options: BrokerOptions) -> None:
    """See that somebody speaks NATS, and with TLS where TLS is asked for: nats-py would go on without."""
    problem = "no address"
    for host, port in options.addresses:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
            try:
                line = await asyncio.wait_for(reader.readline(), 2)
            finally:
                writer.close()
            info = json.loads(line.removeprefix(b"INFO "))
        except (OSError, TimeoutError) as error:
            problem = _describe(error)
        except ValueError:
            raise BrokerSettingsError(f"{host}:{port} is no NATS server: check the address") from None
        else:
            if options.uses_tls and not info.get("tls_required"):
                raise BrokerSettingsError(f"NATS at {host}:{port} does not offer TLS: use nats://, or enable TLS there")
            return
    raise BrokerUnavailableError(f"no NATS server at {options.shown}: {problem}")


@contextlib.contextmanager
def map_broker_errors(shown: str = "the server") -> Iterator[None]:
    """Turn errors of nats-py into this package's, without anything that logs in."""
    try:
        yield
    except BrokerError:
        raise
    except Exception as error:
        mapped = _map_error(error, shown)
        if mapped is None:
            raise
    else:
        return
    raise mapped


def _map_error(error: Exception, shown: str) -> BrokerError | None:
    if isinstance(error, nats.js.errors.APIError) and error.description:
        return _map_api_error(error.err_code or 0, error.description)
    if isinstance(error, nats.js.errors.NoStreamResponseError):
        return BrokerUnavailableError(_NO_STREAM)
    if isinstance(error, ssl.SSLError):
        return BrokerSettingsError(f"TLS with NATS at {shown} failed: {_describe(error)}; check the certificates")
    if "authorization" in str(error).lower() or "authentication" in str(error).lower():
        return BrokerSettingsError(f"NATS at {shown} rejects the credentials: check user, password or credentials file")
    if "permissions violation" in str(error).lower():
        return BrokerSettingsError(f"NATS at {shown} does not permit this: {_describe(error)}")
    if isinstance(error, (nats.errors.Error, OSError, TimeoutError)):
        return BrokerUnavailableError(f"NATS at {shown}: {_describe(error)}")
    return None


_SETTINGS_CODES = frozenset({10023, 10028, 10039, 10047, 10052, 10058, 10074, 10076})
"""Insufficient resources, JetStream not enabled for the account or at all, stream configuration and name in use."""


def _map_api_error(code: int, description: str) -> BrokerError:
    text = f"JetStream: {description} ({code})"
    if code in _SETTINGS_CODES:
        return BrokerSettingsError(f"{text}: check the server's configuration and limits")
    return BrokerError(text)


def _describe(error: BaseException) -> str:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "no response in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__
