"""`doctor`: finds out, judges, and prints the report."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from binance_margin_stream.auth import ApiKeyAuth
from binance_margin_stream.cli.credentials import api_key
from binance_margin_stream.cli.doctor.report import Finding, diagnosed, is_well
from binance_margin_stream.cli.doctor.results import Key
from binance_margin_stream.cli.errors import CommandError
from binance_margin_stream.cli.exit_codes import ExitCode
from binance_margin_stream.cli.spinner import busy
from binance_margin_stream.cli.target import Exchange

__all__ = ["examine"]

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}


def examine(
    exchange: Exchange, key_file: Path | None, secret_file: Path | None, *, timeout: float, json: bool
) -> ExitCode:
    """Print what is wrong with the way to an exchange; answers whether anything is."""
    auth, key = _key(key_file, secret_file)
    with busy("Looking") as tell:
        from binance_margin_stream.cli.doctor.rest_probe import facts_of

        findings = diagnosed(facts_of(exchange.name, exchange.endpoints, auth, key, timeout, tell))
    if json:
        well = is_well(findings)
        print(json_text.dumps({"exchange": exchange.name, "well": well, "findings": list(map(asdict, findings))}))
    else:
        _print(exchange, findings)
    return ExitCode.ENDED if is_well(findings) else ExitCode.UNWELL


def _key(key_file: Path | None, secret_file: Path | None) -> tuple[ApiKeyAuth | None, Key]:
    try:
        auth = api_key(key_file, secret_file)
    except CommandError as error:
        return None, Key(problem=str(error))
    return auth, Key(length=len(auth.api_key()), signs=auth.signs)


def _print(exchange: Exchange, findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        mark, style = _MARKS[finding.level]
        what = Text(finding.what)
        if finding.do:
            what.append(f"\n→ {finding.do}", "bold" if finding.level == "problem" else "")
        table.add_row(Text(mark, style), finding.check, what)
    problems = sum(finding.level == "problem" for finding in findings)
    verdict = "All is well." if not problems else f"{problems} problem{'s' * (problems != 1)} to solve."
    console.print(f"Examined {exchange.name}")
    console.print(table)
    console.print(verdict, style="green" if not problems else "bold red")
