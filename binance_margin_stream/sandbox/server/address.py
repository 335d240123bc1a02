"""The address of a sandbox: where it listens, and the URLs that clients use."""

from __future__ import annotations

import errno
import ipaddress
from dataclasses import dataclass

from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.sandbox.api.handshakes import margin_stream_prefix
from binance_margin_stream.sandbox.api.websocket_api import WEBSOCKET_API_PATH
from binance_margin_stream.sandbox.config import ExchangeRules

__all__ = ["ServerAddress", "describe_start_failure", "is_loopback"]

_REACHABLE_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown to clients, not bound


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Host and port to listen on; port 0 stands for a port that the system chooses at the start."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, host: str, port: int, tls: bool, beyond_loopback: bool) -> ServerAddress:
        """Check a host and port.

        Raises:
            ValueError: an invalid port, or a host that is not loopback unless `beyond_loopback` is set.

        """
        if not beyond_loopback and not is_loopback(host):
            raise ValueError(
                f"the sandbox listens on loopback only, not on {host}; "
                "i_understand_that_this_listens_beyond_loopback=True allows it"
            )
        if not 0 <= port <= 65535:
            raise ValueError(f"port {port} is invalid: use 1 to 65535, or 0 to let the system choose")
        return cls("127.0.0.1" if host == "localhost" else host, port, tls)

    @property
    def url(self) -> str:
        """URL of the REST calls. Raises `RuntimeError` as long as the port is 0."""
        return f"http{self._scheme_suffix}://{self._authority}"

    def endpoints(self, rules: ExchangeRules, ca_file: str | None) -> Endpoints:
        """All URLs. Raises `RuntimeError` as long as the port is 0."""
        websocket = f"ws{self._scheme_suffix}://{self._authority}"
        return Endpoints(
            rest=self.url,
            websocket_api=websocket + WEBSOCKET_API_PATH,
            stream=websocket,
            margin_stream=websocket + margin_stream_prefix(rules),
            listen_key_v2=websocket if rules.listen_key_v2_host == "stream" else None,
            ca_file=ca_file,
        )

    @property
    def _scheme_suffix(self) -> str:
        return "s" if self.tls else ""

    @property
    def _authority(self) -> str:
        if not self.port:
            raise RuntimeError(
                "the sandbox has no address before it is started: use it inside `with Sandbox() as exchange:`"
            )
        host = _REACHABLE_HOSTS.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host that the sandbox listens on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def describe_start_failure(failure: Exception, address: ServerAddress) -> Exception:
    """The error to raise where the sandbox cannot listen: it says what to do."""
    if "SocketBlocked" in type(failure).__name__:
        return RuntimeError(
            "pytest-socket blocks all sockets: replace --disable-socket by --allow-hosts=127.0.0.1,::1,localhost, "
            "or mark the test with @pytest.mark.enable_socket"
        )
    if not isinstance(failure, OSError):
        return failure
    if failure.errno == errno.EADDRINUSE:
        text = f"port {address.port} is in use, perhaps by another sandbox: choose another one, or 0 for any free port"
    elif failure.errno == errno.EACCES:
        text = f"this user may not listen on port {address.port}: choose one from 1024 on, or 0 for any free port"
    else:
        reason = failure.strerror or type(failure).__name__
        text = f"the sandbox cannot listen on {address.host}, port {address.port}: {reason}"
    described = OSError(text)
    described.errno = failure.errno
    return described
