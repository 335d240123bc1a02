"""The options of the sandbox's command line, and how their texts are read."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from binance_margin_stream.sandbox.faults.random import RECOVERABLE_FAULTS
from binance_margin_stream.sandbox.faults.registry import NAMED_FAULTS

__all__ = ["BEYOND_LOOPBACK", "check_positive", "parse_candles", "parse_faults", "parse_start_time"]

BEYOND_LOOPBACK = "--i-understand-that-this-listens-beyond-loopback"

Faults = tuple[tuple[str, float | None], ...]

Host = Annotated[str, typer.Option("--host", metavar="HOST", help="Loopback address to listen on.")]
Port = Annotated[
    int,
    typer.Option("--port", metavar="PORT", min=0, max=65_535, help="Port to listen on; 0 lets the system choose."),
]
RetiredEndpoints = Annotated[
    Literal["gone", "served"],
    typer.Option("--retired-endpoints", help="Whether the calls removed on 2026-02-20 respond 410 or work."),
]
Speed = Annotated[
    float,
    typer.Option("--speed", metavar="FACTOR", help="Speed relative to real time; 0 is paused, see: do advance-time."),
]
Start = Annotated[str | None, typer.Option("--start", metavar="HH:MM", help="Initial time of day, UTC. Default: now.")]
Script = Annotated[Path | None, typer.Option("--script", metavar="FILE", help="Run the steps of a YAML file.")]
FaultNames = Annotated[
    str | None,
    typer.Option(
        "--faults",
        metavar="NAMES",
        help="Inject these faults at random, or into each call with a probability (NAME:0.1). all: every fault that "
        "clients can recover from.",
    ),
]
Every = Annotated[float, typer.Option("--every", metavar="SECONDS", help="Average time between random faults.")]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="NUMBER", help="Makes keys, tokens and random faults reproducible.")
]
Log = Annotated[bool, typer.Option("--log", help="Print every request, without parameters and credentials.")]
Persist = Annotated[
    Path | None,
    typer.Option(
        "--persist",
        metavar="FILE",
        help="Keep accounts, keys, orders and the exchange time over a restart.",
    ),
]
Candles = Annotated[
    list[str] | None,
    typer.Option(
        "--candles",
        metavar="SYMBOL=FILE",
        help="Play the prices of a CSV file: time in milliseconds, open, high, low, close; may be repeated.",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file",
        metavar="FILE",
        help="File with a fixed API key (64 letters and digits), and the API secret on a second line.",
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="Name by which clients address this host, such as that of a container. Repeatable.",
    ),
]
Tls = Annotated[bool, typer.Option("--tls", help="Use https and wss, with a certificate created at the start.")]
BeyondLoopback = Annotated[
    bool, typer.Option(BEYOND_LOOPBACK, hidden=True, help="Allow a host that other machines can reach.")
]


def check_positive(seconds: float) -> float:
    """Return a time above 0. Raises `typer.BadParameter` for another one."""
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter("it takes a number above 0", param_hint="'--every'")
    return seconds


def parse_start_time(text: str) -> int:
    """Milliseconds since 1970 of a time of day, today, in UTC."""
    try:
        time_of_day = dt.time.fromisoformat(text) if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text) else None
    except ValueError:
        time_of_day = None
    if time_of_day is None:
        raise typer.BadParameter("it takes a time of day such as 09:00", param_hint="'--start'")
    today = dt.datetime.now(dt.UTC).date()
    return int(dt.datetime.combine(today, time_of_day, dt.UTC).timestamp() * 1000)


def parse_faults(text: str) -> Faults:
    """Fault names, each with its probability or None."""
    if text == "all":
        return tuple((name, None) for name in RECOVERABLE_FAULTS)
    return tuple(_parse_fault(each.strip()) for each in text.split(","))


def _parse_fault(text: str) -> tuple[str, float | None]:
    name, colon, probability = text.partition(":")
    if name not in NAMED_FAULTS:
        names = ", ".join(NAMED_FAULTS)
        raise typer.BadParameter(f"no fault is called {name!r}; there are all, {names}", param_hint="'--faults'")
    if not colon:
        return name, None
    try:
        value = float(probability)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        message = f"the probability of {name} takes a number above 0, up to 1"
        raise typer.BadParameter(message, param_hint="'--faults'")
    return name, value


def parse_candles(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Symbols and files, each given as ``SYMBOL=FILE``.

    Raises:
        typer.BadParameter: a symbol or a file is missing.

    """
    pairs = [text.partition("=") for text in texts]
    if not all(symbol and path for symbol, _, path in pairs):
        raise typer.BadParameter("it takes a symbol and a file, such as BTCUSDT=candles.csv", param_hint="--candles")
    return [(symbol, path) for symbol, _, path in pairs]
