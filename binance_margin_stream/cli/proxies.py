"""The proxies of the environment: which variable sets them, and what is wrong with it. No I/O."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.endpoints import Endpoints, is_loopback

__all__ = ["ProxySetting", "check_proxies", "describe_proxies", "find_proxies", "find_proxy"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DEFAULT_SOCKS_PORT = 1080
_SECURE_SCHEMES = ("https", "wss")
_SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")
_SOCKS_MODULES = ("socks", "python_socks")


@dataclass(frozen=True, slots=True)
class ProxySetting:
    """A proxy, and where its address comes from."""

    variable: str
    """Such as ``HTTPS_PROXY``, or ``the system settings``."""
    url: str = field(repr=False)
    """As it is set; may contain a password."""

    @property
    def host(self) -> str:
        """The host, empty if there is none."""
        return self._split().hostname or ""

    @property
    def port(self) -> int:
        """The port. Only valid if `find_problem` finds none."""
        parts = self._split()
        return parts.port or _DEFAULT_PORTS.get(parts.scheme, _DEFAULT_SOCKS_PORT)

    @property
    def scheme(self) -> str:
        """The scheme, such as ``http``."""
        return self._split().scheme

    @property
    def authorization(self) -> str:
        """The header with user name and password for an HTTP proxy, empty if there is no user name."""
        parts = self._split()
        if parts.username is None:
            return ""
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return f"Proxy-Authorization: Basic {b64encode(credentials.encode()).decode()}\r\n"

    def find_problem(self) -> str:
        """Return what is wrong and what to do, as one sentence; empty if nothing is."""
        if "://" not in self.url:
            return f"{self.variable} has no scheme: write http:// in front of the proxy's address"
        try:
            parts, port = self._split(), self._split().port
        except ValueError:
            return f"{self.variable} is not a URL: write http://HOST:PORT"
        if not parts.hostname:
            return f"{self.variable} names no host: write http://HOST:PORT, or unset it"
        if parts.scheme in _SOCKS_SCHEMES:
            return self._find_missing_modules()
        if parts.scheme not in _DEFAULT_PORTS:
            return f"{self.variable} has the scheme {parts.scheme}: use http, https, socks5 or socks5h"
        return f"{self.variable} names port 0: write http://HOST:PORT" if port == 0 else ""

    def _split(self) -> SplitResult:
        return urlsplit(self.url if "://" in self.url else f"http://{self.url}")

    def _find_missing_modules(self) -> str:
        if all(find_spec(name) is not None for name in _SOCKS_MODULES):
            return ""
        return f"{self.variable} names a SOCKS proxy, which needs: pip install 'binance-margin-stream[socks]'"


def find_proxy(address: str, environment: Mapping[str, str] = os.environ) -> ProxySetting | None:
    """Return the proxy for the address of an endpoint, None if it is reached without one."""
    parts = urlsplit(address)
    if is_loopback(address) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    for scheme in ("https" if parts.scheme in _SECURE_SCHEMES else "http", "all"):
        if proxies.get(scheme):
            return ProxySetting(_find_variable(f"{scheme}_proxy", environment), proxies[scheme])
    return None


def find_proxies(endpoints: Endpoints) -> list[ProxySetting]:
    """Return the proxies for all endpoints, each once."""
    addresses = (endpoints.rest, endpoints.websocket_api, endpoints.stream, endpoints.margin_stream)
    found = (find_proxy(address) for address in addresses)
    return list(dict.fromkeys(proxy for proxy in found if proxy is not None))


def check_proxies(endpoints: Endpoints) -> list[ProxySetting]:
    """Return the proxies for all endpoints. Raises `CommandError` for one that cannot be used."""
    proxies = find_proxies(endpoints)
    for proxy in proxies:
        if problem := proxy.find_problem():
            raise CommandError(problem, ExitCode.USAGE)
    return proxies


def describe_proxies(proxies: Sequence[ProxySetting]) -> str:
    """Return addresses and variables, without user names and passwords."""
    return " and ".join(f"{proxy.host}:{proxy.port} from {proxy.variable}" for proxy in proxies)


def _find_variable(name: str, environment: Mapping[str, str]) -> str:
    """Return the name as it is written in the environment; a lower-case one has precedence."""
    written = [each for each in environment if each.lower() == name and environment[each]]
    return name if name in written else next(iter(written), "the system settings")
