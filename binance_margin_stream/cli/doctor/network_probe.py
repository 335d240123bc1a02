"""Check whether hosts can be reached: DNS, TCP and TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from binance_margin_stream.cli.doctor.results import HostCheck, ProbeStatus
from binance_margin_stream.cli.proxies import ProxySetting, find_proxies, find_proxy
from binance_margin_stream.endpoints import Endpoints
from binance_margin_stream.redaction import truncate

__all__ = ["probe_hosts"]

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_EXTRA_SECONDS = 0.2
_MAX_STATUS_LINE = 200
_TLS_SCHEMES = ("https", "wss")


class _Target(NamedTuple):
    """A host to connect to, or the proxy in front of it."""

    host: str
    port: int
    secure: bool
    proxy: ProxySetting | None = None
    behind: str = ""
    """The host and port that the proxy must connect to, empty if it only forwards requests."""


def probe_hosts(endpoints: Endpoints, timeout: float) -> tuple[HostCheck, ...]:
    """Check every host of the endpoints, the REST host first. A proxy replaces the hosts behind it."""
    addresses = [endpoints.rest, endpoints.websocket_api, endpoints.margin_stream]
    addresses += [] if endpoints.listen_key_v2 is None else [endpoints.listen_key_v2]
    for proxy in find_proxies(endpoints):
        if problem := proxy.find_problem():
            return (HostCheck(proxy.host, ProbeStatus.PROXY_INVALID, problem, None, proxy.variable),)
    by_address: dict[tuple[str, int], _Target] = {}
    for target in map(_parse_address, addresses):
        by_address.setdefault((target.host, target.port), target)
    targets = by_address.values()
    found: dict[_Target, HostCheck] = {}
    threads = [threading.Thread(target=_probe_host, args=(target, timeout, found), daemon=True) for target in targets]
    deadline = time.monotonic() + 2 * timeout + _EXTRA_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = "the host name was not resolved"
    return tuple(
        found.get(target, replace(_make_check(target), status=ProbeStatus.TIMED_OUT, detail=late)) for target in targets
    )


def _parse_address(address: str) -> _Target:
    parts = urlsplit(address)
    secure = parts.scheme in _TLS_SCHEMES
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 80)
    proxy = find_proxy(address)
    if proxy is None:
        return _Target(host, port, secure)
    return _Target(proxy.host, proxy.port, False, proxy, _join(host, port) if secure else "")


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _make_check(target: _Target) -> HostCheck:
    return HostCheck(
        _join(target.host, target.port), proxy_variable="" if target.proxy is None else target.proxy.variable
    )


def _probe_host(target: _Target, timeout: float, found: dict[_Target, HostCheck]) -> None:
    reachable = _make_check(target)
    try:
        with socket.create_connection((target.host, target.port), timeout) as connection:
            days = _get_certificate_days(connection, target.host) if target.secure else None
            refusal = "" if target.proxy is None else _find_refusal(connection, target.proxy, target.behind)
        status = ProbeStatus.PROXY_REFUSED if refusal else ProbeStatus.OK
        found[target] = replace(reachable, certificate_days=days, status=status, detail=refusal)
    except (OSError, UnicodeError) as error:
        status, detail = _classify_error(error)
        found[target] = replace(reachable, status=status, detail=detail)


def _find_refusal(connection: socket.socket, proxy: ProxySetting, behind: str) -> str:
    """Ask an HTTP proxy to connect to the host behind it. Returns why it refuses, or an empty text."""
    if not behind or proxy.scheme != "http":
        return ""
    connection.sendall(f"CONNECT {behind} HTTP/1.1\r\nHost: {behind}\r\n{proxy.authorization}\r\n".encode())
    status_line = connection.makefile("rb").readline(_MAX_STATUS_LINE).decode("latin-1")
    _, _, answer = status_line.strip().partition(" ")
    if answer.startswith("407"):
        return "it demands a user name and a password"
    if answer.startswith("2"):
        return ""
    return f"HTTP {truncate(answer, 80)}" if status_line.startswith("HTTP/") else "it is not an HTTP proxy"


def _get_certificate_days(connection: socket.socket, host: str) -> int:
    try:
        with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secure:
            certificate = secure.getpeercert() or {}
    except TimeoutError:
        raise ssl.SSLError(0, "the port does not use TLS") from None
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    return (ends - datetime.now(UTC)).days


def _classify_error(error: Exception) -> tuple[ProbeStatus, str]:
    match error:
        case ssl.SSLCertVerificationError():
            return ProbeStatus.TLS_FAILED, error.verify_message
        case ssl.SSLError():
            return ProbeStatus.TLS_FAILED, getattr(error, "reason", None) or error.strerror or ""
        case socket.gaierror() | UnicodeError():
            return ProbeStatus.DNS_FAILED, ""
        case ConnectionRefusedError():
            return ProbeStatus.CONNECTION_REFUSED, ""
        case TimeoutError():
            return ProbeStatus.TIMED_OUT, ""
        case ConnectionError():
            return ProbeStatus.DISCONNECTED, ""
        case OSError():
            return ProbeStatus.CONNECT_FAILED, error.strerror or ""
    return ProbeStatus.CONNECT_FAILED, ""
