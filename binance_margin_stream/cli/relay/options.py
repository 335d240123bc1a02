"""The options of the command `relay`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["LogFormat", "RelayCommandOptions"]

_BROKER_PANEL = "NATS"
_KEY_PANEL = "One key"
_JOBS_PANEL = "Many keys"
_STORE_PANEL = "What is stored; every relay of an account uses the same values"


class LogFormat(StrEnum):
    """How log records are written."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayCommandOptions:
    """The options as they were passed."""

    nats: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=_BROKER_PANEL,
            help="A NATS server, such as nats://127.0.0.1:4222 or tls://nats.example. Repeatable. Default: NATS_URL, "
            "which may also hold a user and a password, or a token.",
        ),
    ] = None
    nats_credentials_file: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel=_BROKER_PANEL, help="A .creds file of NATS.")
    ] = None
    nats_ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel=_BROKER_PANEL, help="Certificates to trust.")
    ] = None
    nats_client_certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=_BROKER_PANEL, help="The certificate and key to present to the server."
        ),
    ] = None
    embedded: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_BROKER_PANEL,
            help="Start a NATS server on loopback that keeps its data in this directory, and stop it at the end.",
        ),
    ] = None
    embedded_port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, rich_help_panel=_BROKER_PANEL, help="Its port; 0 for any free one."
        ),
    ] = 4222
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=_KEY_PANEL, help="The name under which the events are stored."),
    ] = None
    accounts: Annotated[
        str,
        typer.Option(metavar="LIST", rich_help_panel=_KEY_PANEL, help="The accounts, such as cross,isolated:BTCUSDT."),
    ] = "cross"
    risk: Annotated[
        bool,
        typer.Option(
            "--risk",
            rich_help_panel=_KEY_PANEL,
            help="Margin calls and liability changes of the cross account.",
        ),
    ] = False
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            rich_help_panel=_KEY_PANEL,
            help="Stream source: auto takes the first that is not retired.",
        ),
    ] = "auto"
    jobs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_JOBS_PANEL,
            help="Put the jobs of this YAML file into the queue in place of those that are there, and take jobs.",
        ),
    ] = None
    from_queue: Annotated[
        bool,
        typer.Option("--from-queue", rich_help_panel=_JOBS_PANEL, help="Take jobs that are in the queue."),
    ] = False
    host_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            rich_help_panel=_JOBS_PANEL,
            help="Two replicas of a key never run under one id. Default: the name of the machine.",
        ),
    ] = None
    capacity: Annotated[
        int, typer.Option(metavar="N", min=1, rich_help_panel=_JOBS_PANEL, help="The most jobs to take.")
    ] = 1000
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", rich_help_panel=_STORE_PANEL, help="What the subjects begin with.")
    ] = "margin"
    copies: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=5,
            rich_help_panel=_STORE_PANEL,
            help="How many NATS servers keep each event, where the relay creates the stream: 1, 3 or 5.",
        ),
    ] = 1
    max_age_days: Annotated[
        float,
        typer.Option(
            metavar="DAYS",
            min=0,
            rich_help_panel=_STORE_PANEL,
            help="How long events are kept, and duplicates noticed; 0 for ever.",
        ),
    ] = 0.0
    latency_bound: Annotated[
        int,
        typer.Option(
            metavar="MS",
            min=1,
            rich_help_panel=_STORE_PANEL,
            help="The exchange sends an event at most this long after the event's time.",
        ),
    ] = 1000
    clock_error_bound: Annotated[
        int,
        typer.Option(
            metavar="MS", min=1, rich_help_panel=_STORE_PANEL, help="The exchange's clock is known at least this well."
        ),
    ] = 1000
    hole_wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            rich_help_panel=_STORE_PANEL,
            help="How long other relays have to fill a hole before it is reported as a gap.",
        ),
    ] = 60.0
    spool: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where events wait while NATS is away and memory is full. Default: in memory only, with --embedded "
            "in its directory.",
        ),
    ] = None
    health: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where /health and /metrics are served; port 0 for any free one."),
    ] = "127.0.0.1:8651"
    log_format: Annotated[LogFormat, typer.Option(help="The form of the log on standard error.")] = LogFormat.JSON
