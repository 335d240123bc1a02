"""Which exchange a command talks to: always said, never guessed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.endpoints import Endpoints

__all__ = ["VARIABLE", "Exchange", "chosen", "endpoints_of_sandbox"]

VARIABLE = "BINANCE_MARGIN_STREAM_EXCHANGE"
"""Says which exchange is meant where no option does: ``production``, or the address of a sandbox."""

_PRODUCTION = "production"
_WEBSOCKET = {"http": "ws", "https": "wss"}
_NAMES = ("rest", "websocket_api", "stream", "margin_stream", "listen_key_v2")
_NEEDED = tuple(name for name in _NAMES if name != "listen_key_v2")
_REAL = ("binance.com", "binance.us")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where the calls go, and what to call that."""

    name: str
    endpoints: Endpoints


def chosen(
    production: bool, sandbox: str | None, addresses: Sequence[str], environment: Mapping[str, str] = os.environ
) -> Exchange:
    """The exchange that options and environment choose; an option wins.

    `addresses` are single ones, such as ``rest=https://api1.binance.com``. Raises `CommandError` when no exchange
    is chosen, or one that cannot be.
    """
    if production and sandbox is not None:
        raise CommandError("give either --production or --sandbox, not both", ExitCode.USAGE)
    choice = _PRODUCTION if production else sandbox or environment.get(VARIABLE, "")
    given = dict(map(_named, addresses))
    base = _base(choice, given)
    return replace(base, endpoints=replace(base.endpoints, **given))


def _named(address: str) -> tuple[str, str]:
    name, _, url = address.partition("=")
    name = name.replace("-", "_")
    parts = urlsplit(url)
    schemes = ("http", "https") if name == "rest" else ("ws", "wss")
    if name not in _NAMES or parts.scheme not in schemes or not parts.hostname:
        names = ", ".join(name.replace("_", "-") for name in _NAMES)
        raise CommandError(
            f"--endpoint takes NAME=URL: a name of {names}, http(s):// for rest and ws(s):// for the others",
            ExitCode.USAGE,
        )
    return name, url.rstrip("/")


def _base(choice: str, given: Mapping[str, str]) -> Exchange:
    if choice == _PRODUCTION:
        return Exchange(_PRODUCTION, Endpoints.production())
    if choice:
        return Exchange(f"sandbox {choice}", endpoints_of_sandbox(choice))
    if given.keys() >= set(_NEEDED):
        return Exchange(given["rest"], Endpoints(**{name: given[name] for name in _NEEDED}))
    raise CommandError(
        f"say which exchange: --production for the real one, or --sandbox URL for one of your own (or set {VARIABLE})",
        ExitCode.USAGE,
    )


def endpoints_of_sandbox(url: str) -> Endpoints:
    """All addresses of a sandbox, from that of its REST calls, such as ``http://127.0.0.1:8650``.

    Raises `CommandError` for what is no address, and for the real exchange's.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in _WEBSOCKET or not host or "@" in parts.netloc or parts.path not in ("", "/"):
        raise CommandError("--sandbox takes an address such as http://127.0.0.1:8650", ExitCode.USAGE)
    if host.endswith(_REAL):
        raise CommandError(f"{host} is no sandbox; for the real exchange, say --production", ExitCode.USAGE)
    websocket = f"{_WEBSOCKET[parts.scheme]}://{parts.netloc}"
    return Endpoints(
        rest=f"{parts.scheme}://{parts.netloc}",
        websocket_api=f"{websocket}/ws-api/v3",
        stream=websocket,
        margin_stream=websocket,
    )
