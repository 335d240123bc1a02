"""Whether hosts can be reached: their names, their ports and their certificates."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from binance_margin_stream.cli.doctor.results import Cause, Host
from binance_margin_stream.endpoints import Endpoints, is_loopback

__all__ = ["hosts_of"]

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SPARE = 0.2
_SECURE = ("https", "wss")


def hosts_of(endpoints: Endpoints, timeout: float) -> tuple[Host, ...]:
    """Every host of the endpoints, that of the REST calls first; a proxy in the place of those behind it."""
    addresses = [endpoints.rest, endpoints.websocket_api, endpoints.margin_stream]
    addresses += [] if endpoints.listen_key_v2 is None else [endpoints.listen_key_v2]
    targets = dict.fromkeys(map(_target, addresses))
    found: dict[tuple[str, int, bool, bool], Host] = {}
    threads = [threading.Thread(target=_look, args=(target, timeout, found), daemon=True) for target in targets]
    deadline = time.monotonic() + 2 * timeout + _SPARE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = "its name was not resolved"
    return tuple(found.get(target, Host(_shown(target), Cause.TIMED_OUT, late, None, target[3])) for target in targets)


def _target(address: str) -> tuple[str, int, bool, bool]:
    """Host, port, whether it speaks TLS, and whether it is a proxy."""
    parts = urlsplit(address)
    proxy = None if is_loopback(address) else _proxy_of(parts)
    if proxy is not None:
        return proxy.hostname or "", proxy.port or _PORTS.get(proxy.scheme, 80), False, True
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80), parts.scheme in _SECURE, False


def _proxy_of(parts: SplitResult) -> SplitResult | None:
    proxies = getproxies()
    proxy = proxies.get("https" if parts.scheme in _SECURE else "http") or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _shown(target: tuple[str, int, bool, bool]) -> str:
    host, port, *_ = target
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _look(target: tuple[str, int, bool, bool], timeout: float, found: dict[tuple[str, int, bool, bool], Host]) -> None:
    host, port, secure, is_proxy = target
    well = Host(_shown(target), is_proxy=is_proxy)
    try:
        with socket.create_connection((host, port), timeout) as plain:
            days = _certificate_days(plain, host) if secure else None
        found[target] = replace(well, certificate_days=days)
    except (OSError, UnicodeError) as error:
        cause, detail = _why(error)
        found[target] = replace(well, cause=cause, detail=detail)


def _certificate_days(plain: socket.socket, host: str) -> int:
    try:
        with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure:
            certificate = secure.getpeercert() or {}
    except TimeoutError:
        raise ssl.SSLError(0, "that port does not answer in TLS") from None
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    return (ends - datetime.now(UTC)).days


def _why(error: Exception) -> tuple[Cause, str]:
    match error:
        case ssl.SSLCertVerificationError():
            return Cause.NO_TLS, error.verify_message
        case ssl.SSLError():
            return Cause.NO_TLS, getattr(error, "reason", None) or error.strerror or ""
        case socket.gaierror() | UnicodeError():
            return Cause.NO_NAME, ""
        case ConnectionRefusedError():
            return Cause.REFUSED, ""
        case TimeoutError():
            return Cause.TIMED_OUT, ""
        case ConnectionError():
            return Cause.CUT_OFF, ""
        case OSError():
            return Cause.NO_ROUTE, error.strerror or ""
    return Cause.NO_ROUTE, ""
