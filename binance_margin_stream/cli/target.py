"""Which exchange a command talks to. There is no default."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from binance_margin_stream.cli.runner import CommandError, ExitCode
from binance_margin_stream.endpoints import Endpoints

__all__ = ["EXCHANGE_VARIABLE", "Target", "build_sandbox_endpoints", "select_target"]

EXCHANGE_VARIABLE = "BINANCE_MARGIN_STREAM_EXCHANGE"
"""The exchange if no option selects one: ``production``, or the URL of a sandbox."""

_PRODUCTION = "production"
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}
_ENDPOINT_NAMES = ("rest", "websocket_api", "stream", "margin_stream", "listen_key_v2", "listen_key_uta")
_REQUIRED_NAMES = tuple(name for name in _ENDPOINT_NAMES if not name.startswith("listen_key"))
_PRODUCTION_DOMAINS = ("binance.com", "binance.us")


@dataclass(frozen=True, slots=True)
class Target:
    """An exchange: its name for messages, and its endpoints."""

    name: str
    endpoints: Endpoints


def select_target(
    production: bool, sandbox: str | None, addresses: Sequence[str], environment: Mapping[str, str] = os.environ
) -> Target:
    """Return the exchange that options and environment select. Options override the environment.

    `addresses` replace single endpoints, such as ``rest=https://api1.binance.com``. Raises `CommandError` if no
    exchange is selected, or an invalid one.
    """
    if production and sandbox is not None:
        raise CommandError("pass either --production or --sandbox, not both", ExitCode.USAGE)
    choice = _PRODUCTION if production else sandbox or environment.get(EXCHANGE_VARIABLE, "")
    given = dict(map(_parse_endpoint, addresses))
    base = _resolve_base(choice, given)
    return replace(base, endpoints=replace(base.endpoints, **given))


def _parse_endpoint(address: str) -> tuple[str, str]:
    name, _, url = address.partition("=")
    name = name.replace("-", "_")
    parts = urlsplit(url)
    schemes = ("http", "https") if name == "rest" else ("ws", "wss")
    if name not in _ENDPOINT_NAMES or parts.scheme not in schemes or not parts.hostname:
        names = ", ".join(name.replace("_", "-") for name in _ENDPOINT_NAMES)
        raise CommandError(
            f"--endpoint takes NAME=URL: NAME is one of {names}, URL http(s):// for rest and ws(s):// for the others",
            ExitCode.USAGE,
        )
    return name, url.rstrip("/")


def _resolve_base(choice: str, given: Mapping[str, str]) -> Target:
    if choice == _PRODUCTION:
        return Target(_PRODUCTION, Endpoints.production())
    if choice:
        return Target(f"sandbox {choice}", build_sandbox_endpoints(choice))
    if given.keys() >= set(_REQUIRED_NAMES):
        return Target(given["rest"], Endpoints(**{name: given[name] for name in _REQUIRED_NAMES}))
    raise CommandError(
        f"select an exchange: --production for the real one, or --sandbox URL (or set {EXCHANGE_VARIABLE})",
        ExitCode.USAGE,
    )


def build_sandbox_endpoints(url: str) -> Endpoints:
    """Return the endpoints of a sandbox from its URL, such as ``http://127.0.0.1:8650``.

    Raises `CommandError` for an invalid URL, and for a URL of the real exchange.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _WEBSOCKET_SCHEMES or not host or "@" in parts.netloc or parts.path not in ("", "/"):
        raise CommandError("--sandbox takes a URL such as http://127.0.0.1:8650", ExitCode.USAGE)
    if host.endswith(_PRODUCTION_DOMAINS):
        raise CommandError(f"{host} is not a sandbox; for the real exchange, use --production", ExitCode.USAGE)
    websocket = f"{_WEBSOCKET_SCHEMES[parts.scheme]}://{parts.netloc}"
    return Endpoints(
        rest=f"{parts.scheme}://{parts.netloc}",
        websocket_api=f"{websocket}/ws-api/v3",
        stream=websocket,
        margin_stream=websocket,
    )
