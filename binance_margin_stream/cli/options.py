"""The options that several commands share."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import typer

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.credentials import load_api_key
from binance_margin_stream.cli.target import EXCHANGE_VARIABLE, Target, select_target

__all__ = ["ConnectionOptions", "Json", "Verbose", "with_connection_options", "with_options"]

P = ParamSpec("P")
R = TypeVar("R")

_EXCHANGE_PANEL = "Which exchange"
_API_KEY_PANEL = "Which API key"


def _enable_verbose(context: typer.Context, enabled: bool) -> None:
    if not enabled:
        return
    context.find_root().obj.verbose = True
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_create_formatter())
    logger = logging.getLogger("binance_margin_stream")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def _create_formatter() -> logging.Formatter:
    """The times are those of `print_status`, in UTC."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    return formatter


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=_enable_verbose,
        is_eager=True,
        help="Log to standard error, and print the traceback of an error.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Production = Annotated[
    bool,
    typer.Option("--production", rich_help_panel=_EXCHANGE_PANEL, help="The real exchange, with the real account."),
]
SandboxUrl = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        metavar="URL",
        rich_help_panel=_EXCHANGE_PANEL,
        help=f"A sandbox, such as http://127.0.0.1:8650. Default: the exchange in {EXCHANGE_VARIABLE}.",
    ),
]
EndpointUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="NAME=URL",
        rich_help_panel=_EXCHANGE_PANEL,
        help="Another URL for one of rest, websocket-api, stream, margin-stream, listen-key-v2, listen-key-uta. "
        "Repeatable.",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="FILE",
        rich_help_panel=_API_KEY_PANEL,
        help="A file that contains only the key. Default: BINANCE_API_KEY, or BINANCE_API_KEY_FILE.",
    ),
]
ApiSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--api-secret-file",
        metavar="FILE",
        rich_help_panel=_API_KEY_PANEL,
        help="A file that contains only the secret, for signed calls. Default: BINANCE_API_SECRET, or "
        "BINANCE_API_SECRET_FILE.",
    ),
]


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The options of a command that talks to an exchange: which one, and with which API key."""

    production: Production = False
    sandbox: SandboxUrl = None
    endpoint: EndpointUrls = None
    api_key_file: ApiKeyFile = None
    api_secret_file: ApiSecretFile = None

    def select_target(self) -> Target:
        """Return the exchange that options and environment select. Raises `CommandError` if there is none."""
        return select_target(self.production, self.sandbox, self.endpoint or ())

    def load_api_key(self) -> ApiKeyAuth:
        """Read the API key from a file or the environment. Raises `CommandError` if there is no valid one."""
        return load_api_key(self.api_key_file, self.api_secret_file)


def with_options(*groups: type) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add the fields of these dataclasses to the options of a command, which receives one object for each of them."""

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        option = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter(field.name, option, default=field.default, annotation=hints[field.name])
            for group in groups
            if (hints := get_type_hints(group, include_extras=True))
            for field in fields(group)
        ]
        own = list(inspect.signature(command, eval_str=True).parameters.values())[len(groups) :]

        @functools.wraps(command)
        def wrapper(**values: Any) -> R:
            objects = [group(**{field.name: values.pop(field.name) for field in fields(group)}) for group in groups]
            return command(*objects, **values)

        parameters = [*shared, *(parameter.replace(kind=option) for parameter in own)]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def with_connection_options(command: Callable[Concatenate[ConnectionOptions, P], R]) -> Callable[..., R]:
    """Add the fields of `ConnectionOptions` to the options of a command, which receives them as one object."""
    return with_options(ConnectionOptions)(command)
