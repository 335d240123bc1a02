"""The options that several commands share."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from binance_margin_stream.cli.target import EXCHANGE_VARIABLE

__all__ = ["ApiKeyFile", "ApiSecretFile", "EndpointUrls", "Json", "Production", "SandboxUrl", "Verbose"]

_EXCHANGE_PANEL = "Which exchange"
_API_KEY_PANEL = "Which API key"


def _enable_verbose(context: typer.Context, enabled: bool) -> None:
    if not enabled:
        return
    context.find_root().obj.verbose = True
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("binance_margin_stream")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar="",
        callback=_enable_verbose,
        is_eager=True,
        help="Log to standard error; show an error's trace.",
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for another program.")]
Production = Annotated[
    bool,
    typer.Option(
        "--production", metavar="", rich_help_panel=_EXCHANGE_PANEL, help="The real exchange, with the real account."
    ),
]
SandboxUrl = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        metavar="URL",
        rich_help_panel=_EXCHANGE_PANEL,
        help=f"A sandbox, such as http://127.0.0.1:8650. Without either of them, {EXCHANGE_VARIABLE} decides.",
    ),
]
EndpointUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="NAME=URL",
        rich_help_panel=_EXCHANGE_PANEL,
        help="Another address for one of rest, websocket-api, stream, margin-stream, listen-key-v2. Repeatable.",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="FILE",
        rich_help_panel=_API_KEY_PANEL,
        help="A file with the key alone. Without it: BINANCE_API_KEY, or BINANCE_API_KEY_FILE.",
    ),
]
ApiSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--api-secret-file",
        metavar="FILE",
        rich_help_panel=_API_KEY_PANEL,
        help="A file with the secret alone, which signed calls need. Without it: BINANCE_API_SECRET, or …_FILE.",
    ),
]
