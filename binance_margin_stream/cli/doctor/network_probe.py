"""Check whether hosts can be reached: DNS, TCP and TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from binance_margin_stream.cli.doctor.results import HostCheck, ProbeStatus
from binance_margin_stream.endpoints import Endpoints, is_loopback

__all__ = ["probe_hosts"]

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_EXTRA_SECONDS = 0.2
_TLS_SCHEMES = ("https", "wss")


def probe_hosts(endpoints: Endpoints, timeout: float) -> tuple[HostCheck, ...]:
    """Check every host of the endpoints, the REST host first. A proxy replaces the hosts behind it."""
    addresses = [endpoints.rest, endpoints.websocket_api, endpoints.margin_stream]
    addresses += [] if endpoints.listen_key_v2 is None else [endpoints.listen_key_v2]
    targets = dict.fromkeys(map(_parse_address, addresses))
    found: dict[tuple[str, int, bool, bool], HostCheck] = {}
    threads = [threading.Thread(target=_probe_host, args=(target, timeout, found), daemon=True) for target in targets]
    deadline = time.monotonic() + 2 * timeout + _EXTRA_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = "the host name was not resolved"
    return tuple(
        found.get(target, HostCheck(_format_address(target), ProbeStatus.TIMED_OUT, late, None, target[3]))
        for target in targets
    )


def _parse_address(address: str) -> tuple[str, int, bool, bool]:
    """Return host, port, whether TLS is used, and whether it is a proxy."""
    parts = urlsplit(address)
    proxy = None if is_loopback(address) else _find_proxy(parts)
    if proxy is not None:
        return proxy.hostname or "", proxy.port or _DEFAULT_PORTS.get(proxy.scheme, 80), False, True
    return parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 80), parts.scheme in _TLS_SCHEMES, False


def _find_proxy(parts: SplitResult) -> SplitResult | None:
    proxies = getproxies()
    proxy = proxies.get("https" if parts.scheme in _TLS_SCHEMES else "http") or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _format_address(target: tuple[str, int, bool, bool]) -> str:
    host, port, *_ = target
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _probe_host(
    target: tuple[str, int, bool, bool], timeout: float, found: dict[tuple[str, int, bool, bool], HostCheck]
) -> None:
    host, port, secure, is_proxy = target
    reachable = HostCheck(_format_address(target), is_proxy=is_proxy)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            days = _get_certificate_days(connection, host) if secure else None
        found[target] = replace(reachable, certificate_days=days)
    except (OSError, UnicodeError) as error:
        status, detail = _classify_error(error)
        found[target] = replace(reachable, status=status, detail=detail)


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
